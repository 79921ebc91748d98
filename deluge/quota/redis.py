"""A quota for processes on many machines: one script in Redis, on Redis' own clock."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from deluge import _env
from deluge._json import dumps, loads
from deluge._urls import public_url, secrets_of
from deluge.errors import ConfigError
from deluge.quota.file import checked_name, checked_processes
from deluge.quota.script import SCRIPT
from deluge.quota.words import Answer, QuotaUnavailable, Report

PATIENCE = 2.0  # seconds for a connection, and for an answer
PASSWORD = "DELUGE_REDIS_PASSWORD"
_orphans: list[Any] = []  # a parent's connections


class RedisQuota:
    """A quota that all processes share which name the same Redis; needs the extra ``redis``.

    ``RedisQuota("redis://:password@host:6379/0")``; ``rediss://`` for TLS, ``unix://`` for a socket. A URL without a
    password takes the one in the environment variable ``DELUGE_REDIS_PASSWORD``; a password in the URL is never shown or
    saved. ``name``: the account, where several share a Redis. ``processes``: how many share it at most, for the time when
    Redis cannot be asked; None: as many as were seen last.
    """

    def __init__(
        self, url: str, *, name: str = "default", prefix: str = "deluge:quota", processes: int | None = None,
    ) -> None:
        if not isinstance(url, str) or not url.startswith(("redis://", "rediss://", "unix://")):
            raise ConfigError("a Redis URL begins with redis://, rediss:// or unix://")
        self.name = checked_name(name)
        self.prefix = prefix
        self.processes = checked_processes(processes)
        self._bare, self._secrets = public_url(url), secrets_of(url)
        self._forget()
        try:
            self._connect().connection_pool.make_connection()  # which connects with the first command only
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{self._bare}: {error}") from None

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._client: Any = None
        self._script = ""

    @property
    def url(self) -> str:
        """How a configuration names it, without the password."""
        words = [f"name={self.name}"] if self.name != "default" else []
        words += [f"prefix={self.prefix}"] if self.prefix != "deluge:quota" else []
        words += [f"processes={self.processes}"] if self.processes else []
        mark = "&" if "?" in self._bare else "?"
        return f"{self._bare}{mark if words else ''}{'&'.join(words)}"

    def exchange(self, reports: Sequence[Report]) -> list[Answer]:
        """The answers, in order; ``QuotaUnavailable`` when Redis does not give them."""
        redis = _library()
        texts = [dumps(report) for report in reports]
        with self._lock:
            try:
                client = self._connect()
                return [self._said(client, redis, report, text) for report, text in zip(reports, texts)]
            except (redis.RedisError, OSError, ValueError, KeyError) as error:
                text = f"{type(error).__name__}: {error}"
                for secret in self._secrets.values():
                    text = text.replace(secret, "***")
                raise QuotaUnavailable(text) from None

    def _said(self, client: Any, redis: ModuleType, report: Report, text: bytes, now: str = "") -> Answer:
        key = f"{self.prefix}:1:{self.name}:{report.lane}"
        try:
            said = client.evalsha(self._script, 1, key, text, now)
        except redis.exceptions.NoScriptError:  # Redis was started again, or its scripts were flushed
            self._script = client.script_load(SCRIPT)
            said = client.evalsha(self._script, 1, key, text, now)
        words = loads(said)
        return Answer(
            generation=words["generation"], now=float(words["now"]),
            granted=(int(words["granted"][0]), int(words["granted"][1])),
            retry_in=float(words["retry_in"]), members=int(words["members"]), hungry=int(words["hungry"]),
            capacities=(words["capacities"][0], words["capacities"][1]), used=(int(words["used"][0]), int(words["used"][1])),
            pauses=dict(words["pauses"]), learned={lane: tuple(limits[:4]) for lane, limits in words["learned"].items()},
            lost=bool(words["lost"]),
        )

    def _connect(self) -> Any:
        """This process's client; it connects with the first command."""
        if self._client is None:
            redis = _library()
            words: dict[str, Any] = {"socket_timeout": PATIENCE, "socket_connect_timeout": PATIENCE, **self._secrets}
            if "password" not in words and (password := _env.get(PASSWORD)):
                words["password"] = password
            self._client = redis.Redis.from_url(self._bare, retry=_once(redis), **words)
            self._script = self._script or _sha()
        return self._client

    def close(self) -> None:
        """Closes the connections; the next exchange opens others."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def after_fork(self) -> None:
        """In a forked child: forgets the parent's connections and lock."""
        if self._owner != os.getpid():
            if self._client is not None:
                _orphans.append(self._client)
            self._forget()

    def __reduce__(self) -> tuple[Any, ...]:
        return _redis_quota, (self._bare, self.name, self.prefix, self.processes)

    def __repr__(self) -> str:
        return f"<RedisQuota {self._bare} {self.name}>"


def _redis_quota(url: str, name: str, prefix: str, processes: int | None) -> RedisQuota:
    return RedisQuota(url, name=name, prefix=prefix, processes=processes)


def _library() -> ModuleType:
    try:
        import redis
    except ImportError:
        raise ConfigError("RedisQuota needs redis: pip install 'deluge-llm[redis]'") from None
    return redis


def _once(redis: ModuleType) -> Any:
    """One more try on a new connection: the one we had may have been closed. Reports carry numbers, so none counts twice."""
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return Retry(NoBackoff(), 1)


def _sha() -> str:
    import hashlib

    return hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()

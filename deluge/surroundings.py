"""What the process must allow before threads and sockets are started in it."""

from __future__ import annotations

import _thread
import sys
from types import BuiltinFunctionType
from typing import Any

from deluge import _log
from deluge.errors import ConfigError

SPARE = 64  # file descriptors that are left to the rest of the process

_OFF = {"False", "false", "no", "off", "0", ""}  # what an option that is there may say of itself

_said = _log.logger("engine")


def greenlets() -> bool:
    """Whether gevent or eventlet stand in for threads. Waiting in the kernel would stop all of them."""
    return not isinstance(_thread.start_new_thread, BuiltinFunctionType)


def check_threads() -> None:
    """``ConfigError`` where threads would be a hang: in uWSGI without ``--enable-threads``, or before it forks its workers."""
    uwsgi: Any = sys.modules.get("uwsgi")
    options = getattr(uwsgi, "opt", None)
    if not isinstance(options, dict) or greenlets():
        return
    given = {_text(name): _text(value) for name, value in options.items()}
    on = {name for name, value in given.items() if value not in _OFF}
    if "enable-threads" not in on and ("threads" not in on or given["threads"] == "1"):
        raise ConfigError("uWSGI runs this process without threads: start it with --enable-threads")
    if not on & {"lazy-apps", "lazy", "py-call-uwsgi-fork-hooks"} and _forks_later(uwsgi, on):
        raise ConfigError("uWSGI forks its workers from this process when the app is loaded, and they would hang after a "
                          "prompt was sent here: send it in a worker, or add --lazy-apps or --py-call-uwsgi-fork-hooks")


def _forks_later(uwsgi: Any, on: set[str]) -> bool:
    """Whether this is the process that loads the app for others."""
    somewhere = uwsgi.worker_id() or uwsgi.mule_id() or uwsgi.i_am_the_spooler()
    return bool(on & {"master", "processes", "workers"}) and not somewhere


def _text(word: Any) -> str:
    return word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word)


def allowed_slots(slots: int) -> int:
    """How many connections the process may have open for these slots: raises the soft limit, else warns and says less."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return slots
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = slots + SPARE
    if soft == resource.RLIM_INFINITY or need <= soft:
        return slots
    most = need if hard == resource.RLIM_INFINITY else min(need, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    except (ValueError, OSError):
        pass
    if need <= soft:
        return slots
    allowed = max(1, soft - SPARE)
    _log.event(_said, 30, f"{slots} concurrent requests need more file descriptors than the process may open; "
               f"{allowed} are used (raise ulimit -n)", limit=allowed)
    return allowed

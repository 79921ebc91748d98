"""What the process must allow before threads and sockets are started in it."""

from __future__ import annotations

import _thread
import sys
from types import BuiltinFunctionType
from typing import Any

from deluge import _log
from deluge.errors import ConfigError

SPARE = 64  # file descriptors that are left to the rest of the process

_said = _log.logger("engine")


def greenlets() -> bool:
    """Whether gevent or eventlet stand in for threads. Waiting in the kernel would stop all of them."""
    return not isinstance(_thread.start_new_thread, BuiltinFunctionType)


def check_threads() -> None:
    """``ConfigError`` where threads are not run at all, which would be a hang: uWSGI without ``--enable-threads``."""
    options: Any = getattr(sys.modules.get("uwsgi"), "opt", None)
    if isinstance(options, dict):
        words = {key.decode() if isinstance(key, bytes) else key for key, value in options.items() if value}
        if not words & {"enable-threads", "threads"}:
            raise ConfigError("uWSGI runs this process without threads: start it with --enable-threads")


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

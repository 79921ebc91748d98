"""One process per journal: a lock that ends with its process, and that a fork does not inherit."""

from __future__ import annotations

import errno
import os
import platform
import sys
from contextlib import suppress

from deluge import _log
from deluge.errors import ConfigError

if sys.platform == "win32":  # pragma: no cover
    import msvcrt
else:
    import fcntl

_said = _log.logger("journal")
_BUSY = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
_held: dict[tuple[int, str], Lock] = {}  # of this process; setdefault is atomic, so that no lock has to survive a fork


class Lock:
    """Holds ``path + ".lock"``. ``ConfigError`` names who has it.

    POSIX record locks belong to a process and not to a descriptor: a child does not get them, and the kernel frees them
    when their owner dies, however it dies. They do not keep threads of one process apart, so that those are in ``_held``.
    """

    def __init__(self, path: str, shown: str) -> None:
        self._path = path + ".lock"
        self._key = (os.getpid(), path)
        self._file = -1
        if _held.setdefault(self._key, self) is not self:
            raise ConfigError(f"{shown} is in use by another call of this process; one call at a time has a journal")
        try:
            self._file = self._locked(shown)
        except BaseException:
            del _held[self._key]
            raise

    def _locked(self, shown: str) -> int:
        while True:
            try:
                file = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
            except OSError as error:
                raise ConfigError(f"{shown} cannot be written: {error.strerror}") from None
            try:
                _lock(file)
            except OSError as error:
                owner = _said_owner(file)
                os.close(file)
                if error.errno in _BUSY:
                    raise ConfigError(f"{shown} is in use by process {owner}; wait for it, or end it") from None
                return self._without_locks(shown, owner)
            if is_still(file, self._path):
                with suppress(OSError):
                    os.ftruncate(file, 0)
                    os.write(file, _name_tag())
                return file
            os.close(file)  # its last owner took it away meanwhile

    def _without_locks(self, shown: str, owner: str) -> int:
        """A file system that has no locks: the word of whoever is there has to do."""
        pid, _, host = owner.partition(" on ")
        if pid.isdecimal() and int(pid) != os.getpid() and host in ("", platform.node()) and _alive(int(pid)):
            raise ConfigError(f"{shown} is in use by process {owner}; wait for it, or end it")
        _log.event(_said, 30, "this file system has no locks: see that one process alone writes the journal", path=shown)
        with suppress(OSError), open(self._path, "wb") as file:
            file.write(_name_tag())
        return -1

    def release(self) -> None:
        """Lets go, and takes the file away. In a forked child nothing happens to the parent's lock."""
        file, self._file = self._file, -1
        mine = self._key[0] == os.getpid()
        if mine and _held.get(self._key) is self:
            with suppress(OSError):
                os.unlink(self._path)
            del _held[self._key]
        if file >= 0:
            os.close(file)


def _lock(file: int) -> None:
    if sys.platform == "win32":  # pragma: no cover
        os.lseek(file, 1 << 20, os.SEEK_SET)  # beyond the text, so that others can read it
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _name_tag() -> bytes:
    return f"{os.getpid()} {platform.node()}\n".encode("ascii", "replace")


def is_still(file: int, path: str) -> bool:
    """Whether this open file is the one that has this name."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except OSError:
        return False


def _said_owner(file: int) -> str:
    try:
        os.lseek(file, 0, os.SEEK_SET)
        pid, _, host = os.read(file, 200).decode("ascii", "replace").strip().partition(" ")
    except OSError:
        return "(unknown)"
    if not pid:
        return "(unknown)"
    return pid if host in ("", platform.node()) else f"{pid} on {host}"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True

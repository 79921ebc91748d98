"""From what a configuration says to a quota."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

from deluge.errors import ConfigError
from deluge.quota.file import FileQuota
from deluge.quota.redis import RedisQuota
from deluge.quota.words import Quota

_OWN = ("name", "prefix", "processes")


def open_quota(described: Any) -> Quota:
    """The quota that ``"file:/path"`` or ``"redis://host:6379/0"`` means (``?name=``, ``&processes=``), or the one given.

    ``ConfigError`` for anything else; its text shows no password.
    """
    if not isinstance(described, str):
        quota: Quota = described
        return quota
    body, _, query = described.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    own: dict[str, Any] = {name: value for name, value in pairs if name in _OWN}
    if "processes" in own:
        if not own["processes"].isdigit():
            raise ConfigError("processes= in a quota's URL is a whole number above zero")
        own["processes"] = int(own["processes"])
    rest = [pair for pair in pairs if pair[0] not in _OWN]
    if body.startswith("file:"):
        if rest or "prefix" in own:
            raise ConfigError("a file: quota knows name= and processes= only")
        path = unquote(body[len("file:"):])
        return FileQuota(path[2:] if path.startswith("//") else path, **own)
    if body.startswith(("redis://", "rediss://", "unix://")):
        return RedisQuota(body + ("?" + urlencode(rest) if rest else ""), **own)
    raise ConfigError('a quota is FileQuota(path), RedisQuota(url), "file:/path" or "redis://host:6379/0"')

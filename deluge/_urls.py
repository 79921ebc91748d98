"""URLs that may carry a password."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

_SECRETS = ("password", "ssl_password")


def public_url(url: str) -> str:
    """The URL without its passwords, wherever they stand in it."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    user = user.partition(":")[0]
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    kept = [(name, value) for name, value in pairs if name.lower() not in _SECRETS]
    query = parts.query if len(kept) == len(pairs) else urlencode(kept)
    slashes = "//" if url.startswith(f"{parts.scheme}://") else ""
    return f"{parts.scheme}:{slashes}{user}{at if user else ''}{host}{parts.path}{'?' if query else ''}{query}"


def secrets_of(url: str) -> dict[str, str]:
    """The passwords in a URL, by what they are for: ``password``, ``ssl_password``."""
    parts = urlsplit(url)
    found = {name.lower(): value for name, value in parse_qsl(parts.query) if name.lower() in _SECRETS and value}
    password = parts.netloc.rpartition("@")[0].partition(":")[2]
    if password:
        found["password"] = unquote(password)
    return found

"""Which addresses are of the public internet: what a stranger's URL must not reach, it must not reach by any spelling."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any, Union

from deluge.errors import ConfigError

_Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]
# Networks of IPv6 that stand for addresses of IPv4: https://www.rfc-editor.org/rfc/rfc6052
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def is_public(address: str) -> bool:
    """Whether this is an address of a host that everybody can reach: no loopback, private, link-local, reserved one."""
    try:
        found: _Address = ipaddress.ip_address(address)
    except ValueError:
        return False
    inner = _inner(found)
    if inner is not None:
        return is_public(str(inner))
    site = isinstance(found, ipaddress.IPv6Address) and found.is_site_local  # deprecated, and still used by virtual machines
    return found.is_global and not (site or found.is_multicast or found.is_reserved or found.is_unspecified)


def check_public(host: str, found: Iterable[Any]) -> None:
    """``ConfigError`` when one of the addresses (as ``getaddrinfo`` gives them) behind this name is not public."""
    for _, _, _, _, address in found:
        if not is_public(str(address[0])):
            raise ConfigError(
                f"{host} is at a private address, which is not fetched (allow_private_urls=True of the client allows it)"
            )


def _inner(address: _Address) -> ipaddress.IPv4Address | None:
    """The address of IPv4 that an address of IPv6 stands for."""
    if not isinstance(address, ipaddress.IPv6Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)

"""Whence a request comes, for counting: what is one client and what is many."""

import ipaddress


def network_of(address: str | None) -> str:
    """An address; of IPv6 the /64, since whoever has one address there has all of them."""
    if address is None or ":" not in address:
        return address or ""
    try:
        return str(ipaddress.ip_network((address.partition("%")[0], 64), strict=False))
    except ValueError:
        return address


def is_loopback(address: str) -> bool:
    """True for an address of this machine alone."""
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False

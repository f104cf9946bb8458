"""Addresses of who asks: whom a forwarded one is believed from, and as what they are counted."""

import ipaddress
from typing import Final

SUBSCRIBER_BITS: Final = 64

type Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOOPBACK: Final[tuple[Network, ...]] = (
    ipaddress.ip_network("127.0.0.0/8"),
    ipaddress.ip_network("::1/128"),
)


def network(text: str) -> Network:
    """Return the network of an address or of ``ADDRESS/BITS``; ValueError where it is neither.

    Examples
    --------
    >>> network("10.0.0.7"), network("10.0.0.7/8")
    (IPv4Network('10.0.0.7/32'), IPv4Network('10.0.0.0/8'))
    """
    return ipaddress.ip_network(text.strip(), strict=False)


def is_within(address: str, networks: tuple[Network, ...]) -> bool:
    """Tell whether an address is in one of some networks; what is no address is in none.

    Examples
    --------
    >>> is_within("::ffff:127.0.0.1", LOOPBACK), is_within("10.0.0.7", LOOPBACK), is_within("", LOOPBACK)
    (True, False, False)
    """
    try:
        known = _plain(address)
    except ValueError:
        return False
    return any(known in one for one in networks)


def counted_as(address: str) -> str:
    """Return as what an address is counted: one subscriber has 2^64 of IPv6, and one of IPv4.

    Some proxies forward the port as well, another one with each connection. What is no address is counted as
    ``unknown``, together: nobody gets a count of his own by what he writes.

    Examples
    --------
    >>> counted_as("2001:db8:1:2:aaaa::7"), counted_as("::ffff:10.0.0.7"), counted_as("unknown")
    ('2001:db8:1:2::/64', '10.0.0.7', 'unknown')
    >>> counted_as("10.0.0.7:5678"), counted_as("[2001:db8:1:2::7]:443"), counted_as("_hidden")
    ('10.0.0.7', '2001:db8:1:2::/64', 'unknown')
    """
    try:
        known = _plain(_without_port(address))
    except ValueError:
        return "unknown"
    if isinstance(known, ipaddress.IPv4Address):
        return str(known)
    return str(ipaddress.ip_network((known, SUBSCRIBER_BITS), strict=False))


def _without_port(address: str) -> str:
    """Return an address of ``[ADDRESS]:PORT`` or, of IPv4, ``ADDRESS:PORT``."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return an address; a socket for both protocols tells one of IPv4 in the words of IPv6."""
    known = ipaddress.ip_address(address.partition("%")[0])
    return (known.ipv4_mapped or known) if isinstance(known, ipaddress.IPv6Address) else known

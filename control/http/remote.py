"""Where a request comes from, behind proxies that are trusted to say so. Pure."""

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address, ip_network

MOST_HOPS = 20
IPV6_PREFIX = 64


def remote_of(peer: str, forwarded_for: Sequence[str], trusted: Sequence[str]) -> str:
    """The address of the nearest peer that is no proxy of ours.

    :param peer: who is connected to us.
    :param forwarded_for: the request's ``X-Forwarded-For`` headers, each proxy's peer behind those
        that it was told of. Anybody can write them, so they are read from the end.
    :param trusted: networks of our proxies, as ``10.0.0.0/8``."""
    hops = [hop.strip() for header in forwarded_for for hop in header.split(",")]
    nearest = peer
    for hop in reversed(hops[-MOST_HOPS:]):
        if not _is_trusted(nearest, trusted) or not _is_address(hop):
            break
        nearest = hop
    return nearest


def network_of(remote: str) -> str:
    """What is counted as one address. Of IPv6 everybody has a /64 at least, with more addresses
    than can be counted; but for the IPv4 addresses that are written as IPv6."""
    try:
        address = ip_address(remote)
    except ValueError:
        return remote
    if not isinstance(address, IPv6Address):
        return remote
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address), IPV6_PREFIX), strict=False))


def _is_trusted(address: str, trusted: Sequence[str]) -> bool:
    if not _is_address(address):
        return False
    return any(ip_address(address) in ip_network(network, strict=False) for network in trusted)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True

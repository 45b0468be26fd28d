"""Which network addresses an HTTP tool may reach.

An agent's tools are written by people who need not be trusted with the network that the server
stands in (server-side request forgery). The check is made on the addresses that are connected
to, after name resolution, so that a name cannot resolve to something else the second time."""

import ipaddress
import socket
from collections.abc import Sequence

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class AddressRefusedError(OSError):
    """A host is not, or does not resolve to, a public address."""


def is_public(address: str) -> bool:
    """Whether a numeric address is reachable for everybody: not loopback, private, link-local,
    multicast, reserved (IANA special-purpose registries), nor an IPv6 form of such an address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour
        if parsed in _NAT64:
            inner = ipaddress.IPv4Address(parsed.packed[-4:])
        if parsed.teredo:
            return False
        if inner is not None:
            parsed = inner
    return parsed.is_global and not parsed.is_multicast


def is_numeric(host: str) -> bool:
    """Whether a host is an address already, which aiohttp then does not resolve."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


class PublicResolver(AbstractResolver):
    """The system's resolver, without the addresses that are not public."""

    def __init__(self, inner: AbstractResolver | None = None) -> None:
        self._inner = inner or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found: Sequence[ResolveResult] = await self._inner.resolve(host, port, family)
        public = [result for result in found if is_public(result["host"])]
        if found and not public:
            raise AddressRefusedError(f"{host} is not a public host")
        return public

    async def close(self) -> None:
        await self._inner.close()

import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from voicecore.tools.addresses import AddressRefusedError, PublicResolver, is_numeric, is_public


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("::ffff:8.8.8.8", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("255.255.255.255", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::808:808", True),
        ("2002:7f00:1::", False),
        ("2001:0:7f00:1::", False),
        ("example.com", False),
        ("", False),
    ],
)
def test_is_public(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_is_numeric() -> None:
    assert is_numeric("127.0.0.1")
    assert is_numeric("fe80::1%eth0")
    assert not is_numeric("localhost")


class _Names(AbstractResolver):
    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.closed = False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host, host=each, port=port, family=socket.AF_INET, proto=0, flags=0
            )
            for each in self.addresses
        ]

    async def close(self) -> None:
        self.closed = True


async def test_names_keep_their_public_addresses_only() -> None:
    resolver = PublicResolver(_Names("10.0.0.1", "8.8.8.8"))
    assert [result["host"] for result in await resolver.resolve("x", 80)] == ["8.8.8.8"]


async def test_names_without_public_addresses_are_refused() -> None:
    names = _Names("10.0.0.1", "::1")
    resolver = PublicResolver(names)
    with pytest.raises(AddressRefusedError):
        await resolver.resolve("x", 80)
    await resolver.close()
    assert names.closed

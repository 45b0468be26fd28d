"""Whether an address can be listened on, asked before anything depends on it."""

import asyncio


async def try_listening(host: str, port: int) -> None:
    """Listen for a moment.

    :raises OSError: it is somebody else's, or none of this machine's."""
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, host, port)
    server.close()
    await server.wait_closed()

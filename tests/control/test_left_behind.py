"""Calls of a server that died are kept as what they left shows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import pytest

from control.call_facts import CallBegan, CallEvent
from control.server import Server
from control.settings import Settings
from media.recording_writer import wav_header
from tests.control.test_loading import owner_of
from tests.control.test_serve import SETTINGS, Served
from tests.support.postgres import fresh_database
from tests.support.waiting import PATIENCE_S

CALL_ID, ANOTHERS = UUID(int=1), UUID(int=2)
RATE_HZ = 8000


class Died:
    """A server that dies while a call goes on, and one that comes after it."""

    def __init__(self, data_dir: Path, url: str) -> None:
        self.recording = data_dir / "calls" / str(CALL_ID) / "recording.wav"
        self.recording.parent.mkdir(parents=True)
        self._data_dir = data_dir
        self._settings = Settings(database_url=url, **SETTINGS)

    def record(self, data_ms: int, header_ms: int) -> None:
        header = wav_header(RATE_HZ, header_ms * RATE_HZ // 1000 * 4)
        self.recording.write_bytes(header + b"\1\2\3\4" * (data_ms * RATE_HZ // 1000))

    async def live(self, *at_ms: int) -> None:
        """A call goes on, with events at these times; and one of another server's."""
        async with AsyncExitStack() as stack:
            server = await Server.open(self._settings, self._data_dir, stack)
            served = Served(server, 0, await stack.enter_async_context(aiohttp.ClientSession()))
            await served.set_up()
            now, put = server.plane.now(), server.sink.put
            ours = UUID((self._data_dir / "server.id").read_text().strip())
            for call_id, whose in ((CALL_ID, ours), (ANOTHERS, UUID(int=9))):
                began = CallBegan(
                    workspace_id=served.workspace_id,
                    call_id=call_id,
                    agent_id=None,
                    agent_version=None,
                    agent_name="Desk",
                    carrier="twilio",
                    carrier_call_id="CA1",
                    direction="inbound",
                    caller_number="",
                    called_number="",
                    started_at=now - timedelta(hours=1),
                    server=whose,
                    files=str(CALL_ID),
                )
                put(began)
                for number, at in enumerate(at_ms, 1):
                    put(CallEvent(served.workspace_id, call_id, number, "turn", at, {}, now))
            await server.sink.flushed()

    async def found(self) -> tuple[dict[str, Any], bytes]:
        """What the API shows of the call once it is over, and its recording."""
        async with AsyncExitStack() as stack:
            server = await Server.open(self._settings, self._data_dir, stack)
            port = await server.listen("127.0.0.1", 0)
            stack.push_async_callback(server.stop, 0)
            session = await stack.enter_async_context(aiohttp.ClientSession())
            served = Served(server, port, session)
            await self._over(served)
            (workspace,) = await served.rows("SELECT id FROM workspaces")
            served.workspace_id = workspace["id"]
            headers = {"Authorization": f"Bearer {await owner_of(served)}"}
            url = f"http://127.0.0.1:{port}/workspaces/{served.workspace_id}/calls/{CALL_ID}"
            async with session.get(url, headers=headers) as answer:
                call = await answer.json()
            async with session.get(f"{url}/recording", headers=headers) as answer:
                recording = await answer.read() if answer.status == 200 else b""
            counted = await served.rows("SELECT sum(duration_ms)::bigint AS ms FROM call_counts")
            assert counted[0]["ms"] == call["call"]["duration_seconds"] * 1000
            return call, recording

    async def _over(self, served: Served) -> None:
        statement = "SELECT id, status, started_at, ended_at, duration_ms FROM calls ORDER BY id"
        async with asyncio.timeout(PATIENCE_S):
            while True:
                ours, anothers = await served.rows(statement)
                if ours["status"] == "failed":
                    break
                await asyncio.sleep(0.01)
        lasted = timedelta(milliseconds=ours["duration_ms"])
        assert ours["ended_at"] == ours["started_at"] + lasted
        assert (anothers["status"], anothers["ended_at"]) == ("in_progress", None)


@pytest.fixture
async def died(tmp_path: Path) -> AsyncIterator[Died]:
    async with fresh_database() as url:
        yield Died(tmp_path, url)


@pytest.mark.parametrize(
    ("events_ms", "data_ms", "header_ms", "seconds"),
    [
        ((40, 6700, 5000), 6000, 6000, 6.7),
        ((40,), 6000, 6000, 6.0),
        ((), 6000, 5900, 6.0),  # killed before the header was written again
        ((), 5900, 6000, 5.9),  # the disk did not keep the end
    ],
)
async def test_it_lasted_as_long_as_it_left_something(
    died: Died, events_ms: tuple[int, ...], data_ms: int, header_ms: int, seconds: float
) -> None:
    died.record(data_ms, header_ms)
    await died.live(*events_ms)
    shown, recording = await died.found()
    call = shown["call"]
    assert (call["status"], call["end_reason"]) == ("failed", "server_lost")
    assert call["duration_seconds"] == seconds
    assert shown["recording_url"].endswith(f"/calls/{CALL_ID}/recording")
    data_bytes = data_ms * RATE_HZ // 1000 * 4
    assert recording[:44] == wav_header(RATE_HZ, data_bytes)
    assert len(recording) == 44 + data_bytes


@pytest.mark.parametrize(
    "content", [None, b"", b"RIFF", b"x" * 100, wav_header(RATE_HZ, 0), bytes(100)]
)
async def test_what_cannot_be_played_is_no_recording(died: Died, content: bytes | None) -> None:
    if content is not None:
        died.recording.write_bytes(content)
    await died.live(40, 6700)
    shown, recording = await died.found()
    assert shown["call"]["duration_seconds"] == 6.7
    assert (shown["recording_url"], recording) == (None, b"")
    if content is not None:
        assert died.recording.read_bytes() == content

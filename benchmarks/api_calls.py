"""Live calls beside the API: streams in which the agent talks all the time."""

import asyncio
import base64
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from benchmarks.processes import ProcessFailed

NUMBER = "+14155550100"
FRAME_S = 0.02
SILENCE = base64.b64encode(b"\xff" * 160).decode()
SENTENCE = "We are open on weekdays from eight to five, and on Saturdays from nine to noon. "
AGENT = {
    "name": "Bench",
    "instructions": "Say what the script says.",
    "greeting": SENTENCE * 12,
    "stt": {"vendor": "scripted"},
    "llm": {"vendor": "scripted"},
    "tts": {"vendor": "scripted"},
    "recording": True,
}
_LAG = "voicecore_loop_lag_seconds_bucket"


@asynccontextmanager
async def live_calls(port: int, count: int) -> AsyncIterator[None]:
    """So many calls to ``NUMBER``, from the first word on."""
    base = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession() as session:
        sockets = []
        for number in range(count):
            ticket = await _ring(session, base, number)
            socket = await session.ws_connect(f"{base}/media/twilio")
            await _start(socket, number, ticket)
            sockets.append(socket)
        tasks = [asyncio.create_task(_talk(socket)) for socket in sockets]
        tasks += [asyncio.create_task(_listen(socket)) for socket in sockets]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for socket in sockets:
                await socket.close()


async def lags(port: int) -> dict[float, float]:
    """The server's histogram of how late its event loop is: how many were at most so late (s)."""
    url = f"http://127.0.0.1:{port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        text = await response.text()
    found = {}
    for line in text.splitlines():
        if line.startswith(_LAG):
            bound, _, count = line.partition('le="')[2].partition('"} ')
            found[float(bound)] = float(count)
    return found


def p99_ms(before: dict[float, float], after: dict[float, float]) -> float:
    """The bound below which 99 of 100 were, of those between the two."""
    grown = {bound: after[bound] - before.get(bound, 0.0) for bound in sorted(after)}
    total = max(grown.values())
    return next(bound for bound, count in grown.items() if count >= 0.99 * total) * 1000


async def _ring(session: aiohttp.ClientSession, base: str, number: int) -> str:
    """The token for the stream of a call, as Twilio would get it.

    :raises ProcessFailed: the call is not answered."""
    form = {"CallSid": f"CA{number:032}", "From": "+14155550199", "To": NUMBER}
    headers = {"X-Twilio-Signature": "unsigned"}
    url = f"{base}/webhooks/calls/inbound"
    async with session.post(url, data=form, headers=headers) as response:
        text = await response.text()
    found = re.search('name="token" value="([^"]+)"', text)
    if found is None:
        raise ProcessFailed(f"no stream: {text}")
    return found[1]


async def _start(socket: aiohttp.ClientWebSocketResponse, number: int, token: str) -> None:
    sid = f"MZ{number:032}"
    start = {
        "accountSid": "AC0",
        "streamSid": sid,
        "callSid": f"CA{number:032}",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"token": token},
    }
    await socket.send_str(
        json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"})
    )
    message = {"event": "start", "sequenceNumber": "1", "streamSid": sid, "start": start}
    await socket.send_str(json.dumps(message))


async def _talk(socket: aiohttp.ClientWebSocketResponse) -> None:
    frame = json.dumps({"event": "media", "media": {"track": "inbound", "payload": SILENCE}})
    due_s = time.perf_counter()
    while True:
        await socket.send_str(frame)
        due_s += FRAME_S
        await asyncio.sleep(max(due_s - time.perf_counter(), 0))


async def _listen(socket: aiohttp.ClientWebSocketResponse) -> None:
    """A telephone that plays everything at once: each mark comes back."""
    async for message in socket:
        if message.type is aiohttp.WSMsgType.TEXT and '"mark"' in message.data:
            await socket.send_str(message.data)

"""The agent file's own vendors in a replay: what they take in real time is what they cost."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from tests.support.deepgram_server import KEY, DeepgramServer
from tests.support.recorded_calls import agent_of, record_call
from tests.support.sim_call import SimCall
from voicecore.adapters import registry
from voicecore.providers.llm import LlmDone, LlmEvent, LlmRequest, LlmText
from voicecore.replay.outcome import outcome_of
from voicecore.replay.outside import Debts, stays_connected, watched_llm
from voicecore.replay.recorded import read_call
from voicecore.replay.run import Sources, replay_call
from voicecore.replay.virtual_time import VirtualLoop

SLOW_S = 0.25


async def outside() -> None:
    """A thread that takes ``SLOW_S`` of the loop's time. By its own clock it could take less of it:
    what the loop has to wait for a processor, it counts to nobody."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[None] = loop.create_future()
    over_s, patience_s = loop.time() + SLOW_S, time.monotonic() + 20

    def think() -> None:
        while loop.time() < over_s and time.monotonic() < patience_s:
            time.sleep(0.002)
            loop.call_soon_threadsafe(lambda: None)  # its clock goes on when it wakes
        loop.call_soon_threadsafe(answer.set_result, None)

    threading.Thread(target=think, daemon=True).start()
    await answer


def run_in(loop: VirtualLoop, main: Callable[[], Any]) -> Any:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        try:
            return runner.run(main())
        finally:
            loop.jumping.awaits_outside = lambda: True


def test_time_jumps_unless_somebody_owes_an_answer() -> None:
    loop = VirtualLoop()
    debts = Debts()
    loop.jumping.awaits_outside = debts.any

    async def main() -> tuple[float, float]:
        began_s = loop.time()
        await asyncio.sleep(3600)
        jumped_s = loop.time() - began_s
        debts.count += 1
        began_s = loop.time()
        await outside()
        debts.count -= 1
        return jumped_s, loop.time() - began_s

    real_s = time.monotonic()
    jumped_s, waited_s = run_in(loop, main)
    assert jumped_s == pytest.approx(3600)
    assert SLOW_S <= waited_s <= time.monotonic() - real_s < 60


def test_nothing_that_could_happen_is_an_error() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="deadlock"):
        run_in(VirtualLoop(), main)


class SlowLlm:
    """Implements ``Llm`` with a thread that thinks."""

    name = "slow"

    async def start(self) -> None:
        """Nothing to load."""

    async def stream(self, request: LlmRequest) -> AsyncIterator[LlmEvent]:
        await outside()
        yield LlmText("It took me some time.")
        yield LlmDone()

    async def stop(self) -> None:
        """Nothing to release."""


async def asks(call: SimCall) -> None:
    await call.until_quiet()
    call.speaks(1200)
    await call.wait_ms(8000)


def test_a_slow_model_costs_what_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call = read_call(record_call(tmp_path / "call", asks))
    agent = agent_of(llm={"vendor": "llama"})
    monkeypatch.setattr("voicecore.replay.run.make_llm", lambda config, secrets: SlowLlm())
    real_s = time.monotonic()
    replayed = replay_call(call, agent, sources=Sources(llm="agent"))
    real_s = time.monotonic() - real_s
    (turn,) = outcome_of(replayed.facts).turns
    assert turn.heard == "It took me some time."
    (latency,) = [event.data for event in replayed.events if event.type == "turn_latency"]
    (asked_ms,) = [event.at_ms for event in replayed.events if event.type == "draft_started"]
    thought_ms = turn.end_ms + latency["llm_first_token"] - asked_ms
    assert SLOW_S * 1000 <= thought_ms <= real_s * 1000
    assert replayed.events[-1].at_ms == call.duration_ms


async def test_a_stream_that_is_dropped_owes_nothing() -> None:
    asked = asyncio.Event()

    class NeverLlm(SlowLlm):
        async def stream(self, request: LlmRequest) -> AsyncIterator[LlmEvent]:
            asked.set()
            await asyncio.Event().wait()
            yield LlmDone()

    debts = Debts()
    llm = watched_llm(NeverLlm(), "llama", debts)

    async def think() -> None:
        async for _ in llm.stream(LlmRequest(())):
            pass

    task = asyncio.create_task(think())
    async with asyncio.timeout(10):
        await asked.wait()
    assert debts.any()
    task.cancel()
    await asyncio.wait([task])
    assert not debts.any()


def test_every_vendor_is_either_asked_or_connected() -> None:
    named = {adapter.vendor for adapter in registry.ADAPTERS}
    connected = {vendor for vendor in named if stays_connected(vendor)}
    assert connected == {"deepgram", "elevenlabs"}


@contextmanager
def deepgram() -> Iterator[str]:
    """A server for Deepgram's sockets, in a thread of its own; gives its address."""
    ready: Queue[tuple[str, Callable[[], object]]] = Queue()

    async def serve() -> None:
        over, loop = asyncio.Event(), asyncio.get_running_loop()
        async with DeepgramServer() as server:
            ready.put((server.url, lambda: loop.call_soon_threadsafe(over.set)))
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    url, stop = ready.get(timeout=10)
    try:
        yield url
    finally:
        stop()
        thread.join(10)


def test_a_vendor_that_stays_connected_has_the_call_in_real_time(tmp_path: Path) -> None:
    async def briefly(call: SimCall) -> None:
        call.speaks(700)
        await call.wait_ms(2500)

    call = read_call(record_call(tmp_path / "call", briefly, greeting=None))
    with deepgram() as url:
        agent = agent_of(greeting=None, tts={"vendor": "deepgram", "settings": {"base_url": url}})
        began_s = time.monotonic()
        replayed = replay_call(
            call, agent, sources=Sources(tts="agent"), secrets={"DEEPGRAM_API_KEY": KEY}
        )
        took_s = time.monotonic() - began_s
    assert took_s >= call.duration_ms / 1000
    (turn,) = outcome_of(replayed.facts).turns
    assert turn.heard
    assert not [event for event in replayed.events if event.type == "vendor_failed"]


@pytest.mark.local_models
def test_the_model_on_this_machine_hears_the_recording(tmp_path: Path) -> None:
    call = read_call(record_call(tmp_path / "call", asks))
    agent = agent_of(stt={"vendor": "moonshine"})
    replayed = replay_call(call, agent, sources=Sources(stt="agent"))
    # What is recorded is like speech, and has no words: whatever the model makes of it, it is
    # asked, and answers.
    results = [event.data for event in replayed.events if event.type == "stt_result"]
    assert any(result.get("flushed") for result in results)
    assert replayed.events[-1].at_ms == call.duration_ms

"""Calls to replay: recorded on virtual time, with scripted vendors."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import yaml

from media.audio.format import MULAW_8K, AudioFormat
from tests.support.sim_call import AGENT, House, SimCall
from tests.support.virtual_loop import run_virtual
from voicecore.agents.load import parse_agent
from voicecore.agents.model import Agent
from voicecore.answering import AnsweringAgent
from voicecore.call_record import CallRecord
from voicecore.prepare import prepare
from voicecore.providers.turn_end import TurnEndOpinion
from voicecore.replay.files import ReplayFiles
from voicecore.replay.outcome import Outcome
from voicecore.replay.run import Replayed
from voicecore.session import Session

Behave = Callable[[SimCall], Awaitable[None]]


class _RecordingHouse(House):
    """A house whose one call leaves its files in a directory."""

    def __init__(self, agent: Any, out: Path) -> None:
        super().__init__(agent)
        self._out = out
        self.files: ReplayFiles | None = None

    def _answer(self, leg: Any) -> Session:
        self.files = ReplayFiles(self._out, MULAW_8K, MULAW_8K)
        record = CallRecord(
            self.files,  # type: ignore[arg-type]
            lambda type_, data: self.events.append((type_, data)),
        )
        session = Session(leg, self.agent, record, self.tools)  # type: ignore[arg-type]
        self.sessions.append(session)
        return session


def agent_of(**fields: Any) -> Agent:
    return parse_agent(yaml.safe_dump({**AGENT, **fields}), "agent.yaml")


class ModelOfPauses:
    """Implements ``EndOfTurnModel``: one opinion after the other, each so many ms later; None
    for none."""

    name = "scripted"

    def __init__(self, *opinions: tuple[float, int] | None) -> None:
        self.opinions = opinions
        self.asked = 0

    async def start(self) -> None:
        """Nothing to load."""

    async def stop(self) -> None:
        """Nothing to release."""

    def judge(
        self, audio: bytes, line: AudioFormat, answer: Callable[[TurnEndOpinion], None]
    ) -> Any:
        opinion = self.opinions[self.asked % len(self.opinions)]
        self.asked += 1
        loop = asyncio.get_running_loop()
        if opinion is None:
            return loop.call_soon(lambda: None)
        probability, after_ms = opinion
        said = TurnEndOpinion(probability, after_ms)
        return loop.call_later(after_ms / 1000, answer, said)


async def _until_idle(agent: AnsweringAgent) -> None:
    for _ in range(600):
        if agent.spoken.idle:
            return
        await asyncio.sleep(1)
    raise AssertionError("something is spoken for ever")


def record_call(
    out: Path,
    behave: Behave,
    *,
    turn_end: ModelOfPauses | None = None,
    tool_s: float = 0.7,
    **fields: Any,
) -> Path:
    """A call in which the caller does what ``behave`` says, and then hangs up. Before it, all is
    spoken that the agent speaks beforehand."""

    async def main() -> None:
        agent = prepare(agent_of(**fields), {})
        agent.turn_end = turn_end
        await agent.start(MULAW_8K, lambda step: None)
        await _until_idle(agent)
        house = _RecordingHouse(agent, out)
        house.tools.delay_s = tool_s
        call = house.ring()
        await behave(call)
        if not call.over:
            call.hangs_up()
        await call.until_over()
        await agent.stop()

    run_virtual(main)
    return out


def story(outcome: Outcome) -> Any:
    """What happened, without its latencies."""
    bare = [msgspec.structs.replace(turn, latency_ms=None) for turn in outcome.turns]
    return bare, outcome.remarks, outcome.verdicts, outcome.ignored, outcome.ended


def lines(replayed: Replayed) -> list[tuple[str, Any]]:
    return [(event.type, event.data) for event in replayed.events]

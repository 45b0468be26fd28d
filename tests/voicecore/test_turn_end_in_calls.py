"""Whole calls with a model that hears ends of turns."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from media.audio.format import MULAW_8K, AudioFormat
from tests.support.answering import SCRIPTED
from tests.support.onnx_file import write_model
from tests.support.sim_call import AGENT, House, SimCall, house
from tests.support.virtual_loop import run_virtual
from voicecore.agents.load import AgentFileError, load_agent, parse_agent
from voicecore.local.turn_end import TurnEndModel
from voicecore.prepare import prepare
from voicecore.providers.errors import VendorError
from voicecore.providers.turn_end import TurnEndOpinion


class Asked:
    def __init__(self, audio: bytes, at_s: float) -> None:
        self.audio = audio
        self.at_s = at_s
        self.cancelled = 0

    def cancel(self) -> None:
        self.cancelled += 1


class Scripted:
    """A model that is of one opinion, ``after_ms``; None: of none."""

    name = "scripted"

    def __init__(self, probability: float | None, after_ms: int = 60) -> None:
        self.probability = probability
        self.after_ms = after_ms
        self.asked: list[Asked] = []
        self.started = self.stopped = 0

    async def start(self) -> None:
        self.started += 1

    async def stop(self) -> None:
        self.stopped += 1

    def judge(
        self, audio: bytes, line: AudioFormat, answer: Callable[[TurnEndOpinion], None]
    ) -> Asked:
        assert line == MULAW_8K
        loop = asyncio.get_running_loop()
        asked = Asked(audio, loop.time())
        self.asked.append(asked)
        if self.probability is not None:
            opinion = TurnEndOpinion(self.probability, self.after_ms)
            loop.call_later(self.after_ms / 1000, answer, opinion)
        return asked


async def answered_after_ms(home: House, call: SimCall) -> int:
    """The caller asks; how long after the question's end the turn was decided."""
    await call.until_quiet()
    call.speaks(1500)
    await call.wait_ms(1500)
    await call.until_audible(after_ms=call.now_ms, within_ms=5000)
    await call.until_quiet(quiet_ms=1000)
    (turn,) = home.of("caller_turn")
    (latency,) = [one for one in home.of("turn_latency") if one["reply"] == 2]
    assert turn["text"] == "What are your hours?"
    decided_ms: int = latency["turn_decided"]
    return decided_ms


def decided(model: Scripted | None) -> tuple[int, House]:
    """A call with this model: when its turn was decided."""
    found: list[Any] = []

    async def main() -> None:
        async with house() as home:
            home.agent.turn_end = model
            call = home.ring()
            found.append(await answered_after_ms(home, call))
            found.append(home)
            call.hangs_up()
            await call.until_over()

    run_virtual(main)
    return found[0], found[1]


def test_it_is_asked_at_the_pause_with_the_turn_so_far() -> None:
    model = Scripted(0.95)
    decided_ms, home = decided(model)
    (asked,) = model.asked
    (opinion,) = home.of("turn_end_judged")
    (stopped,) = home.of("speech_stopped")
    assert opinion == {"at_ms": stopped["at_ms"], "probability": 0.95, "took_ms": 60}
    (greeting,) = [one for one in home.of("agent_turn") if one["kind"] == "greeting"]
    said_ms = MULAW_8K.duration_ms(len(asked.audio)) - greeting["played_ms"]
    assert 1500 <= said_ms <= 1500 + 200 + 300
    assert 390 <= decided_ms <= 420


def test_who_sounds_unfinished_is_waited_for() -> None:
    assert 1470 <= decided(Scripted(0.1))[0] <= 1500
    assert 1940 <= decided(Scripted(0.01))[0] <= 1970


@pytest.mark.parametrize("model", [None, Scripted(None), Scripted(0.1, after_ms=3000)])
def test_no_turn_waits_for_an_answer(model: Scripted | None) -> None:
    decided_ms, home = decided(model)
    assert 390 <= decided_ms <= 420, "as by the text alone"
    assert not home.of("turn_end_judged")
    assert home.ended == ["caller_hangup"]


def test_a_question_is_dropped_when_the_caller_goes_on_or_hangs_up() -> None:
    async def main() -> None:
        async with house() as home:
            model = home.agent.turn_end = Scripted(None)
            call = home.ring()
            await call.until_quiet()
            call.speaks(800)
            await call.wait_ms(1080)
            (first,) = model.asked
            assert not first.cancelled
            call.speaks(800)
            await call.wait_ms(1080)
            assert first.cancelled
            (_, second) = model.asked
            assert len(second.audio) > len(first.audio) + 160 * 40, "the turn as a whole"
            assert not second.cancelled
            call.hangs_up()
            await call.until_over()
            assert second.cancelled

    run_virtual(main)


async def test_it_starts_and_stops_with_its_agent() -> None:
    agent = prepare(parse_agent(yaml.safe_dump(AGENT), "agent.yaml"), {})
    assert agent.turn_end is None, "none is needed"
    model = agent.turn_end = Scripted(None)
    await agent.start(MULAW_8K, lambda step: None)
    await agent.stop()
    assert (model.started, model.stopped) == (1, 1)


def agent_text(**endpointing: Any) -> str:
    return yaml.safe_dump({**SCRIPTED, "turn_taking": {"endpointing": endpointing}})


def test_an_agent_file_names_it(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx")
    text = agent_text(model=path, model_finished_from=0.8, model_unfinished_below=0.4)
    agent = prepare(parse_agent(text, "agent.yaml", secrets={}), {})
    assert isinstance(agent.turn_end, TurnEndModel)
    policy = agent.conduct.turns.endpointing
    assert (policy.finished_from, policy.unfinished_below) == (0.8, 0.4)


def test_it_is_not_loaded_where_the_vendor_ends_turns(tmp_path: Path) -> None:
    fields = yaml.safe_load(agent_text(model=write_model(tmp_path / "m.onnx")))
    fields["stt"] = {"vendor": "deepgram", "model": "flux-general-en"}
    text = yaml.safe_dump(fields)
    assert prepare(parse_agent(text, "agent.yaml"), {"DEEPGRAM_API_KEY": "x"}).turn_end is None


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"model": "no/such.onnx"}, "turn_taking.endpointing.model: there is no file no/such.onnx"),
        ({"model": "m.onnx", "adapts": False}, "model: has no effect with `adapts: false`"),
        ({"model_finished_from": 1.5}, "model_finished_from: "),
        (
            {"model_finished_from": 0.4},
            "model_unfinished_below: must not be above model_finished_from (0.4), but is 0.5",
        ),
        ({"model_timeout_ms": 0}, "model_timeout_ms: "),
    ],
    ids=str,
)
def test_what_is_wrong_in_an_agent_file(
    tmp_path: Path, fields: dict[str, Any], problem: str
) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text(agent_text(**fields))
    with pytest.raises(AgentFileError) as caught:
        load_agent(path, secrets={})
    assert problem in str(caught.value)


def test_onnxruntime_is_needed_only_for_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    parse_agent(agent_text(), "agent.yaml", secrets={})
    with pytest.raises(AgentFileError, match=r"model: needs the package onnxruntime"):
        parse_agent(agent_text(model=write_model(tmp_path / "m.onnx")), "agent.yaml", secrets={})


async def test_a_file_that_cannot_be_used_keeps_the_agent_from_starting(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx", bands=64)
    agent = prepare(parse_agent(agent_text(model=path), "agent.yaml", secrets={}), {})
    with pytest.raises(VendorError, match=r"m\.onnx cannot be used: it takes .*expected: float32"):
        await agent.start(MULAW_8K, lambda step: None)
    await agent.stop()

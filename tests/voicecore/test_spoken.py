"""What an agent speaks beforehand, and what it learns to."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import structlog
import yaml

from media.audio.format import L16_16K, MULAW_8K
from tests.support.sim_call import AGENT, REPLY, SimCall, faulty, house
from tests.support.virtual_loop import run_virtual
from voicecore.agents.load import parse_agent
from voicecore.prepare import fixed_phrases, prepare
from voicecore.providers.errors import VendorError
from voicecore.speech_cache import SpeechCache
from voicecore.spoken import AFTER_FAILURE_S, FREQUENT, PAUSE_S, FixedPhrases, SpokenSentences

SENTENCE = "One moment, please."


class Voice:
    """A scripted voice that notes what is asked of it, and how many sessions there are."""

    def __init__(self, **settings: Any) -> None:
        self.inner = faulty("tts", **settings)
        self.name = "scripted"
        self.asked: list[str] = []
        self.open_sessions = 0
        self.most_sessions = 0

    def open(self, wanted: Any, *, spawn: Any) -> Any:
        session = self.inner.open(wanted, spawn=spawn)
        self.open_sessions += 1
        self.most_sessions = max(self.most_sessions, self.open_sessions)
        begin, close = session.reply, session.close

        def reply(sink: Any) -> Any:
            made = begin(sink)
            say = made.say

            def heard(text: str) -> None:
                self.asked.append(text)
                say(text)

            made.say = heard
            return made

        def closed() -> None:
            self.open_sessions -= 1
            close()

        session.reply, session.close = reply, closed
        return session


class Stage:
    def __init__(self, *fixed: str, optional: tuple[str, ...] = (), **settings: Any) -> None:
        self.cache = SpeechCache()
        self.voice: Any = Voice(**settings)
        self.spoken = SpokenSentences("joe", self.cache, FixedPhrases(fixed, optional))

    def says(self, text: str, line: Any = MULAW_8K) -> bool:
        """Whether a sentence that a call says comes from the cache."""
        found = self.spoken.sentence(self.voice, text, line, at_least_hz=line.rate_hz)
        assert found is None or found.format == line
        return found is not None

    async def settled(self) -> None:
        for _ in range(200):
            if self.spoken.idle:
                return
            await asyncio.sleep(1)
        raise AssertionError("it never ends")


def on_stage(play: Callable[[Stage], Awaitable[None]], *fixed: str, **settings: Any) -> list[Any]:
    """Play on virtual time; what was logged."""

    async def main() -> None:
        stage = Stage(*fixed, **settings)
        await stage.spoken.speak_required(stage.voice, MULAW_8K)
        stage.spoken.begin_background(stage.voice, MULAW_8K)
        await play(stage)
        await stage.settled()
        assert stage.voice.open_sessions == 0

    with structlog.testing.capture_logs() as logs:
        run_virtual(main)
    return list(logs)


def test_what_is_said_often_is_spoken_once() -> None:
    async def play(stage: Stage) -> None:
        for _ in range(FREQUENT - 1):
            assert not stage.says(SENTENCE)
        await stage.settled()
        assert stage.voice.asked == []
        assert not stage.says(SENTENCE)
        assert not stage.says(SENTENCE), "it is not there yet"
        await stage.settled()
        assert stage.voice.asked == [SENTENCE]
        assert stage.says(SENTENCE)
        assert not stage.says("Another sentence.")

    assert on_stage(play) == []


def test_a_wide_line_has_it_spoken_anew_and_the_narrow_one_goes_on_with_that() -> None:
    async def play(stage: Stage) -> None:
        for line in (MULAW_8K, L16_16K):
            for _ in range(FREQUENT):
                assert not stage.says(SENTENCE, line)
            await stage.settled()
        assert stage.says(SENTENCE, L16_16K)
        assert stage.says(SENTENCE, MULAW_8K)
        assert stage.voice.asked == [SENTENCE] * 2

    on_stage(play)


def test_one_at_a_time() -> None:
    async def play(stage: Stage) -> None:
        for number in range(5):
            for _ in range(FREQUENT):
                stage.says(f"Sentence {number}.")
        await stage.settled()
        assert len(stage.voice.asked) == len(stage.cache) == 5
        assert stage.voice.most_sessions == 1

    on_stage(play)


def test_optional_phrases_come_after_the_start() -> None:
    async def play(stage: Stage) -> None:
        assert stage.voice.asked == ["Hello."], "the start waits for no more"
        assert stage.spoken.phrase("Hello.", MULAW_8K) is not None
        await stage.settled()
        assert stage.voice.asked == ["Hello.", SENTENCE]
        assert stage.says(SENTENCE)

    on_stage(play, "Hello.", optional=(SENTENCE,))


@pytest.mark.parametrize(
    "faults",
    [
        {"never_answers": True},
        {"fail_at": "open"},
        {"fail_at": "first_output"},
        {"fail_at": "mid", "mid_after": 1},
        {"fail_at": "mid_word", "mid_after": 1},
        {"stall_after": 1},
        {"garbage": "empty"},
        {"garbage": "huge"},
        {"garbage": "odd"},
    ],
    ids=str,
)
def test_a_failure_is_never_cached_and_told_once(faults: dict[str, Any]) -> None:
    async def play(stage: Stage) -> None:
        for _ in range(3):
            for _ in range(FREQUENT):
                assert not stage.says(SENTENCE)
            await stage.settled()
            assert (len(stage.cache), stage.cache.size_bytes) == (0, 0)
        assert stage.voice.asked == [SENTENCE], "it is left alone for a while"
        await asyncio.sleep(AFTER_FAILURE_S)
        stage.voice.inner = faulty("tts")
        for _ in range(FREQUENT):
            assert not stage.says(SENTENCE)
        await stage.settled()
        assert stage.says(SENTENCE)

    logs = on_stage(play, faults=faults)
    (line,) = logs
    assert line["log_level"] == "warning"
    assert SENTENCE not in str(line), "what is said is not logged"


def test_a_session_that_breaks_down_is_a_failure() -> None:
    class Broken(Voice):
        def open(self, wanted: Any, *, spawn: Any) -> Any:
            async def work() -> None:
                raise RuntimeError("a bug")

            spawn(work())
            return super().open(wanted, spawn=spawn)

    async def play(stage: Stage) -> None:
        stage.voice = Broken(faults={"never_answers": True})
        for _ in range(FREQUENT):
            stage.says(SENTENCE)
        await stage.settled()
        assert len(stage.cache) == 0

    (line,) = on_stage(play)
    assert (line["log_level"], line["code"]) == ("warning", "garbage")


def test_stopping_ends_it_and_nothing_half_spoken_is_kept() -> None:
    async def play(stage: Stage) -> None:
        for _ in range(FREQUENT):
            stage.says(SENTENCE)
        await asyncio.sleep(PAUSE_S + 0.3)
        assert stage.voice.asked == [SENTENCE]
        await stage.spoken.stop()
        await stage.spoken.stop()
        assert stage.voice.open_sessions == 0
        assert len(stage.cache) == 0
        for _ in range(FREQUENT):
            stage.says(SENTENCE)
        assert stage.spoken.idle

    assert on_stage(play, chunk_interval_ms=500) == []


def test_a_required_phrase_that_cannot_be_spoken_fails_the_start() -> None:
    async def main() -> None:
        stage = Stage("Hello to you.", faults={"fail_at": "mid", "mid_after": 1})
        with pytest.raises(VendorError):
            await stage.spoken.speak_required(stage.voice, MULAW_8K)
        assert len(stage.cache) == 0
        assert stage.spoken.phrase("Hello to you.", MULAW_8K) is None

    run_virtual(main)


def test_agents_of_one_voice_share_and_others_never_mix() -> None:
    async def main() -> None:
        cache = SpeechCache()
        fixed = FixedPhrases(("Hello.",))
        asked = []
        for voice in ("joe", "joe", "ann"):
            vendor: Any = Voice()
            spoken = SpokenSentences(voice, cache, fixed)
            await spoken.speak_required(vendor, MULAW_8K)
            assert spoken.phrase("Hello.", MULAW_8K) is not None
            asked.append(len(vendor.asked))
        assert asked == [1, 0, 1]
        assert len(cache) == 2

    run_virtual(main)


def test_what_is_required_is_never_displaced() -> None:
    async def main() -> None:
        long = "word " * 100
        stage = Stage("Goodbye.", long)
        stage.spoken = SpokenSentences("joe", SpeechCache(0), FixedPhrases(("Goodbye.", long)))
        await stage.spoken.speak_required(stage.voice, MULAW_8K)
        for text in ("Goodbye.", long):
            assert stage.spoken.phrase(text, MULAW_8K) is not None
        assert not stage.says("Goodbye.")

    run_virtual(main)


def test_fixed_phrases_are_those_of_the_file() -> None:
    tools = [
        {
            "type": "http",
            "name": "lookup",
            "description": "Looks it up.",
            "method": "GET",
            "url": "https://example.com/",
            "say_while": ["I am looking.", "Goodbye."],
        },
        {"type": "transfer_call", "allow_numbers": True, "say": "I am connecting you."},
    ]
    agent = parse_agent(yaml.safe_dump({**AGENT, "tools": tools}), "agent.yaml")
    fixed = fixed_phrases(agent)
    assert fixed.optional == ("I am looking.", "I am connecting you.")
    assert fixed.required[:2] == (agent.phrases.fallback, "Hello there.")
    assert len(set(fixed.required)) == len(fixed.required) == 7
    assert fixed_phrases(parse_agent(yaml.safe_dump(AGENT), "agent.yaml")).optional == ()


def test_the_voice_that_is_configured_is_the_key() -> None:
    cache = SpeechCache()
    agents = []

    async def main() -> None:
        for word_ms in (100, 100, 200):
            tts = {"vendor": "scripted", "settings": {"word_ms": word_ms}}
            text = yaml.safe_dump({**AGENT, "tts": tts})
            agent = prepare(parse_agent(text, "agent.yaml"), {}, cache)
            await agent.start(MULAW_8K, lambda step: None)
            await agent.stop()
            agents.append(agent)

    run_virtual(main)
    spoken = [agent.phrase("Hello there.", MULAW_8K) for agent in agents]
    assert [len(each.audio) // 8 for each in spoken if each is not None] == [200, 200, 400]
    assert spoken[0] is spoken[1]


# Whole calls


async def a_turn(call: SimCall) -> int:
    """How long the caller waits for the answer."""
    await call.until_audible(after_ms=0, within_ms=2000)
    await call.until_quiet()
    call.speaks(1000)
    await call.wait_ms(1000)
    asked_ms = call.now_ms
    waited_ms = await call.until_audible(after_ms=asked_ms, within_ms=5000) - asked_ms
    await call.until_quiet()
    call.hangs_up()
    await call.until_over()
    return waited_ms


def test_an_answer_that_is_given_again_and_again_comes_sooner_and_costs_nothing() -> None:
    async def main() -> None:
        tts = {"vendor": "scripted", "settings": {"first_audio_ms": 1000}}
        async with house(tts=tts) as home:
            waits = []
            for _ in range(FREQUENT + 1):
                waits.append(await a_turn(home.ring()))
                await asyncio.sleep(10)
            assert waits[-1] < min(waits[:-1]) - 800
            used = [data for data in home.of("tts_usage") if data["reply"] == 2]
            first = [(data["characters"], data["cached_characters"]) for data in used]
            assert first == [(len(REPLY), 0)] * FREQUENT + [(0, len(REPLY))]
            greeted = [data for data in home.of("tts_usage") if data["reply"] == 1]
            assert {data["cached_characters"] for data in greeted} == {len("Hello there.")}
            turns = [turn for turn in home.of("agent_turn") if turn["reply"] == 2]
            assert [turn["heard_text"] for turn in turns] == [REPLY] * len(turns)
            assert turns[-1]["words"] == turns[0]["words"]

    run_virtual(main)


def test_a_vendor_that_fails_after_cached_words_is_asked_once_more() -> None:
    async def main() -> None:
        llm = {"vendor": "scripted", "settings": {"replies": [f"{SENTENCE} {REPLY}"]}}
        async with house(llm=llm) as home:
            for _ in range(FREQUENT):
                home.agent.sentence(SENTENCE, MULAW_8K, 8000)
            await asyncio.sleep(10)
            faults = {"fail_at": "first_output", "first": 1}
            home.agent.tts = faulty("tts", faults=faults)
            await a_turn(home.ring())
            (failed,) = home.of("vendor_failed")
            assert (failed["kind"], failed["code"]) == ("tts", "vendor_error")
            (ended,) = home.of("call_ended")
            assert ended["reason"] == "caller_hangup"
            answer = home.of("agent_turn")[-1]
            assert answer["heard_text"] == f"{SENTENCE} {REPLY}"
            used = [data for data in home.of("tts_usage") if data["reply"] == answer["reply"]]
            assert sum(data["cached_characters"] for data in used) == len(SENTENCE)
            assert sum(data["characters"] for data in used) == 2 * len(REPLY), "billed twice"

    run_virtual(main)

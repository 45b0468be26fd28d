"""Whatever happens, in whatever order: what must always be true of the turn machine."""

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.legal_messages import assert_legal
from tests.support.machine_driver import Driver
from voicecore.providers.errors import VendorError
from voicecore.providers.llm import LlmDone, LlmText, LlmToolCall, ToolCall
from voicecore.providers.stt import SttEager, SttFailed, SttFinal, SttInterim, SttResumed
from voicecore.providers.words import Word, spread_words
from voicecore.tools.requests import ToolResult
from voicecore.turns import inputs
from voicecore.turns import outputs as out
from voicecore.turns.machine import Phase
from voicecore.turns.overlap import OverlapPolicy
from voicecore.turns.overlap_pause import HOLD_MS
from voicecore.turns.settings import TurnSettings

OF_A_LIVE_REPLY = (
    out.StartLlm,
    out.StopLlm,
    out.Say,
    out.SayPhrase,
    out.FinishSaying,
    out.RestartVoice,
    out.CancelReply,
    out.PlayTones,
    out.PauseReply,
    out.ResumeReply,
)
TEN_MINUTES_MS = 600_000


class Checked(Driver):
    """A driver that checks the invariants after every step."""

    def __init__(self, turn_settings: TurnSettings) -> None:
        self.begun: set[int] = set()
        self.over: Counter[int] = Counter()
        self.ends = 0
        self.speaking = False
        self.paused: int | None = None
        super().__init__(turn_settings)

    def send(self, event: inputs.Input) -> list[out.Output]:
        was_ended = self.ended
        new = super().send(event)
        if was_ended:
            assert not new, "the dead speak"
        elif isinstance(event, inputs.SpeechStarted | inputs.SpeechStopped):
            self.speaking = isinstance(event, inputs.SpeechStarted)
        self._check(new)
        return new

    def pass_ms(self, duration_ms: int) -> list[out.Output]:
        seen: list[out.Output] = []
        until_ms = self.now_ms + duration_ms
        for _ in range(5000):
            due_ms = self.machine.next_deadline()
            if due_ms is None or due_ms > until_ms:
                break
            self.now_ms = max(self.now_ms, due_ms)
            new = self.machine.on_deadline(self.now_ms)
            self.outputs += new
            seen += new
            following_ms = self.machine.next_deadline()
            assert following_ms is None or following_ms > self.now_ms, "it would spin"
            self._check(new)
        else:
            raise AssertionError("the machine never comes to rest")
        self.now_ms = until_ms
        return seen

    def _check(self, new: list[out.Output]) -> None:
        for output in new:
            if isinstance(output, out.Emit):
                self._check_event(output.type, output.data)
            elif isinstance(output, OF_A_LIVE_REPLY):
                assert not self.over[output.reply], f"{output} of a reply that is over"
                self.begun.add(output.reply)
            self._check_pause(output)
            if isinstance(output, out.StartLlm):
                assert_legal(output.request.messages)
                assert output.request.messages[-1].role in ("user", "tool")
            if isinstance(output, out.Say | out.SayPhrase):
                assert output.text.strip()
        assert_legal(self.history.messages())
        live = self.machine.live_reply
        still = {number for number in self.begun if not self.over[number]}
        assert still == (set() if live is None else {live}), "one live reply, and no other"
        if self.paused is not None:
            assert self.paused == live
            due_ms = self.machine.next_deadline()
            assert due_ms is not None, "a pause ends by itself"
            assert due_ms <= self.now_ms + HOLD_MS
        if self.ended:
            assert live is None
            assert self.machine.next_deadline() is None
        assert self.ends == self.ended, "the end is told once"

    def _check_pause(self, output: out.Output) -> None:
        match output:
            case out.PauseReply(reply=reply):
                assert self.paused is None, "a pause within a pause"
                self.paused = reply
            case out.ResumeReply(reply=reply):
                assert self.paused == reply, "what does not pause cannot go on"
                self.paused = None
            case out.CancelReply(reply=reply) if self.paused == reply:
                self.paused = None

    def _check_event(self, type_: str, data: Any) -> None:
        if type_ == "agent_turn":
            self.over[data["reply"]] += 1
            assert self.over[data["reply"]] == 1, "a reply ends once"
            if self.paused == data["reply"]:
                self.paused = None  # it had been heard to its end when the pause came
        elif type_ == "caller_turn":
            assert data["text"]
        elif type_ == "call_ended":
            self.ends += 1


TIMES = st.integers(1, 4000)
TEXTS = st.sampled_from(["", " ", "Yes. ", "Well, let me see what I can do. ", "**", "Two words"])
ERRORS = st.sampled_from(
    [
        VendorError("x", "disconnected", "", retryable=True),
        VendorError("x", "auth_failed", "", retryable=False),
    ]
)
STALE = st.integers(0, 3)
"""How far a reply number lies behind the live one; 3 lies ahead."""
CALLS = st.builds(
    ToolCall,
    st.sampled_from(["c1", "c2", "", "c9"]),
    st.sampled_from(["lookup", "end_call", "collect_digits", "send_dtmf", "transfer_call", "no"]),
    st.sampled_from(["{}", '{"digits": "12"}', '{"target": "sales"}', "{", '{"count": 2}']),
)


def step(name: str, *values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.tuples(st.just(name), *values)


STEP = st.one_of(
    step("wait", TIMES),
    step("wait", st.integers(1, 100)),
    step("speech_started", st.integers(0, 200)),
    step("speech_sustained", st.sampled_from([160, 300, 600]), st.sampled_from([0.0, 20.0])),
    step("speech_stopped", st.integers(0, 300)),
    step("turn_end_judged", st.booleans(), st.floats(0, 1)),
    step("caller_says", TEXTS),
    step("stt_interim", TEXTS),
    step("stt_eager", TEXTS),
    step("stt_resumed"),
    step("stt_final", TEXTS, st.booleans(), st.booleans()),
    step("stt_failed", ERRORS),
    step("llm_text", STALE, TEXTS),
    step("llm_call", STALE, CALLS),
    step("llm_done", STALE),
    step("llm_failed", STALE, ERRORS),
    step("answer", TEXTS, st.booleans()),
    step("phrase_is_spoken"),
    step("tool_round", CALLS, st.booleans()),
    step("audio", STALE, st.integers(0, 3000)),
    step("words", STALE, TEXTS, st.integers(-500, 3000)),
    step("voice_done", STALE),
    step("voice_failed", STALE, ERRORS),
    step("started", STALE),
    step("played", STALE, st.integers(0, 5000)),
    step("digit", st.sampled_from("0123456789*#")),
    step("tool", st.sampled_from(["c1", "c2", "call_1", "call_2", "c9"]), TEXTS),
    step("end_requested"),
    step("closed"),
)


def play_step(driver: Checked, name: str, *values: Any) -> None:  # noqa: C901 - a table
    live = driver.machine.live_reply or max(driver.begun, default=0)
    number, rest = live, values
    if values and isinstance(values[0], int) and name not in ("wait", "speech_sustained"):
        number = live + 1 if values[0] == 3 else live - values[0]
        rest = values[1:]
    match name:
        case "wait":
            driver.pass_ms(values[0])
        case "speech_started":
            driver.send(inputs.SpeechStarted(max(driver.now_ms - values[0], 0)))
        case "speech_sustained":
            driver.send(inputs.SpeechSustained(*values))
        case "speech_stopped":
            driver.send(inputs.SpeechStopped(max(driver.now_ms - values[0], 0)))
        case "turn_end_judged":
            stopped_ms = driver.machine._listener.stopped_ms
            driver.send(inputs.TurnEndJudged(stopped_ms - values[0], values[1]))
        case "caller_says":
            driver.send(inputs.SpeechStarted(driver.now_ms))
            driver.pass_ms(400)
            driver.send(inputs.SpeechSustained(300))
            driver.pass_ms(400)
            driver.send(inputs.SpeechStopped(driver.now_ms - 200))
            driver.send(inputs.Heard(SttFinal(values[0], flushed=True)))
            driver.pass_ms(400)
        case "stt_interim":
            driver.send(inputs.Heard(SttInterim(values[0])))
        case "stt_eager":
            driver.send(inputs.Heard(SttEager(values[0])))
        case "stt_resumed":
            driver.send(inputs.Heard(SttResumed()))
        case "stt_final":
            final = SttFinal(values[0], end_of_turn=values[1], flushed=values[2])
            driver.send(inputs.Heard(final))
        case "stt_failed":
            driver.send(inputs.Heard(SttFailed(values[0])))
        case "llm_text":
            driver.send(inputs.Thought(number, LlmText(rest[0])))
        case "llm_call":
            driver.send(inputs.Thought(number, LlmToolCall(rest[0])))
        case "llm_done":
            driver.send(inputs.Thought(number, LlmDone()))
        case "llm_failed":
            driver.send(inputs.ThoughtFailed(number, rest[0]))
        case "answer":
            driver.send(inputs.Thought(live, LlmText(values[0])))
            driver.send(inputs.Thought(live, LlmDone()))
            driver.send(inputs.AudioCame(live, 800))
            driver.send(inputs.ReplyStarted(live, driver.now_ms))
            if values[1]:
                driver.send(inputs.SpeechDone(live))
        case "phrase_is_spoken":
            driver.send(inputs.AudioCame(live, 800))
            driver.send(inputs.SpeechDone(live))
        case "tool_round":
            driver.send(inputs.Thought(live, LlmToolCall(values[0])))
            driver.send(inputs.Thought(live, LlmDone()))
            if values[1]:
                driver.send(inputs.ReplyPlayed(live, 500))
            for run in driver.of(out.RunHttpTool):
                driver.send(inputs.ToolAnswered(ToolResult(run.call_id, "lookup", "yes")))
        case "audio":
            driver.send(inputs.AudioCame(number, rest[0]))
        case "words":
            words = (*spread_words(rest[0], 0, 400), Word("odd", rest[1], -rest[1]))
            driver.send(inputs.WordsCame(number, words))
        case "voice_done":
            driver.send(inputs.SpeechDone(number))
        case "voice_failed":
            driver.send(inputs.SpeechFailed(number, rest[0]))
        case "started":
            driver.send(inputs.ReplyStarted(number, driver.now_ms))
        case "played":
            driver.send(inputs.ReplyPlayed(number, rest[0]))
        case "digit":
            driver.send(inputs.DigitPressed(values[0]))
        case "tool":
            driver.send(inputs.ToolAnswered(ToolResult(values[0], "lookup", values[1])))
        case "end_requested":
            driver.send(inputs.EndRequested("drain"))
        case "closed":
            driver.send(inputs.StreamClosed("caller_hangup"))


SETTINGS = st.builds(
    TurnSettings,
    greeting=st.sampled_from(["", "Hello there."]),
    vendor_ends_turns=st.booleans(),
    overlap=st.builds(
        OverlapPolicy,
        enabled=st.booleans(),
        overlap_ms=st.sampled_from([0, 360, 1000]),
        min_words=st.sampled_from([0, 2]),
        protected=st.sampled_from([(), (("let", "me", "see"),)]),
        keys_interrupt=st.booleans(),
    ),
    max_asks=st.sampled_from([0, 2]),
    max_duration_ms=st.sampled_from([5000, 1_800_000]),
    digits_enabled=st.booleans(),
)


@settings(max_examples=200, deadline=None)
@given(SETTINGS, st.lists(STEP, max_size=40), st.booleans())
def test_anything_may_happen(turn_settings: TurnSettings, steps: list[Any], hang_up: bool) -> None:
    driver = Checked(turn_settings)
    for name, *values in steps:
        play_step(driver, name, *values)
    if hang_up:
        driver.send(inputs.StreamClosed("caller_hangup"))
        assert driver.ended
    # From here on nobody answers: no vendor, no carrier, no caller.
    driver.pass_ms(TEN_MINUTES_MS)
    assert driver.machine.live_reply is None, "a reply that never ends"
    if not driver.speaking:
        assert driver.ended, "silence on both sides ends the call"
    driver.send(inputs.StreamClosed("caller_hangup"))
    assert driver.ended
    assert all(driver.over[number] == 1 for number in driver.begun)


@settings(max_examples=100, deadline=None)
@given(SETTINGS, st.lists(STEP, max_size=25))
def test_whoever_is_left_can_still_be_answered(
    turn_settings: TurnSettings, steps: list[Any]
) -> None:
    """After any mess, a caller who speaks and vendors that work make a turn."""
    driver = Checked(turn_settings)
    for name, *values in steps:
        play_step(driver, name, *values)
    driver.send(inputs.SpeechStopped(driver.now_ms))
    for _ in range(4):
        if driver.machine.live_reply is None or driver.machine.phase is not Phase.TALKING:
            break
        driver.pass_ms(30_000)
    if driver.machine.phase is not Phase.TALKING or driver.machine.live_reply is not None:
        return
    asked = len(driver.of(out.StartLlm))
    driver.caller_says("Are you still listening to me?")
    driver.pass_ms(2500)
    assert len(driver.of(out.StartLlm)) > asked or driver.machine.phase is not Phase.TALKING


def test_a_day_of_interruptions_leaves_bounded_requests() -> None:
    driver = Checked(TurnSettings(max_duration_ms=86_400_000))
    for _ in range(250):
        reply = driver.caller_turn("Count.")
        driver.model_says(reply, "One two three.")
        driver.voice_speaks(reply)
        driver.heard_ms[reply] = 150
        driver.caller_speaks(300)
        driver.caller_stops()
        driver.final("")
        driver.pass_ms(500)
    assert len(driver.last(out.StartLlm).request.messages) <= 201

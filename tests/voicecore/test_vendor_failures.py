"""Vendors that misbehave: what the caller hears, how the call ends, and what the log says."""

from collections import deque
from collections.abc import Mapping
from typing import Any

import pytest
import structlog

from tests.support.machine_driver import Driver
from tests.support.sim_call import REPLY, House, faulty, first_turn, house
from tests.support.virtual_loop import run_virtual
from voicecore.providers.errors import VendorError
from voicecore.providers.llm import LlmText, LlmToolCall, ToolCall
from voicecore.turns import inputs
from voicecore.turns.thinking import LONGEST_ANSWER_CHARS, MAX_CALLS_IN_ANSWER
from voicecore.vendor_log import DETAIL_LIMIT, without_quotations

FAULTS: dict[str, dict[str, Any]] = {
    "never answers": {"never_answers": True},
    "fails at once": {"fail_at": "open"},
    "key is wrong": {"fail_at": "open", "code": "auth_failed"},
    "fails at the first output": {"fail_at": "first_output"},
    "drops in mid-word": {"fail_at": "mid_word", "mid_after": 2, "code": "disconnected"},
    "dies after a while": {"fail_after_ms": 700},
    "stalls": {"stall_after": 2},
    "answers when the turn is over": {"delay_ms": 12_000},
    "goes on when cancelled": {"misbehave_after_cancel": True},
    "empty": {"garbage": "empty"},
    "control characters": {"garbage": "control"},
    "too much": {"garbage": "huge"},
    "odd": {"garbage": "odd"},
    "out of step": {"jitter_ms": 900},
}
SLOW: Mapping[str, dict[str, Any]] = {
    "stt": {},
    "llm": {"token_interval_ms": 100},
    "tts": {"chunk_interval_ms": 100},
}
"""So that a stream lasts long enough to fail after a while."""
WELL = ("caller_hangup", "")
EXPECTED: dict[tuple[str, str], tuple[str, str]] = {
    ("stt", "never answers"): ("silence", "first_output_timeout"),
    ("stt", "fails at once"): ("stt_failed", "vendor_error"),
    ("stt", "key is wrong"): ("stt_failed", "auth_failed"),
    ("stt", "fails at the first output"): ("stt_failed", "vendor_error"),
    ("stt", "drops in mid-word"): ("caller_hangup", "disconnected"),
    ("stt", "dies after a while"): ("stt_failed", "vendor_error"),
    ("stt", "stalls"): ("caller_hangup", "stalled"),
    ("stt", "answers when the turn is over"): ("caller_hangup", "first_output_timeout"),
    ("stt", "empty"): ("silence", ""),  # as after any noise
    ("llm", "never answers"): ("llm_failed", "first_output_timeout"),
    ("llm", "fails at once"): ("llm_failed", "vendor_error"),
    ("llm", "key is wrong"): ("llm_failed", "auth_failed"),
    ("llm", "fails at the first output"): ("llm_failed", "vendor_error"),
    ("llm", "drops in mid-word"): ("llm_failed", "disconnected"),
    ("llm", "dies after a while"): ("llm_failed", "vendor_error"),
    ("llm", "stalls"): ("llm_failed", "stalled"),
    ("llm", "answers when the turn is over"): ("llm_failed", "first_output_timeout"),
    ("llm", "empty"): ("llm_failed", "garbage"),
    ("llm", "too much"): ("caller_hangup", "garbage"),
    ("tts", "never answers"): ("tts_failed", "first_output_timeout"),
    ("tts", "fails at once"): ("tts_failed", "vendor_error"),
    ("tts", "key is wrong"): ("tts_failed", "auth_failed"),
    ("tts", "fails at the first output"): ("tts_failed", "vendor_error"),
    ("tts", "drops in mid-word"): ("tts_failed", "disconnected"),
    ("tts", "dies after a while"): ("tts_failed", "vendor_error"),
    ("tts", "stalls"): ("tts_failed", "stalled"),
    ("tts", "answers when the turn is over"): ("tts_failed", "first_output_timeout"),
    ("tts", "empty"): ("tts_failed", "garbage"),
}
"""The call's end and the code of its failures; where nothing stands here, the call goes well."""


async def talk(home: House, kind: str, fault: str) -> None:
    """Three turns, if the agent lives that long."""
    patience_ms = 9000 if (kind, fault) == ("tts", "stalls") else 400
    call = home.ring()
    for _ in range(1 if fault == "too much" else 3):
        if call.over:
            break
        asked_ms = await first_turn(call)
        if not call.over:
            await call.until_audible(after_ms=asked_ms, within_ms=20_000)
        if not call.over and fault != "too much":
            await call.until_quiet(quiet_ms=patience_ms, within_ms=120_000)
    call.hangs_up()
    await call.until_over()
    assert not call.violations, call.violations[0]


def failed_lines(logs: list[Any]) -> list[Any]:
    assert not [log for log in logs if log["log_level"] == "error"]
    return [log for log in logs if log["event"] == "vendor failed"]


@pytest.mark.parametrize("kind", ["stt", "llm", "tts"])
@pytest.mark.parametrize("fault", FAULTS)
def test_the_caller_is_never_left_in_silence(kind: str, fault: str) -> None:
    homes: list[House] = []

    async def main() -> None:
        async with house() as home:
            homes.append(home)
            setattr(home.agent, kind, faulty(kind, faults=FAULTS[fault], **SLOW[kind]))
            await talk(home, kind, fault)

    with structlog.testing.capture_logs() as logs:
        run_virtual(main)
    (home,) = homes
    reason, code = EXPECTED.get((kind, fault), WELL)
    (ended,) = home.of("call_ended")
    assert (ended["reason"], home.ended) == (reason, [reason])
    replies = [turn["reply"] for turn in home.of("agent_turn")]
    assert len(replies) == len(set(replies))
    "".join(turn["text"] for turn in home.of("agent_turn")).encode()
    lines = failed_lines(logs)
    assert {line["code"] for line in lines} == ({code} if code else set())
    assert len(lines) == len(home.of("vendor_failed")), "each is logged and recorded"
    for line, event in zip(lines, home.of("vendor_failed"), strict=True):
        assert line["log_level"] == "warning"
        assert line["carrier"] == "twilio"
        assert line["call_id"].startswith("CA")
        assert line["detail"]
        for field in ("kind", "vendor", "code", "detail"):
            assert line[field] == event[field]
        assert (line["kind"], line["vendor"]) == (kind, "scripted")


def test_a_vendor_that_hears_nothing_is_told_of_once() -> None:
    driver = Driver()
    for _ in range(3):
        driver.caller_speaks(1500)
        driver.caller_stops()
        driver.pass_ms(5000)
    (failed,) = driver.events("vendor_failed")
    assert failed["code"] == "first_output_timeout"
    assert failed["detail"] == "no text for 1500 ms of speech"


def test_one_that_falls_silent_later_is_told_of_too() -> None:
    driver = Driver()
    driver.full_reply(driver.caller_turn("Hello?"), "Yes?")
    assert not driver.events("vendor_failed")
    driver.caller_speaks(1500)
    driver.caller_stops()
    driver.pass_ms(5000)
    assert [failed["code"] for failed in driver.events("vendor_failed")] == ["stalled"]


def test_a_cough_needs_no_text() -> None:
    driver = Driver()
    driver.caller_speaks(400)
    driver.caller_stops()
    driver.pass_ms(5000)
    assert not driver.events("vendor_failed")


def test_an_answer_that_does_not_end_is_a_failure() -> None:
    driver = Driver()
    reply = driver.caller_turn("Hello?")
    driver.send(inputs.Thought(reply, LlmText("word " * (LONGEST_ANSWER_CHARS // 5 + 1))))
    (failed,) = driver.events("vendor_failed")
    assert (failed["kind"], failed["code"], failed["reply"]) == ("llm", "garbage", reply)


def test_so_is_one_with_too_many_calls() -> None:
    driver = Driver()
    reply = driver.caller_turn("Hello?")
    for number in range(MAX_CALLS_IN_ANSWER):
        call = ToolCall(f"c{number}", "lookup", "{}")
        driver.send(inputs.Thought(reply, LlmToolCall(call)))
    (failed,) = driver.events("vendor_failed")
    assert (failed["kind"], failed["code"]) == ("llm", "garbage")


def test_a_vendor_that_quotes_people_is_logged_without_their_words() -> None:
    private = "My name is Ann Smith, 555 0100."
    detail = f"invalid_text My name is Ann Smith, 555 0100. Ask 'We are open' or {{{REPLY}}}"

    class Quoting:
        name = "quoting/model"

        async def stream(self, request: Any) -> Any:
            raise VendorError("quoting", "bad_request", detail, retryable=False)
            yield

    homes: list[House] = []

    async def main() -> None:
        stt = {"vendor": "scripted", "settings": {"utterances": [private]}}
        async with house(stt=stt) as home:
            homes.append(home)
            home.agent.llm = Quoting()  # type: ignore[assignment]
            call = home.ring()
            await first_turn(call)
            await call.until_over()

    with structlog.testing.capture_logs() as logs:
        run_virtual(main)
    draft_line, line = failed_lines(logs)
    assert (line["vendor"], line["code"]) == ("quoting", "bad_request")
    assert draft_line["detail"] == line["detail"]
    assert line["detail"] == "invalid_text …. Ask …"
    for event in homes[0].of("vendor_failed"):
        assert event["detail"] == detail, "the call's own file has it"


@pytest.mark.parametrize(
    ("detail", "logged"),
    [
        ("nothing came in time", "nothing came in time"),
        ("[Errno 111] Connect call failed", "[Errno 111] Connect call failed"),
        ("Error code: 401 - {'error': 'x'}", "Error code: 401 - …"),
        ('HTTP 400: "I am Bob"', "HTTP 400: …"),
        ("it doesn't answer", "it doesn't answer"),
        ("two\nlines \x1b[2J\u202e\ud800", "two lines [2J"),
        ("no such text: Bob Miller", "no such text: …"),
        ("no such text: BOB  MILLER!", "no such text: …!"),
        ("Bob is not Miller", "Bob is not Miller"),
        ("about the blue car there", "about … there"),
        ("", ""),
    ],
)
def test_what_is_left_of_a_detail(detail: str, logged: str) -> None:
    said = deque(["Bob Miller", "It is the blue car.", "", "..."])
    assert without_quotations(detail, said) == logged


def test_a_detail_is_bounded() -> None:
    assert len(without_quotations("x " * 5000, deque())) <= DETAIL_LIMIT

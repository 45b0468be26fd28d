import json
from typing import Any, get_args

import msgspec
import numpy as np
import pytest
from rich.console import Console

from media.audio.format import MULAW_8K
from media.phone.line import Dry, Interval
from tests.support.phone_agent import mulaw_tone
from voicecore.phone.caller import Outcome, Said
from voicecore.phone.failures import ADVICE, failure_code, refusal_code
from voicecore.phone.measures import turns
from voicecore.phone.record import CallRecord
from voicecore.phone.report import Distribution, call_report, distribution, run_report
from voicecore.phone.sounds import Wire
from voicecore.phone.stereo import two_channels
from voicecore.phone.tables import failure_lines, run_table

MS = 1000


def said(kind: Any, first_ms: int, last_ms: int) -> Said:
    """Spoken between 40 ms and 60 ms of silence."""
    return Said(
        1, kind, kind, (first_ms - 40) * MS, first_ms * MS, last_ms * MS, (last_ms + 60) * MS
    )


def record(
    said: list[Said], audible: list[tuple[int, int]], *, duration_ms: int = 20_000, **facts: Any
) -> CallRecord:
    return CallRecord(
        index=0,
        outcome=facts.pop("outcome", "completed"),
        detail=facts.pop("detail", ""),
        ended_by="caller",
        duration_us=duration_ms * MS,
        said=tuple(said),
        audible=tuple(Interval(start * MS, end * MS) for start, end in audible),
        **facts,
    )


def test_latency_is_from_the_last_voiced_frame_to_the_first_audible_audio() -> None:
    turn = turns(record([said("say", 1000, 2000)], [(0, 500), (2640, 4000)]))[0]
    assert turn.reply_latency_ms == 640
    assert turn.overlap_ms == 0
    assert turn.interruption_to_silence_ms is None
    assert (turn.started_ms, turn.ended_ms) == (960, 2060)


def test_a_reply_that_begins_too_early_has_a_negative_latency() -> None:
    turn = turns(record([said("say", 1000, 2000)], [(1800, 4000)]))[0]
    assert (turn.reply_latency_ms, turn.overlap_ms) == (-200, 200)


def test_a_reply_given_up_during_the_question_is_overlap_not_the_reply() -> None:
    turn = turns(record([said("say", 1000, 3000)], [(1500, 1800), (3500, 5000)]))[0]
    assert (turn.reply_latency_ms, turn.overlap_ms) == (500, 300)


def test_an_interruption_lasts_until_the_last_audible_audio() -> None:
    call = record(
        [said("interrupt", 1000, 2000)], [(0, 900), (940, 1300), (2400, 4000)], clears=(1_280_000,)
    )
    turn = turns(call)[0]
    assert turn.agent_speaking
    assert turn.interruption_to_silence_ms == 300
    assert turn.overlap_ms == 300
    assert turn.reply_latency_ms == 400


def test_audio_that_comes_after_the_clear_prolongs_the_interruption() -> None:
    call = record([said("interrupt", 1000, 2000)], [(0, 1300), (1360, 1500)], clears=(1_300_000,))
    assert turns(call)[0].interruption_to_silence_ms == 500


def test_a_reply_soon_after_a_clear_is_a_reply() -> None:
    """A short interruption: the clear parts the old speech from the new."""
    call = record([said("interrupt", 1000, 1100)], [(0, 1150), (1300, 2000)], clears=(1_150_000,))
    assert turns(call)[0].reply_latency_ms == 200


def test_an_agent_that_talks_through_has_not_replied() -> None:
    turn = turns(record([said("interrupt", 1000, 2000)], [(0, 6000)]))[0]
    assert turn.reply_latency_ms is None
    assert turn.interruption_to_silence_ms == 5000
    assert turn.overlap_ms == 1000


def test_a_reply_belongs_to_the_question_before_it() -> None:
    call = record([said("say", 1000, 2000), said("say", 5000, 6000)], [(6500, 7000)])
    report = call_report(call)
    assert [turn.reply_latency_ms for turn in report.turns] == [None, 500]
    assert report.missing_replies == 1
    assert report.first_audio_ms == 6500


def test_a_murmur_between_question_and_reply_changes_nothing() -> None:
    call = record([said("say", 1000, 2000), said("murmur", 2100, 2200)], [(2600, 3000)])
    assert turns(call)[0].reply_latency_ms == 600
    assert turns(call)[1].agent_pause_ms is None


@pytest.mark.parametrize(
    ("audible", "pause_ms"),
    [
        ([(0, 8000)], 0),
        ([(0, 1400), (2100, 8000)], 700),
        ([(0, 1400)], None),
        ([(0, 4000), (4500, 8000)], 0),
    ],
)
def test_what_a_cough_does_to_the_agent(
    audible: list[tuple[int, int]], pause_ms: int | None
) -> None:
    turn = turns(record([said("cough", 1000, 1250)], audible))[0]
    assert turn.agent_speaking
    assert turn.agent_pause_ms == pause_ms
    assert turn.reply_latency_ms is None


def test_gaps_and_late_frames_leave_out_those_in_which_the_caller_spoke() -> None:
    late = (
        Dry(100 * MS, 105 * MS, in_speech=True),
        Dry(300 * MS, 360 * MS, in_speech=True),
        Dry(900 * MS, 1500 * MS, in_speech=True),
    )
    report = call_report(record([said("say", 1000, 1400)], [(0, 900)], late=late))
    assert [(gap.at_ms, gap.gap_ms) for gap in report.gaps] == [(300, 60)]
    assert (report.late_frames, report.late_frames_max_ms) == (2, 60.0)


def test_an_utterance_cut_short_is_still_a_turn() -> None:
    cut = Said(1, "say", "x", 900 * MS, 1000 * MS)
    turn = turns(record([cut], [(2000, 3000)], duration_ms=3000))[0]
    assert (turn.reply_latency_ms, turn.ended_ms) == (1000, None)
    assert turns(record([Said(1, "say", "x", 900 * MS)], [])) == ()


def test_percentiles_are_ranks() -> None:
    assert distribution(range(1, 101)) == Distribution(100, 50, 90, 99, 100)
    assert distribution([7]) == Distribution(1, 7, 7, 7, 7)
    assert distribution([]) == Distribution()


def run_of(*records: CallRecord) -> Any:
    return run_report(
        "ws://x", "twilio", records, duration_us=10**7, send_late_us=[100, 300], cpu_us=10**6
    )


def test_a_run_adds_its_calls_up() -> None:
    good = record([said("say", 1000, 2000)], [(2640, 4000)])
    slow = record([said("say", 1000, 2000)], [(3000, 4000)], violations={"empty_payload": 2})
    failed = CallRecord(2, "connect_failed", "nobody there", "nobody")
    report = run_of(good, slow, failed)
    assert (report.calls, report.completed, report.failed) == (3, 2, 1)
    assert report.outcomes == {"completed": 2, "connect_failed": 1}
    assert report.ended_by == {"caller": 2, "nobody": 1}
    assert report.reply_latency_ms == Distribution(2, 640, 1000, 1000, 1000)
    assert report.protocol_violations == {"empty_payload": 2}
    assert report.send_late_ms == Distribution(2, 0.1, 0.3, 0.3, 0.3)
    assert report.phone_cpu_cores == 0.1
    assert report.connect_ms.n == 2


def test_the_json_has_every_key() -> None:
    report = run_of(record([said("say", 1000, 2000)], [(2640, 4000)]))
    decoded = json.loads(report.to_json())
    assert list(decoded) == [field.name for field in msgspec.structs.fields(type(report))]
    assert decoded["call_reports"][0]["turns"][0]["reply_latency_ms"] == 640


def test_the_table_shows_turns_figures_and_failures() -> None:
    failed = record(
        [said("say", 1000, 2000), said("cough", 3000, 3100)],
        [(2640, 3200)],
        outcome="wait_timed_out",
        detail="line 4: too late",
        violations={"empty_payload": 1},
        violation_details=("empty_payload: nothing in it",),
    )
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(run_table(run_of(failed)))
    text = console.export_text()
    assert "640" in text
    assert "stopped" in text
    assert "protocol violation empty_payload x1: nothing in it" in text


def test_the_two_channels_lie_where_they_were_said_and_heard() -> None:
    call = record(
        [],
        [],
        duration_ms=1000,
        spoken=((100 * MS, mulaw_tone(100)),),
        heard=((500 * MS, mulaw_tone(200)), (1900 * MS, mulaw_tone(400))),
    )
    stereo, rate_hz = two_channels(call, Wire(MULAW_8K), MULAW_8K)
    assert (stereo.shape, rate_hz) == ((16_000, 2), 8000)
    loud = np.abs(stereo.reshape(-1, 80, 2)).max(axis=1) > 1000
    assert np.flatnonzero(loud[:, 0]).tolist() == list(range(10, 20))
    assert np.flatnonzero(loud[:, 1]).tolist() == [*range(50, 70), *range(190, 200)]


def closed(code: int, reason: str = "") -> dict[str, Any]:
    return {"close_code": code, "close_reason": reason}


HEARD = {"received_us": 500 * MS}


@pytest.mark.parametrize(
    ("outcome", "facts", "audible", "code"),
    [
        ("completed", {}, [], None),
        ("connect_failed", {"connect_error": "connect_refused"}, [], "connect_refused"),
        ("server_ended", {}, [], "closed_before_audio"),
        ("server_ended", closed(1008, "bad_token"), [], "stream_unauthorized"),
        ("server_ended", closed(1008, "Invalid signature"), [], "stream_unauthorized"),
        ("server_ended", closed(1008, "busy"), [], "server_busy"),
        ("server_ended", closed(1013, "draining"), [], "server_busy"),
        ("server_ended", closed(1008, "no such agent"), [], "closed_before_audio"),
        ("server_ended", closed(1002, "malformed_message"), [], "protocol_refused"),
        (
            "server_ended",
            {**closed(1002, "malformed_message"), "path_carrier": "telnyx"},
            [],
            "wrong_carrier",
        ),
        ("server_ended", {**closed(1000), "path_carrier": "telnyx"}, [], "closed_before_audio"),
        ("server_ended", {**closed(1008, "bad_token"), **HEARD}, [(0, 500)], "server_ended"),
        ("server_ended", HEARD, [(0, 500)], "server_ended"),
        ("wait_timed_out", {}, [], "no_agent_audio"),
        ("wait_timed_out", {"violations": {"empty_payload": 1}}, [], "agent_audio_refused"),
        ("wait_timed_out", HEARD, [], "agent_inaudible"),
        ("wait_timed_out", HEARD, [(0, 500)], "wait_timed_out"),
        ("call_timed_out", {}, [], "call_timed_out"),
        ("running", {}, [], "cut_off"),
    ],
)
def test_every_failure_has_its_code_and_advice(
    outcome: str, facts: dict[str, Any], audible: list[tuple[int, int]], code: str | None
) -> None:
    assert outcome in get_args(Outcome)
    failed = record([], audible, outcome=outcome, **facts)
    assert failure_code(failed) == code
    assert code is None or ADVICE[code]
    report = json.loads(run_of(failed).to_json())
    assert report["error_codes"] == ({} if code is None else {code: 1})
    assert report["call_reports"][0]["error_code"] == code


def test_the_advice_names_the_options_that_help() -> None:
    assert {"--token", "--auth-token"} <= set(ADVICE["stream_unauthorized"].split())
    assert "--carrier" in ADVICE["wrong_carrier"]


def test_a_broken_connection_has_its_code() -> None:
    broken = msgspec.structs.replace(record([], [], outcome="server_ended"), ended_by="network")
    assert failure_code(broken) == "connection_broke"


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 429, 500, 503])
def test_every_refusal_has_advice(status: int) -> None:
    assert refusal_code(status) in ADVICE


def printed(report: Any) -> str:
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(run_table(report))
    return console.export_text()


def test_a_call_that_never_came_about_has_no_table() -> None:
    report = run_of(
        record([], [], outcome="connect_failed", detail="nobody", connect_error="connect_refused")
    )
    assert not printed(report).strip()
    assert failure_lines(report) == [
        "the call failed: connect_refused: nobody",
        f"    what to do: {ADVICE['connect_refused']}",
    ]


def test_failures_of_many_calls_are_told_once_each() -> None:
    busy: dict[str, Any] = {
        "outcome": "connect_failed",
        "detail": "HTTP 503",
        "connect_error": "server_busy",
    }
    records = [record([], [], **busy) for _ in range(7)]
    records += [record([], [(0, 100)], received_us=MS), record([], [], outcome="wait_timed_out")]
    numbered = [msgspec.structs.replace(each, index=at) for at, each in enumerate(records)]
    report = run_of(*numbered)
    assert "1 of 9 calls completed" in printed(report)
    assert [line for line in failure_lines(report) if "what to do" not in line] == [
        "7 of 9 calls failed (number 0, 1, 2, 3, 4, ...): server_busy: HTTP 503",
        "1 of 9 calls failed (number 8): no_agent_audio: ",
    ]


def test_a_completed_call_says_when_nothing_was_heard() -> None:
    assert "the agent was never heard" in printed(run_of(record([], [])))
    assert "never heard" not in printed(run_of(record([], [(0, 100)])))

import msgspec
import pytest

from benchmarks.callers import (
    CONVERSATION,
    SEND_LATE_LIMIT_MS,
    SHORT_CALL,
    LoadGenerator,
    Phone,
    loadgen_report,
    phone_report,
)
from control import cli
from voicecore.phone.report import Distribution, run_report
from voicecore.phone.script import HangUp, Repeat, Wait
from voicecore.phone.script_file import load_script


def phone_figures(**changes):
    """A report as the telephone writes it."""
    empty = run_report("ws://h/", "twilio", (), duration_us=1, send_late_us=(), cpu_us=0)
    return msgspec.json.decode(msgspec.structs.replace(empty, **changes).to_json())


def test_the_telephones_own_report_is_understood():
    report = phone_report(
        phone_figures(
            send_late_ms=Distribution(9, 1.0, 2.0, 3.0, 4.0),
            phone_cpu_cores=0.4,
            reply_latency_ms=Distribution(9, 540.0, 550.0, 560.0, 570.0),
            turns=12,
            missing_replies=1,
            failed=2,
        )
    )
    assert (report.send_late_p99_ms, report.core_share) == (3.0, 0.4)
    assert (report.reply_p50_ms, report.reply_p99_ms) == (540.0, 560.0)
    assert (report.turns, report.missing_replies, report.failed_calls) == (12, 1, 2)
    assert not report.is_bottleneck


@pytest.mark.parametrize(("late_frames", "expected_ms"), [(0, 0.0), (9, 0.0), (10, 31.0)])
def test_lateness_at_the_ear_counts_the_frames_that_were_in_time(late_frames, expected_ms):
    """A thousand messages of 60 ms: under ten late ones leave the 99th percentile at zero."""
    report = phone_report(
        phone_figures(
            agent_audio_ms=60_000,
            late_frames=late_frames,
            late_frame_ms=Distribution(10, 20.0, 30.0, 31.0, 40.0),
        )
    )
    assert report.late_at_ear_p99_ms == expected_ms


def test_callers_who_are_late_themselves_are_the_bottleneck():
    late = Distribution(9, 1.0, 2.0, SEND_LATE_LIMIT_MS, 40.0)
    assert phone_report(phone_figures(send_late_ms=late)).is_bottleneck


def test_the_load_generators_report_is_understood():
    def spread_of(p99):
        return {"n": 5, "mean": 1, "p50": 1, "p90": 1, "p95": 1, "p99": p99, "max": 9}

    counts = {"turns": 7, "missing_replies": 0, "connect_fail": 1, "closed_early": 2}
    report = loadgen_report(
        {
            "loadgen_cpu": 0.3,
            "send_late": spread_of(1.5),
            "late_play": spread_of(0.0),
            "gap_excess": spread_of(2.5),
            "reply": spread_of(540),
            "barge_clear": None,
            "counts": counts,
        }
    )
    assert (report.send_late_p99_ms, report.late_on_wire_p99_ms) == (1.5, 2.5)
    assert (report.reply_p99_ms, report.interruption_p99_ms) == (540, None)
    assert report.failed_calls == 3


def test_the_scripts_are_scripts():
    talking = load_script(CONVERSATION)
    assert isinstance(talking.steps[-1], Repeat)
    assert talking.voice is not None
    assert talking.voice.vendor == "scripted"
    short = load_script(SHORT_CALL)
    assert [type(step) for step in short.steps] == [Wait, HangUp]


def test_the_telephone_is_told_how_long_and_how_many(tmp_path):
    arguments = Phone().arguments("ws://h:1/m", tmp_path, calls=50, ramp_per_s=100, talk_s=9)
    assert arguments[:2] == ["-m", cli.__name__]
    assert arguments[arguments.index("--calls") + 1] == "50"
    assert arguments[arguments.index("--duration") + 1] == "9.5"
    once = Phone(SHORT_CALL, once=True)
    assert "--duration" not in once.arguments("ws://h/", tmp_path, calls=1, ramp_per_s=1, talk_s=9)


def test_the_load_generator_reports_into_the_folder(tmp_path):
    generator = LoadGenerator(tmp_path / "generate.py")
    arguments = generator.arguments("ws://h/", tmp_path, calls=50, ramp_per_s=100, talk_s=9)
    assert arguments[arguments.index("--out") + 1] == str(tmp_path / "loadgen.json")
    with pytest.raises(OSError, match=r"loadgen\.json"):
        generator.report(tmp_path)

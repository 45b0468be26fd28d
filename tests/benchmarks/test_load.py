import msgspec
import pytest

from benchmarks.callers import CallersReport
from benchmarks.density import Row, bars, show
from benchmarks.figures import Spread
from benchmarks.instrumented import ServerSamples
from benchmarks.load import Lateness, Load, lateness
from benchmarks.machine import Usage, Window, window
from benchmarks.processes import ProcessFailed
from benchmarks.stalls import Observed, _callbacks, _joins


def samples(**changes) -> ServerSamples:
    """Ticks each 10 ms for a second, all 1 ms late, and an outgoing chunk with each."""
    at_s = [100 + number / 100 for number in range(100)]
    made = ServerSamples(
        ticks_at_s=at_s,
        ticks_late_ms=[1.0] * 100,
        ticks_cpu_ms=[4.0] * 100,
        frames_due_s=at_s,
        frames_late_ms=[0.5] * 100,
        work_at_s=at_s[::10],
        work_us=[10.0] * 10,
        joins_at_s=[],
        gc_at_s=[],
        gc_ms=[],
        slow_at_s=[],
        slow_ms=[],
        slow_names=[],
    )
    return msgspec.structs.replace(made, **changes)


def test_only_the_window_counts():
    late_ms = [50.0] * 50 + [0.5] * 50
    found = lateness(samples(frames_late_ms=late_ms), 100.495, 101.0)
    assert found.frames == Spread(50, 0.5, 0.5, 0.5)
    assert found.work_us == 10.0


def test_a_preempted_tick_is_not_our_stall():
    late_ms = [1.0] * 99 + [30.0]
    found = lateness(samples(ticks_late_ms=late_ms), 100.0, 101.0)
    assert found.loop.max == 30.0
    assert found.own.max == 4.0


def test_a_window_without_audio_is_no_measurement():
    with pytest.raises(ProcessFailed, match="no audio"):
        lateness(samples(), 200.0, 201.0)


def test_the_rest_of_the_core_is_others():
    before = Usage(at_s=10.0, cpu_s=1.0, busy_s=100.0, steal_s=1.0)
    after = Usage(at_s=20.0, cpu_s=5.0, busy_s=106.0, steal_s=1.5)
    assert window(before, after) == Window(10.0, 4.0, 0.4, 0.2, 0.05)


def load(
    calls: int, *, cpu_ms=2.0, late_ms=2.0, send_late_ms=1.0, other=0.0, memory_mb=0.0, name="phone"
) -> Load:
    late = Spread(1000, 0.5, late_ms, late_ms * 2)
    return Load(
        callers=name,
        calls=calls,
        cpu_ms_per_call_s=cpu_ms,
        resident_mb=memory_mb or 90 + calls * 0.1,
        idle_mb=90.0,
        core=Window(10.0, cpu_ms * calls / 100, cpu_ms * calls / 1000, other, 0.0),
        late=Lateness(late, late, late, Spread(), 10.0),
        report=CallersReport(
            send_late_p99_ms=send_late_ms,
            core_share=0.5,
            late_at_ear_p99_ms=0.0,
            late_on_wire_p99_ms=None,
            reply_p50_ms=540.0,
            reply_p99_ms=550.0,
            interruption_p50_ms=300.0,
            interruption_p99_ms=310.0,
            turns=100,
            missing_replies=0,
            failed_calls=0,
        ),
        began_s=0.0,
        ended_s=10.0,
    )


def rows(*loads: Load, recorded: tuple[Load, ...] = ()) -> list[Row]:
    plain = [Row(True, False, one) for one in loads]
    return [*plain, *(Row(True, True, one) for one in recorded)]


def verdicts(made: list[Row]) -> dict[str, str]:
    return {bar.name: bar.verdict for bar in bars(made)}


def test_the_most_calls_in_time_are_the_capacity():
    made = rows(load(100), load(200), load(300), load(400, late_ms=30.0))
    found = {bar.name: bar for bar in bars(made)}
    assert found["phone: calls per core"].value == 300
    assert set(verdicts(made).values()) == {"pass"}
    assert found["phone: memory per call"].value == pytest.approx(0.1)


def test_too_late_or_too_dear_fails():
    found = verdicts(rows(load(100), load(200, cpu_ms=4.5, late_ms=12.0)))
    assert found["phone: calls per core"] == "FAIL"
    assert found["phone, 200 calls: outgoing audio late, p99"] == "FAIL"
    assert found["phone, 200 calls: CPU per call-second"] == "FAIL"


def test_late_callers_and_busy_cores_show_nothing():
    slow_callers = verdicts(rows(load(100), load(200, send_late_ms=8.0)))
    assert slow_callers["phone: calls per core"] == "void"
    busy_core = verdicts(rows(load(100), load(200, late_ms=12.0, other=0.5)))
    assert busy_core["phone, 200 calls: outgoing audio late, p99"] == "void"


def test_recordings_have_bars_of_their_own():
    made = rows(load(100), load(200), recorded=(load(100, cpu_ms=3.0), load(200, cpu_ms=3.0)))
    found = {bar.name: bar for bar in bars(made)}
    assert found["recorded, 200 calls: CPU per call-second"].baseline == "x1.50 of unrecorded"
    assert found["phone, recorded: memory per call"].verdict == "pass"


def test_cpu_time_is_also_shown_at_the_fastest_speed_seen():
    slow = load(200, cpu_ms=4.0)
    late = msgspec.structs.replace(slow.late, work_us=20.0)
    made = rows(load(100, cpu_ms=2.0), msgspec.structs.replace(slow, late=late))
    cells = show(made).splitlines()[-1].split()
    assert cells[4:6] == ["4.00", "2.00"]


def test_ticks_near_a_join_are_told_from_the_others():
    late_ms = [1.0] * 100
    late_ms[32] = 3.5  # 20 ms after the join at 100.3
    late_ms[60] = 2.5
    observed = Observed(
        samples(ticks_late_ms=late_ms, joins_at_s=[100.3, 100.9]),
        (100.0, 100.2),
        (100.3, 100.9),
        0.0,
    )
    found = _joins(observed)
    assert (found.joins, found.near_own.max, found.apart_own.max) == (2, 3.5, 2.5)
    assert found.quiet.own.max == 1.0


def test_the_longest_callbacks_are_those_during_joins():
    seen = samples(
        slow_at_s=[100.1, 100.31, 100.5],
        slow_ms=[9.0, 2.0, 6.0],
        slow_names=["before", "join", "other"],
    )
    found = _callbacks(Observed(seen, (100.0, 100.2), (100.3, 100.9), 0.0))
    assert found.longest == ((6.0, "other"), (2.0, "join"))
    assert (found.longest_ms, found.over_limit) == (6.0, 1)


def test_the_bare_loop_stands_beside_at_the_same_speed_of_the_core():
    bare = load(200, cpu_ms=2.0)
    slow = msgspec.structs.replace(bare.late, work_us=20.0)
    made = rows(load(100), load(200, cpu_ms=3.0))
    made.append(Row(True, False, msgspec.structs.replace(bare, late=slow), bare=True))
    found = {bar.name: bar for bar in bars(made)}
    assert "x3.00 of the bare loop" in found["phone, 200 calls: CPU per call-second"].baseline
    assert found["phone: memory per call"].value == pytest.approx(0.1)

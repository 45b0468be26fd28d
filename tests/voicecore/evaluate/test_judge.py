import pytest

from voicecore.evaluate.figures import figures
from voicecore.evaluate.heard import Segment
from voicecore.evaluate.judge import Happened, Verdict, judge, overlap_class
from voicecore.evaluate.scene import Kind

END_MS = 60_000
GREETING = Segment(100, 2000)


def said(kind: Kind, start_ms: int, end_ms: int, **more: object) -> Happened:
    return Happened(kind, "text", start_ms, end_ms, **more)  # type: ignore[arg-type]


def verdict(happened: Happened, *heard: Segment) -> Verdict:
    (found,) = judge([happened], [GREETING, *heard], END_MS)
    return found


TURN = said("turn", 3000, 5000, pauses_ms=((800, 1500),))


def test_a_turn_is_answered() -> None:
    found = verdict(TURN, Segment(5900, 9000))
    assert found.right
    assert (found.answered, found.answer_ms, found.talked_over) == (True, 900, 0)


def test_a_turn_is_not_answered() -> None:
    assert verdict(TURN).answered is False
    late = verdict(TURN, Segment(10_100, 12_000))
    assert (late.answered, late.right) == (False, False)


def test_the_next_utterance_ends_the_wait_for_an_answer() -> None:
    again = said("turn", 7000, 8000)
    first, second = judge([TURN, again], [GREETING, Segment(9000, 9900)], END_MS)
    assert (first.answered, second.answered) == (False, True)


def test_the_agent_speaks_in_a_pause_of_the_turn() -> None:
    found = verdict(TURN, Segment(4000, 4400, "cut"), Segment(6000, 9000))
    assert (found.talked_over, found.right, found.answered) == (1, False, True)
    assert found.why == "began to speak 1000 ms into the turn, 200 ms into a pause of 700 ms"


def test_an_answer_that_came_too_early_has_no_latency() -> None:
    found = verdict(TURN, Segment(4500, 9000))
    assert (found.answered, found.answer_ms, found.talked_over) == (True, None, 1)


def test_an_answer_begun_too_early_and_begun_again_is_one() -> None:
    found = verdict(TURN, Segment(4000, 4060, "cut"), Segment(6000, 9000, continues=True))
    assert (found.answered, found.answer_ms, found.talked_over) == (True, 1000, 1)


STOP = said("interruption", 5000, 6000)


def test_an_interruption_is_yielded_to() -> None:
    found = verdict(STOP, Segment(3000, 5250, "cut"), Segment(7000, 9000))
    assert found.right
    assert (found.yield_ms, found.answered, found.answer_ms) == (250, True, 1000)
    assert overlap_class(found) == "respond"


def test_an_interruption_is_not_yielded_to() -> None:
    found = verdict(STOP, Segment(3000, 7100, "cut"))
    assert (found.yielded, found.right) == (False, False)
    assert overlap_class(found) == "resume"


def test_a_sentence_that_goes_on_was_not_yielded() -> None:
    found = verdict(STOP, Segment(3000, 5200, "cut"), Segment(5800, 12_000, continues=True))
    assert found.yielded is False
    assert found.why == "the agent spoke on for 7000 ms, after going on 1 time(s)"


def test_an_agent_that_goes_on_and_then_yields_did_so_late() -> None:
    found = verdict(STOP, Segment(3000, 5200, "cut"), Segment(5600, 6400, "cut", True))
    assert (found.yielded, found.yield_ms) == (True, 1400)
    assert found.talked_over == 1, "it went on while the caller spoke"


@pytest.mark.parametrize("reply", [Segment(3000, 4900), Segment(3000, 5600)])
def test_where_there_is_nothing_to_yield_nothing_is_scored(reply: Segment) -> None:
    found = verdict(STOP, reply)
    assert (found.scored, found.judged.what, found.judged.ok) == (False, "unscored", True)


MURMUR = said("backchannel", 5000, 5400)


def test_a_backchannel_without_any_effect() -> None:
    found = verdict(MURMUR, Segment(3000, 12_000))
    assert (found.ignored, found.tau_ignored, found.gaps_ms) == (True, True, ())


def test_a_backchannel_for_which_the_agent_pauses() -> None:
    found = verdict(
        MURMUR,
        Segment(3000, 5200, "cut"),
        Segment(5650, 12_000, continues=True, offset_ms=-20),
    )
    assert (found.ignored, found.tau_ignored) == (True, False)
    assert (found.gaps_ms, found.lost_ms, found.repeated_ms) == ((450,), (0,), (20,))
    assert found.why == "paused for 450 ms and went on"


def test_a_pause_within_a_tick_is_none_for_tau() -> None:
    found = verdict(
        MURMUR, Segment(3000, 5200, "cut"), Segment(5390, 12_000, continues=True, lost_ms=60)
    )
    assert (found.tau_ignored, found.lost_ms) == (True, (60,))


@pytest.mark.parametrize("after", [(), (Segment(7000, 9000),)])
def test_a_backchannel_for_which_the_reply_is_given_up(after: tuple[Segment, ...]) -> None:
    found = verdict(MURMUR, Segment(3000, 5200, "cut"), *after)
    assert (found.ignored, found.tau_ignored, found.right) == (False, False, False)


def test_giving_up_after_going_on_counts_too() -> None:
    found = verdict(
        MURMUR, Segment(3000, 5200, "cut"), Segment(5600, 6500, "cut", True), Segment(8000, 9000)
    )
    assert found.ignored is False
    assert found.why == "paused for 400 ms, then gave up its reply 1500 ms after the onset"


def test_what_happens_later_has_another_cause() -> None:
    found = verdict(MURMUR, Segment(3000, 9000, "cut"))
    assert found.ignored is True


def test_a_backchannel_that_is_answered_once_the_reply_has_ended() -> None:
    found = verdict(MURMUR, Segment(3000, 5900), Segment(6800, 9000))
    assert (found.ignored, found.why) == (False, "answered it after 1400 ms")


COUGH = said("tic", 4000, 4300)


@pytest.mark.parametrize(("start_ms", "ignored"), [(5200, False), (6200, False), (6400, True)])
def test_a_cough_into_silence(start_ms: int, ignored: bool) -> None:
    assert verdict(COUGH, Segment(start_ms, start_ms + 900)).ignored is ignored


def by_name(verdicts: list[Verdict]) -> dict[str, float | None]:
    return {figure.name: figure.value for figure in figures([("g", v) for v in verdicts])}


def test_figures() -> None:
    yielded = verdict(STOP, Segment(3000, 5250, "cut"), Segment(7000, 9000))
    late = verdict(STOP, Segment(3000, 6250, "cut"), Segment(7000, 9000))
    not_scored = verdict(STOP, Segment(3000, 4900))
    paused = verdict(MURMUR, Segment(3000, 5200, "cut"), Segment(5650, 12_000, continues=True))
    found = by_name([yielded, late, not_scored, paused, verdict(TURN, Segment(5900, 9000))])
    assert found["yield_rate"] == 1.0
    assert found["yields_within_500_ms"] == 0.5
    assert found["yield_latency_mean"] == 750.0
    assert found["ignores_backchannel"] == 1.0
    assert found["selectivity_backchannel"] == 0.0
    assert (found["resume_gap_max"], found["words_lost"]) == (450.0, 0.0)
    assert found["response_rate"] == 1.0
    assert found["ignores_tic"] is None


def test_bars() -> None:
    made = figures([("g", verdict(MURMUR, Segment(3000, 5200, "cut")))])
    met = {figure.name: figure.met for figure in made if figure.bar is not None}
    assert met["ignores_backchannel"] is False
    assert met["ignores_tic"] is None
    assert met["yields_within_500_ms"] is None


def test_a_baseline() -> None:
    made = figures([], {"yield_rate": 0.5})
    assert {f.name: f.baseline for f in made}["yield_rate"] == 0.5

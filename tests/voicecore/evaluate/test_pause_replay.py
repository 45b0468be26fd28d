"""Decisions taken again from what a call heard."""

from tests.support.paused_turns import STOP_MS, TEXT_MS, spoken
from voicecore.evaluate.pause_replay import (
    Heard,
    Pause,
    RecordedTurn,
    Said,
    Stopped,
    prompt,
    replay,
)
from voicecore.evaluate.pause_sweep import (
    at_delay,
    at_share,
    bare_silence,
    delay_interval,
    frontier,
    judge,
    policies,
    share_interval,
    sweep_silence,
)
from voicecore.providers.stt import SttFinal, SttInterim
from voicecore.turns.endpointing import EndpointingPolicy
from voicecore.turns.settings import TurnSettings


def silence(wait_ms: int) -> TurnSettings:
    policy = EndpointingPolicy(min_silence_ms=wait_ms, adapts=False)
    return TurnSettings(endpointing=policy)


class TestReplay:
    def test_a_pause_longer_than_the_wait_cuts_off(self) -> None:
        (decided,) = replay([spoken(("I would", 700), ("like that.", 0))], silence(500))
        assert [hold.decided_ms for hold in decided.holds] == [500]
        assert decided.holds[0].text == "I would"
        assert decided.delay_ms == 500

    def test_a_shorter_one_does_not(self) -> None:
        (decided,) = replay([spoken(("I would", 450), ("like that.", 0))], silence(500))
        assert [hold.cut_off for hold in decided.holds] == [False]
        assert decided.text == "I would like that."

    def test_silences_are_the_vads_where_the_policy_is_looked_at_alone(self) -> None:
        turn = spoken(("I would", 700), ("like that.", 0))
        late = RecordedTurn(
            0,
            0,
            "plain",
            "",
            1000,
            turn.end_ms,
            (Pause(1900, 2700), Pause(1300, 1450)),
            turn.events,
        )
        (by_vad,) = replay([late], silence(500), by_vad=True)
        (heard,) = replay([late], silence(500))
        assert [(h.pause.duration_ms, h.decided_ms) for h in by_vad.holds] == [(700, 500)]
        assert [(h.pause.duration_ms, h.decided_ms) for h in heard.holds] == [
            (150, None),
            (800, 600),
        ]

    def test_an_early_decision_hides_no_later_one(self) -> None:
        turn = spoken(("One", 800), ("two", 900), ("three.", 0))
        (decided,) = replay([turn], silence(500))
        assert [hold.text for hold in decided.holds] == ["One", "One two"]
        assert decided.text == "One two three."

    def test_the_text_is_waited_for_unless_it_takes_no_time(self) -> None:
        turn = spoken(("Hello.", 0))
        assert replay([turn], silence(200))[0].delay_ms == STOP_MS + TEXT_MS
        assert replay([turn], silence(200), by_vad=True)[0].delay_ms == STOP_MS

    def test_a_policy_follows_what_was_said(self) -> None:
        policy = EndpointingPolicy(min_silence_ms=300, open_silence_ms=500, max_silence_ms=1500)
        turn = spoken(("My number is", 1100), ("five.", 0))
        (decided,) = replay([turn], TurnSettings(endpointing=policy))
        assert decided.holds[0].decided_ms is None
        assert decided.delay_ms == 300

    def test_a_callers_pauses_are_remembered_for_the_call_only(self) -> None:
        policy = EndpointingPolicy(min_silence_ms=300, open_silence_ms=700, max_silence_ms=2000)
        settings = TurnSettings(endpointing=policy)
        slow = spoken(("and", 1000), ("then we went home.", 0))
        after = spoken(("Tomorrow", 0), number=1)
        same, other = [slow, after], [slow, spoken(("Tomorrow", 0), number=1, call=1)]
        assert replay(same, settings)[1].delay_ms == 1250
        assert replay(other, settings)[1].delay_ms == 700

    def test_no_text_is_no_decision(self) -> None:
        (decided,) = replay([spoken(("", 0))], silence(300))
        assert decided.delay_ms is None
        assert judge([decided], "x").delay_ms == float("inf")

    def test_what_the_vad_alone_takes_for_a_pause_counts_when_it_cuts_off(self) -> None:
        turn = spoken(("I would", 700), ("like that.", 0))
        hidden = RecordedTurn(0, 0, "plain", "", turn.begin_ms, turn.end_ms, (), turn.events)
        (decided,) = replay([hidden], silence(500))
        assert [hold.decided_ms for hold in decided.holds] == [500]

    def test_a_pause_that_the_vad_did_not_notice_is_no_cut_off(self) -> None:
        turn = spoken(("Hello there.", 0))
        unheard = RecordedTurn(
            0, 0, "plain", "", 1000, turn.end_ms, (Pause(1300, 1520),), turn.events
        )
        point = judge(replay([unheard], silence(300)), "x")
        assert (point.turns[0].cut_off, point.turns[0].pauses) == (0, 1)


def test_a_turn_is_whole_when_all_its_texts_came() -> None:
    turn = spoken(("One", 300), ("two.", 0))
    cut = RecordedTurn(0, 0, "", "", 0, 1, (), turn.events[:-1])
    assert (turn.whole, cut.whole) == (True, False)


def test_prompt_texts_leave_out_the_guesses_made_meanwhile() -> None:
    events: tuple[Heard, ...] = (
        Said(900, SttInterim("hel")),
        Stopped(1200, 1000),
        Said(1250, SttInterim("hello")),
        Said(1700, SttFinal("Hello.", flushed=True)),
        Said(1800, SttInterim("more")),
    )
    assert [event.at_ms for event in prompt(events)] == [900, 1200, 1200, 1800]


class TestSweep:
    turns = (
        spoken(("One", 250), ("two.", 0), number=0),
        spoken(("One", 450), ("two.", 0), number=1),
        spoken(("One", 150), ("two", 1050), ("three.", 0), number=2),
    )

    def test_only_pauses_of_200_ms_and_more_count(self) -> None:
        point = judge(replay(self.turns, silence(3000)), "x")
        assert sum(turn.pauses for turn in point.turns) == 3
        assert point.cut_off_share == 0

    def test_silence_alone_is_the_share_of_longer_pauses(self) -> None:
        curve = bare_silence(self.turns)
        shares = {point.delay_ms: round(point.cut_off_share, 2) for point in curve.points}
        assert (shares[240], shares[250], shares[450], shares[1050]) == (1.0, 0.67, 0.33, 0.0)

    def test_the_best_within_a_limit(self) -> None:
        curve = sweep_silence(self.turns, TurnSettings())
        within = at_delay(curve, 600)
        assert within is not None
        assert (within.policy, round(within.cut_off_share, 2)) == ("450 ms", 0.33)
        few = at_share(curve, 0.0)
        assert few is not None
        assert few.delay_ms == 1050

    def test_there_may_be_none(self) -> None:
        curve = sweep_silence(self.turns, TurnSettings())
        assert at_delay(curve, 100) is None

    def test_a_frontier_falls(self) -> None:
        points = frontier(sweep_silence(self.turns, TurnSettings()))
        assert [p.cut_off_share for p in points] == sorted(
            (p.cut_off_share for p in points), reverse=True
        )
        assert len({p.cut_off_share for p in points}) == len(points)

    def test_intervals_hold_the_value_and_repeat(self) -> None:
        point = judge(replay(self.turns, silence(400)), "x")
        interval = share_interval(point, 1)
        assert interval.low <= point.cut_off_share <= interval.high
        assert interval == share_interval(point, 1)
        assert delay_interval(point, 1).low <= point.delay_ms

    def test_the_configured_policy_is_among_those_tried(self) -> None:
        own = EndpointingPolicy(min_silence_ms=333, open_silence_ms=444, max_silence_ms=1555)
        assert own in policies(own)

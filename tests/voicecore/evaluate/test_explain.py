from voicecore.evaluate.explain import explained
from voicecore.evaluate.judge import Happened, Verdict
from voicecore.journal import Event

EVENTS = [
    Event(1, 900, "agent_paused", {"reply": 1}),
    Event(2, 5100, "agent_paused", {"reply": 2, "played_ms": 100}),
    Event(3, 5200, "stt_result", {"kind": "interim", "text": "But,"}),
    Event(4, 5210, "overlap_judged", {"reply": 2, "verdict": "interruption", "paused_ms": 110}),
    Event(5, 9000, "caller_turn", {"text": "late"}),
]
MURMUR = Happened("backchannel", "Okay.", 5000, 5300)


def test_a_wrong_decision_is_explained() -> None:
    wrong = Verdict(MURMUR, over_agent=True, ignored=False, why="gave up")
    assert explained(wrong, EVENTS) == (
        'gave up (server: paused; interim "But,"; judged interruption after 110 ms of pause)'
    )


def test_a_right_one_needs_no_explanation() -> None:
    right = Verdict(MURMUR, over_agent=True, ignored=True, why="spoke on")
    assert explained(right, EVENTS) == "spoke on"


def test_nothing_happened() -> None:
    wrong = Verdict(MURMUR, over_agent=True, ignored=False, why="gave up")
    assert explained(wrong, []) == "gave up"

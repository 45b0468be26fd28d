"""What an agent file's words about interruption come to."""

import pytest

from voicecore.agents.turn_taking import Interruption
from voicecore.prepare import overlap_policy
from voicecore.turns.backchannels import continuers, openers


@pytest.mark.parametrize(
    ("sensitivity", "pause_ms", "overlap_ms"),
    [("low", 300, 450), ("normal", 200, 360), ("high", 120, 200)],
)
def test_the_sensitivity_says_how_long_both_are_heard(
    sensitivity: str, pause_ms: int, overlap_ms: int
) -> None:
    policy = overlap_policy(Interruption.model_validate({"sensitivity": sensitivity}), "en")
    assert (policy.pause_ms, policy.overlap_ms) == (pause_ms, overlap_ms)


def test_unless_the_file_does() -> None:
    given = Interruption.model_validate({"sensitivity": "low", "overlap_ms": 0})
    assert overlap_policy(given, "en").overlap_ms == 0


def test_who_asks_to_go_on_does_so_in_the_agents_language() -> None:
    policy = overlap_policy(Interruption(), "de")
    assert (policy.continuers, policy.openers) == (continuers("de"), openers("de"))

"""What one call's ears make of a line on which audio is missing."""

from types import SimpleNamespace
from typing import Any

import pytest

from media.audio.format import FRAME_MS, MULAW_8K
from tests.support.sim_call import house
from tests.support.virtual_loop import run_virtual
from voicecore.hearing import MAX_DRIFT_MS, Hearing


@pytest.mark.parametrize(
    ("moved_ms", "missing"),
    [(0, 0), (MAX_DRIFT_MS - FRAME_MS, 0), (MAX_DRIFT_MS, 1), (-MAX_DRIFT_MS, 0)],
)
def test_the_levels_hear_of_what_a_line_left_out(moved_ms: int, missing: int) -> None:
    told: list[str] = []

    async def main() -> None:
        async with house() as home:
            started = SimpleNamespace(inbound=MULAW_8K, outbound=MULAW_8K)
            leg: Any = SimpleNamespace(started=started)
            hearing = Hearing(leg, home.agent, record=lambda at_ms, frame: None, post=print)
            hearing._vad.levels.missing = lambda: told.append("missing")  # type: ignore[method-assign]
            for now_ms in (1000, 1000 + FRAME_MS, 1000 + 2 * FRAME_MS + moved_ms):
                hearing.frame(now_ms, MULAW_8K.silence(FRAME_MS))

    run_virtual(main)
    assert len(told) == missing

"""A filler gives way in the middle: what was not played of it is dropped, and speech follows."""

from hypothesis import given
from hypothesis import strategies as st

from media.carrier import Clear
from tests.support.playout_rig import Rig, noise


class TestShorten:
    def test_speech_follows_where_the_rest_was_dropped(self) -> None:
        rig = Rig()
        filler, speech = noise(8000), noise(4000, 9)
        rig.write(1, filler)
        rig.wait(500)
        assert rig.pause(1) == [Clear()]
        rig.playout.shorten(1, 600)
        rig.resume(1, 500)
        rig.write(1, speech)
        rig.finish(1)
        rig.wait(3000)
        assert rig.line.heard == filler[:4800] + speech
        assert rig.playout.gap_ms == 0

    def test_what_was_heard_cannot_be_dropped(self) -> None:
        rig = Rig()
        rig.write(1, noise(8000))
        rig.wait(500)
        rig.pause(1)
        rig.playout.shorten(1, 100)
        rig.resume(1, 500)
        rig.write(1, noise(1600, 9))
        rig.finish(1)
        rig.wait(3000)
        assert rig.line.heard == noise(8000)[:4000] + noise(1600, 9)

    def test_only_of_a_reply_that_pauses_and_goes_on(self) -> None:
        rig = Rig()
        rig.playout.shorten(1, 100)
        rig.write(1, noise(8000))
        rig.wait(100)
        rig.playout.shorten(1, 100)
        rig.finish(1)
        rig.pause(1)
        rig.playout.shorten(1, 100)
        rig.resume(1, 100)
        rig.wait(3000)
        assert rig.line.heard == noise(8000)

    @given(st.integers(0, 1200), st.integers(0, 60), st.integers(0, 3000))
    def test_any_moment(self, after_ms: int, to_frame: int, more_bytes: int) -> None:
        rig = Rig(lead_ms=300)
        filler, speech = noise(8000), noise(more_bytes, 9)
        rig.write(1, filler)
        rig.wait(after_ms)
        heard_ms = rig.playout.cut_ms(rig.now_ms, 1)
        rig.pause(1)
        rig.playout.shorten(1, to_frame * 20)
        rig.resume(1, heard_ms)
        rig.write(1, speech)
        rig.finish(1)
        rig.wait(5000)
        kept = min(max(to_frame * 160, heard_ms // 20 * 160), 8000)
        cut_frame = min(heard_ms, 1000) // 20 * 160
        played = filler[: heard_ms * 8][:8000]
        expected = played + filler[cut_frame:kept] + speech
        assert rig.line.heard[: len(expected)] == expected


class TestRest:
    def test_silence_that_is_meant_is_no_gap(self) -> None:
        rig = Rig()
        rig.write(1, noise(1600))
        rig.playout.rest(1)
        rig.wait(1500)
        rig.write(1, noise(1600))
        rig.wait(1500)
        assert rig.playout.gap_ms == rig.playout.late_ms_max == 0
        rig.write(1, noise(1600))
        assert rig.playout.gap_ms == 1300

"""A reply is interrupted: what is left of it is thrown away, or kept until it goes on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.audio.format import FRAME_MS, MULAW_8K
from media.carrier import Clear, Play
from media.playout import ONSET_MS, SKIPPED_MS
from media.playout_events import ReplyPlayed, ReplyStarted
from tests.support.playout_rig import Rig, noise


class TestClear:
    def test_silences_the_line_and_forgets_the_rest(self) -> None:
        rig = Rig()
        rig.write(1, noise(16_000))
        rig.wait(500)
        heard_ms, commands = rig.clear(1)
        assert (heard_ms, commands) == (500, [Clear()])
        sent = len(rig.line.sent)
        rig.wait(10_000)
        assert len(rig.line.sent) == sent
        assert not rig.of(ReplyPlayed)
        assert rig.playout.next_deadline() is None

    def test_returned_marks_of_what_was_cleared_are_ignored(self) -> None:
        rig = Rig(lag_ms=30)
        rig.write(1, noise(1600))
        rig.finish(1)
        rig.wait(100)
        rig.clear(1)
        rig.write(2, noise(1600))
        rig.wait(100)
        rig.playout.mark_played(rig.now_ms, "1:end")
        rig.take_events()
        assert not rig.of(ReplyPlayed)

    def test_nothing_is_cleared_where_nothing_was_sent(self) -> None:
        rig = Rig()
        assert rig.clear(1) == (0, [])

    def test_the_next_reply_begins_at_once(self) -> None:
        rig = Rig()
        rig.write(1, noise(16_000))
        rig.wait(300)
        rig.clear(1)
        commands = rig.write(2, noise(1600))
        assert isinstance(commands[0], Play)
        assert rig.of(ReplyStarted)[-1] == ReplyStarted(2, rig.now_ms)
        assert rig.playout.end_ms == rig.now_ms + 180


class TestPause:
    def test_silences_the_line_and_keeps_the_rest(self) -> None:
        rig = Rig()
        speech = noise(16_000)
        rig.write(1, speech)
        rig.finish(1)
        rig.wait(500)
        assert rig.pause(1) == [Clear()]
        assert rig.playout.next_deadline() is None
        rig.wait(400)
        assert rig.line.heard == speech[:4000]
        assert rig.playout.played_ms(rig.now_ms, 1) == 500
        rig.resume(1, 500)
        rig.wait(5000)
        assert rig.line.heard == speech
        assert rig.of(ReplyPlayed) == [ReplyPlayed(1, 1000 + 2000 + 400, 2000)]
        assert len(rig.of(ReplyStarted)) == 1
        assert rig.playout.gap_ms == rig.playout.late_ms_max == 0

    def test_repeats_what_is_wanted(self) -> None:
        rig = Rig()
        speech = noise(16_000)
        rig.write(1, speech)
        rig.finish(1)
        rig.wait(510)
        rig.pause(1)
        rig.resume(1, 470)
        rig.wait(5000)
        assert rig.line.heard == speech[:4080] + speech[460 * 8 :]

    def test_never_skips(self) -> None:
        rig = Rig()
        speech = noise(16_000)
        rig.write(1, speech)
        rig.finish(1)
        rig.wait(500)
        rig.pause(1)
        rig.resume(1, 1900)
        rig.wait(5000)
        assert rig.line.heard == speech

    @pytest.mark.parametrize("silence_ms", [20, 200, 540, 900])
    def test_goes_on_without_the_silence_it_paused_in(self, silence_ms: int) -> None:
        rig = Rig()
        before, after = noise(4000), noise(4000, 9)
        silence = MULAW_8K.silence(silence_ms)
        rig.write(1, before + silence + after)
        rig.finish(1)
        rig.wait(500)
        rig.pause(1)
        rig.wait(600)
        rig.resume(1, 500)
        rig.wait(100)
        kept_ms = max(silence_ms - SKIPPED_MS, min(silence_ms, ONSET_MS))
        assert rig.playout.played_ms(rig.now_ms, 1) == 500 + silence_ms - kept_ms + 100
        rig.wait(5000)
        assert rig.line.heard == before + silence[: kept_ms * 8] + after
        assert [event.played_ms for event in rig.of(ReplyPlayed)] == [1000 + silence_ms]

    @pytest.mark.parametrize("from_ms", [500, 480, 300])
    def test_goes_on_behind_a_silence_that_had_just_begun(self, from_ms: int) -> None:
        rig = Rig()
        before, after = noise(4000), noise(4000, 9)
        rig.write(1, before + MULAW_8K.silence(300) + after)
        rig.finish(1)
        rig.wait(500)
        rig.pause(1)
        rig.wait(600)
        rig.resume(1, from_ms)
        rig.wait(5000)
        assert rig.line.heard == before + MULAW_8K.silence(ONSET_MS) + after

    def test_knows_for_how_long_it_was_quiet_before(self) -> None:
        rig = Rig()
        rig.write(1, noise(4000) + MULAW_8K.silence(300) + noise(4000, 9))
        rig.finish(1)
        rig.wait(600)
        assert rig.playout.quiet_ms(1) == 0  # it is not paused
        rig.pause(1)
        assert rig.playout.quiet_ms(1) == pytest.approx(100, abs=20)
        assert rig.playout.quiet_ms(2) == 0

    def test_goes_on_with_silence_if_that_is_all_there_is_so_far(self) -> None:
        rig = Rig()
        rig.write(1, noise(4000) + MULAW_8K.silence(200))
        rig.wait(500)
        rig.pause(1)
        rig.resume(1, 500)
        rig.wait(400)
        last = noise(800, 9)
        rig.write(1, last)
        rig.finish(1)
        rig.wait(5000)
        assert rig.line.heard.endswith(last)
        assert [event.played_ms for event in rig.of(ReplyPlayed)] == [800]

    def test_goes_back_no_further_than_is_kept(self) -> None:
        rig = Rig()
        rig.write(1, noise(80_000))
        rig.finish(1)
        rig.wait(9000)
        rig.pause(1)
        rig.resume(1, 0)
        assert 5500 < rig.playout.played_ms(rig.now_ms, 1) < 9000

    def test_returned_marks_are_of_no_use(self) -> None:
        """A clear brings every mark back at once, that of the end too."""
        rig = Rig(lag_ms=50)
        rig.write(1, noise(1600))
        rig.finish(1)
        rig.wait(100)
        assert "1:end" in rig.marks
        rig.pause(1)
        rig.wait(300)
        assert not rig.of(ReplyPlayed)
        rig.resume(1, 60)
        rig.playout.mark_played(rig.now_ms, "1:end")
        rig.take_events()
        assert not rig.of(ReplyPlayed)
        rig.wait(1000)
        assert [event.reply for event in rig.of(ReplyPlayed)] == [1]
        assert rig.marks[-1] == "1.1:end"

    def test_can_be_cleared(self) -> None:
        rig = Rig()
        rig.write(1, noise(16_000))
        rig.wait(500)
        rig.pause(1)
        rig.wait(300)
        assert rig.clear(1) == (500, [])
        assert rig.write(2, noise(1600))

    def test_takes_more_audio_meanwhile(self) -> None:
        rig = Rig()
        first, second = noise(4000), noise(4000, 9)
        rig.write(1, first)
        rig.wait(400)
        rig.pause(1)
        assert not rig.write(1, second)
        assert not rig.finish(1)
        rig.wait(500)
        rig.resume(1, 400)
        rig.wait(3000)
        assert rig.line.heard == first + second

    def test_before_anything_was_sent(self) -> None:
        rig = Rig()
        assert not rig.pause(1), "no such reply"
        rig.playout.finish(1)
        assert not rig.pause(1)
        rig.resume(1, 0)
        assert [event.reply for event in rig.of(ReplyPlayed)] == [1]

    @given(st.lists(st.tuples(st.integers(0, 900), st.integers(0, 40)), max_size=6))
    def test_whatever_pauses_nothing_is_lost(self, pauses: list[tuple[int, int]]) -> None:
        rig = Rig(lead_ms=300)
        speech = noise(24_000)
        rig.write(1, speech)
        rig.finish(1)
        heard = bytearray()
        for wait_ms, back_ms in pauses:
            rig.wait(wait_ms)
            if rig.of(ReplyPlayed):
                break
            before = bytes(rig.line.heard) if rig.pause(1) else None
            played_ms = rig.playout.played_ms(rig.now_ms, 1)
            if before is not None:
                heard = bytearray(rig.line.heard)
            rig.resume(1, max(played_ms - back_ms, 0))
        rig.wait(20_000)
        assert [event.reply for event in rig.of(ReplyPlayed)] == [1]
        assert rig.line.heard.startswith(bytes(heard))
        assert rig.line.heard.endswith(speech[-160:])
        repeated = len(rig.line.heard) - len(speech)
        assert 0 <= repeated <= len(pauses) * (40 + FRAME_MS) * 8

"""The playout against a naive carrier, on a clock that is only a number: what is sent and when, the
marks that come back, gaps, and any use of it all."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.audio.format import ALAW_8K, FRAME_MS, L16_16K, MULAW_8K, AudioFormat
from media.carrier import Play
from media.playout import (
    MARK_GRACE_MS,
    QUEUE_LIMIT_MS,
    Playout,
    PlayoutOverflow,
)
from media.playout_events import ReplyPlayed, ReplyStarted
from tests.support.playout_rig import CHUNK_MS, Rig, noise


class TestSending:
    def test_first_frame_leaves_at_once(self) -> None:
        rig = Rig()
        commands = rig.write(7, noise(165))
        assert commands[0] == Play(noise(160))
        assert rig.of(ReplyStarted) == [ReplyStarted(7, 1000)]

    def test_less_than_a_frame_waits_for_the_rest(self) -> None:
        """Telnyx takes no less than 20 ms in a message."""
        rig = Rig()
        assert not rig.write(7, noise(100))
        rig.wait(1000)
        assert not rig.line.sent
        rig.write(7, noise(60, 1))
        assert rig.line.sent == noise(100) + noise(60, 1)

    def test_audio_is_paced_by_the_lead(self) -> None:
        rig = Rig()
        rig.write(1, noise(8000))
        assert rig.line.ahead_ms(rig.now_ms) == 180
        rig.wait(300)
        assert 140 <= rig.line.ahead_ms(rig.now_ms) <= 200

    def test_end_is_filled_to_a_whole_frame_with_silence(self) -> None:
        rig = Rig(ALAW_8K)
        rig.write(1, noise(170))
        rig.finish(1)
        rig.wait(1000)
        assert rig.line.sent == noise(170) + b"\xd5" * 150

    def test_a_broken_sample_is_put_together_again(self) -> None:
        rig = Rig(L16_16K)
        rig.write(1, noise(7))
        rig.wait(10)
        rig.write(1, noise(6, 1))
        rig.finish(1)
        rig.wait(1000)
        whole = noise(7) + noise(6, 1)
        assert rig.line.sent[: len(whole)] == whole
        assert len(rig.line.sent) == L16_16K.frame_bytes

    def test_replies_play_one_after_another(self) -> None:
        rig = Rig()
        rig.write(1, noise(1600, 1))
        rig.write(2, noise(1600, 2))
        assert rig.of(ReplyStarted) == [ReplyStarted(1, 1000)]
        rig.finish(1)
        rig.finish(2)
        rig.wait(5000)
        assert rig.line.sent == noise(1600, 1) + noise(1600, 2)
        assert [event.reply for event in rig.of(ReplyPlayed)] == [1, 2]

    def test_tiny_pieces_do_not_run_ahead(self) -> None:
        """Pieces of less than a millisecond are time too."""
        rig = Rig(chunk_ms=20, lead_ms=40)
        for _ in range(400):
            rig.write(1, noise(15))
            rig.wait(1)
        assert rig.line.ahead_ms(rig.now_ms) <= 41

    def test_a_chunk_longer_than_the_lead_still_plays_without_holes(self) -> None:
        rig = Rig(lead_ms=40, chunk_ms=200)
        rig.write(1, noise(16_000))
        rig.finish(1)
        rig.wait(4000)
        assert rig.line.sent == noise(16_000)
        assert not rig.line.silent_ms

    def test_writes_after_the_end_are_ignored(self) -> None:
        rig = Rig()
        rig.write(1, noise(160))
        rig.finish(1)
        rig.write(1, noise(160))
        rig.wait(3000)
        assert rig.line.sent == noise(160)

    def test_more_than_ten_minutes_is_refused(self) -> None:
        playout = Playout(MULAW_8K)
        playout.write(1, bytes(QUEUE_LIMIT_MS * 8))
        with pytest.raises(PlayoutOverflow):
            playout.write(1, b"\0")


class TestMarks:
    def test_names_tell_reply_and_position(self) -> None:
        rig = Rig()
        rig.write(12, noise(20_000))
        rig.finish(12)
        rig.wait(10_000)
        *positions, end = rig.marks
        assert end == "12:end"
        numbers = [int(name.removeprefix("12:")) for name in positions]
        assert numbers == sorted(set(numbers))
        assert all(1000 <= b - a <= 1060 for a, b in pairwise(numbers))
        assert numbers[0] <= CHUNK_MS

    def test_end_mark_ends_the_reply_once(self) -> None:
        rig = Rig()
        rig.write(3, noise(800))
        rig.finish(3)
        rig.wait(100)
        rig.playout.mark_played(rig.now_ms, "3:end")
        rig.playout.mark_played(rig.now_ms, "3:end")
        rig.take_events()
        rig.wait(10_000)
        assert rig.of(ReplyPlayed) == [ReplyPlayed(3, 1100, 100)]

    @pytest.mark.parametrize("before", ["write", "chunk"])
    def test_an_end_mark_that_was_never_sent_means_nothing(self, before: str) -> None:
        rig = Rig(lag_ms=None)
        rig.write(3, noise(8000))
        if before == "chunk":
            rig.finish(3)
        rig.playout.mark_played(rig.now_ms, "3:end")
        rig.take_events()
        assert not rig.of(ReplyPlayed)

    def test_a_mark_that_never_returns_ends_the_reply_after_a_while(self) -> None:
        rig = Rig(lag_ms=None)
        rig.write(3, noise(800))
        rig.finish(3)
        rig.wait(100 + MARK_GRACE_MS - 1)
        assert not rig.of(ReplyPlayed)
        rig.wait(1)
        assert rig.of(ReplyPlayed) == [ReplyPlayed(3, 1100 + MARK_GRACE_MS, 100)]
        assert rig.playout.next_deadline() is None

    def test_a_lost_mark_is_noticed_though_another_reply_has_begun(self) -> None:
        rig = Rig(lag_ms=None)
        rig.write(3, noise(800))
        rig.finish(3)
        rig.playout.write(4, b"")
        rig.wait(10_000)
        assert [event.reply for event in rig.of(ReplyPlayed)] == [3]

    def test_a_reply_without_audio_is_played_at_once(self) -> None:
        rig = Rig()
        rig.finish(5)
        assert rig.of(ReplyPlayed) == [ReplyPlayed(5, 1000, 0)]
        assert not rig.marks

    @given(st.text(max_size=40))
    def test_any_name_is_survived(self, name: str) -> None:
        playout = Playout(MULAW_8K)
        playout.write(1, noise(800))
        playout.poll(0)
        for text in (name, f"1:{name}", f"{name}:end", "1:" + "9" * 500):
            playout.mark_played(100, text)
        assert [type(event) for event in playout.events] == [ReplyStarted]

    def test_late_marks_pull_the_estimate_back_by_half(self) -> None:
        rig = Rig(lag_ms=None)
        rig.write(1, noise(16_000))
        rig.wait(500)
        assert rig.playout.played_ms(rig.now_ms, 1) == 500
        first = int(rig.marks[0].removeprefix("1:"))
        rig.playout.mark_played(1000 + first + 200, rig.marks[0])
        assert rig.playout.played_ms(rig.now_ms, 1) == 400

    def test_one_who_hung_up_did_not_hear_what_was_under_way(self) -> None:
        rig = Rig(lag_ms=None)
        rig.write(1, noise(16_000))
        rig.wait(500)
        first = int(rig.marks[0].removeprefix("1:"))
        rig.playout.mark_played(1000 + first + 200, rig.marks[0])
        rig.playout.mark_played(1000 + first + 450, rig.marks[0])  # the least delay is the way's
        rig.playout.line_gone(rig.now_ms)
        assert rig.playout.cut_ms(rig.now_ms, 1) == 300
        assert rig.playout.cut_ms(rig.now_ms + 50, 1) == 300


class TestGaps:
    def test_audio_that_comes_too_late_is_counted(self) -> None:
        rig = Rig()
        rig.write(1, noise(800))
        rig.wait(350)
        rig.write(1, noise(800))
        assert rig.playout.gap_ms == 250
        assert rig.playout.late_ms_max == 250
        assert rig.playout.played_ms(rig.now_ms, 1) == 100
        rig.wait(40)
        assert rig.playout.played_ms(rig.now_ms, 1) == 140

    def test_silence_between_replies_is_none(self) -> None:
        rig = Rig()
        for reply in (1, 2):
            rig.write(reply, noise(800))
            rig.finish(reply)
            rig.wait(1000)
        assert rig.playout.gap_ms == 0


OPERATION = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 3000)),
    st.tuples(st.just("finish"), st.just(0)),
    st.tuples(st.just("next"), st.just(0)),
    st.tuples(st.just("clear"), st.just(0)),
    st.tuples(st.just("wait"), st.integers(0, 1500)),
    st.tuples(st.just("mark"), st.integers(0, 9)),
)


@settings(max_examples=250, deadline=None)
@given(
    st.lists(OPERATION, max_size=40),
    st.sampled_from([MULAW_8K, L16_16K]),
    st.sampled_from([(200, 60), (60, 60), (40, 20), (20, 100), (500, 50)]),
    st.sampled_from([0, 35, 300, None]),
)
def test_any_use(
    operations: list[tuple[str, int]],
    audio: AudioFormat,
    pacing: tuple[int, int],
    lag_ms: int | None,
) -> None:
    rig = Rig(audio, lead_ms=pacing[0], chunk_ms=pacing[1], lag_ms=lag_ms)
    reply, finished = 1, False
    expected = bytearray()  # everything that the carrier must have been sent at the end
    written = 0
    started: set[int] = set()
    cut: set[int] = set()
    last_played: dict[int, int] = {}
    for name, value in operations:
        if name == "write" and not finished:
            payload = noise(value, reply)
            expected += payload
            written += len(payload)
            if written:
                started.add(reply)
            rig.write(reply, payload)
        elif name == "finish" and not finished:
            expected += audio.silence(FRAME_MS)[written % audio.frame_bytes :] * (
                written % audio.frame_bytes > 0
            )
            finished = True
            rig.finish(reply)
        elif name == "next" and finished:
            reply, finished, written = reply + 1, False, 0
        elif name == "clear":
            heard_ms, _ = rig.clear(reply)
            assert 0 <= heard_ms <= written // audio.bytes_per_ms + FRAME_MS
            cut.update(range(1, reply + 1))
            assert expected.startswith(rig.line.sent)
            assert heard_ms <= len(rig.line.sent) // audio.bytes_per_ms
            expected = bytearray(rig.line.sent)
            reply, finished, written = reply + 1, False, 0
        elif name == "wait":
            rig.wait(value)
        elif name == "mark":
            rig.playout.mark_played(rig.now_ms, f"{value}:end")
            rig.take_events()
        played_ms = rig.playout.played_ms(rig.now_ms, reply)
        assert 0 <= played_ms <= len(rig.line.sent) // audio.bytes_per_ms
        if lag_ms == 0 and reply not in [event.reply for event in rig.of(ReplyPlayed)]:
            assert played_ms >= last_played.get(reply, 0), "what was heard stays heard"
            if played_ms:
                last_played[reply] = played_ms
    if not finished:
        expected += audio.silence(FRAME_MS)[written % audio.frame_bytes :] * (
            written % audio.frame_bytes > 0
        )
        rig.finish(reply)
    rig.wait(120_000)
    assert rig.line.sent == expected
    assert rig.playout.next_deadline() is None
    heard = [event.reply for event in rig.of(ReplyPlayed)]
    begun = [event.reply for event in rig.of(ReplyStarted)]
    assert len(heard) == len(set(heard))
    assert begun == sorted(set(begun))
    assert reply in heard
    assert (started - cut) <= set(begun)
    positions = [name.split(":")[0] for name in rig.marks if name.endswith(":end")]
    assert len(positions) == len(set(positions))

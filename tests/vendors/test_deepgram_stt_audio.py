"""The two clocks of a speech-to-text stream, and what is kept for a replay."""

from hypothesis import given
from hypothesis import strategies as st

from media.audio.format import L16_16K, MULAW_8K
from voicecore.adapters.stt_audio import AudioLog


def log(chunk_ms: int = 60, keep_ms: int = 5000) -> AudioLog:
    return AudioLog(MULAW_8K, chunk_ms=chunk_ms, keep_ms=keep_ms)


def feed(audio: AudioLog, count: int) -> list[bytes]:
    return [chunk for _ in range(count) if (chunk := audio.push(b"\x00" * 160))]


def test_frames_are_gathered() -> None:
    audio = log()
    assert [len(chunk) for chunk in feed(audio, 7)] == [480, 480]
    assert len(audio.flush()) == 160
    assert audio.flush() == b""
    assert audio.pushed_ms == 140


def test_times_are_equal_while_nothing_is_lost() -> None:
    audio = log()
    feed(audio, 60)
    assert [audio.to_ms(s) for s in (0, 0.5, 1.2)] == [0, 500, 1200]


def test_seconds_that_binary_cannot_hold_are_rounded_not_cut() -> None:
    audio = log(chunk_ms=20)
    feed(audio, 110)
    assert audio.to_ms(2.01) == 2010  # 2.01 * 1000 is a little less than 2010


def test_times_beyond_what_was_sent_are_pulled_back() -> None:
    audio = log()
    feed(audio, 50)
    audio.flush()
    assert audio.to_ms(99.0) == 1000
    assert audio.to_ms(-1.0) == 0


def test_a_hole_shifts_what_follows_it() -> None:
    audio = log()
    feed(audio, 60)
    audio.dropped(4000, 480)  # after 500 ms, 60 ms were thrown away
    assert audio.to_ms(0.4) == 400
    assert audio.to_ms(0.5) == 560
    assert audio.to_ms(1.0) == 1060


def test_holes_at_one_place_add_up() -> None:
    audio = log()
    feed(audio, 60)
    audio.dropped(4000, 480)
    audio.dropped(4000, 480)
    assert audio.to_ms(0.5) == 620


def test_silence_put_in_takes_no_time() -> None:
    audio = log(chunk_ms=20)
    feed(audio, 50)
    audio.silence_added(4000)
    feed(audio, 50)
    assert audio.to_ms(1.0) == 1000
    assert audio.to_ms(1.25) == 1000
    assert audio.to_ms(1.5) == 1000
    assert audio.to_ms(2.0) == 1500


def test_dropped_silence_is_no_hole() -> None:
    audio = log(chunk_ms=20)
    feed(audio, 50)
    audio.silence_added(800)
    feed(audio, 50)
    audio.dropped(8000, 800)
    assert audio.to_ms(1.5) == 1500


def test_a_replay_begins_where_the_last_final_ended() -> None:
    audio = log()
    feed(audio, 90)
    audio.settle(1010)
    chunks = audio.replay()
    assert sum(map(len, chunks)) == 790 * 8
    assert audio.connection_start_ms == 1010
    assert audio.to_ms(0.0) == 1010
    assert audio.to_ms(0.5) == 1510


def test_a_replay_is_bounded() -> None:
    audio = log(keep_ms=600)
    feed(audio, 3000)
    assert audio.kept_bytes <= 4800
    assert sum(map(len, audio.replay())) <= 4800
    assert audio.connection_start_ms == 60_000 - 600


def test_a_replay_of_nothing_starts_now() -> None:
    audio = log()
    feed(audio, 30)
    audio.settle(600)
    feed(audio, 1)
    assert audio.replay() == []
    assert audio.connection_start_ms == 600
    feed(audio, 2)
    assert audio.to_ms(0.06) == 660


def test_linear_audio_counts_two_bytes_a_sample() -> None:
    audio = AudioLog(L16_16K, chunk_ms=20, keep_ms=5000)
    for _ in range(50):
        audio.push(b"\x00" * 640)
    assert audio.to_ms(0.5) == 500


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(1, 20)),
        st.tuples(st.just("drop"), st.integers(0, 10)),
        st.tuples(st.just("settle"), st.integers(0, 4000)),
        st.tuples(st.just("replay"), st.just(0)),
    ),
    max_size=40,
)


@given(STEPS)
def test_the_clock_finds_every_surviving_frame(steps: list[tuple[str, int]]) -> None:
    """A model that numbers each 20 ms frame agrees about which frame the vendor heard when."""
    audio = log(chunk_ms=20, keep_ms=400)
    vendor: list[int] = []
    pushed = 0
    settled = 0
    for step, number in steps:
        if step == "push":
            feed(audio, number)
            vendor += range(pushed, pushed + number)
            pushed += number
        elif step == "drop" and number < len(vendor):
            audio.dropped(number * 160, 160)
            del vendor[number]
        elif step == "settle":
            settled = max(settled, min(number, pushed * 20))
            audio.settle(min(number, pushed * 20))
        elif step == "replay":
            chunks = audio.replay()
            first = audio.connection_start_ms
            assert first >= min(settled, pushed * 20)
            assert sum(map(len, chunks)) == (pushed * 20 - first) * 8
            vendor = list(range(first // 20, pushed)) if first % 20 == 0 else []
            if first % 20:
                return  # frames are cut from here on; the model counts whole ones
    for place, frame in enumerate(vendor):
        if frame * 20 >= settled:
            assert audio.to_ms((place * 20 + 10) / 1000) == frame * 20 + 10

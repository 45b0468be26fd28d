"""Speech by voice and text: what is kept, for how long, and what never is."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from media.audio.format import ALAW_8K, L16_16K, L16_24K, MULAW_8K, AudioFormat
from voicecore.adapters.registry import VendorConfig
from voicecore.providers.words import Word
from voicecore.speech_cache import Frequencies, Speech, SpeechCache, voice_key

CONFIG = VendorConfig("acme", "m1", "joe", "en", {"speed": 1.0, "key": "a secret"})
FORMATS = (MULAW_8K, ALAW_8K, L16_16K, L16_24K)


def speech(duration_ms: int = 100, audio: AudioFormat = MULAW_8K, word: str = "word") -> Speech:
    payload = b"\x11" * (duration_ms * audio.bytes_per_ms)
    return Speech(audio, payload, (Word(word, 0, duration_ms),))


def counted_bytes(cache: SpeechCache) -> int:
    return sum(
        len(kept.audio)
        for entry in cache._entries.values()
        for kept in (entry.original, *entry.lines.values())
    )


@given(
    limit_bytes=st.integers(0, 40_000),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["put", "find"]),
            st.integers(0, 8),
            st.integers(1, 600),
            st.sampled_from(FORMATS),
        ),
        max_size=60,
    ),
)
def test_the_bound_is_never_exceeded(
    limit_bytes: int, steps: list[tuple[str, int, int, AudioFormat]]
) -> None:
    cache = SpeechCache(limit_bytes, longest_ms=500)
    for step, number, duration_ms, audio in steps:
        text = f"Sentence {number}."
        if step == "put":
            taken = cache.put("voice", text, speech(duration_ms, audio))
            assert not taken or cache.original("voice", text) == speech(duration_ms, audio)
        else:
            original = cache.original("voice", text)
            found = cache.find("voice", text, audio)
            assert (found is None) == (original is None)
            if found is not None and original is not None:
                assert found.format == audio
                assert found.words == original.words
                assert abs(found.duration_ms - original.duration_ms) <= 1
        assert counted_bytes(cache) <= cache.size_bytes <= limit_bytes
        assert cache.size_bytes == sum(entry.size_bytes for entry in cache._entries.values())
        assert all(entry.original.duration_ms <= 500 for entry in cache._entries.values())


VARIANTS: list[tuple[str, Any]] = [
    ("vendor", "other"),
    ("model", "m2"),
    ("voice", "ann"),
    ("language", "de"),
    ("settings", {"speed": 1.1, "key": "a secret"}),
    ("settings", {"speed": 1.0, "key": "another"}),
    ("settings", {}),
]


@pytest.mark.parametrize(("field", "value"), VARIANTS)
def test_every_part_of_the_key_keeps_voices_apart(field: str, value: Any) -> None:
    cache = SpeechCache()
    cache.put(voice_key(CONFIG), "Hello.", speech())
    other = structs.replace(CONFIG, **{field: value})
    assert cache.find(voice_key(other), "Hello.", MULAW_8K) is None
    assert cache.find(voice_key(CONFIG), "Hello.", MULAW_8K) == speech()
    assert cache.find(voice_key(CONFIG), "Hello", MULAW_8K) is None, "the text is a part too"


_NAMES = st.text(max_size=8)
_CONFIGS = st.builds(
    VendorConfig, _NAMES, _NAMES, _NAMES, _NAMES, st.dictionaries(_NAMES, _NAMES, max_size=3)
)


@given(one=_CONFIGS, other=_CONFIGS)
def test_only_equal_configurations_share_a_key(one: VendorConfig, other: VendorConfig) -> None:
    assert (voice_key(one) == voice_key(other)) == (one == other)
    reordered = structs.replace(one, settings=dict(reversed(list(one.settings.items()))))
    assert voice_key(reordered) == voice_key(one)


def test_no_secret_is_in_the_key() -> None:
    assert "secret" not in voice_key(CONFIG)
    assert "joe" not in voice_key(CONFIG)


@pytest.mark.parametrize(
    "wrong",
    [
        Speech(MULAW_8K, b"", ()),
        Speech(L16_16K, b"\0" * 3201, ()),
        speech(20_001),
        Speech(MULAW_8K, b"\1" * 800, (Word("cut", 0, 700),)),
        Speech(MULAW_8K, b"\1" * 800, (Word("odd", 80, -1),)),
        Speech(MULAW_8K, b"\1" * 800, (Word("x", 0, 10),) * 100),
    ],
    ids=["empty", "half a sample", "long", "words beyond its end", "backwards", "many words"],
)
def test_speech_that_is_not_whole_is_not_taken(wrong: Speech) -> None:
    cache = SpeechCache()
    assert not cache.put("voice", "Hello.", wrong)
    assert (len(cache), cache.size_bytes) == (0, 0)


@pytest.mark.parametrize("text", ["", "x" * 301])
def test_texts_have_a_bound(text: str) -> None:
    assert not SpeechCache().put("voice", text, speech())


def test_the_least_recently_used_goes_first() -> None:
    one_bytes = 3000
    cache = SpeechCache(3 * one_bytes)
    for name in "abc":
        assert cache.put("voice", name, speech(200))
    assert cache.find("voice", "a", MULAW_8K) is not None
    assert cache.put("voice", "d", speech(200))
    kept = [name for name in "abcd" if cache.original("voice", name) is not None]
    assert "a" in kept
    assert "d" in kept
    assert "b" not in kept


def test_narrow_speech_is_not_used_beside_wide_speech() -> None:
    cache = SpeechCache()
    cache.put("voice", "Hello.", speech(100, MULAW_8K))
    assert cache.find("voice", "Hello.", L16_16K, at_least_hz=16_000) is None
    assert cache.find("voice", "Hello.", L16_16K) is not None
    assert cache.put("voice", "Hello.", speech(100, L16_16K)), "a better one takes its place"
    assert cache.find("voice", "Hello.", L16_16K, at_least_hz=16_000) == speech(100, L16_16K)
    assert cache.find("voice", "Hello.", MULAW_8K, at_least_hz=8_000) is not None
    assert not cache.put("voice", "Hello.", speech(100, MULAW_8K))
    assert len(cache) == 1


def test_a_conversion_is_made_once() -> None:
    cache = SpeechCache()
    cache.put("voice", "Hello.", speech(100, L16_24K))
    assert cache.find("voice", "Hello.", ALAW_8K) is cache.find("voice", "Hello.", ALAW_8K)


def test_what_is_used_more_is_not_displaced() -> None:
    cache = SpeechCache(5000)
    cache.put("voice", "Hot.", speech(300))
    for _ in range(5):
        cache.find("voice", "Hot.", MULAW_8K)
    assert cache.is_worth(1000, 1), "there is room"
    assert not cache.is_worth(3000, 5)
    assert cache.is_worth(3000, 6)
    assert not cache.is_worth(5001, 1000)


@given(texts=st.lists(st.sampled_from("abcdefgh"), max_size=200), limit=st.integers(1, 6))
def test_counting_is_bounded_and_counts_no_more_than_was_given(
    texts: list[str], limit: int
) -> None:
    frequencies = Frequencies(limit)
    for place, text in enumerate(texts, start=1):
        assert 1 <= frequencies.give(text) <= texts[:place].count(text)
        assert len(frequencies) <= limit


def test_what_is_not_said_any_more_is_forgotten() -> None:
    frequencies = Frequencies(4)
    assert [frequencies.give("a") for _ in range(4)] == [1, 2, 3, 4]
    for _ in range(30):
        frequencies.give("b")
    assert frequencies.give("a") == 3
    frequencies.forget("a")
    assert frequencies.give("a") == 1

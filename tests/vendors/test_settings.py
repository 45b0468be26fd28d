"""All that is wrong with a vendor's block is told at once, each problem with its field."""

from typing import Any

import msgspec
import pytest
from pydantic import BaseModel

from voicecore.adapters.registry import (
    ConfigProblem,
    VendorConfig,
    VendorConfigError,
    make_llm,
    make_stt,
    make_tts,
)
from voicecore.adapters.settings import read_settings

WRONG: list[tuple[Any, dict[str, Any], set[str]]] = [
    (
        make_stt,
        {
            "vendor": "moonshine",
            "language": "de",
            "settings": {"interims": "maybe", "nice": -1, "beams": 2},
        },
        {"language", "settings.interims", "settings.nice", "settings.beams"},
    ),
    (
        make_tts,
        {"vendor": "piper", "settings": {"speed": 3, "threads": -1, "loud": True, "nice": 1}},
        {"settings.speed", "settings.threads", "settings.loud"},
    ),
    (
        make_llm,
        {"vendor": "llama", "settings": {"slots": 0, "speakers": ["A", ""], "tools": "no"}},
        {"settings.slots", "settings.speakers[1]", "settings.tools"},
    ),
    (
        make_stt,
        {"vendor": "deepgram", "settings": {"chunk_ms": 1, "endpointing": 5, "speed": 1}},
        {"settings.chunk_ms", "settings.endpointing", "settings.speed"},
    ),
    (
        make_stt,
        {"vendor": "deepgram", "settings": {"endpointing": "soon", "tag": 7}},
        {"settings.endpointing", "settings.tag"},
    ),
    (
        make_stt,
        {
            "vendor": "deepgram",
            "model": "flux",
            "language": "de",
            "settings": {"eager_eot_threshold": 0.9, "language_hint": ["de"]},
        },
        {"language", "settings.eager_eot_threshold", "settings.language_hint"},
    ),
    (
        make_tts,
        {"vendor": "deepgram", "model": "nova-3", "settings": {"speed": 9}},
        {"model", "settings.speed"},
    ),
    (
        make_tts,
        {
            "vendor": "elevenlabs",
            "settings": {"voice_settings": {"speed": 2, "style": 2}, "seed": -1},
        },
        {
            "model",
            "voice",
            "settings.voice_settings.speed",
            "settings.voice_settings.style",
            "settings.seed",
        },
    ),
    (
        make_tts,
        {"vendor": "openai", "settings": {"speed": 9, "rate_hz": 1}},
        {"model", "voice", "settings.speed", "settings.rate_hz"},
    ),
    (
        make_llm,
        {"vendor": "openai", "settings": {"temperature": 9, "base_url": "x"}},
        {"model", "settings.temperature", "settings.base_url"},
    ),
]


@pytest.mark.parametrize(
    ("make", "block", "fields"), WRONG, ids=[str(row[1]["vendor"]) for row in WRONG]
)
def test_everything_wrong_is_told_at_once(
    make: Any, block: dict[str, Any], fields: set[str]
) -> None:
    with pytest.raises(VendorConfigError) as caught:
        make(VendorConfig(**block), {})
    told = [problem.field for problem in caught.value.problems]
    assert sorted(told) == sorted(fields), "each once"
    assert all(problem.detail for problem in caught.value.problems)
    assert all(field in str(caught.value) for field in fields)
    assert (caught.value.field, caught.value.detail) == (
        caught.value.problems[0].field,
        caught.value.problems[0].detail,
    )


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    depth: int


class Needy(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    inner: Inner | None = None


class Loose(msgspec.Struct):
    name: str = ""


class NeedyModel(BaseModel):
    name: str
    inner: dict[str, int] = {}


def problems(settings: dict[str, Any], kind: Any, **more: Any) -> dict[str, str]:
    with pytest.raises(VendorConfigError) as caught:
        read_settings(VendorConfig("acme", settings=settings), kind, **more)
    return {problem.field: problem.detail for problem in caught.value.problems}


@pytest.mark.parametrize("kind", [Needy, NeedyModel])
def test_a_missing_setting_is_told_with_the_wrong_ones(kind: Any) -> None:
    assert problems({"inner": 3}, kind).keys() == {"settings.name", "settings.inner"}
    assert problems({"inner": {"depth": "x"}}, kind).keys() == {
        "settings.name",
        "settings.inner.depth",
    }


def test_settings_that_may_be_unknown_are() -> None:
    assert problems({"other": 1, "name": 2}, Loose).keys() == {"settings.name"}
    assert read_settings(VendorConfig("acme", settings={"other": 1}), Loose) == Loose()


def test_what_is_wrong_elsewhere_is_told_first() -> None:
    also = [ConfigProblem("model", "must name a model")]
    assert list(problems({}, Needy, also=also)) == ["model", "settings.name"]
    assert list(problems({"name": "x"}, Needy, also=also)) == ["model"]


def test_settings_are_checked_together_only_where_each_is_right() -> None:
    def check(settings: Needy) -> list[ConfigProblem]:
        return [ConfigProblem("settings.name", f"{settings.name} is taken")]

    assert problems({"name": "x"}, Needy, check=check) == {"settings.name": "x is taken"}
    assert problems({"name": 1}, Needy, check=check).keys() == {"settings.name"}

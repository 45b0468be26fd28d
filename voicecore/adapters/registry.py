"""Which vendors exist, and how a configured one is made.

A vendor's module is imported only when an agent uses it: SDKs cost up to a second and
50 MB each.
"""

import importlib
from collections.abc import Mapping
from typing import Any, Literal, cast

import msgspec

from voicecore.providers.llm import Llm
from voicecore.providers.stt import Stt
from voicecore.providers.tts import Tts

Kind = Literal["stt", "llm", "tts"]


class VendorConfig(msgspec.Struct, frozen=True):
    """A vendor as an agent file names it. ``settings`` are the vendor's own."""

    vendor: str
    model: str = ""
    voice: str = ""
    language: str = "en"
    settings: Mapping[str, Any] = {}


class ConfigProblem(msgspec.Struct, frozen=True):
    """``field`` is a dotted path below the vendor's block, such as ``settings.speed``."""

    field: str
    detail: str


class VendorConfigError(Exception):
    """A vendor's block is wrong. ``problems`` are all that were found in it, ``field`` and
    ``detail`` the first of them."""

    def __init__(self, field: str, detail: str, *others: ConfigProblem) -> None:
        self.problems = (ConfigProblem(field, detail), *others)
        super().__init__("; ".join(f"{each.field}: {each.detail}" for each in self.problems))
        self.field = field
        self.detail = detail


class Adapter(msgspec.Struct, frozen=True):
    """``factory`` is ``module:callable``, called with a ``VendorConfig`` and the secrets (a
    mapping of environment-style names, ``DEEPGRAM_API_KEY``). It does no I/O; it raises
    ``VendorConfigError``."""

    kind: Kind
    vendor: str
    factory: str


ADAPTERS: tuple[Adapter, ...] = (
    Adapter("stt", "deepgram", "voicecore.adapters.deepgram_stt:deepgram_stt"),
    Adapter("stt", "moonshine", "voicecore.adapters.moonshine_stt:MoonshineStt"),
    Adapter("stt", "scripted", "voicecore.adapters.scripted_stt:ScriptedStt"),
    Adapter("llm", "openai", "voicecore.adapters.openai_llm:OpenAiLlm"),
    Adapter("llm", "llama", "voicecore.adapters.llama_llm:LlamaLlm"),
    Adapter("llm", "scripted", "voicecore.adapters.scripted_llm:ScriptedLlm"),
    Adapter("tts", "elevenlabs", "voicecore.adapters.elevenlabs_tts:ElevenLabsTts"),
    Adapter("tts", "openai", "voicecore.adapters.openai_tts:OpenAiTts"),
    Adapter("tts", "deepgram", "voicecore.adapters.deepgram_tts:DeepgramTts"),
    Adapter("tts", "piper", "voicecore.adapters.piper_tts:PiperTts"),
    Adapter("tts", "scripted", "voicecore.adapters.scripted_tts:ScriptedTts"),
)


def vendors(kind: Kind) -> tuple[str, ...]:
    """The names of every vendor of a kind."""
    return tuple(adapter.vendor for adapter in ADAPTERS if adapter.kind == kind)


def make_stt(config: VendorConfig, secrets: Mapping[str, str]) -> Stt:
    return cast(Stt, _make("stt", config, secrets))


def make_llm(config: VendorConfig, secrets: Mapping[str, str]) -> Llm:
    return cast(Llm, _make("llm", config, secrets))


def make_tts(config: VendorConfig, secrets: Mapping[str, str]) -> Tts:
    return cast(Tts, _make("tts", config, secrets))


def _make(kind: Kind, config: VendorConfig, secrets: Mapping[str, str]) -> object:
    for adapter in ADAPTERS:
        if adapter.kind == kind and adapter.vendor == config.vendor:
            module, _, name = adapter.factory.partition(":")
            return getattr(importlib.import_module(module), name)(config, secrets)
    known = ", ".join(vendors(kind))
    raise VendorConfigError("vendor", f"no {kind} vendor named {config.vendor!r}; known: {known}")

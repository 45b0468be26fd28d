"""What a caller does on a call, as data. ``load_script`` reads it from YAML."""

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from media.audio.format import ALAW_8K, L16_16K, MULAW_8K, AudioFormat
from voicecore.adapters.registry import VendorConfig

CODECS: Mapping[str, AudioFormat] = {"mulaw": MULAW_8K, "alaw": ALAW_8K, "l16_16k": L16_16K}

DEFAULT_TIMEOUT_MS = 120_000

UtteranceKind = Literal["say", "interrupt", "play", "murmur", "cough"]
WaitCondition = Literal["agent_finished", "agent_speaking", "call_ended"]


class Utter(msgspec.Struct, frozen=True):
    """Make a sound. ``text`` is spoken; else the sound file at ``path`` is played; a cough has
    neither. An ``interrupt`` waits until the agent has spoken for ``after_ms``, at most
    ``timeout_ms``; ``after_ms`` None speaks at once."""

    line: int
    kind: UtteranceKind
    text: str = ""
    path: str = ""
    after_ms: int | None = None
    timeout_ms: int = 0

    @property
    def sound(self) -> str:
        """The key of its sound: equal sounds are made once."""
        if self.text:
            return f"text:{self.text}"
        return f"file:{self.path}" if self.path else "cough"


class Wait(msgspec.Struct, frozen=True):
    """Be silent until the agent has spoken and then been quiet for ``ms``
    (``agent_finished``), is ``ms`` into its speech (``agent_speaking``), or has hung up
    (``call_ended``)."""

    line: int
    condition: WaitCondition
    ms: int
    timeout_ms: int


class Silence(msgspec.Struct, frozen=True):
    line: int
    ms: int


class PressKeys(msgspec.Struct, frozen=True):
    """Press ``0-9 A-D * #`` one after the other; ``w`` waits half a second."""

    line: int
    digits: str


class HangUp(msgspec.Struct, frozen=True):
    line: int


class Drop(msgspec.Struct, frozen=True):
    """The socket dies without a word, with ``half_message`` in the middle of a message."""

    line: int
    half_message: bool = False


class Repeat(msgspec.Struct, frozen=True):
    """Do ``steps`` again, ``times`` times or until ``for_ms`` have passed; a pass that has begun
    is finished."""

    line: int
    steps: tuple["Step", ...]
    times: int | None = None
    for_ms: int | None = None


Step = Utter | Wait | Silence | PressKeys | HangUp | Drop | Repeat


class Script(msgspec.Struct, frozen=True):
    """A whole call. ``codec`` is what the server hears, ``agent_codec`` what it must send."""

    steps: tuple[Step, ...]
    carrier: str = "twilio"
    codec: AudioFormat = MULAW_8K
    agent_codec: AudioFormat = MULAW_8K
    l16_big_endian: bool = True
    voice: VendorConfig | None = None
    voice_line: int = 1
    parameters: Mapping[str, str] = {}
    from_number: str = "+15550100001"
    to_number: str = "+15550100002"
    noise_dbfs: float | None = None
    audible_dbfs: float = -45.0
    timeout_ms: int = DEFAULT_TIMEOUT_MS


def leaves(steps: tuple[Step, ...]) -> Iterator[Step]:
    """Every step, those repeated too, once and in order."""
    for step in steps:
        if isinstance(step, Repeat):
            yield from leaves(step.steps)
        else:
            yield step


def utterances(script: Script) -> Mapping[str, Utter]:
    """One utterance for each different sound, by its key."""
    return {step.sound: step for step in leaves(script.steps) if isinstance(step, Utter)}

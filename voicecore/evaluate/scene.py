"""A scene: what one caller does on one call, as data. ``scene_file`` reads it from YAML."""

from collections.abc import Mapping
from typing import Literal

import msgspec

Kind = Literal["turn", "interruption", "backchannel", "tic", "side_talk", "background"]
KINDS: tuple[Kind, ...] = (
    "turn", "interruption", "backchannel", "tic", "side_talk", "background",
)  # fmt: skip
TURNS: frozenset[Kind] = frozenset(("turn", "interruption"))
"""What is meant for the agent and wants an answer. All else is to be ignored."""

NoiseName = Literal["none", "white", "hum", "babble", "street"]


class CallerVoice(msgspec.Struct, frozen=True):
    """A local voice. ``pitch`` moves its pitch and its formants: another person."""

    engine: str
    pitch: float = 1.0


VOICES: Mapping[str, CallerVoice] = {
    "joe": CallerVoice("joe"),
    "joe-light": CallerVoice("joe", 1.12),
    "joe-bright": CallerVoice("joe", 1.18),
    "joe-deep": CallerVoice("joe", 0.92),
    "heart": CallerVoice("heart"),
    "heart-deep": CallerVoice("heart", 0.88),
}


class SceneLine(msgspec.Struct, frozen=True):
    """The caller's line: noise that lies ``snr_db`` below speech of level 0."""

    noise: NoiseName = "white"
    snr_db: float = 30.0


class SceneEvent(msgspec.Struct, frozen=True):
    """One thing the caller does. ``parts`` are texts to be spoken, pauses in milliseconds, and
    sounds such as ``[cough]``. Exactly one of the times is set: ``at_ms`` into the agent's speech,
    ``after_agent_ms`` of the agent's silence, or ``after_own_ms`` since the caller's own last
    sound. ``level_db`` is relative to ordinary speech."""

    kind: Kind
    parts: tuple[str | int, ...]
    voice: str
    speed: float = 1.0
    at_ms: int | None = None
    after_agent_ms: int | None = None
    after_own_ms: int | None = None
    level_db: float = 0.0

    @property
    def text(self) -> str:
        """For people: the texts, with pauses as points."""
        return " ".join("…" if isinstance(part, int) else part for part in self.parts)


class Scene(msgspec.Struct, frozen=True):
    """One call. ``listen_ms``: how long the caller stays after the last thing that wants no
    answer."""

    id: str
    group: str
    title: str
    events: tuple[SceneEvent, ...]
    carrier: str = "twilio"
    line: SceneLine = SceneLine()
    listen_ms: int = 3_500
    quick: bool = False
    """Belongs to the short run."""


class Suite(msgspec.Struct, frozen=True):
    name: str
    scenes: tuple[Scene, ...]

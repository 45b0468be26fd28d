"""Reads scenes from YAML, strictly: every mistake at once, with its place.
``docs/evaluate.md`` describes every field."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, model_validator

from media.phone.sides import carrier_names
from voicecore.evaluate.effects import SOUND_NAMES
from voicecore.evaluate.scene import (
    KINDS,
    TURNS,
    VOICES,
    NoiseName,
    Scene,
    SceneEvent,
    SceneLine,
    Suite,
)
from voicecore.yaml_lines import FieldProblem, YamlDocument, YamlFileError, dotted, read_yaml
from voicecore.yaml_models import parse_model

SETS = Path(__file__).parent / "scenes"
"""The scenes that come with voicecore."""
MAX_SCENES = 2_000
_ID = r"^[a-z0-9][a-z0-9-]{0,59}$"
_SOUND = re.compile(r"\[([a-z_]+)\]")

_Text = Annotated[str, Field(min_length=1, max_length=400)]
_Pause = Annotated[StrictInt, Field(ge=20, le=10_000)]
_Parts = _Text | Annotated[list[_Text | _Pause], Field(min_length=1, max_length=40)]
_Level = Annotated[float, Field(ge=-40, le=12)]
_Speed = Annotated[float, Field(ge=0.6, le=1.6)]


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Line(_Block):
    noise: NoiseName = "white"
    snr_db: float = Field(default=30.0, ge=0, le=60)


class _Event(_Block):
    turn: _Parts | None = None
    interruption: _Parts | None = None
    backchannel: _Parts | None = None
    tic: _Parts | None = None
    side_talk: _Parts | None = None
    background: _Parts | None = None
    at_ms: StrictInt | None = Field(default=None, ge=0, le=60_000)
    after_agent_ms: StrictInt | None = Field(default=None, ge=100, le=20_000)
    after_own_ms: StrictInt | None = Field(default=None, ge=20, le=20_000)
    level_db: _Level = 0.0
    voice: str | None = None
    speed: _Speed | None = None

    @model_validator(mode="after")
    def _one_of_each(self) -> "_Event":
        kinds = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(kinds) != 1:
            raise ValueError(f"needs exactly one of: {', '.join(KINDS)}")
        times = (self.at_ms, self.after_agent_ms, self.after_own_ms)
        if sum(time is not None for time in times) > 1:
            raise ValueError("give one of at_ms, after_agent_ms, after_own_ms")
        if kinds[0] == "interruption" and self.at_ms is None:
            raise ValueError("an interruption needs at_ms: when in the agent's speech it begins")
        return self


class _Scene(_Block):
    id: str = Field(pattern=_ID)
    title: str = Field(min_length=1, max_length=200)
    group: str | None = Field(default=None, pattern=_ID)
    carrier: str | None = None
    voice: str | None = None
    speed: _Speed | None = None
    line: _Line | None = None
    listen_ms: StrictInt = Field(default=3_500, ge=500, le=20_000)
    quick: StrictBool = False
    call: list[_Event] = Field(min_length=1, max_length=30)


class _File(_Block):
    version: Literal[1]
    group: str = Field(pattern=_ID)
    carrier: str = "twilio"
    voice: str = "joe"
    speed: _Speed = 1.0
    line: _Line = _Line()
    scenes: list[_Scene] = Field(min_length=1, max_length=500)


def load_scenes(path: Path) -> tuple[Scene, ...]:
    """The scenes of one file.

    :raises YamlFileError: with everything that is wrong."""
    document = read_yaml(path)
    file = parse_model(document, _File)
    problems = list(_problems(document, file))
    if problems:
        raise YamlFileError(document.source, problems)
    return tuple(_scene(file, scene) for scene in file.scenes)


def load_suite(folder: Path, name: str) -> Suite:
    """All files ``*.yaml`` of a folder, by their names' order.

    :raises YamlFileError: a file is wrong, two scenes have one id, or there is none."""
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise YamlFileError(str(folder), [FieldProblem((), "there is no scene file (*.yaml)")])
    scenes: list[Scene] = []
    files: dict[str, Path] = {}
    for path in paths:
        for scene in load_scenes(path):
            if scene.id in files:
                detail = f"the id {scene.id!r} is also in {files[scene.id]}"
                raise YamlFileError(str(path), [FieldProblem((), detail)])
            files[scene.id] = path
            scenes.append(scene)
    if len(scenes) > MAX_SCENES:
        detail = f"there are {len(scenes)} scenes, more than {MAX_SCENES}"
        raise YamlFileError(str(folder), [FieldProblem((), detail)])
    return Suite(name, tuple(scenes))


def set_names() -> list[str]:
    """The sets of scenes that come with voicecore."""
    return sorted(path.stem for path in SETS.glob("*.yaml"))


def _problems(document: YamlDocument, file: _File) -> Iterable[FieldProblem]:
    yield from _names(document, (), file)
    ids: set[str] = set()
    for place, scene in enumerate(file.scenes):
        path = ("scenes", place)
        yield from _names(document, path, scene)
        if scene.id in ids:
            yield document.problem((*path, "id"), f"{scene.id!r} is the id of another scene too")
        ids.add(scene.id)
        for number, event in enumerate(scene.call):
            yield from _event_problems(document, (*path, "call", number), event, number)


def _names(document: YamlDocument, path: tuple[Any, ...], block: Any) -> Iterable[FieldProblem]:
    if block.voice is not None and block.voice not in VOICES:
        detail = f"there is no voice {block.voice!r}; known: {', '.join(VOICES)}"
        yield document.problem((*path, "voice"), detail)
    carrier = getattr(block, "carrier", None)
    if carrier is not None and carrier not in carrier_names():
        detail = f"there is no carrier {carrier!r}; known: {', '.join(carrier_names())}"
        yield document.problem((*path, "carrier"), detail)


def _event_problems(
    document: YamlDocument, path: tuple[Any, ...], event: _Event, number: int
) -> Iterable[FieldProblem]:
    yield from _names(document, path, event)
    kind = _kind(event)
    parts = _parts(event)
    for part in parts:
        found = _SOUND.fullmatch(part) if isinstance(part, str) else None
        if found is not None and found[1] not in SOUND_NAMES:
            known = ", ".join(f"[{name}]" for name in SOUND_NAMES)
            yield document.problem((*path, kind), f"there is no sound {part}; known: {known}")
    if isinstance(parts[0], int) or isinstance(parts[-1], int):
        detail = "begins or ends with a pause; say when with after_own_ms of an event"
        yield document.problem((*path, kind), detail)
    if number == 0 and event.after_own_ms is not None:
        detail = f"{dotted(path)}: the caller has made no sound before"
        yield document.problem((*path, "after_own_ms"), detail)


def _kind(event: _Event) -> Any:
    return next(kind for kind in KINDS if getattr(event, kind) is not None)


def _parts(event: _Event) -> tuple[str | int, ...]:
    said = getattr(event, _kind(event))
    return (said,) if isinstance(said, str) else tuple(said)


def _scene(file: _File, scene: _Scene) -> Scene:
    line = scene.line or file.line
    return Scene(
        id=scene.id,
        group=scene.group or file.group,
        title=scene.title,
        events=tuple(_event(file, scene, event) for event in scene.call),
        carrier=scene.carrier or file.carrier,
        line=SceneLine(line.noise, line.snr_db),
        listen_ms=scene.listen_ms,
        quick=scene.quick,
    )


def _event(file: _File, scene: _Scene, event: _Event) -> SceneEvent:
    kind = _kind(event)
    timed = event.at_ms is not None or event.after_own_ms is not None
    after_agent_ms = event.after_agent_ms
    if not timed and after_agent_ms is None:
        after_agent_ms = 700 if kind in TURNS else 1_000
    return SceneEvent(
        kind=kind,
        parts=_parts(event),
        voice=event.voice or scene.voice or file.voice,
        speed=event.speed or scene.speed or file.speed,
        at_ms=event.at_ms,
        after_agent_ms=after_agent_ms,
        after_own_ms=event.after_own_ms,
        level_db=event.level_db,
    )

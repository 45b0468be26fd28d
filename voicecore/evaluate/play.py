"""From a scene to what the phone needs: a script, its sounds, and a caller on a noisy line."""

import hashlib
from collections.abc import Callable, Mapping

import msgspec
import numpy as np
import pybase64

from media.audio.format import L16_8K
from media.audio.g711 import encode_mulaw
from voicecore.evaluate.effects import RATE_HZ, SPEECH_DBFS, Samples, line_noise, sound
from voicecore.evaluate.scene import TURNS, Scene, SceneEvent
from voicecore.evaluate.speech import Text, spoken
from voicecore.phone.caller import Caller
from voicecore.phone.script import Script, Silence, Step, Utter, UtteranceKind, Wait
from voicecore.phone.sounds import Frame, Sounds, Wire, make_sounds

FRAME = RATE_HZ // 50
NOISE_S = 20.0
AGENT_TIMEOUT_MS = 30_000
"""How long a caller waits for the agent to end what it says."""
ANSWER_TIMEOUT_MS = 8_000
UNGREETED_MS = 1_500
"""When a caller begins who was not greeted."""
AFTER_INTERRUPTION_MS = 2_000
ANSWER_HEARD_MS = 600


class Spoken(msgspec.Struct, frozen=True):
    """An event as sound. ``pauses_ms``: the intended pauses within it, from its start."""

    samples: Samples
    pauses_ms: tuple[tuple[int, int], ...]


class Play(msgspec.Struct, frozen=True):
    """A scene ready to be played."""

    scene: Scene
    script: Script
    sounds: Sounds
    make_caller: Callable[..., Caller]
    spoken: tuple[Spoken, ...]


def prepare_play(
    scene: Scene, speech: Mapping[Text, Samples], seed: int, *, greets: bool = True
) -> Play:
    """Pure. The same for the same scene, speech and seed. ``greets``: the agent speaks first."""
    said = tuple(
        _spoken(event, speech, scene_seed(scene, seed) + number)
        for number, event in enumerate(scene.events)
    )
    pcm = {f"file:{_key(number)}": _pcm16(sounds.samples) for number, sounds in enumerate(said)}
    noise = line_noise(
        scene.line.noise, NOISE_S, SPEECH_DBFS - scene.line.snr_db, scene_seed(scene, seed)
    )

    def make_caller(*args: object, **options: object) -> Caller:
        return NoisyCaller(noise, *args, **options)

    script = Script(_steps(scene, greets), carrier=scene.carrier, timeout_ms=240_000)
    return Play(scene, script, make_sounds(Wire(L16_8K), pcm), make_caller, said)


def scene_seed(scene: Scene, seed: int) -> int:
    """Its own for each scene, whichever others are played."""
    digest = hashlib.sha256(f"{seed}.{scene.id}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


class NoisyCaller(Caller):
    """Its script's frames are 16-bit samples; noise is laid under them without a break, and they
    leave as mu-law."""

    def __init__(self, noise: Samples, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        self._noise = noise[: len(noise) // FRAME * FRAME].reshape(-1, FRAME) * 32_768
        self._beat = 0

    def tick(self, now_us: int, agent: tuple[int, int] | None) -> Frame:
        clean = np.frombuffer(super().tick(now_us, agent).payload, dtype="<i2")
        mixed = clean + self._noise[self._beat % len(self._noise)]
        self._beat += 1
        payload = encode_mulaw(np.rint(mixed.clip(-32_768, 32_767)).astype("<i2").tobytes())
        return Frame(payload, pybase64.b64encode(payload))


def _spoken(event: SceneEvent, speech: Mapping[Text, Samples], seed: int) -> Spoken:
    gain = 10 ** (event.level_db / 20)
    said = iter(spoken(event, speech))
    pieces: list[Samples] = []
    pauses: list[tuple[int, int]] = []
    size = 0
    for number, part in enumerate(event.parts):
        if isinstance(part, int):
            piece = np.zeros(part * RATE_HZ // 1000)
            start_ms = size * 1000 // RATE_HZ
            pauses.append((start_ms, start_ms + part))
        elif part.startswith("["):
            piece = sound(part[1:-1], seed + number) * gain
        else:
            piece = next(said) * gain
        pieces.append(piece)
        size += len(piece)
    return Spoken(np.concatenate(pieces), tuple(pauses))


def _pcm16(samples: Samples) -> bytes:
    pcm16: bytes = np.rint((samples * 32_768).clip(-32_768, 32_767)).astype("<i2").tobytes()
    return pcm16


def _key(number: int) -> str:
    return f"event-{number}"


def _steps(scene: Scene, greets: bool) -> tuple[Step, ...]:
    """The number of an event is the ``line`` of its steps."""
    steps: list[Step] = []
    for number, event in enumerate(scene.events):
        if not (number or greets or event.after_agent_ms is None):
            steps.append(Silence(number, UNGREETED_MS))
            event = msgspec.structs.replace(event, after_agent_ms=None)
        steps += _event_steps(event, number)
    last = scene.events[-1]
    number = len(scene.events)
    if last.kind in TURNS:
        if last.kind == "interruption":
            steps.append(Silence(number, AFTER_INTERRUPTION_MS))
        steps.append(Wait(number, "agent_speaking", ANSWER_HEARD_MS, ANSWER_TIMEOUT_MS))
    else:
        steps.append(Silence(number, scene.listen_ms))
    return tuple(steps)


def _event_steps(event: SceneEvent, number: int) -> list[Step]:
    steps: list[Step] = []
    if event.after_agent_ms is not None:
        steps.append(Wait(number, "agent_finished", event.after_agent_ms, AGENT_TIMEOUT_MS))
    if event.after_own_ms is not None:
        steps.append(Silence(number, event.after_own_ms))
    kinds: Mapping[str, UtteranceKind] = {"turn": "say", "interruption": "interrupt"}
    kind = kinds.get(event.kind, "murmur")
    timeout_ms = 0 if event.at_ms is None else ANSWER_TIMEOUT_MS + event.at_ms
    steps.append(
        Utter(number, kind, path=_key(number), after_ms=event.at_ms, timeout_ms=timeout_ms)
    )
    return steps

"""The calls of the pause sweep: one agent file, a caller who says the turns, what was heard.

Every call has some of the turns in one voice, with a fixed silence after each, whatever the
agent does: so the same sound goes to every agent. The agents answer at once with a few words of
a scripted voice. Only the speech-to-text and the turn-taking are those of the agent's file.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import msgspec
import soundfile

from media.audio.format import MULAW_8K
from media.call_directory import safe_call_directory
from voicecore.evaluate.pause_audio import TurnAudio
from voicecore.evaluate.pause_replay import (
    Heard,
    Pause,
    RecordedTurn,
    Said,
    Started,
    Stopped,
)
from voicecore.evaluate.pause_suite import PausedTurn
from voicecore.phone.measures import stretches
from voicecore.phone.phone import RunOptions, place_calls
from voicecore.phone.record import CallRecord
from voicecore.phone.script import Script, Silence, Step, Utter
from voicecore.phone.sounds import Wire, make_sounds
from voicecore.phone.stereo import two_channels
from voicecore.providers.stt import SttEager, SttEvent, SttFinal, SttInterim, SttResumed

Serve = Callable[[Path, Path], AbstractAsyncContextManager[str]]
"""``serve(agent_file, calls_dir)`` answers calls with an agent until the context ends; the value
is the URL that Twilio's streams are sent to."""

TURNS_A_CALL = 10
SILENCE_MS = 3300
"""After each turn."""
NOISE_DBFS = -52.0
_LEAD_MS = 600
_LAST_TEXT_MS = 4000
"""More silence at a call's end, for texts that are late."""
_BEFORE_MS = 300
_FRAME_MS = 20
_SAME_SPEECH_US = 300_000


class PausedCall(msgspec.Struct, frozen=True):
    """Some turns that one caller says in one call."""

    number: int
    turns: tuple[PausedTurn, ...]
    audio: tuple[TurnAudio, ...]


class TakenCall(msgspec.Struct, frozen=True):
    """A call as it went: its files, and each turn with what was heard of it. ``answers_ms`` are
    the times at which the agent became audible."""

    number: int
    call_dir: Path
    phone_wav: Path
    turns: tuple[RecordedTurn, ...]
    answers_ms: tuple[int, ...]
    failure: str = ""


def share_out(
    turns: Sequence[PausedTurn], audio: Sequence[TurnAudio], voices: int
) -> tuple[PausedCall, ...]:
    """The turns as calls of about ``TURNS_A_CALL``, one voice and all kinds of turns in each."""
    count = max(-(-len(turns) // TURNS_A_CALL), 1)
    count = -(-count // voices) * voices if len(turns) >= voices else count
    spoken = list(zip(turns, audio, strict=True))
    calls = []
    for number in range(count):
        if own := spoken[number::count]:
            calls.append(PausedCall(number, *(tuple(part) for part in zip(*own, strict=True))))
    return tuple(calls)


async def take_calls(
    calls: Sequence[PausedCall],
    agent_file: Path,
    folder: Path,
    serve: Serve,
    *,
    lanes: int,
    progress: Callable[[str], None],
) -> tuple[TakenCall, ...]:
    """Make the calls, ``lanes`` at a time."""
    gate = asyncio.Semaphore(lanes)
    async with serve(agent_file, folder / "calls") as url:

        async def take(call: PausedCall) -> TakenCall:
            async with gate:
                taken = await take_call(call, url, folder)
                progress(f"call {call.number + 1} of {len(calls)}")
                return taken

        return tuple(await asyncio.gather(*(take(call) for call in calls)))


async def take_call(call: PausedCall, url: str, folder: Path) -> TakenCall:
    steps: list[Step] = [Silence(1, _LEAD_MS)]
    speech: dict[str, bytes] = {}
    for turn, audio in zip(call.turns, call.audio, strict=True):
        step = Utter(1, "play", path=f"turn-{turn.number}")
        speech[step.sound] = audio.pcm16
        steps += [step, Silence(1, SILENCE_MS)]
    steps.append(Silence(1, _LAST_TEXT_MS))
    length_ms = sum(len(audio.pcm16) // 16 + SILENCE_MS for audio in call.audio)
    script = Script(tuple(steps), noise_dbfs=NOISE_DBFS, timeout_ms=length_ms + 60_000)
    wire = Wire(MULAW_8K, noise_dbfs=NOISE_DBFS)
    call_id = f"pauses-{folder.name}-{call.number + 1}"
    result = await place_calls(
        url,
        script,
        sounds=make_sounds(wire, speech),
        options=RunOptions(call_id=call_id, keep_audio=True, seed=call.number),
    )
    record = result.records[0]
    wav = folder / f"phone-{call.number + 1}.wav"
    samples, rate_hz = two_channels(record, wire, MULAW_8K)
    await asyncio.to_thread(soundfile.write, wav, samples, rate_hz)
    call_dir = safe_call_directory(folder / "calls", call_id)
    await _wait_for_end(call_dir / "events.jsonl")
    failure = "" if record.outcome == "completed" else f"{record.outcome}: {record.detail}"
    return TakenCall(
        call.number,
        call_dir,
        wav,
        recorded_turns(call, record, read_events(call_dir / "events.jsonl")),
        tuple(s.start_us // 1000 for s in stretches(record.audible, _SAME_SPEECH_US)),
        failure,
    )


async def _wait_for_end(path: Path) -> None:
    """The server writes a call's last event a moment after the caller has hung up."""
    for _ in range(50):
        if await asyncio.to_thread(_has_ended, path):
            return
        await asyncio.sleep(0.1)


def _has_ended(path: Path) -> bool:
    return path.exists() and b'"call_ended"' in path.read_bytes()


def recorded_turns(
    call: PausedCall, record: CallRecord, events: Sequence[Mapping[str, Any]]
) -> tuple[RecordedTurn, ...]:
    """Where each turn lies in the call, and what the server heard of it."""
    heard = tuple(heard_events(events))
    when = asked_ms(heard)
    # A frame is sent when its last sample has been spoken.
    begins = [said.started_us // 1000 - _FRAME_MS for said in record.said]
    made = []
    for place, begin_ms in enumerate(begins):
        turn, audio = call.turns[place], call.audio[place]
        until_ms = begins[place + 1] if place + 1 < len(begins) else 1 << 60
        own = [
            event
            for event, asked in zip(heard, when, strict=True)
            if begin_ms - _BEFORE_MS <= asked < until_ms - _BEFORE_MS
        ]
        made.append(
            RecordedTurn(
                call=call.number,
                number=turn.number,
                kind=turn.kind,
                text=" / ".join(turn.pieces),
                begin_ms=begin_ms + audio.begin_ms,
                end_ms=begin_ms + audio.end_ms,
                pauses=tuple(
                    Pause(begin_ms + pause.from_ms, begin_ms + pause.to_ms)
                    for pause in audio.pauses
                ),
                events=tuple(own),
            )
        )
    return tuple(made)


def asked_ms(heard: Sequence[Heard]) -> list[int]:
    """For each event when it was, but for a final text when it was asked for: a slow machine's
    texts come when the caller is saying something else."""
    made: list[int] = []
    asked: list[int] = []
    for event in heard:
        if isinstance(event, Stopped):
            asked.append(event.at_ms)
        if isinstance(event, Said) and isinstance(event.event, SttFinal) and asked:
            made.append(asked[0])
            if event.event.flushed:
                del asked[0]
        else:
            made.append(event.at_ms)
    return made


def read_events(path: Path) -> list[dict[str, Any]]:
    """The events of a call's file; a line that was cut off is passed over."""
    found = []
    for line in path.read_text("utf-8", errors="replace").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and isinstance(event.get("data"), dict):
            found.append(event)
    return found


def heard_events(events: Sequence[Mapping[str, Any]]) -> Iterator[Heard]:
    for event in events:
        at_ms, data = int(event["at_ms"]), event["data"]
        if event["type"] == "speech_started":
            yield Started(at_ms, int(data["at_ms"]))
        elif event["type"] == "speech_stopped":
            yield Stopped(at_ms, int(data["at_ms"]))
        elif event["type"] == "stt_result" and (said := _said(data)) is not None:
            yield Said(at_ms, said)


def _said(data: Mapping[str, Any]) -> SttEvent | None:
    match data.get("kind"):
        case "interim":
            return SttInterim(str(data["text"]), float(data.get("confidence", 1.0)))
        case "eager":
            return SttEager(str(data["text"]), float(data.get("confidence", 1.0)))
        case "resumed":
            return SttResumed()
        case "final":
            return msgspec.convert({k: v for k, v in data.items() if k != "kind"}, SttFinal)
    return None

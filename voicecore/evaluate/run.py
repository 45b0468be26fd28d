"""Shell: plays scenes to a server over the wire, some at a time, and writes down what came of
it. Voids and repeats what the machine was too slow for."""

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import soundfile

from media.call_directory import safe_call_directory
from voicecore.call_files import EVENTS
from voicecore.evaluate.explain import explained
from voicecore.evaluate.heard import Segment, segments
from voicecore.evaluate.judge import Happened, Verdict, judge
from voicecore.evaluate.play import Play
from voicecore.evaluate.results import SceneResult
from voicecore.journal import Event, read_events
from voicecore.phone.phone import RunOptions, RunResult, place_calls
from voicecore.phone.record import CallRecord
from voicecore.phone.speech import wire_of
from voicecore.phone.stereo import two_channels

LATE_MS = 40.0
"""A phone that sent a frame this much too late has not played its scene."""
ATTEMPTS = 2
EVENTS_POLLS, EVENTS_POLL_S = 40, 0.05
PHONE_WAV = "phone.wav"
PHONE_FACTS = "phone.json"


class PhoneFacts(msgspec.Struct, frozen=True):
    """What was said and heard on one call, on the phone's clock: ``phone.json``."""

    said: tuple[Happened, ...]
    agent: tuple[Segment, ...]
    duration_ms: int
    late_ms: float


class Played(msgspec.Struct, frozen=True):
    """One scene's outcome."""

    result: SceneResult
    verdicts: tuple[Verdict, ...]


class Place(msgspec.Struct, frozen=True):
    """Where scenes are played. ``url`` takes the carrier's name; the server leaves its calls'
    files in ``calls_dir``, which is below ``out``."""

    url: str
    out: Path
    calls_dir: Path
    jobs: int = 2
    seed: int = 0


OnPlayed = Callable[[Played, int, float], None]
"""Called with each outcome, how many scenes are left, and an estimate of the seconds left."""


async def play_all(
    plays: Sequence[Play], place: Place, on_played: OnPlayed | None = None
) -> tuple[Played, ...]:
    """All outcomes, in the order of ``plays``."""
    room = asyncio.Semaphore(place.jobs)
    began, left = time.monotonic(), len(plays)

    async def one(play: Play) -> Played:
        nonlocal left
        async with room:
            played = await _play_until_valid(play, place)
        left -= 1
        if on_played is not None:
            pace_s = (time.monotonic() - began) / (len(plays) - left)
            on_played(played, left, pace_s * left)
        return played

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(play)) for play in plays]
    return tuple(task.result() for task in tasks)


async def _play_until_valid(play: Play, place: Place) -> Played:
    played = await _play(play, place)
    for _ in range(ATTEMPTS - 1):
        if played.result.void is None:
            break
        played = await _play(play, place)
    return played


async def _play(play: Play, place: Place) -> Played:
    scene = play.scene
    call_id = _call_id(scene.carrier)
    result = await place_calls(
        place.url.format(carrier=scene.carrier),
        play.script,
        options=RunOptions(keep_audio=True, call_id=call_id, seed=place.seed),
        sounds=play.sounds,
        make_caller=play.make_caller,
    )
    record = result.records[0]
    late_ms = result.report.send_late_ms.max or 0.0
    happened = happened_on(play, record)
    call_dir = safe_call_directory(place.calls_dir, call_id)
    events = await _events(call_dir / EVENTS)
    resumed_ms = [event.at_ms for event in events if event.type == "agent_resumed"]
    heard = segments(record, play.script.agent_codec, resumed_ms)
    end_ms = record.duration_us // 1000
    verdicts = judge(happened, heard, end_ms)
    folder = place.out / "scenes" / scene.id
    facts = PhoneFacts(tuple(happened), heard, end_ms, round(late_ms, 2))
    await asyncio.to_thread(_write, folder, play, record, facts)
    void = _void(result, late_ms, play)
    judged = tuple(
        msgspec.structs.replace(verdict.judged, detail=explained(verdict, events))
        for verdict in verdicts
    )
    scored = [verdict for verdict in verdicts if verdict.scored]
    outcome = SceneResult(
        id=scene.id,
        group=scene.group,
        title=scene.title,
        passed=all(v.right for v in scored) if scored and void is None else None,
        void=void,
        figures=_figures(verdicts, late_ms),
        judged=judged,
        call_dir=str(call_dir.relative_to(place.out)),
        phone_wav=str((folder / PHONE_WAV).relative_to(place.out)),
    )
    return Played(outcome, verdicts if void is None else ())


async def _events(path: Path) -> list[Event]:
    """The call's events, waited for until its last one was written."""
    found: list[Event] = []
    for _ in range(EVENTS_POLLS):
        try:
            found = read_events(await asyncio.to_thread(path.read_bytes))
        except (OSError, msgspec.DecodeError):
            found = []
        if found and found[-1].type == "call_ended":
            break
        await asyncio.sleep(EVENTS_POLL_S)
    return found


def happened_on(play: Play, record: CallRecord) -> list[Happened]:
    """The events that were sent, from their first to their last voiced frame."""
    found = []
    for said in record.said:
        event, spoken = play.scene.events[said.line], play.spoken[said.line]
        if said.first_voiced_us is None or said.last_voiced_us is None:
            continue
        lead_us = said.first_voiced_us - said.started_us
        pauses = tuple(
            (start - lead_us // 1000, end - lead_us // 1000) for start, end in spoken.pauses_ms
        )
        found.append(
            Happened(
                event.kind,
                event.text,
                said.first_voiced_us // 1000,
                said.last_voiced_us // 1000,
                pauses,
            )
        )
    return found


def _void(result: RunResult, late_ms: float, play: Play) -> str | None:
    """Why the call says nothing of the agent."""
    record = result.records[0]
    if record.outcome == "connect_failed":
        return f"no call: {record.detail}"
    if late_ms > LATE_MS:
        return f"the machine was too slow: the phone was late by {late_ms:.0f} ms"
    if record.frames_skipped:
        return f"the machine was too slow: {record.frames_skipped} frames were not sent"
    if not record.said and play.scene.events:
        return f"the caller could not begin: {record.detail}"
    return None


def _figures(verdicts: Sequence[Verdict], late_ms: float) -> dict[str, float]:
    """What can be compared from run to run, of one scene."""
    figures: dict[str, float] = {"phone_late_ms": round(late_ms, 2)}
    times = {
        "yield_ms": [v.yield_ms for v in verdicts if v.yield_ms is not None],
        "answer_ms": [v.answer_ms for v in verdicts if v.answer_ms is not None],
        "gap_ms": [gap for v in verdicts for gap in v.gaps_ms],
    }
    for name, values in times.items():
        if values:
            figures[f"{name}_max"] = max(values)
    scored = [verdict for verdict in verdicts if verdict.scored]
    figures["events"] = len(scored)
    figures["right"] = sum(verdict.right for verdict in scored)
    figures["talked_over"] = sum(verdict.talked_over for verdict in verdicts)
    figures["lost_ms"] = sum(ms for verdict in verdicts for ms in verdict.lost_ms)
    return figures


def _write(folder: Path, play: Play, record: CallRecord, facts: PhoneFacts) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PHONE_FACTS).write_bytes(msgspec.json.format(msgspec.json.encode(facts), indent=1))
    script = play.script
    stereo, rate_hz = two_channels(record, wire_of(script), script.agent_codec)
    soundfile.write(folder / PHONE_WAV, stereo, rate_hz, subtype="PCM_16", format="WAV")


def _call_id(carrier: str) -> str:
    if carrier == "twilio":
        return f"CA{secrets.token_hex(16)}"
    return f"v3:{secrets.token_urlsafe(48)}"

"""The whole thing on real speech and real models: what the caller heard is transcribed again,
from the caller's own recording and from the server's."""

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from control.demo.plan import word_error_rate, words_of
from media.audio.format import L16_8K
from voicecore.adapters.moonshine_stt import MoonshineStt
from voicecore.adapters.registry import VendorConfig
from voicecore.journal import read_events
from voicecore.providers.stt import SttEvent, SttFinal
from voicecore.turns.overlap import OverlapPolicy

pytestmark = [pytest.mark.e2e, pytest.mark.local_models]

DEMO_TIMEOUT_S = 300
DECODE_TIMEOUT_S = 60
SILENCE_MS = 600
AUDIBLE_RMS = 180.0
MARGIN = 160 * 5
"""Samples of silence that a stretch keeps on either side."""
CLOCKS_MS = 300
"""The phone's clock and the server's begin within a connection's time of each other."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the demonstration leaves behind, after it has said that it went well."""
    out = tmp_path_factory.mktemp("demo")
    status, printed = asyncio.run(_run_demo(out))
    assert status == 0, printed
    return out


async def _run_demo(out: Path) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "control.cli", "demo", "--out", str(out)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(DEMO_TIMEOUT_S):
        printed, _ = await process.communicate()
    return process.returncode, printed.decode()


def transcript(demo: Path) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads((demo / "transcript.json").read_text())
    return entries


async def transcribe(pieces: list[np.ndarray[Any, Any]]) -> list[str]:
    """What the local speech-to-text makes of each piece of 8 kHz audio."""
    stt = MoonshineStt(VendorConfig("moonshine"), {})
    await stt.start()
    texts = []
    try:
        async with asyncio.TaskGroup() as tasks:
            for piece in pieces:
                done: asyncio.Future[str] = asyncio.get_running_loop().create_future()

                def heard(event: SttEvent, done: asyncio.Future[str] = done) -> None:
                    if isinstance(event, SttFinal) and event.flushed and not done.done():
                        done.set_result(event.text)

                stream = stt.open(L16_8K, sink=heard, spawn=tasks.create_task)
                stream.speech_started()
                audio = piece.astype("<i2").tobytes()
                for start in range(0, len(audio) - 319, 320):
                    stream.push(audio[start : start + 320])
                stream.finalize()
                async with asyncio.timeout(DECODE_TIMEOUT_S):
                    texts.append(await done)
                stream.close()
    finally:
        await stt.stop()
    return texts


def agent_turns(demo: Path) -> list[dict[str, Any]]:
    return [entry for entry in transcript(demo) if entry["speaker"] == "agent"]


def marked(turn: dict[str, Any], *heard: bool | str) -> str:
    """The words of a turn that the server says were heard, were not, or were cut within."""
    return " ".join(word["text"] for word in turn["words"] if word["heard"] in heard)


def errors_heard(turns: list[dict[str, Any]], got: str) -> float:
    """Speech-to-text may or may not make out the words that were cut within, on a busy machine
    a filler's too: with them or without, whichever fits."""
    return min(
        word_error_rate(" ".join(marked(turn, *kinds) for turn in turns), got)
        for kinds in ((True,), (True, "cut"))
    )


def agent_channel(path: Path) -> np.ndarray[Any, Any]:
    samples, rate_hz = soundfile.read(path, dtype="int16")
    assert (rate_hz, samples.shape[1]) == (8000, 2)
    channel: np.ndarray[Any, Any] = samples[:, 1]
    return channel


def stretches(channel: np.ndarray[Any, Any]) -> list[slice]:
    """Where there is sound, by the audio alone: apart by ``SILENCE_MS`` at least."""
    frames = channel[: len(channel) // 160 * 160].reshape(-1, 160).astype(float)
    loud = np.flatnonzero(np.sqrt((frames**2).mean(axis=1)) > AUDIBLE_RMS)
    breaks = np.flatnonzero(np.diff(loud) > SILENCE_MS // 20)
    starts = loud[np.concatenate(([0], breaks + 1))]
    ends = loud[np.concatenate((breaks, [len(loud) - 1]))]
    return [
        slice(max(start * 160 - MARGIN, 0), (end + 1) * 160 + MARGIN)
        for start, end in zip(starts, ends, strict=True)
    ]


async def test_the_caller_heard_what_the_transcript_says(demo: Path) -> None:
    """The telephone's own recording: what reached the caller, cut up by its silences only."""
    channel = agent_channel(demo / "phone.wav")
    spans = stretches(channel)
    assert len(spans) >= 4, "greeting and answers"
    texts = await transcribe([channel[span] for span in spans])
    turns = agent_turns(demo)
    got = " ".join(texts)
    assert errors_heard(turns, got) < 0.3, f"{turns} were heard as {got!r}"
    (at,) = [at for at, turn in enumerate(turns) if turn["interrupted"]]
    cut, end_ms = turns[at], turns[at + 1]["start_ms"] - CLOCKS_MS
    during = [
        text
        for text, span in zip(texts, spans, strict=True)
        if cut["start_ms"] - CLOCKS_MS <= span.start // 8 < end_ms
    ]
    assert during, "the reply was heard until it was interrupted"
    heard, unheard = Counter(words_of(marked(cut, True))), Counter(words_of(marked(cut, False)))
    assert unheard
    beyond = (Counter(words_of(" ".join(during))) - heard) & unheard
    assert beyond.total() <= 1, f"marked unheard, and yet heard: {beyond}"


async def test_the_recording_holds_what_the_transcript_says(demo: Path) -> None:
    samples = agent_channel(demo / "recording.wav")
    turns = agent_turns(demo)
    spans = [slice(turn["start_ms"] * 8, turn["end_ms"] * 8) for turn in turns]
    got = " ".join(await transcribe([samples[span] for span in spans]))
    assert errors_heard(turns, got) < 0.3, f"{turns} were heard as {got!r}"


def test_one_reply_was_cut_and_the_words_say_where(demo: Path) -> None:
    (cut,) = [turn for turn in transcript(demo) if turn["interrupted"]]
    marks = [word["heard"] for word in cut["words"]]
    assert marks[0] is True
    order = {True: 0, "cut": 1, False: 2}
    assert [order[mark] for mark in marks] == sorted(order[mark] for mark in marks)


def test_events_are_gapless_and_end_once(demo: Path) -> None:
    events = read_events((demo / "events.jsonl").read_bytes())
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    types = [event.type for event in events]
    assert types.count("call_ended") == 1
    assert types[0] == "call_started"


def test_every_turn_has_its_latencies(demo: Path) -> None:
    events = read_events((demo / "events.jsonl").read_bytes())
    latencies = [event.data for event in events if event.type == "turn_latency"]
    complete = [data for data in latencies if "first_byte" in data]
    assert len(complete) >= 4
    for data in complete:
        # A draft may have its first words before the turn is decided; it is not heard before.
        for order in (
            ("llm_first_token", "first_sentence", "tts_first_audio", "first_byte"),
            ("turn_decided", "first_byte"),
        ):
            times = [data[stage] for stage in order]
            assert times == sorted(times)


def test_the_speech_to_text_is_sure_of_what_was_said(demo: Path) -> None:
    events = read_events((demo / "events.jsonl").read_bytes())
    told = [event.data for event in events if event.type == "stt_result"]
    sure = [one["confidence"] for one in told if one["kind"] == "final" and one["text"]]
    assert len(sure) >= 2
    assert sum(sure) / len(sure) > OverlapPolicy().min_confidence

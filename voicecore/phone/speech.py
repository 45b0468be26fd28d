"""Where the caller's sounds come from: a voice, files, a cough. Done before the call."""

import asyncio
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from media.audio.convert import convert_all
from media.audio.format import AudioFormat, Encoding
from voicecore.phone.script import Script, Utter, utterances
from voicecore.phone.sounds import Sounds, Wire, cough, make_sounds
from voicecore.phone.yaml_reader import Problems, ScriptError, ScriptProblem
from voicecore.providers.errors import VendorError
from voicecore.providers.tts import Tts, TtsAudio, TtsDone, TtsEvent, TtsFailed, TtsSession

SPEECH_TIMEOUT_S = 60.0
MAX_FILE_S = 600


def wire_of(script: Script) -> Wire:
    big_endian = script.codec.encoding is Encoding.L16 and script.l16_big_endian
    return Wire(script.codec, big_endian, script.noise_dbfs)


async def prepare_sounds(script: Script, tts: Tts | None) -> Sounds:
    """Speak, read and convert everything the script needs. ``tts`` has been started; it may be
    None when nothing is said.

    :raises ScriptError: sound files cannot be read (all that cannot), or there is no voice.
    :raises VendorError: the voice failed."""
    wire = wire_of(script)
    line = AudioFormat(Encoding.L16, wire.audio.rate_hz)
    wanted = utterances(script)
    speech: dict[str, bytes] = {}
    problems = Problems()
    for key, step in wanted.items():
        if step.path:
            speech[key] = await asyncio.to_thread(problems.keep, b"", _read_file, step, line)
        elif not step.text:
            speech[key] = cough(line.rate_hz)
    problems.check()
    texts = {key: step for key, step in wanted.items() if step.text}
    if texts:
        speech |= await _speak_all(texts, tts, line)
    return make_sounds(wire, speech)


async def _speak_all(
    texts: dict[str, Utter], tts: Tts | None, line: AudioFormat
) -> dict[str, bytes]:
    if tts is None:
        step = next(iter(texts.values()))
        raise _problem("voice", step, f"missing: `{step.kind}` needs a voice")
    return await speak({key: step.text for key, step in texts.items()}, tts, line)


async def speak(texts: Mapping[str, str], tts: Tts, line: AudioFormat) -> dict[str, bytes]:
    """Each text as audio of the format ``line``, by its key. ``tts`` has been started.

    :raises VendorError: the voice failed."""
    tasks: set[asyncio.Task[None]] = set()

    def spawn(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return task

    session = tts.open(line, spawn=spawn)
    try:
        return {
            key: convert_all(await _speak(session, text, tts.name), session.audio, line)
            for key, text in texts.items()
        }
    finally:
        session.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _speak(session: TtsSession, text: str, vendor: str) -> bytes:
    audio = bytearray()
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def sink(event: TtsEvent) -> None:
        match event:
            case TtsAudio(payload=payload):
                audio.extend(payload)
            case TtsDone() if not done.done():
                done.set_result(None)
            case TtsFailed(error=error) if not done.done():
                done.set_exception(error)

    reply = session.reply(sink)
    reply.say(text)
    reply.finish()
    try:
        async with asyncio.timeout(SPEECH_TIMEOUT_S):
            await done
    except TimeoutError as error:
        detail = f"no speech for {text[:40]!r} within {SPEECH_TIMEOUT_S:g} s"
        raise VendorError(vendor, "stalled", detail, retryable=True) from error
    finally:
        reply.cancel()
    if not audio:
        raise VendorError(vendor, "garbage", f"no audio for {text[:40]!r}", retryable=False)
    return bytes(audio)


def _read_file(step: Utter, line: AudioFormat) -> bytes:
    path = Path(step.path)
    try:
        with soundfile.SoundFile(path) as file:
            if file.frames > MAX_FILE_S * file.samplerate:
                raise _problem("play", step, f"{path} is longer than {MAX_FILE_S} s")
            samples = file.read(dtype="float32", always_2d=True).mean(axis=1)
            rate_hz = int(file.samplerate)
    except (OSError, soundfile.SoundFileError) as error:
        raise _problem("play", step, f"cannot read {path}: {error}") from error
    if not len(samples):
        raise _problem("play", step, f"{path} holds no audio")
    pcm16 = np.rint(np.clip(samples * 32_768, -32_768, 32_767)).astype("<i2").tobytes()
    return convert_all(pcm16, AudioFormat(Encoding.L16, rate_hz), line)


def _problem(field: str, step: Utter, detail: str) -> ScriptError:
    return ScriptError([ScriptProblem(field, step.line, detail)])

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from media.audio.convert import convert_all
from media.audio.format import ALAW_8K, L16_16K, MULAW_8K, AudioFormat
from tests.support.local_worker import SCRIPT, wait_for_file
from voicecore.adapters.piper_tts import PiperReply, PiperTts
from voicecore.adapters.registry import VendorConfig, VendorConfigError, make_tts
from voicecore.local import lanes as lanes_module
from voicecore.providers.errors import VendorError
from voicecore.providers.tts import TtsAudio, TtsDone, TtsEvent, TtsFailed, TtsWords
from voicecore.providers.words import join_words

PATIENCE_S = 60


def never_spawn(coroutine: Any) -> object:
    raise AssertionError("the adapter has no tasks of its own per call")


class Heard:
    """A reply's events."""

    def __init__(self, tts: PiperTts, audio: AudioFormat = MULAW_8K) -> None:
        self.session = tts.open(audio, spawn=never_spawn)
        self.audio = self.session.audio
        self.events: list[TtsEvent] = []
        self._changed = asyncio.Event()
        self.reply = self.session.reply(self._sink)

    def _sink(self, event: TtsEvent) -> None:
        self.events.append(event)
        self._changed.set()

    async def until(self, *kinds: type) -> TtsEvent:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for event in self.events:
                    if isinstance(event, kinds):
                        return event
                self._changed.clear()
                await self._changed.wait()

    def bytes(self) -> bytes:
        return b"".join(event.payload for event in self.events if isinstance(event, TtsAudio))

    def words(self) -> list:
        found = [event.words for event in self.events if isinstance(event, TtsWords)]
        return [word for words in found for word in words]


@pytest.fixture
async def make():
    made: list[PiperTts] = []

    async def make(*, parallel: int = 1, **worker_settings: Any) -> PiperTts:
        tts = PiperTts(VendorConfig("piper", settings={"parallel": parallel}), {})
        tts.worker.spec = msgspec.structs.replace(
            tts.worker.spec,
            command=(SCRIPT,),
            settings={"parallel": parallel, **worker_settings},
        )
        made.append(tts)
        await tts.start()
        return tts

    yield make
    for tts in made:
        await tts.stop()


def speak(heard: Heard, *texts: str) -> PiperReply:
    for text in texts:
        heard.reply.say(text)
    heard.reply.finish()
    return heard.reply


@pytest.mark.parametrize("audio", [MULAW_8K, ALAW_8K, L16_16K])
async def test_a_reply_is_its_pieces_in_order_with_words_where_the_voice_is(make, audio):
    heard = Heard(await make(), audio)
    assert heard.audio == audio
    speak(heard, "Hello there.", "Goodbye.")
    assert await heard.until(TtsDone) == TtsDone(characters=20)
    assert audio.duration_ms(len(heard.bytes())) == 10 * 20
    words = heard.words()
    assert join_words(words) == "Hello there. Goodbye."
    assert (words[0].start_ms, words[1].end_ms) == (10, 110)
    assert (words[2].start_ms, words[2].end_ms) == (130, 190)
    kinds = [type(event) for event in heard.events]
    assert kinds == [TtsWords, TtsAudio, TtsWords, TtsAudio, TtsDone]


async def test_only_a_replys_first_piece_is_cut_short(make):
    heard = Heard(await make(info={"first_chars": 20}))
    sentence = "We are open on Monday, and also on Friday afternoon."
    speak(heard, sentence, sentence)
    await heard.until(TtsDone)
    pieces = [join_words(e.words) for e in heard.events if isinstance(e, TtsWords)]
    assert pieces == ["We are open on Monday,", "and also on Friday afternoon.", sentence]


async def test_nothing_said_is_done_at_once_but_not_within_the_call(make):
    heard = Heard(await make())
    speak(heard)
    assert heard.events == []
    assert await heard.until(TtsDone) == TtsDone(characters=0)
    heard.reply.say("late")
    heard.reply.finish()
    assert len(heard.events) == 1


async def test_cancelling_drops_all_pieces_at_once_and_frees_the_worker(make, tmp_path):
    tts = await make(hold=str(tmp_path / "hold"))
    cut, other = Heard(tts), Heard(tts)
    speak(cut, "One.", "Two.", "Three.")
    speak(other, "Me.")
    await asyncio.to_thread(wait_for_file, str(tmp_path / "hold.begun"), 10)
    cut.reply.cancel()
    cut.reply.cancel()
    (tmp_path / "hold").touch()
    await other.until(TtsDone)
    assert cut.events == []
    assert tts.worker.outstanding == 0


async def test_calls_take_turns_piece_by_piece(make, tmp_path):
    tts = await make(hold=str(tmp_path / "hold"))
    order: list[str] = []
    long, short = Heard(tts), Heard(tts)
    for name, heard in (("long", long), ("short", short)):
        heard._sink = None  # replaced below: the order over both replies is what counts
        heard.reply._sink = _recorder(order, name, heard)
    speak(long, "One.", "Two.", "Three.", "Four.")
    speak(short, "One.")
    (tmp_path / "hold").touch()
    await long.until(TtsDone)
    assert order == ["long", "short", "long", "long", "long"]


def _recorder(order: list[str], name: str, heard: Heard) -> Callable[[TtsEvent], None]:
    def record(event: TtsEvent) -> None:
        if isinstance(event, TtsAudio):
            order.append(name)
        heard.events.append(event)
        heard._changed.set()

    return record


async def test_a_crash_is_not_heard(make, tmp_path, monkeypatch):
    monkeypatch.setattr(lanes_module, "RETRY_WITHIN_S", PATIENCE_S)
    tts = await make(crash_once=str(tmp_path / "crashed"))
    heard = Heard(tts)
    speak(heard, "One.", "Two.")
    await heard.until(TtsDone)
    assert join_words(heard.words()) == "One. Two."
    assert tts.worker.starts == 2


async def test_a_piece_that_cannot_be_said_fails_the_reply_once(make):
    heard = Heard(await make())
    speak(heard, "Fine.", "unspeakable", "Never.")
    failed = await heard.until(TtsFailed)
    assert failed.error.code == "bad_request"
    assert heard.events[-1] is failed
    assert join_words(heard.words()) == "Fine."


async def test_a_reply_without_end_is_refused(make):
    heard = Heard(await make())
    heard.reply.say("word " * 5000)
    failed = await heard.until(TtsFailed)
    assert (failed.error.code, failed.error.retryable) == ("bad_request", False)


async def test_closing_the_session_ends_its_reply(make, tmp_path):
    tts = await make(hold=str(tmp_path / "hold"))
    heard = Heard(tts)
    speak(heard, "One.")
    heard.session.close()
    heard.session.close()
    assert tts.worker.outstanding == 0
    assert heard.events == []


async def test_a_new_reply_ends_the_old_one_and_none_follows_close(make, tmp_path):
    tts = await make(hold=str(tmp_path / "hold"))
    heard = Heard(tts)
    heard.reply.say("Old.")
    assert tts.worker.outstanding == 1
    new, late = [], []
    heard.session.reply(new.append).say("New.")
    assert tts.worker.outstanding == 1, "the old one is taken back"
    heard.session.close()
    reply = heard.session.reply(late.append)
    reply.say("Late.")
    reply.finish()
    assert tts.worker.outstanding == 0
    assert heard.events == new == late == []


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"speed": 3}, "settings.speed"),
        ({"threads": -1}, "settings.threads"),
        ({"loud": True}, "settings.loud"),
    ],
)
def test_wrong_settings_are_named(settings, field):
    with pytest.raises(VendorConfigError) as wrong:
        make_tts(VendorConfig("piper", settings=settings), {})
    assert wrong.value.field == field


@pytest.mark.local_models
async def test_a_voice_that_is_not_there_says_what_would_be():
    tts = make_tts(VendorConfig("piper", voice="/no/such/voice.onnx"), {})
    with pytest.raises(VendorError, match=r"joe.*onnx.json") as missing:
        await tts.start()
    assert (missing.value.code, missing.value.retryable) == ("model_not_found", False)


@pytest.mark.local_models
@pytest.mark.parametrize("voice", ["joe", "heart"])
async def test_a_voice_speaks(voice):
    module = {"joe": "piper", "heart": "hibari"}[voice]
    pytest.importorskip(module)
    tts = make_tts(VendorConfig("piper", voice=voice), {})
    await tts.start()
    try:
        heard = Heard(tts, MULAW_8K)
        speak(heard, "We are open from nine to five, Monday to Friday. See you soon!")
        await heard.until(TtsDone, TtsFailed)
        length_ms = MULAW_8K.duration_ms(len(heard.bytes()))
        assert 3000 < length_ms < 7000
        words = heard.words()
        assert join_words(words).startswith("We are open from nine to five, Monday")
        assert words[-1].end_ms < length_ms
        pcm16 = convert_all(heard.bytes(), MULAW_8K, AudioFormat(L16_16K.encoding, 8000))
        samples = np.frombuffer(pcm16, "<i2").astype(float) / 32768
        assert 0.03 < float(np.sqrt(np.mean(samples**2))) < 0.2
        assert float(np.abs(samples[: 8 * words[0].start_ms // 2]).max()) < 0.02
    finally:
        await tts.stop()


def test_the_gpl_engine_is_imported_by_its_worker_alone():
    root = Path(__file__).resolve().parents[2]
    importing = [
        path.relative_to(root).as_posix()
        for package in ("media", "voicecore", "control")
        for path in (root / package).rglob("*.py")
        if any(
            line.strip().startswith(("import piper", "from piper"))
            for line in path.read_text().splitlines()
        )
    ]
    assert importing == ["voicecore/local/piper_worker.py"]

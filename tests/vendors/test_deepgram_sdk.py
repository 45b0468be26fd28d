"""Our codecs and our server held against deepgram-sdk: its types, and its own client."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from deepgram import AsyncDeepgramClient
from deepgram.environment import DeepgramClientEnvironment
from deepgram.listen.v1.types import (
    ListenV1CloseStream,
    ListenV1Finalize,
    ListenV1KeepAlive,
    ListenV1Results,
    ListenV1UtteranceEnd,
)
from deepgram.listen.v2.types import (
    ListenV2CloseStream,
    ListenV2Connected,
    ListenV2FatalError,
    ListenV2ForceEndTurn,
    ListenV2TurnInfo,
)
from deepgram.speak.v1.types import (
    SpeakV1Clear,
    SpeakV1Cleared,
    SpeakV1Close,
    SpeakV1Flush,
    SpeakV1Flushed,
    SpeakV1Metadata,
    SpeakV1Text,
    SpeakV1Warning,
)
from deepgram.speak.v2.types import (
    SpeakV2Connected,
    SpeakV2Flush,
    SpeakV2Interrupt,
    SpeakV2Speak,
    SpeakV2SpeechInterrupted,
    SpeakV2SpeechMetadata,
)

from media.audio.format import MULAW_8K
from tests.support import deepgram_server as mock
from tests.support.deepgram_server import KEY, DeepgramServer
from tests.support.vendor_calls import Call, Recorder
from voicecore.adapters import deepgram_flux, deepgram_listen, deepgram_nova, deepgram_speak
from voicecore.adapters.registry import VendorConfig, make_stt, make_tts

SECRETS = {"DEEPGRAM_API_KEY": KEY}


@pytest.fixture
async def server() -> AsyncIterator[DeepgramServer]:
    async with DeepgramServer() as running:
        yield running


def client(server: DeepgramServer) -> AsyncDeepgramClient:
    http = server.url.replace("ws:", "http:")
    environment = DeepgramClientEnvironment(
        base=http, production=server.url, agent=server.url, agent_rest=http
    )
    return AsyncDeepgramClient(api_key=KEY, environment=environment)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (deepgram_nova.KEEP_ALIVE, ListenV1KeepAlive(type="KeepAlive")),
        (deepgram_nova.FINALIZE, ListenV1Finalize(type="Finalize")),
        (deepgram_listen.CLOSE_STREAM, ListenV1CloseStream(type="CloseStream")),
        (deepgram_flux.FORCE_END_TURN, ListenV2ForceEndTurn(type="ForceEndTurn")),
        (deepgram_listen.CLOSE_STREAM, ListenV2CloseStream(type="CloseStream")),
        (deepgram_speak.speak('Say "ä".'), SpeakV1Text(type="Speak", text='Say "ä".')),
        (deepgram_speak.FLUSH, SpeakV1Flush(type="Flush")),
        (deepgram_speak.AURA.clear, SpeakV1Clear(type="Clear")),
        (deepgram_speak.CLOSE, SpeakV1Close(type="Close")),
        (deepgram_speak.speak("x"), SpeakV2Speak(text="x")),
        (deepgram_speak.FLUSH, SpeakV2Flush()),
        (deepgram_speak.FLUX.clear, SpeakV2Interrupt()),
    ],
)
def test_we_say_what_the_sdk_says(ours: str, theirs: Any) -> None:
    assert json.loads(ours) == json.loads(theirs.json(exclude_none=True))


WORDS = [("Hi,", 0.1, 0.42), ("you.", 0.5, 0.9)]


@pytest.mark.parametrize(
    "flags", [{}, {"is_final": True}, {"is_final": True, "speech_final": True}]
)
def test_results_mean_the_same_to_the_sdk(flags: dict[str, bool]) -> None:
    message = mock.results_message("Hi, you.", 0.0, 1.0, words=WORDS, **flags)
    theirs = ListenV1Results.model_validate(message)
    ours = deepgram_nova.decode_nova(json.dumps(message))
    assert isinstance(ours, deepgram_nova.Results)
    assert (ours.start, ours.duration) == (theirs.start, theirs.duration)
    assert (ours.is_final, ours.speech_final, ours.from_finalize) == (
        theirs.is_final,
        theirs.speech_final,
        theirs.from_finalize,
    )
    [best], [their_best] = ours.channel.alternatives, theirs.channel.alternatives
    assert best.transcript == their_best.transcript
    assert [(w.word, w.punctuated_word, w.start, w.end) for w in best.words] == [
        (w.word, w.punctuated_word, w.start, w.end) for w in their_best.words
    ]


def test_what_the_sdk_may_leave_out_we_need_not_have() -> None:
    message = mock.results_message("Hi", 0.0, 1.0)
    for optional in ("is_final", "speech_final", "from_finalize", "metadata"):
        message.pop(optional)
    message["channel"]["alternatives"][0]["words"][0].pop("punctuated_word")
    ours = deepgram_nova.decode_nova(json.dumps(message))
    assert isinstance(ours, deepgram_nova.Results)
    assert not ours.is_final
    nulls = mock.results_message("Hi", 0.0, 1.0) | {"speech_final": None, "from_finalize": None}
    assert deepgram_nova.decode_nova(json.dumps(nulls)) is not None
    end = {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": 2.5}
    theirs = ListenV1UtteranceEnd.model_validate(end)
    ours_end = deepgram_nova.decode_nova(json.dumps(end))
    assert isinstance(ours_end, deepgram_nova.UtteranceEnd)
    assert ours_end.last_word_end == theirs.last_word_end


@pytest.mark.parametrize(
    "event", ["Update", "StartOfTurn", "EagerEndOfTurn", "TurnResumed", "EndOfTurn"]
)
def test_turns_mean_the_same_to_the_sdk(event: str) -> None:
    message = mock.turn_message(event, "Hi, you.", 1.0, 3, 7)
    theirs = ListenV2TurnInfo.model_validate(message)
    ours = deepgram_flux.decode_flux(json.dumps(message))
    assert isinstance(ours, deepgram_flux.TurnInfo)
    for name in ("event", "turn_index", "transcript", "audio_window_start", "audio_window_end"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert [(w.word, w.start, w.end) for w in ours.words] == [
        (w.word, w.start, w.end) for w in theirs.words
    ]
    for word in message["words"]:
        del word["start"], word["end"]  # optional to the SDK
    assert ListenV2TurnInfo.model_validate(message).words[0].start is None
    assert deepgram_flux.decode_flux(json.dumps(message)) is not None


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (ListenV2Connected, {"type": "Connected", "request_id": "r", "sequence_id": 0}),
        (
            ListenV2FatalError,
            {"type": "Error", "sequence_id": 1, "code": "C", "description": "bad"},
        ),
        (SpeakV1Metadata, mock.METADATA_SPEAK),
        (SpeakV1Flushed, {"type": "Flushed", "sequence_id": 1}),
        (SpeakV1Cleared, {"type": "Cleared", "sequence_id": 1}),
        (SpeakV1Warning, {"type": "Warning", "code": "W", "description": "d"}),
        (SpeakV2Connected, mock.CONNECTED_SPEAK),
        (SpeakV2SpeechMetadata, mock.speech_metadata("x", 10)),
        (SpeakV2SpeechInterrupted, mock.INTERRUPTED),
    ],
)
def test_our_server_speaks_the_sdks_types(kind: Any, message: dict[str, Any]) -> None:
    assert json.loads(kind.model_validate(message).json(exclude_none=True)) == message


async def test_the_sdks_own_client_is_served_nova(server: DeepgramServer) -> None:
    async with client(server).listen.v1.connect(
        model="nova-3",
        language="en",
        encoding="mulaw",
        sample_rate=8000,
        channels=1,
        interim_results=True,
        endpointing=300,
        utterance_end_ms=1000,
        punctuate=True,
        smart_format=False,
        numerals=False,
        keyterm=["one", "two words"],
    ) as theirs:
        there = await server.connection()
        await theirs.send_media(b"\xff" * 8000)
        await theirs.send_keep_alive()
        await theirs.send_finalize()
        await there.until(lambda: there.types == ["KeepAlive", "Finalize"])
        await there.results("Hi, you.", 0.0, 1.0, is_final=True, from_finalize=True)
        message = await theirs.recv()
        assert isinstance(message, ListenV1Results)
        assert message.channel.alternatives[0].transcript == "Hi, you."
        assert message.from_finalize
        await theirs.send_close_stream()
        await asyncio.wait_for(there.closed.wait(), 3)

    async with Call() as call:
        settings = {"base_url": server.url, "keyterm": ["one", "two words"]}
        config = VendorConfig("deepgram", settings=settings)
        make_stt(config, SECRETS).open(MULAW_8K, sink=Recorder(), spawn=call.spawn)
        ours = await server.connection(1)
        assert ours.path == there.path
        assert ours.query == there.query
        assert ours.headers["Authorization"] == there.headers["Authorization"]


async def test_the_sdks_own_client_is_served_flux(server: DeepgramServer) -> None:
    async with client(server).listen.v2.connect(
        model="flux-general-en", encoding="mulaw", sample_rate=8000, eager_eot_threshold=0.5
    ) as theirs:
        there = await server.connection()
        assert isinstance(await theirs.recv(), ListenV2Connected)
        await theirs.send_media(b"\xff" * 8000)
        await theirs.send_force_end_turn()
        await there.until(lambda: there.types == ["ForceEndTurn"])
        await there.turn("EndOfTurn", "Hi, you.", 1.0)
        message = await theirs.recv()
        assert isinstance(message, ListenV2TurnInfo)
        assert (message.event, message.trigger) == ("EndOfTurn", "model")

    async with Call() as call:
        settings = {"base_url": server.url, "eager_eot_threshold": 0.5}
        config = VendorConfig("deepgram", model="flux-general-en", settings=settings)
        make_stt(config, SECRETS).open(MULAW_8K, sink=Recorder(), spawn=call.spawn)
        assert (await server.connection(1)).query == there.query


async def test_the_sdks_own_client_is_served_aura(server: DeepgramServer) -> None:
    async with client(server).speak.v1.connect(
        model="aura-2-thalia-en", encoding="mulaw", sample_rate=8000
    ) as theirs:
        there = await server.connection()
        assert isinstance(await theirs.recv(), SpeakV1Metadata)
        await theirs.send_text(SpeakV1Text(type="Speak", text="Hello."))
        await theirs.send_flush()
        audio = b""
        while isinstance(message := await theirs.recv(), bytes):
            audio += message
        assert audio == mock.spoken("Hello.", 480)
        assert message.type == "Flushed"
        await theirs.send_clear()
        assert (await theirs.recv()).type == "Cleared"

    async with Call() as call:
        config = VendorConfig("deepgram", settings={"base_url": server.url})
        make_tts(config, SECRETS).open(MULAW_8K, spawn=call.spawn)
        ours = await server.connection(1)
        assert (ours.path, ours.query) == (there.path, there.query)


async def test_the_sdks_own_client_is_served_flux_speech(server: DeepgramServer) -> None:
    async with client(server).speak.v2.connect(
        model="flux-haven-en", encoding="mulaw", sample_rate=8000
    ) as theirs:
        there = await server.connection()
        assert isinstance(await theirs.recv(), SpeakV2Connected)
        await theirs.send_speak(SpeakV2Speak(text="Hello."))
        await theirs.send_flush()
        kinds = []
        while not kinds or kinds[-1] != "SpeechMetadata":
            message = await theirs.recv()
            kinds.append("audio" if isinstance(message, bytes) else message.type)
        assert kinds == ["SpeechStarted", "audio", "audio", "SpeechMetadata"]
        await theirs.send_interrupt()
        assert (await theirs.recv()).type == "Warning"

    async with Call() as call:
        config = VendorConfig("deepgram", voice="flux-haven-en", settings={"base_url": server.url})
        make_tts(config, SECRETS).open(MULAW_8K, spawn=call.spawn)
        ours = await server.connection(1)
        assert (ours.path, ours.query) == (there.path, there.query)


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("model=nova-3&encoding=mulaw", "sample_rate"),
        ("model=nova-3&encoding=pcmu&sample_rate=8000", "encoding"),
        ("model=nova-3&encoding=mulaw&sample_rate=8000&eot_threshold=0.5", "unknown"),
        ("model=nova-3&encoding=mulaw&sample_rate=8000&utterance_end_ms=1000", "interim"),
        ("model=nova-3&encoding=mulaw&sample_rate=8000&punctuate=True", "boolean"),
        ("model=nova-2&encoding=mulaw&sample_rate=8000&keyterm=x", "nova-3"),
    ],
)
def test_our_server_is_strict(query: str, why: str) -> None:
    assert why in mock.objection("/v1/listen", mock.parse_qs(query))

"""Deepgram Nova against our strict server: requests, transcripts, finalize."""

import json
from typing import Any

import pytest

from media.audio.format import ALAW_8K, L16_16K, MULAW_8K
from tests.support.deepgram_line import FRAME, SECRETS, Line, change_sockets
from tests.support.deepgram_server import KEY, Connection, DeepgramServer
from tests.support.fixtures import running
from tests.support.vendor_calls import Call, Recorder, timers_run
from voicecore.adapters.deepgram_flux_stt import DeepgramFluxStt
from voicecore.adapters.deepgram_stt import DeepgramNovaStt, deepgram_stt
from voicecore.adapters.registry import VendorConfig, VendorConfigError
from voicecore.providers.errors import VendorError
from voicecore.providers.stt import SttFinal, SttInterim
from voicecore.providers.words import Word

server = running(DeepgramServer)
call = running(Call)


async def timed_out(
    server: DeepgramServer, call: Call, text: str, duration_s: float
) -> tuple[Line, Connection]:
    """A line on which an interim was delivered in place of the final that did not come."""
    line = Line(server, call, finalize_timeout_ms=50)
    line.speak(1000)
    there = await line.heard(960)
    await there.results(text, 0.0, duration_s)
    await line.sink.count(1)
    line.stream.finalize()
    await line.sink.count(2)
    await line.said("Finalize")  # and all audio before it
    return line, there


async def test_the_request_carries_every_setting(server: DeepgramServer, call: Call) -> None:
    settings = {
        "base_url": server.url + "/",
        "keyterm": ["voice core", "Müller & Söhne"],
        "endpointing": False,
        "smart_format": True,
        "tag": ["a"],
    }
    config = VendorConfig("deepgram", model="nova-3-general", language="de", settings=settings)
    deepgram_stt(config, SECRETS).open(ALAW_8K, sink=Recorder(), spawn=call.spawn)
    there = await server.connection()
    assert there.path == "/v1/listen"
    assert there.query == {
        "model": ["nova-3-general"],
        "language": ["de"],
        "encoding": ["alaw"],
        "sample_rate": ["8000"],
        "channels": ["1"],
        "interim_results": ["true"],
        "endpointing": ["false"],
        "utterance_end_ms": ["1000"],
        "punctuate": ["true"],
        "smart_format": ["true"],
        "numerals": ["false"],
        "keyterm": ["voice core", "Müller & Söhne"],
        "tag": ["a"],
    }
    assert there.headers["Authorization"] == f"Token {KEY}"


def test_every_line_format_is_taken_as_it_is() -> None:
    stt = deepgram_stt(VendorConfig("deepgram"), SECRETS)
    for audio in (MULAW_8K, ALAW_8K, L16_16K):
        assert stt.accepts(audio) == audio


@pytest.mark.parametrize(
    ("model", "settings", "field"),
    [
        ("", {"speed": 1}, "settings.speed"),
        ("", {"chunk_ms": 5}, "settings.chunk_ms"),
        ("", {"utterance_end_ms": 10}, "settings.utterance_end_ms"),
        ("", {"endpointing": 5}, "settings.endpointing"),
        ("", {"base_url": "https://x"}, "settings.base_url"),
        ("nova-2-phonecall", {"keyterm": ["x"]}, "settings.keyterm"),
        ("flux-general-en", {"utterance_end_ms": 1000}, "settings.utterance_end_ms"),
    ],
)
def test_a_wrong_setting_is_named(model: str, settings: dict[str, Any], field: str) -> None:
    with pytest.raises(VendorConfigError) as wrong:
        deepgram_stt(VendorConfig("deepgram", model=model, settings=settings), SECRETS)
    assert wrong.value.field == field


@pytest.mark.parametrize("secrets", [{}, {"DEEPGRAM_API_KEY": " "}, {"DEEPGRAM_API_KEY": "a\nb"}])
@pytest.mark.parametrize("model", ["nova-3", "flux-general-en"])
async def test_a_missing_key_is_named(secrets: dict[str, str], model: str) -> None:
    with pytest.raises(VendorError, match="DEEPGRAM_API_KEY") as missing:
        await deepgram_stt(VendorConfig("deepgram", model=model), secrets).start()
    assert missing.value.code == "auth_failed"
    await deepgram_stt(VendorConfig("deepgram", model=model), SECRETS).start()


def test_the_model_chooses_the_protocol() -> None:
    assert isinstance(deepgram_stt(VendorConfig("deepgram"), SECRETS), DeepgramNovaStt)
    flux = VendorConfig("deepgram", model="flux-general-en")
    assert isinstance(deepgram_stt(flux, SECRETS), DeepgramFluxStt)


async def test_a_turn(server: DeepgramServer, call: Call) -> None:
    line = Line(server, call)
    line.speak(3000)
    there = await line.heard(3000)
    assert set(there.audio_messages) == {480}
    await there.results("I want", 0.0, 1.0)
    await there.results("I want to fly.", 0.0, 2.0, is_final=True)
    await there.results("To Rome.", 2.0, 1.0, is_final=True, speech_final=True)
    await line.sink.count(3)
    assert line.sink.events == [
        SttInterim("I want", 0.98),
        SttFinal(
            "I want to fly.",
            (
                Word("I", 0, 500),
                Word("want", 500, 1000),
                Word("to", 1000, 1500),
                Word("fly.", 1500, 2000),
            ),
            confidence=0.98,
        ),
        SttFinal(
            "To Rome.",
            (Word("To", 2000, 2500), Word("Rome.", 2500, 3000)),
            end_of_turn=True,
            confidence=0.98,
        ),
    ]


async def test_finalize_is_answered_by_the_vendor(server: DeepgramServer, call: Call) -> None:
    line = Line(server, call, finalize_timeout_ms=5000)
    line.speak(1010)  # not a whole number of messages
    line.stream.finalize()
    there = await line.said("Finalize")
    assert len(there.audio) == 1000 * 8, "the rest goes out before Finalize"
    await there.results("yes", 0.0, 1.0, is_final=True, from_finalize=True)
    await line.sink.count(1)
    assert [(e.text, e.flushed, e.end_of_turn) for e in line.sink.events] == [("yes", True, False)]


async def test_an_empty_answer_to_finalize_is_passed_on(server: DeepgramServer, call: Call) -> None:
    line = Line(server, call, finalize_timeout_ms=5000)
    line.speak(1000)
    line.stream.finalize()
    there = await line.said("Finalize")
    await there.results("", 0.0, 1.0, is_final=True, from_finalize=True)
    await line.sink.count(1)
    assert line.sink.events == [SttFinal("", flushed=True)]


async def test_a_turn_of_interims_alone_is_not_lost(server: DeepgramServer, call: Call) -> None:
    line, _ = await timed_out(server, call, "seven three", 0.8)
    assert line.sink.events == [
        SttInterim("seven three", 0.98),
        SttFinal(
            "seven three",
            (Word("seven", 0, 400), Word("three", 400, 800)),
            flushed=True,
            confidence=0.98,
        ),
    ]


async def test_what_the_timer_delivered_is_not_delivered_again(
    server: DeepgramServer, call: Call
) -> None:
    line, there = await timed_out(server, call, "seven three", 0.8)
    await there.results("Seven, three.", 0.0, 1.0, is_final=True, from_finalize=True)
    line.speak(1000)
    await line.heard(1900)
    await there.results("nine", 1.0, 0.5, is_final=True)
    await line.sink.count(3)
    assert [e.text for e in line.sink.of(SttFinal)] == ["seven three", "nine"]
    assert [e.flushed for e in line.sink.of(SttFinal)] == [True, False]


async def test_a_late_final_adds_only_its_new_words(server: DeepgramServer, call: Call) -> None:
    line, there = await timed_out(server, call, "I want", 0.9)
    words = [("I", 0.0, 0.2), ("want", 0.2, 0.5), ("a", 0.5, 0.6), ("flight.", 0.6, 0.95)]
    await there.results("I want a flight.", 0.0, 1.0, is_final=True, speech_final=True, words=words)
    await line.sink.count(3)
    late = line.sink.events[-1]
    assert (late.text, late.end_of_turn, late.flushed) == ("a flight.", True, False)
    assert late.words == (Word("a", 500, 600), Word("flight.", 600, 950))


async def test_a_late_final_that_differs_is_cut_by_time(server: DeepgramServer, call: Call) -> None:
    line, there = await timed_out(server, call, "I won", 0.5)
    words = [("I", 0.0, 0.2), ("want", 0.2, 0.5), ("two", 0.5, 0.9)]
    await there.results("I want two", 0.0, 1.0, is_final=True, words=words)
    await line.sink.count(3)
    assert [e.text for e in line.sink.of(SttFinal)] == ["I won", "two"]


async def test_a_final_that_already_covers_it_answers_finalize_at_once(
    server: DeepgramServer, call: Call
) -> None:
    line = Line(server, call)
    line.speak(1020)
    there = await line.heard(1020)
    await there.results("yes", 0.0, 0.8, is_final=True, speech_final=True)
    await line.sink.count(1)
    line.stream.finalize()
    assert line.sink.events[1:] == [SttFinal("", flushed=True)]
    line.speak(60)
    await line.heard(1080)  # whatever was sent before this is there too
    assert "Finalize" not in there.types


async def test_finalize_is_answered_even_by_a_deaf_vendor(
    server: DeepgramServer, call: Call
) -> None:
    server.upgrade.clear()
    line = Line(server, call, finalize_timeout_ms=50)
    line.speak(200)
    line.stream.finalize()
    await line.sink.count(1)
    assert line.sink.events == [SttFinal("", flushed=True)]


async def test_two_finalizes_get_two_answers(server: DeepgramServer, call: Call) -> None:
    line = Line(server, call, finalize_timeout_ms=50)
    for _ in range(2):
        line.speak(2000)
        before = len(line.sink.events)
        line.stream.finalize()
        await line.sink.count(before + 1)
    assert line.sink.events == [SttFinal("", flushed=True)] * 2


async def test_utterance_end_closes_a_turn_that_noise_kept_open(
    server: DeepgramServer, call: Call
) -> None:
    line = Line(server, call)
    line.speak(3000)
    there = await line.heard(3000)
    await there.results("hello there", 0.0, 1.0, is_final=True)
    await there.send({"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": 1.0})
    await there.send({"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": 1.0})
    await there.results("well", 1.0, 0.5)
    await there.send({"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": 1.0})
    await there.results("well then", 1.0, 0.5)
    await there.send({"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": 1.5})
    await line.sink.count(5)
    assert [(type(e), e.text, getattr(e, "end_of_turn", None)) for e in line.sink.events] == [
        (SttFinal, "hello there", False),
        (SttFinal, "", True),
        (SttInterim, "well", None),
        (SttInterim, "well then", None),
        (SttFinal, "well then", True),
    ]


async def test_nothing_is_said_about_silence(server: DeepgramServer, call: Call) -> None:
    line = Line(server, call)
    line.speak(3000)
    there = await line.heard(3000)
    await there.results("", 0.0, 1.0)
    await there.results("", 0.0, 1.0, is_final=True, speech_final=True)
    await there.results("now", 1.0, 1.0)
    await line.sink.count(1)
    assert line.sink.events == [SttInterim("now", 0.98)]


async def test_an_interim_taken_back_is_replaced_by_nothing(
    server: DeepgramServer, call: Call
) -> None:
    line = Line(server, call)
    line.speak(3000)
    there = await line.heard(3000)
    await there.results("uh", 0.0, 1.0)
    await there.results("", 0.0, 2.0, is_final=True)
    await line.sink.count(2)
    assert line.sink.events == [SttInterim("uh", 0.98), SttInterim("")]


async def test_keepalive_while_the_line_is_silent(
    server: DeepgramServer, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_sockets(monkeypatch, keepalive_idle_ms=30)
    line = Line(server, call)
    there = await line.said("KeepAlive")
    assert there.types[0] == "KeepAlive"


async def test_nothing_after_close(server: DeepgramServer, call: Call) -> None:
    line = Line(server, call, finalize_timeout_ms=50)
    line.speak(1020)
    there = await line.heard(1020)
    line.stream.finalize()
    line.stream.close()
    line.stream.close()
    line.speak(100)
    line.stream.finalize()
    await call.settled()
    await timers_run(50)
    assert line.sink.events == []
    await there.closed.wait()
    assert there.types[-1] == "CloseStream"


async def test_close_within_the_sink_ends_it(server: DeepgramServer, call: Call) -> None:
    got: list[object] = []
    config = VendorConfig("deepgram", settings={"base_url": server.url})

    def once(event: object) -> None:
        got.append(event)
        stream.close()

    stream = deepgram_stt(config, SECRETS).open(MULAW_8K, sink=once, spawn=call.spawn)
    for _ in range(60):
        stream.push(FRAME)
    there = await server.connection()
    await there.until(lambda: there.heard_s >= 1.0)
    for _ in range(3):
        await there.send(json.dumps({"type": "SpeechStarted", "timestamp": 0.1}))
        await there.results("a", 0.0, 1.0)
    await call.settled()
    assert got == [SttInterim("a", 0.98)]

"""Deepgram Flux against our strict server."""

import functools
from typing import Any

import pytest

from media.audio.format import L16_16K, MULAW_8K
from tests.support import deepgram_line
from tests.support.deepgram_line import FRAME, SECRETS, change_sockets
from tests.support.deepgram_server import KEY, DeepgramServer
from tests.support.fixtures import running
from tests.support.vendor_calls import Call, Recorder, timers_run
from voicecore.adapters import deepgram_flux_stt
from voicecore.adapters.live_socket import LiveSocket, SocketOptions
from voicecore.adapters.registry import VendorConfig, VendorConfigError, make_stt
from voicecore.providers.stt import (
    SttEager,
    SttFailed,
    SttFinal,
    SttInterim,
    SttResumed,
)
from voicecore.providers.words import Word

server = running(DeepgramServer)
call = running(Call)


Line = functools.partial(deepgram_line.Line, model="flux-general-en")


async def test_the_request_carries_every_setting(server: DeepgramServer, call: Call) -> None:
    settings = {
        "base_url": server.url,
        "eot_threshold": 0.8,
        "eager_eot_threshold": 0.5,
        "eot_timeout_ms": 4000,
        "keyterm": ["voicecore"],
    }
    config = VendorConfig("deepgram", "flux-general-multi", language="de-AT", settings=settings)
    make_stt(config, SECRETS).open(L16_16K, sink=Recorder(), spawn=call.spawn)
    there = await server.connection()
    assert there.path == "/v2/listen"
    assert there.query == {
        "model": ["flux-general-multi"],
        "encoding": ["linear16"],
        "sample_rate": ["16000"],
        "eot_threshold": ["0.8"],
        "eager_eot_threshold": ["0.5"],
        "eot_timeout_ms": ["4000"],
        "keyterm": ["voicecore"],
        "language_hint": ["de"],
    }


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"language": "de"}, "language"),
        ({"settings": {"language_hint": ["en"]}}, "settings.language_hint"),
        ({"settings": {"eot_threshold": 0.4}}, "settings.eot_threshold"),
        ({"settings": {"eager_eot_threshold": 0.8}}, "settings.eager_eot_threshold"),
        ({"settings": {"endpointing": 10}}, "settings.endpointing"),
    ],
)
def test_a_wrong_setting_is_named(config: dict[str, Any], field: str) -> None:
    with pytest.raises(VendorConfigError) as wrong:
        make_stt(VendorConfig("deepgram", model="flux-general-en", **config), SECRETS)
    assert wrong.value.field == field


async def test_a_turn_with_an_eager_end(server: DeepgramServer, call: Call) -> None:
    line = Line(server, call)
    line.speak(4000)
    there = await line.heard(4000)
    assert set(there.audio_messages) == {640}
    await there.turn("Update", "", 0.5)
    await there.turn("StartOfTurn", "I", 1.0)
    await there.turn("Update", "I want", 1.5)
    await there.turn("Update", "I want", 1.75)
    await there.turn("EagerEndOfTurn", "I want that.", 2.0)
    await there.turn("TurnResumed", "I want that.", 2.25)
    await there.turn("Update", "I want that one.", 2.5)
    await there.turn("EagerEndOfTurn", "I want that one.", 2.75)
    await there.turn("SomethingNew", "I want that one.", 2.75)
    await there.turn("EndOfTurn", "I want that one.", 3.2)
    await there.turn("Update", "Now", 4.0, index=1, start=3.2)
    await line.sink.count(8)
    assert line.sink.events == [
        SttInterim("I", 0.97),
        SttInterim("I want", 0.97),
        SttEager("I want that.", 0.97),
        SttResumed(),
        SttInterim("I want that one.", 0.97),
        SttEager("I want that one.", 0.97),
        SttFinal(
            "I want that one.",
            (
                Word("I", 0, 800),
                Word("want", 800, 1600),
                Word("that", 1600, 2400),
                Word("one.", 2400, 3200),
            ),
            end_of_turn=True,
            flushed=True,
            confidence=0.97,
        ),
        SttInterim("Now", 0.97),
    ]


async def test_flux_decides_by_default_and_is_asked_in_the_end(
    server: DeepgramServer, call: Call
) -> None:
    line = Line(server, call, finalize_after_ms=100, finalize_timeout_ms=5000)
    line.speak(1000)
    there = await line.heard(960)
    await there.turn("Update", "and then", 0.9)
    await line.sink.count(1)
    line.stream.finalize()
    assert there.types == []
    await there.until(lambda: there.types == ["ForceEndTurn"])
    await there.turn("EndOfTurn", "And then.", 1.0)
    await line.sink.count(2)
    assert [(e.text, e.end_of_turn, e.flushed) for e in line.sink.events[1:]] == [
        ("And then.", True, True)
    ]


async def test_force_end_turn_asks_at_once(server: DeepgramServer, call: Call) -> None:
    line = Line(server, call, force_end_turn=True, finalize_timeout_ms=5000)
    line.speak(1000)
    line.stream.finalize()
    there = await line.said("ForceEndTurn")
    assert there.types == ["ForceEndTurn"]
    assert len(there.audio) == 1000 * 8, "the rest goes out before it"
    await there.turn("EndOfTurn", "Yes.", 1.0)
    await line.sink.count(1)
    assert [(e.text, e.flushed) for e in line.sink.events] == [("Yes.", True)]


async def test_more_speech_takes_finalize_back(server: DeepgramServer, call: Call) -> None:
    line = Line(server, call, finalize_after_ms=100)
    line.speak(1040)
    there = await line.heard(1040)
    await there.turn("Update", "and then", 0.9)
    await line.sink.count(1)
    line.stream.finalize()
    line.stream.speech_started()
    await timers_run(100)
    line.speak(80)
    await line.heard(1120)  # whatever was sent before this is there too
    assert there.types == []
    assert line.sink.events == [SttInterim("and then", 0.97)]


async def test_an_end_that_came_first_answers_finalize_at_once(
    server: DeepgramServer, call: Call
) -> None:
    line = Line(server, call)
    line.speak(400)
    line.stream.speech_started()
    line.speak(600)
    there = await line.heard(960)
    await there.turn("EndOfTurn", "Yes.", 0.9)
    await line.sink.count(1)
    line.stream.finalize()
    assert line.sink.events[1:] == [SttFinal("", flushed=True)]


async def test_a_turn_that_flux_never_ends_is_delivered_once(
    server: DeepgramServer, call: Call
) -> None:
    line = Line(server, call, force_end_turn=True, finalize_timeout_ms=50)
    line.speak(4000)
    there = await line.heard(3900)
    await there.turn("Update", "seven three", 1.0)
    await line.sink.count(1)
    line.stream.finalize()
    await line.sink.count(2)
    final = line.sink.events[1]
    assert (final.text, final.flushed, final.end_of_turn) == ("seven three", True, False)
    await there.turn("Update", "seven three", 1.25)
    await there.turn("Update", "Seven, three nine", 2.0)
    await there.turn("EndOfTurn", "Seven, three, nine.", 2.5)
    await there.turn("EndOfTurn", "Seven, three, nine.", 2.5)
    await there.turn("Update", "next", 3.0, index=1, start=2.5)
    await line.sink.count(5)
    assert [(type(e), e.text) for e in line.sink.events[2:]] == [
        (SttInterim, "nine"),
        (SttFinal, "nine."),
        (SttInterim, "next"),
    ]


async def test_finalize_about_nothing_is_answered(server: DeepgramServer, call: Call) -> None:
    line = Line(server, call, finalize_after_ms=100)
    line.speak(1000)
    there = await line.heard(960)
    line.stream.finalize()
    await line.sink.count(1)
    assert line.sink.events == [SttFinal("", flushed=True)]
    assert there.types == []


async def test_no_events_in_a_turn_is_a_stall(server: DeepgramServer, call: Call) -> None:
    line = Line(server, call, stall_timeout_ms=1000)
    line.speak(1040)
    first = await line.heard(960)
    await first.turn("Update", "hello", 0.9)
    await line.sink.count(1)
    line.speak(1040)
    second = await line.heard(1000, number=1)
    line.speak(80)
    await line.heard(1000, number=1)
    await second.turn("EndOfTurn", "hello again", 1.0)
    await line.sink.count(2)
    assert line.sink.events[1].text == "hello again"


async def test_a_lasting_stall_is_the_end(server: DeepgramServer, call: Call) -> None:
    line = Line(server, call, stall_timeout_ms=1000)
    line.stream.speech_started()
    for number in range(2):
        line.speak(80)
        there = await server.connection(number)
        await there.until(lambda there=there: len(there.audio) > 0)
        line.speak(1120)
    await line.sink.count(1)
    [failed] = line.sink.events
    assert isinstance(failed, SttFailed)
    assert failed.error.code == "stalled"


async def test_long_speech_survives_a_broken_connection(
    server: DeepgramServer, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However long this takes, the line is none that went quiet: no silence is put in.
    monkeypatch.setattr(deepgram_flux_stt, "_QUIET_MS", 60_000)
    line = Line(server, call)
    line.speak(4000)
    first = await line.heard(4000)
    line.speak(4000)
    await line.heard(8000)
    await first.turn("EagerEndOfTurn", "a b c d e f g h", 8.0)
    await line.sink.count(1)
    await first.drop()
    second = await line.heard(4900, number=1)
    assert line.sink.events[1:] == [
        SttResumed(),
        SttFinal(
            "a b c",
            (Word("a", 0, 1000), Word("b", 1000, 2000), Word("c", 2000, 3000)),
            confidence=0.97,
        ),
    ]
    await second.turn("EndOfTurn", "d e f g h", 4.9)
    await line.sink.count(4)
    assert line.sink.events[-1].text == "d e f g h"
    assert line.sink.events[-1].words[0].start_ms == 3040


async def test_silence_ends_a_turn_when_the_line_goes_quiet(
    server: DeepgramServer, call: Call
) -> None:
    line = Line(server, call)
    line.speak(1000)
    there = await line.heard(960)
    await there.turn("Update", "hello", 0.9)
    await there.until(lambda: len(there.audio) >= 1400 * 8)
    assert set(there.audio[8000:]) == {0xFF}
    await there.turn("EndOfTurn", "hello", 1.4)
    await line.sink.count(2)
    assert line.sink.events[1].words == (Word("hello", 0, 1000),)
    assert "KeepAlive" not in there.types


async def test_garbage_and_errors(server: DeepgramServer, call: Call) -> None:
    line = Line(server, call)
    line.speak(1040)
    there = await line.heard(1000)
    deep = '{"type":"TurnInfo","words":' + "[" * 100_000
    for message in ("{", b"\x00", "7", '{"type":"TurnInfo"}', '{"type":"New","event":3}', deep):
        await there.send(message)
    await there.send({"type": "Warning", "code": "W", "description": "d"})
    await there.turn("Update", "fine", 1.0)
    await line.sink.count(1)
    assert line.sink.events == [SttInterim("fine", 0.97)]
    for number in range(2):
        there = await server.connection(number)
        await there.send({"type": "Error", "sequence_id": 1, "code": "C", "description": "bad"})
    await line.sink.count(2)
    assert line.sink.events[1].error.detail == "C bad"


async def test_a_refused_connection_fails_the_stream(server: DeepgramServer, call: Call) -> None:
    server.refuse = [429]
    line = Line(server, call)
    await line.sink.count(1)
    assert line.sink.events[0].error.code == "rate_limited"


async def test_nothing_after_close(server: DeepgramServer, call: Call) -> None:
    line = Line(server, call, force_end_turn=True, finalize_timeout_ms=50)
    line.speak(1000)
    there = await line.heard(960)
    await there.turn("Update", "hello", 0.9)
    await line.sink.count(1)
    line.stream.finalize()
    line.stream.close()
    line.stream.close()
    line.speak(100)
    await call.settled()
    await timers_run(50)
    assert len(line.sink.events) == 1
    await there.closed.wait()
    assert there.types[-1] == "CloseStream"


async def test_close_within_the_sink_ends_it(server: DeepgramServer, call: Call) -> None:
    got: list[object] = []

    def until_resumed(event: object) -> None:
        got.append(event)
        if event == SttResumed():
            stream.close()

    settings = {"base_url": server.url}
    config = VendorConfig("deepgram", model="flux-general-en", settings=settings)
    stream = make_stt(config, SECRETS).open(MULAW_8K, sink=until_resumed, spawn=call.spawn)
    for _ in range(60):
        stream.push(FRAME)
    there = await server.connection()
    await there.until(lambda: there.heard_s >= 1.0)
    await there.turn("EagerEndOfTurn", "Yes", 0.8)
    await there.turn("TurnResumed", "Yes but", 1.0)
    await call.settled()
    assert got == [SttEager("Yes", 0.97), SttResumed()]


async def test_an_idle_flux_socket_is_sent_no_keepalive(
    server: DeepgramServer, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_sockets(monkeypatch, keepalive_idle_ms=20, ping_interval_ms=20)
    line = Line(server, call)
    there = await server.connection()
    deepgram_line.Line(server, call)  # a Nova, opened later, which does send them
    other = await server.connection(1)
    await other.until(lambda: other.types.count("KeepAlive") == 3)
    await (await there.socket.ping())
    assert there.texts == []
    assert not there.closed.is_set()
    assert line.sink.events == []


async def test_our_server_lets_a_keepalive_kill_the_socket(
    server: DeepgramServer, call: Call
) -> None:
    """As the real one does: it proves that the tests above would see one."""
    failed = Recorder()
    url = f"{server.url}/v2/listen?model=flux-general-en&encoding=mulaw&sample_rate=8000"
    options = SocketOptions("deepgram", url, {"Authorization": f"Token {KEY}"})
    LiveSocket(options, spawn=call.spawn, on_message=lambda message: None, on_failed=failed).send(
        '{"type":"KeepAlive"}'
    )
    await failed.count(1)
    assert failed.events[0].code == "disconnected"

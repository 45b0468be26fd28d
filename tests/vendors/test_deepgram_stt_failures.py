"""What goes wrong with a Deepgram stream, and what is heard all the same."""

import pytest

from tests.support.deepgram_line import Line
from tests.support.deepgram_server import DeepgramServer
from tests.support.fixtures import running
from tests.support.vendor_calls import Call
from voicecore.providers.stt import SttFailed, SttFinal, SttInterim
from voicecore.providers.words import Word

server = running(DeepgramServer)
call = running(Call)


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (400, "bad_request", False),
        (401, "auth_failed", False),
        (429, "rate_limited", True),
        (503, "vendor_error", True),
    ],
)
async def test_a_refused_connection_fails_the_stream(
    server: DeepgramServer, call: Call, status: int, code: str, retryable: bool
) -> None:
    server.refuse = [status]
    line = Line(server, call)
    await line.sink.count(1)
    [failed] = line.sink.events
    assert isinstance(failed, SttFailed)
    assert (failed.error.vendor, failed.error.code) == ("deepgram", code)
    assert failed.error.retryable is retryable
    line.speak(100)
    line.stream.finalize()
    line.stream.close()
    assert len(line.sink.events) == 1
    assert server.connections == []


async def test_a_broken_connection_is_replaced_and_hears_the_rest_again(
    server: DeepgramServer, call: Call
) -> None:
    line = Line(server, call)
    line.speak(2040)
    first = await line.heard(2040)
    await first.results("one two", 0.0, 1.0, is_final=True)
    await first.results("three", 1.0, 0.6)
    await line.sink.count(2)
    await first.drop()
    second = await line.heard(1040, number=1)
    assert len(second.audio) == 1040 * 8
    line.speak(960)
    await line.heard(2000, number=1)
    await second.results("three four", 0.0, 2.0, is_final=True, speech_final=True)
    await line.sink.count(3)
    assert line.sink.events[-1] == SttFinal(
        "three four",
        (Word("three", 1000, 2000), Word("four", 2000, 3000)),
        end_of_turn=True,
        confidence=0.98,
    )


async def test_a_connection_lost_before_the_answer_is_asked_again(
    server: DeepgramServer, call: Call
) -> None:
    line = Line(server, call, finalize_timeout_ms=5000)
    line.speak(1020)
    line.stream.finalize()
    first = await line.said("Finalize")
    await first.drop()
    second = await line.said("Finalize", number=1)
    await second.results("yes", 0.0, 1.0, is_final=True, from_finalize=True)
    await line.sink.count(1)
    assert line.sink.events == [
        SttFinal("yes", (Word("yes", 0, 1000),), flushed=True, confidence=0.98)
    ]


async def test_long_speech_survives_a_broken_connection(server: DeepgramServer, call: Call) -> None:
    """What is too old to be heard again is final from then on."""
    line = Line(server, call)
    for _ in range(2):
        line.speak(4020)
        first = await line.heard(4000 * (1 + bool(line.sink.events)))
        await first.results("one two three four", 0.0, 4.0)
        await line.sink.count(1)
    await line.heard(8040)
    await first.results("a b c d e f g h", 0.0, 8.0)
    await line.sink.count(3)
    await first.drop()
    second = await line.heard(4900, number=1)
    [lost] = line.sink.of(SttFinal)
    assert lost.text == "a b c"
    await second.results("d e f g h", 0.0, 4.9, is_final=True)
    await line.sink.until(lambda: len(line.sink.of(SttFinal)) == 2)
    assert line.sink.events[-1].text == "d e f g h"


async def test_the_end_of_a_turn_is_told_after_a_broken_connection(
    server: DeepgramServer, call: Call
) -> None:
    line = Line(server, call)
    line.speak(4020)
    await line.heard(4000)
    line.speak(4020)
    first = await line.heard(8040)
    await first.results("a b c", 0.0, 3.0)
    await line.sink.count(1)
    await first.drop()
    second = await line.heard(4900, number=1)
    await second.results("", 0.0, 4.9, is_final=True, speech_final=True)
    await line.sink.count(3)
    assert [(e.text, e.end_of_turn) for e in line.sink.of(SttFinal)] == [
        ("a b c", False),
        ("", True),
    ]


async def test_a_second_break_is_the_end(server: DeepgramServer, call: Call) -> None:
    line = Line(server, call)
    await (await server.connection()).drop()
    await (await server.connection(1)).drop()
    await line.sink.count(1)
    [failed] = line.sink.events
    assert (failed.error.code, failed.error.retryable) == ("disconnected", True)
    await call.settled()
    assert len(server.connections) == 2


async def test_bad_audio_is_not_tried_again(server: DeepgramServer, call: Call) -> None:
    line = Line(server, call)
    there = await server.connection()
    await there.socket.close(1008, "DATA-0000 payload cannot be decoded as audio")
    await line.sink.count(1)
    [failed] = line.sink.events
    assert (failed.error.code, failed.error.retryable) == ("disconnected", False)
    assert "DATA-0000" in failed.error.detail


async def test_an_error_message_fails_the_connection(server: DeepgramServer, call: Call) -> None:
    line = Line(server, call)
    for number in range(2):
        there = await server.connection(number)
        await there.send({"type": "Error", "variant": "V", "description": "no", "message": "m"})
    await line.sink.count(1)
    assert line.sink.events[0].error.code == "vendor_error"
    assert line.sink.events[0].error.detail == "no"


GARBAGE = [
    "{",
    b"\x00\x01",
    "[1]",
    '{"type": 5}',
    '{"type":"Results"}',
    '{"type":"Results","start":' + "[" * 100_000,
    '{"type":"Results","start":"x","duration":1,"channel":{"alternatives":[]}}',
]


async def test_garbage_is_tolerated_up_to_a_limit(server: DeepgramServer, call: Call) -> None:
    line = Line(server, call)
    line.speak(1020)
    there = await line.heard(1020)
    for message in GARBAGE:
        await there.send(message)
    await there.send({"type": "FromTheFuture", "channel": 7})
    await there.send({"type": "Metadata", "request_id": "r"})
    await there.results("still here", 0.0, 1.0)
    await line.sink.count(1)
    assert line.sink.events == [SttInterim("still here", 0.98)]
    for number in range(2):
        there = await server.connection(number)
        for _ in range(9):
            await there.send("{")
    await line.sink.count(2)
    assert line.sink.events[-1].error.code == "garbage"


async def test_speech_without_any_answer_is_a_stall(server: DeepgramServer, call: Call) -> None:
    line = Line(server, call, stall_timeout_ms=1000)
    line.speak(60)
    await line.heard(60)
    line.speak(1980)  # nobody speaks: silence may go unanswered
    await line.heard(2040)
    assert len(server.connections) == 1
    line.stream.speech_started()
    line.speak(60)
    await line.heard(2060, number=1)
    line.speak(1080)
    await line.sink.count(1)
    assert line.sink.events[0].error.code == "stalled"


async def test_a_server_that_never_reads_costs_bounded_memory(
    server: DeepgramServer, call: Call
) -> None:
    server.upgrade.clear()
    line = Line(server, call, finalize_timeout_ms=5000)
    line.speak(60_000)
    server.upgrade.set()
    await line.heard(4900)
    line.stream.finalize()
    there = await line.said("Finalize")  # and all audio before it
    assert len(there.audio) <= 5000 * 8
    start = 60_000 - len(there.audio) // 8
    await there.results("late", 0.0, 1.0, is_final=True)
    await line.sink.count(1)
    assert line.sink.events[0].words == (Word("late", start, start + 1000),)

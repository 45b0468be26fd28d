"""Speech through the OpenAI route that fails, is cancelled, or is too much."""

import asyncio

import pytest

from tests.support.fixtures import running
from tests.support.openai_server import Drop, End, Head, OpenAiServer, Status, Step, Wait
from tests.support.openai_tts_call import SECOND, calling, gone, say, spoken, within
from tests.support.refusing import refusing_port
from tests.support.vendor_calls import SpeechRecorder
from voicecore.adapters import openai_client, openai_tts
from voicecore.providers.tts import TtsAudio, TtsDone, TtsEvent, TtsFailed, TtsWords

server = running(OpenAiServer)


FAILURES: list[tuple[str, list[Step], str, bool]] = [
    ("unauthorised", [Status(401)], "auth_failed", False),
    ("payment", [Status(402)], "quota_exceeded", False),
    ("no such model", [Status(404, "model_not_found")], "model_not_found", False),
    ("too many", [Status(429)], "rate_limited", True),
    ("quota", [Status(429, "insufficient_quota")], "quota_exceeded", False),
    ("server error", [Status(500)], "vendor_error", True),
    ("busy", [Status(503)], "overloaded", True),
    ("dropped at once", [Drop()], "disconnected", True),
    ("dropped mid-stream", [b"\x01\x00", Drop()], "disconnected", True),
    ("no audio", [End()], "vendor_error", True),
    ("an error with 200", [Head(Content_Type="application/json"), b"{}"], "garbage", True),
    ("mp3", [Head(Content_Type="audio/mpeg"), b"\xff\xfb"], "garbage", True),
]


@pytest.mark.parametrize(
    ("plan", "code", "retryable"), [row[1:] for row in FAILURES], ids=[row[0] for row in FAILURES]
)
async def test_failures(server: OpenAiServer, plan: list[Step], code: str, retryable: bool) -> None:
    sink = await say(server, [plan], "Hi.")
    failed = sink.events[-1]
    assert isinstance(failed, TtsFailed)
    assert (failed.error.code, failed.error.retryable) == (code, retryable)
    assert len(server.seen) == 1


async def test_connect_failed() -> None:
    server = OpenAiServer()
    with refusing_port() as port:
        server.base_url = f"http://127.0.0.1:{port}/v1"
        sink = await say(server, [], "Hi.")
    assert isinstance(sink.events[-1], TtsFailed)
    assert sink.events[-1].error.code == "connect_failed"


@pytest.mark.parametrize("before", [[], [Head(), b""]])
async def test_first_audio_timeout(server: OpenAiServer, before: list[Step]) -> None:
    for timeout_ms in (60, 600, 3000):
        sink = await say(server, [[*before, Wait()]], "Hi.", first_audio_timeout_ms=timeout_ms)
        assert isinstance(sink.events[-1], TtsFailed)
        assert sink.events[-1].error.code == "first_output_timeout"
        if server.seen:  # a busy machine may have taken that long to ask
            break
    await gone(server.seen[0])


async def test_stalled(server: OpenAiServer) -> None:
    sink = await say(server, [[b"\x01\x00", Wait()]], "Hi.", stall_timeout_ms=60)
    assert [type(event) for event in sink.events] == [TtsAudio, TtsFailed]
    assert isinstance(sink.events[-1], TtsFailed)
    assert (sink.events[-1].error.code, sink.events[-1].error.retryable) == ("stalled", True)
    await gone(server.seen[0])


async def test_a_later_sentence_fails_after_the_earlier_is_delivered(server: OpenAiServer) -> None:
    held = Wait()
    server.plans.extend([[b"\x01\x00" * 10, held, b"\x02\x00" * 10], [Status(500)]])
    sink = SpeechRecorder()
    async with calling(server) as call:
        reply = call.session.reply(sink)
        reply.say("One.")
        reply.say("Two.")
        await server.requests(2)
        await within(server.seen[1].answered.wait())
        held.gate.set()
        await sink.ended()
    assert len(sink.audio) == 40
    assert [type(event) for event in sink.events[-2:]] == [TtsWords, TtsFailed]


async def test_cancel_closes_both_requests_at_once(server: OpenAiServer) -> None:
    server.plans.extend([[b"\x01\x00", Wait()], [b"\x01\x00", Wait()]])
    sink = SpeechRecorder()
    async with calling(server) as call:
        reply = call.session.reply(sink)
        reply.say("One.")
        reply.say("Two.")
        await server.requests(2)
        await sink.first(TtsAudio)
        reply.cancel()
        reply.cancel()
        count = len(sink.events)
        await gone(server.seen[0])
        await gone(server.seen[1])
        await call.settled()
        reply.say("Three.")
        reply.finish()
    assert len(sink.events) == count
    assert len(server.seen) == 2


async def test_cancel_before_anything_and_from_within_the_sink(server: OpenAiServer) -> None:
    server.plans.append([SECOND, SECOND, Wait()])
    async with calling(server) as call:
        silent = SpeechRecorder()
        reply = call.session.reply(silent)
        reply.say("Never.")
        reply.cancel()
        events: list[TtsEvent] = []

        def cancelling(event: TtsEvent) -> None:
            events.append(event)
            reply.cancel()

        reply = call.session.reply(cancelling)
        reply.say("Hi.")
        await server.requests(1)
        await gone(server.seen[0])
        await call.settled()
        assert len(events) == 1
        assert silent.events == []


async def test_close_ends_the_reply_and_later_ones_are_silent(server: OpenAiServer) -> None:
    server.plans.append([SECOND, Wait()])
    sink, late = SpeechRecorder(), SpeechRecorder()
    async with calling(server) as call:
        call.session.reply(sink).say("One.")
        await sink.first(TtsAudio)
        call.session.close()
        count = len(sink.events)
        reply = call.session.reply(late)
        reply.say("Two.")
        reply.finish()
        await gone(server.seen[0])
        await call.settled()
    assert len(sink.events) == count
    assert late.events == []


async def test_the_calls_end_cancels_the_request(server: OpenAiServer) -> None:
    server.plans.append([SECOND, Wait()])
    sink = SpeechRecorder()
    async with calling(server) as call:
        call.session.reply(sink).say("One.")
        await sink.first(TtsAudio)
        (task,) = call.tasks
        call.tasks.clear()
        task.cancel()
        await gone(server.seen[0])
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_bug_in_the_sink_is_not_swallowed(server: OpenAiServer) -> None:
    server.plans.append(spoken(SECOND))
    async with calling(server) as call:

        def broken(event: TtsEvent) -> None:
            raise ZeroDivisionError

        call.session.reply(broken).say("One.")
        with pytest.raises(ExceptionGroup) as caught:
            await call.settled()
        assert caught.value.subgroup(ZeroDivisionError)
        call.tasks.clear()


async def test_queued_text_is_bounded(server: OpenAiServer) -> None:
    server.plans.append([Wait()])
    sink = SpeechRecorder()
    async with calling(server) as call:
        reply = call.session.reply(sink)
        for _ in range(200):
            reply.say("." * 1000)
        reply.finish()
        failed = await sink.ended()
    assert isinstance(failed, TtsFailed)
    assert failed.error.code == "bad_request"


async def test_text_that_was_spoken_waits_no_more(
    server: OpenAiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_tts, "_MAX_QUEUED_CHARACTERS", 10)
    server.plans.extend(spoken(SECOND) for _ in range(4))
    sink = SpeechRecorder()
    async with calling(server) as call:
        reply = call.session.reply(sink)
        for number in range(4):
            reply.say(f"No. {number}.")
            await server.requests(number + 1)
        reply.finish()
        assert await sink.ended() == TtsDone(24)


async def test_audio_ahead_is_bounded(server: OpenAiServer) -> None:
    """The second sentence's server is held back while the first is not through."""
    held, big = Wait(), bytes(64 * 1024)
    sent = [Wait() for _ in range(400)]
    flood: list[Step] = []
    for each in sent:
        each.gate.set()
        flood += [big, each]
    server.plans.extend([[b"\x01\x00", held], [*flood, End()]])
    sink = SpeechRecorder()
    async with calling(server) as call:
        reply = call.session.reply(sink)
        reply.say("One.")
        reply.say("Two.")
        reply.finish()
        await server.requests(2)
        before, now = -1, 0
        while before < now < len(sent):  # until no more is taken
            await server.caught_up()
            before, now = now, sum(each.reached.is_set() for each in sent)
        assert 0 < now < len(sent)
        assert len(sink.audio) == 2
        held.gate.set()
        await sink.ended()
    assert len(sink.audio) == 2 + 400 * len(big)


async def test_a_close_that_hangs_holds_nobody_up(
    server: OpenAiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from openai import AsyncAPIResponse

    closing = asyncio.Event()

    async def hang(_: object) -> None:
        closing.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(openai_client, "_CLOSE_TIMEOUT_S", 0.02)
    monkeypatch.setattr(AsyncAPIResponse, "close", hang)
    server.plans.append([SECOND, Wait()])
    sink = SpeechRecorder()
    async with asyncio.timeout(None) as patience, calling(server) as call:
        patience.reschedule(asyncio.get_running_loop().time() + 5)  # not for loading the SDK
        reply = call.session.reply(sink)
        reply.say("Hi.")
        await sink.first(TtsAudio)
        reply.cancel()
        await call.settled()
    assert closing.is_set()

"""The speech route's adapter against a loopback server, through the real SDK."""

from typing import Any

import pytest

from media.audio.format import L16_8K, L16_24K
from tests.support.fixtures import running
from tests.support.openai_server import OpenAiServer, Step, Wait
from tests.support.openai_tts_call import SECOND, calling, say, spoken, within
from tests.support.vendor_calls import SpeechRecorder
from voicecore.adapters.openai_tts import OpenAiTts
from voicecore.adapters.registry import VendorConfig, VendorConfigError, make_tts
from voicecore.providers.errors import VendorError
from voicecore.providers.tts import TtsAudio, TtsDone, TtsWords
from voicecore.providers.words import spread_words

server = running(OpenAiServer)


async def test_speaks_sentences_in_order_with_words(server: OpenAiServer) -> None:
    one, two = b"\x01\x00" * 24_000, b"\x02\x00" * 12_000
    sink = await say(server, [spoken(one), spoken(two)], "Good day to you.", "Bye.")
    assert sink.audio == one + two
    assert sink.words == [
        *spread_words("Good day to you.", 0, 1000),
        *spread_words("Bye.", 1000, 1500),
    ]
    assert sink.events[-1] == TtsDone(20)
    assert [seen.body for seen in server.seen] == [
        {"model": "m", "voice": "v", "input": text, "response_format": "pcm"}
        for text in ("Good day to you.", "Bye.")
    ]


async def test_words_come_with_the_end_of_their_sentence(server: OpenAiServer) -> None:
    sink = await say(server, [spoken(SECOND), spoken(SECOND)], "One.", "Two.")
    kinds = [type(event) for event in sink.events]
    assert kinds.count(TtsWords) == 2
    first = kinds.index(TtsWords)
    assert sum(len(e.payload) for e in sink.events[:first] if isinstance(e, TtsAudio)) == 48_000


async def test_format_is_what_the_server_makes(server: OpenAiServer) -> None:
    async with calling(server) as call:
        assert call.session.audio == L16_24K
    async with calling(server, rate_hz=8000) as call:
        assert call.session.audio == L16_8K


async def test_settings_are_sent(server: OpenAiServer) -> None:
    await say(
        server,
        [spoken(SECOND)],
        "Hi.",
        speed=1.25,
        instructions="Calmly.",
    )
    body = server.seen[0].body
    assert (body["speed"], body["instructions"]) == (1.25, "Calmly.")


async def test_samples_are_kept_whole(server: OpenAiServer) -> None:
    pieces = [b"\x01", b"\x02\x03\x04", b"\x05", b"\x06\x07"]
    plan: list[Step] = []
    for piece in pieces:
        plan += [piece, wait := Wait()]
        wait.gate.set()
    sink = await say(server, [plan, spoken(b"\x08\x09")], "One.", "Two.")
    assert all(len(e.payload) % 2 == 0 for e in sink.events if isinstance(e, TtsAudio))
    assert sink.audio == b"\x01\x02\x03\x04\x05\x06\x08\x09"


async def test_audio_is_passed_on_as_it_comes(server: OpenAiServer) -> None:
    wait = Wait()
    server.plans.append([b"\x01\x00" * 10, wait, b"\x02\x00" * 10])
    sink = SpeechRecorder()
    async with calling(server) as call:
        reply = call.session.reply(sink)
        reply.say("Hi.")
        reply.finish()
        await sink.first(TtsAudio)
        assert sink.audio == b"\x01\x00" * 10
        wait.gate.set()
        await sink.ended()


async def test_next_request_starts_while_the_former_streams(server: OpenAiServer) -> None:
    first, held, second = Wait(), Wait(), Wait()
    server.plans.extend([[first, b"\x01\x00", held], [b"\x02\x00", second], spoken(b"\x03\x00")])
    sink = SpeechRecorder()
    async with calling(server) as call:
        reply = call.session.reply(sink)
        for text in ("One.", "Two.", "Three."):
            reply.say(text)
        reply.finish()
        await within(first.reached.wait())
        await server.caught_up()
        assert len(server.seen) == 1, "the second waits for the first's audio"
        first.gate.set()
        await within(second.reached.wait())
        await within(held.reached.wait())
        await server.caught_up()
        assert len(server.seen) == 2, "the third waits for the first's end"
        held.gate.set()
        await server.requests(3)
        second.gate.set()
        assert await sink.ended() == TtsDone(14)
    assert sink.audio == b"\x01\x00\x02\x00\x03\x00"


async def test_a_sentence_said_late_is_spoken(server: OpenAiServer) -> None:
    server.plans.extend([spoken(SECOND), spoken(SECOND)])
    sink = SpeechRecorder()
    async with calling(server) as call:
        reply = call.session.reply(sink)
        reply.say("One.")
        await sink.first(TtsWords)
        reply.say("Two.")
        reply.finish()
        await sink.ended()
    assert [word.text for word in sink.words] == ["One.", "Two."]


async def test_nothing_said(server: OpenAiServer) -> None:
    sink = await say(server, [], "  ", "")
    assert sink.events == [TtsDone(0)]


async def test_marks_alone_are_not_sent_but_counted_as_words(server: OpenAiServer) -> None:
    sink = await say(server, [spoken(SECOND), spoken(SECOND)], "One.", "—", "Two.")
    assert [(word.text, word.start_ms, word.end_ms) for word in sink.words] == [
        ("One.", 0, 1000),
        ("—", 1000, 1000),
        ("Two.", 1000, 2000),
    ]
    assert len(server.seen) == 2
    assert sink.events[-1] == TtsDone(8)


async def test_long_text_is_cut_between_words(server: OpenAiServer) -> None:
    text = " ".join(["word"] * 1500) + " " + "x" * 5000
    sink = await say(server, [spoken(b"\x01\x00") for _ in range(4)], text)
    inputs = [seen.body["input"] for seen in server.seen]
    assert max(map(len, inputs)) <= 4096
    assert " ".join(inputs[:2]).startswith("word word")
    assert "".join(inputs).replace(" ", "") == text.replace(" ", "")
    assert isinstance(sink.events[-1], TtsDone)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"settings": {"speed": 9}}, "settings.speed"),
    ({"settings": {"rate_hz": 44_100}}, "settings.rate_hz"),
    ({"settings": {"response_format": "mp3"}}, "settings.response_format"),
    ({"settings": {"extra_body": {"voice": "x"}}}, "settings.extra_body"),
    ({"settings": {"voice_id": "x"}}, "settings.voice_id"),
    ({"model": ""}, "model"),
    ({"voice": ""}, "voice"),
]


@pytest.mark.parametrize(("change", "field"), WRONG)
def test_wrong_settings_are_named(change: dict[str, Any], field: str) -> None:
    given = {"vendor": "openai", "model": "m", "voice": "v", **change}
    with pytest.raises(VendorConfigError) as caught:
        make_tts(VendorConfig(**given), {})
    assert caught.value.field == field


async def test_without_a_key() -> None:
    tts = OpenAiTts(VendorConfig("openai", "m", voice="v"), {})
    with pytest.raises(VendorError, match="OPENAI_API_KEY"):
        await tts.start()

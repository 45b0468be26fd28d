"""ElevenLabs' messages: any spelling, any junk, the SDK's own types."""

import asyncio
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.elevenlabs_call import say
from tests.support.elevenlabs_server import Connection, ElevenLabsServer, aligned
from voicecore.adapters.elevenlabs_messages import (
    read_alignment,
    read_message,
)
from voicecore.providers.errors import VendorError


def test_both_spellings_are_read() -> None:
    for final, name in (("isFinal", "contextId"), ("is_final", "context_id")):
        message = read_message(msgspec.json.encode({final: True, name: "c9"}).decode())
        assert (message.context_id, message.final) == ("c9", True)
    camel = aligned("a b")["alignment"]
    snake = {
        "chars": camel["chars"],
        "char_start_times_ms": camel["charStartTimesMs"],
        "char_durations_ms": camel["charDurationsMs"],
    }
    assert read_alignment(snake) == read_alignment(camel) is not None


JUNK = st.sampled_from(
    [
        None,
        True,
        -1,
        1e300,
        "x",
        "",
        [],
        [7],
        ["a"],
        {},
        {"chars": ["a"], "charStartTimesMs": [0]},
        {"chars": ["a"], "charStartTimesMs": [True], "charDurationsMs": [1]},
        {"chars": ["a"], "charStartTimesMs": [1.5], "charDurationsMs": [1]},
        {"chars": [3], "charStartTimesMs": [0], "charDurationsMs": [1]},
    ]
)


NAMES = [
    "audio",
    "alignment",
    "normalizedAlignment",
    "contextId",
    "context_id",
    "isFinal",
    "is_final",
    "error",
    "message",
    "code",
    "other",
]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(NAMES), JUNK) | JUNK | st.binary(max_size=20))
def test_any_message_is_read_or_garbage(message: Any) -> None:
    data = message if isinstance(message, bytes) else msgspec.json.encode(message).decode()
    try:
        read = read_message(data)
    except VendorError as error:
        read = None
        code = error.code
    assert read is not None or code == "garbage"


def test_our_messages_and_the_servers_fit_the_sdks_types() -> None:
    """The vendor's own types accept what we send and what our server sends."""
    from elevenlabs.types import (
        AudioOutputMulti,
        CloseContext,
        CloseSocket,
        FinalOutputMulti,
        FlushContext,
        InitializeConnectionMulti,
        KeepContextAlive,
        SendTextMulti,
        WebsocketTtsClientMessageMulti,
    )

    def fits(kind: Any, message: dict[str, Any]) -> Any:
        known = {field.alias or name for name, field in kind.model_fields.items()}
        assert message.keys() <= known | {"context_id"}
        return kind.model_validate(message)

    async def messages() -> Connection:
        async with ElevenLabsServer() as server:
            await say(server, "Hello there.", voice_settings={"stability": 0.5, "style": 0.1})
            return server.connections[0]

    connection = asyncio.run(messages())
    opening, text, flush, close = connection.received[:4]
    fits(InitializeConnectionMulti, opening)
    fits(SendTextMulti, text)
    fits(FlushContext, flush)
    fits(CloseContext, close)
    fits(CloseSocket, connection.received[-1])
    fits(KeepContextAlive, {"text": "", "context_id": "c1"})
    for message in connection.received:
        fits(WebsocketTtsClientMessageMulti, message)
    *audio, final = connection.sent
    assert fits(FinalOutputMulti, final).is_final is True
    for message in audio:
        parsed = fits(AudioOutputMulti, message)
        assert (parsed.context_id, parsed.alignment.chars) == ("c1", message["alignment"]["chars"])

"""What a carrier has to write itself when its messages have the common shape: how streams start."""

import msgspec
import pytest

from media.audio.format import L16_8K, MULAW_8K
from media.carrier import (
    AudioIn,
    CarrierProtocolError,
    Clear,
    Dtmf,
    Mark,
    MarkPlayed,
    Play,
    StreamEnded,
    StreamStarted,
)
from media.carriers.json_stream import (
    COMMON_EVENTS,
    CommonMessage,
    JsonStreamCodec,
    StartMessage,
)


class Start(StartMessage, tag_field="event", tag="start"):
    call: str
    l16: bool = False


class Codec(JsonStreamCodec):
    name = "acme"

    def __init__(self):
        decode = msgspec.json.Decoder(CommonMessage | Start, strict=False).decode
        super().__init__(decode, COMMON_EVENTS, "big")

    def _start(self, message):
        if not message.call:
            raise CarrierProtocolError("malformed_message", "start: no call")
        audio = L16_8K if message.l16 else MULAW_8K
        self._address_messages(b',"to":%b' % msgspec.json.encode(message.call))
        return StreamStarted(self.name, "", message.call, audio, audio)


def started(**fields):
    codec = Codec()
    codec.receive(msgspec.json.encode({"event": "start", "call": "c", **fields}))
    return codec


def test_a_stream():
    codec = Codec()
    stream = [
        b'{"event":"connected"}',
        b'{"event":"start","call":"c"}',
        b'{"event":"media","media":{"payload":"/w==","timestamp":"40","chunk":2}}',
        b'{"event":"mark","mark":{"name":"m"}}',
        b'{"event":"dtmf","dtmf":{"digit":"a"}}',
        b'{"event":"stop"}',
        b"noise",
    ]
    assert [event for message in stream for event in codec.receive(message)] == [
        StreamStarted("acme", "", "c", MULAW_8K, MULAW_8K),
        AudioIn(b"\xff", 40, 2),
        MarkPlayed("m"),
        Dtmf("A"),
        StreamEnded(),
    ]


def test_the_address_stands_in_every_message_sent():
    codec = started()
    assert [codec.send(command) for command in (Play(b"\xff"), Mark('"'), Clear())] == [
        b'{"event":"media","to":"c","media":{"payload":"/w=="}}',
        b'{"event":"mark","to":"c","mark":{"name":"\\""}}',
        b'{"event":"clear","to":"c"}',
    ]


def test_samples_are_turned_round_both_ways():
    codec = started(l16=True)
    (event,) = codec.receive(b'{"event":"media","media":{"payload":"AQI="}}')
    assert event.payload == b"\x02\x01"
    assert b'"payload":"AQI="' in codec.send(Play(b"\x02\x01"))


def test_a_start_that_is_refused_starts_nothing():
    codec = Codec()
    with pytest.raises(CarrierProtocolError):
        codec.receive(b'{"event":"start","call":""}')
    with pytest.raises(RuntimeError):
        codec.send(Clear())
    assert codec.receive(b'{"event":"start","call":"c"}') != []

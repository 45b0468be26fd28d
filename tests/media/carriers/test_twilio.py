import json
import struct
import xml.etree.ElementTree as ET

import pybase64
import pytest

from media.audio.format import ALAW_8K, L16_8K, L16_16K, MULAW_8K
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
from media.carriers.answer import StreamRequest
from media.carriers.rest import FORM, RestRequest
from media.carriers.twilio import TwilioCodec, hang_up, make_codec, twiml
from tests.support.carriers import capture, only, replay, wire

MESSAGES = capture("twilio")
SID = "MZ18ad3ab5a668481ce02b83e7395059f0"


def start(**media_format):
    message = only(MESSAGES, "start")
    message["start"]["mediaFormat"].update(media_format)
    return message


def started(**options):
    codec = TwilioCodec(**options)
    codec.receive(wire(start()))
    return codec


def test_the_documented_stream():
    events = replay(TwilioCodec(), MESSAGES)
    assert events == [
        StreamStarted(
            carrier="twilio",
            stream_id=SID,
            call_id="CA0000000000000000000000000000000c",
            inbound=MULAW_8K,
            outbound=MULAW_8K,
            parameters={"token": "t0k&n", "agent": "42"},
        ),
        *(AudioIn(bytes([n]) * 160, 57 + 20 * (n - 1), n) for n in range(1, 6)),
        MarkPlayed("g3:17"),
        Dtmf("1"),
        StreamEnded(),
    ]


def test_what_is_sent():
    codec = started()
    payload = pybase64.b64encode(b"\xff" * 160)
    assert codec.send(Play(b"\xff" * 160)) == (
        b'{"event":"media","streamSid":"%b","media":{"payload":"%b"}}' % (SID.encode(), payload)
    )
    assert codec.send(Mark("g3:17")) == (
        b'{"event":"mark","streamSid":"%b","mark":{"name":"g3:17"}}' % SID.encode()
    )
    assert codec.send(Clear()) == b'{"event":"clear","streamSid":"%b"}' % SID.encode()


def test_any_size_is_sent_as_it_is():
    sent = json.loads(started().send(Play(b"\x01")))
    assert pybase64.b64decode(sent["media"]["payload"]) == b"\x01"


def test_a_stream_sid_cannot_break_out_of_its_string():
    message = start()
    message["start"]["streamSid"] = 'MZ","event":"x\\'
    codec = TwilioCodec()
    codec.receive(wire(message))
    for command in (Play(b"\x01"), Mark('a"b'), Clear()):
        assert json.loads(codec.send(command))["streamSid"] == 'MZ","event":"x\\'


@pytest.mark.parametrize(
    ("encoding", "rate_hz", "expected"),
    [
        ("audio/x-mulaw", 8000, MULAW_8K),
        ("audio/x-alaw", 8000, ALAW_8K),
        ("audio/x-l16", 8000, L16_8K),
        ("audio/l16", 8000, L16_8K),
        ("audio/x-l16", 16000, L16_16K),
        ("audio/L16", 16000, L16_16K),
        ("audio/x-mulaw", "8000", MULAW_8K),
    ],
)
def test_formats(encoding, rate_hz, expected):
    (event,) = TwilioCodec().receive(wire(start(encoding=encoding, sampleRate=rate_hz)))
    assert event.inbound == event.outbound == expected


@pytest.mark.parametrize(
    "media_format",
    [
        {"encoding": "audio/opus"},
        {"encoding": ""},
        {"sampleRate": 16000},
        {"encoding": "audio/l16", "sampleRate": 44100},
        {"channels": 2},
        {"channels": 0},
    ],
)
def test_unsupported_codec(media_format):
    codec = TwilioCodec()
    with pytest.raises(CarrierProtocolError) as caught:
        codec.receive(wire(start(**media_format)))
    assert caught.value.code == "unsupported_codec"
    # Nothing has started.
    with pytest.raises(RuntimeError):
        codec.send(Clear())


@pytest.mark.parametrize("missing", ["streamSid", "callSid", "mediaFormat"])
def test_a_start_without_its_essentials(missing):
    message = only(MESSAGES, "start")
    del message["start"][missing]
    with pytest.raises(CarrierProtocolError) as caught:
        TwilioCodec().receive(wire(message))
    assert caught.value.code == "malformed_message"


@pytest.mark.parametrize("parameters", [None, {}])
def test_a_start_without_parameters(parameters):
    message = only(MESSAGES, "start")
    message["start"]["customParameters"] = parameters
    (event,) = TwilioCodec().receive(wire(message))
    assert event.parameters == {}


@pytest.mark.parametrize("parameters", [{"a": 1}, ["a"], "a"])
def test_parameters_are_strings(parameters):
    message = only(MESSAGES, "start")
    message["start"]["customParameters"] = parameters
    with pytest.raises(CarrierProtocolError) as caught:
        TwilioCodec().receive(wire(message))
    assert caught.value.code == "malformed_message"


@pytest.mark.parametrize(("order", "sign"), [("little", "<"), ("big", ">")])
def test_l16_has_the_byte_order_set(order, sign):
    codec = make_codec({"l16_byte_order": order})
    codec.receive(wire(start(encoding="audio/l16", sampleRate=16000)))
    on_the_wire, inside = struct.pack(f"{sign}3h", 1, -2, 300), struct.pack("<3h", 1, -2, 300)
    media = only(MESSAGES, "media")
    media["media"]["payload"] = pybase64.b64encode(on_the_wire).decode()
    (event,) = codec.receive(wire(media))
    assert event.payload == inside
    sent = json.loads(codec.send(Play(inside)))
    assert pybase64.b64decode(sent["media"]["payload"]) == on_the_wire


def test_half_a_sample():
    codec = TwilioCodec()
    codec.receive(wire(start(encoding="audio/l16", sampleRate=8000)))
    media = only(MESSAGES, "media")
    media["media"]["payload"] = "YWJj"
    with pytest.raises(CarrierProtocolError) as caught:
        codec.receive(wire(media))
    assert caught.value.code == "malformed_payload"
    with pytest.raises(ValueError):
        codec.send(Play(b"abc"))


class TestTwiml:
    def test_the_document(self):
        request = StreamRequest(
            "wss://h.example/media/twilio",
            {"token": "a\"b&c<d>'e", "line": "one\ntwo", "é": "ñ"},
            "https://h.example/status?a=1&b=2",
        )
        document = twiml(request, action_url="https://h.example/after?x=1&y=2")
        root = ET.fromstring(document.body)
        (connect,) = root
        (stream,) = connect
        assert [root.tag, connect.tag, stream.tag] == ["Response", "Connect", "Stream"]
        assert connect.attrib == {"action": "https://h.example/after?x=1&y=2"}
        assert stream.attrib == {
            "url": "wss://h.example/media/twilio",
            "statusCallback": "https://h.example/status?a=1&b=2",
        }
        assert {p.attrib["name"]: p.attrib["value"] for p in stream} == request.parameters
        assert {p.tag for p in stream} == {"Parameter"}

    def test_what_is_not_asked_for_is_left_out(self):
        assert twiml(StreamRequest("wss://h/ws")).body == (
            b'<?xml version="1.0" encoding="UTF-8"?>'
            b'<Response><Connect><Stream url="wss://h/ws"></Stream></Connect></Response>'
        )

    def test_a_query_string_would_be_dropped(self):
        with pytest.raises(ValueError):
            twiml(StreamRequest("wss://h/ws?token=1"))

    def test_name_and_value_stay_under_500_characters(self):
        twiml(StreamRequest("wss://h/ws", {"name": "x" * 495}))
        with pytest.raises(ValueError):
            twiml(StreamRequest("wss://h/ws", {"name": "x" * 496}))

    @pytest.mark.parametrize("parameters", [{"": "x"}, {"a": "\0"}, {"a": "\ud800"}])
    def test_parameters_that_cannot_be_written(self, parameters):
        with pytest.raises(ValueError):
            twiml(StreamRequest("wss://h/ws", parameters))


def test_hang_up():
    assert hang_up("AC1", "CA2") == RestRequest(
        method="POST",
        url="https://api.twilio.com/2010-04-01/Accounts/AC1/Calls/CA2.json",
        body=b"Status=completed",
        content_type=FORM,
        settled=((404, 20404),),
    )

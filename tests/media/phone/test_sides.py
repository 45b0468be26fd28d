import base64
import json
from typing import Any

import pytest

from media.audio.format import ALAW_8K, L16_16K, MULAW_8K
from media.phone.side import (
    CarrierSide,
    ServerAudio,
    ServerClear,
    ServerMark,
    StreamIds,
    StreamSpec,
    Violation,
)
from media.phone.sides import SIDES, carrier_kind, carrier_names, make_side

IDS = StreamIds("MZ1", "CA1", "AC1")


def side(name: str, **spec: Any) -> CarrierSide:
    made = make_side(name, StreamSpec(IDS, **spec))
    made.connected()
    made.start()
    return made


def media(payload: bytes, **head: str) -> bytes:
    encoded = base64.b64encode(payload).decode()
    return json.dumps({"event": "media", **head, "media": {"payload": encoded}}).encode()


def test_one_registry() -> None:
    assert carrier_names() == ("twilio", "telnyx")
    assert [carrier_kind(kind.name) for kind, _ in SIDES] == [kind for kind, _ in SIDES]
    with pytest.raises(KeyError):
        make_side("pigeon", StreamSpec(IDS))


def test_twilio_says_what_twilio_says() -> None:
    made = make_side("twilio", StreamSpec(IDS, parameters={"token": "t"}))
    said = [
        made.connected(),
        made.start(),
        made.media(base64.b64encode(b"\xff" * 160), 57),
        made.media(base64.b64encode(b"\xff" * 160), 77),
        made.mark("g1"),
        made.dtmf("5", 0),
        made.stop(),
    ]
    start = {
        "accountSid": "AC1",
        "streamSid": "MZ1",
        "callSid": "CA1",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"token": "t"},
    }
    sound = {"track": "inbound", "payload": base64.b64encode(b"\xff" * 160).decode()}
    assert [json.loads(message) for message in said] == [
        {"event": "connected", "protocol": "Call", "version": "1.0.0"},
        {"event": "start", "sequenceNumber": "1", "start": start, "streamSid": "MZ1"},
        {
            "event": "media",
            "sequenceNumber": "2",
            "media": {**sound, "chunk": "1", "timestamp": "57"},
            "streamSid": "MZ1",
        },
        {
            "event": "media",
            "sequenceNumber": "3",
            "media": {**sound, "chunk": "2", "timestamp": "77"},
            "streamSid": "MZ1",
        },
        {"event": "mark", "sequenceNumber": "4", "streamSid": "MZ1", "mark": {"name": "g1"}},
        {
            "event": "dtmf",
            "sequenceNumber": "5",
            "streamSid": "MZ1",
            "dtmf": {"track": "inbound_track", "digit": "5"},
        },
        {
            "event": "stop",
            "sequenceNumber": "6",
            "streamSid": "MZ1",
            "stop": {"accountSid": "AC1", "callSid": "CA1"},
        },
    ]


def test_telnyx_says_what_telnyx_says() -> None:
    spec = StreamSpec(IDS, inbound=ALAW_8K, from_number="+1", to_number="+2")
    made = make_side("telnyx", spec)
    assert json.loads(made.connected()) == {"event": "connected", "version": "1.0.0"}
    start = json.loads(made.start())
    assert (start["sequence_number"], start["stream_id"]) == ("1", "MZ1")
    assert start["start"]["media_format"] == {
        "encoding": "PCMA",
        "sample_rate": 8000,
        "channels": 1,
    }
    assert (start["start"]["from"], start["start"]["to"]) == ("+1", "+2")
    made.lose()
    sound = json.loads(made.media(b"/////w==", 5))
    assert sound["media"] == {
        "track": "inbound",
        "chunk": "2",
        "timestamp": "5",
        "payload": "/////w==",
    }
    digit = json.loads(made.dtmf("1", 1_749_113_659_198_408))
    assert digit["occurred_at"] == "2025-06-05T08:54:19.198408Z"
    assert digit["dtmf"] == {"digit": "1"}
    assert json.loads(made.stop())["sequence_number"] == "4"


@pytest.mark.parametrize(("name", "head"), [("twilio", {"streamSid": "MZ1"}), ("telnyx", {})])
def test_understands_a_good_server(name: str, head: dict[str, str]) -> None:
    made = side(name)
    mark = json.dumps({"event": "mark", **head, "mark": {"name": "m"}}).encode()
    clear = json.dumps({"event": "clear", **head}).encode()
    assert made.receive(media(b"\x01" * 160, **head)) == ServerAudio(b"\x01" * 160)
    assert made.receive(mark) == ServerMark("m")
    assert made.receive(clear) == ServerClear()


GOOD = {"streamSid": "MZ1"}


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"{", "malformed_message"),
        (b"[]", "malformed_message"),
        (b'{"event":7}', "malformed_message"),
        (b"\xff\xfe", "malformed_message"),
        (b'{"event":"media","streamSid":"MZ1"}', "malformed_message"),
        (b'{"event":"media","streamSid":"MZ1","media":{}}', "invalid_payload"),
        (b'{"event":"media","streamSid":"MZ1","media":{"payload":"!"}}', "invalid_payload"),
        (b'{"event":"mark","streamSid":"MZ1"}', "malformed_message"),
        (b'{"event":"mark","streamSid":"MZ1","mark":{"name":""}}', "malformed_message"),
        (b'{"event":"hangup","streamSid":"MZ1"}', "unknown_event"),
        (media(b"\x01" * 160), "missing_stream_id"),
        (media(b"\x01" * 160, streamSid="MZ2"), "wrong_stream_id"),
        (media(b"", **GOOD), "empty_payload"),
        (media(b"RIFF\x00\x00", **GOOD), "file_header"),
    ],
)
def test_twilio_violations(message: bytes, code: str) -> None:
    received = side("twilio").receive(message)
    assert isinstance(received, Violation)
    assert received.code == code
    assert received.detail


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"\x01\x00" * 319, "chunk_too_short"),
        (b"\x01\x00" * 16 * 30_001, "chunk_too_long"),
        (b"\x01" * 641, "partial_sample"),
    ],
)
def test_telnyx_chunks(payload: bytes, code: str) -> None:
    made = side("telnyx", inbound=L16_16K, outbound=L16_16K)
    received = made.receive(media(payload))
    assert isinstance(received, Violation)
    assert received.code == code


def test_telnyx_l16_is_in_network_order_unless_told_otherwise() -> None:
    samples = b"\x01\x02" * 320
    for big_endian, heard in ((True, b"\x02\x01" * 320), (False, samples)):
        made = side("telnyx", inbound=L16_16K, outbound=L16_16K, l16_big_endian=big_endian)
        assert made.receive(media(samples)) == ServerAudio(heard)


def test_telnyx_complains_on_the_socket_and_twilio_does_not() -> None:
    telnyx, twilio = side("telnyx"), side("twilio")
    wrong = telnyx.receive(b'{"event":"media","media":{"payload":"!"}}')
    assert isinstance(wrong, Violation)
    complaint = telnyx.complaint(wrong)
    assert complaint is not None
    assert json.loads(complaint)["payload"]["code"] == 100004
    assert twilio.complaint(wrong) is None


@pytest.mark.parametrize("name", ["twilio", "telnyx"])
def test_nothing_may_come_before_start(name: str) -> None:
    made = make_side(name, StreamSpec(IDS))
    made.connected()
    received = made.receive(media(b"\x01" * 160, streamSid="MZ1"))
    assert isinstance(received, Violation)
    assert received.code == "message_before_start"


@pytest.mark.parametrize("name", ["twilio", "telnyx"])
@pytest.mark.parametrize(
    "message",
    [
        b'{"event":"clear","more":' + b"[" * 100_000,
        b'{"event":"clear","mark":' + b"9" * 6000 + b"}",
    ],
)
def test_what_would_break_a_parser_is_a_violation(name: str, message: bytes) -> None:
    received = side(name).receive(message)
    assert isinstance(received, Violation)
    assert received.code == "malformed_message"


def test_unspoken_codecs_are_refused() -> None:
    with pytest.raises(ValueError, match="mu-law"):
        make_side("twilio", StreamSpec(IDS, inbound=ALAW_8K))
    with pytest.raises(ValueError, match="L16"):
        make_side("telnyx", StreamSpec(IDS, outbound=MULAW_8K.__class__(MULAW_8K.encoding, 16000)))

import json
import struct
import xml.etree.ElementTree as ET

import pybase64
import pytest

from media.audio.format import ALAW_8K, L16_8K, L16_16K, MULAW_8K
from media.carrier import (
    AudioIn,
    CarrierFault,
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
from media.carriers.rest import RestRequest
from media.carriers.telnyx import (
    KIND,
    TelnyxCodec,
    answer_call,
    hang_up,
    make_codec,
    outbound_format,
    reject_call,
    streaming_start,
    texml,
)
from media.inbound import Inbound
from tests.support.carriers import capture, only, replay, wire

MESSAGES = capture("telnyx")
CALL = "v3:u5OAKGEPT3Dx8SZSSDRWEMdNH2OripQhO"
STREAM = "32de0dea-53cb-4b21-89a4-9e1819c043bc"


def start(encoding="PCMU", sample_rate=8000, channels=1):
    message = only(MESSAGES, "start")
    message["start"]["media_format"] = {
        "encoding": encoding,
        "sample_rate": sample_rate,
        "channels": channels,
    }
    return message


def started(message=None, **options):
    codec = TelnyxCodec(**options)
    codec.receive(wire(message or start()))
    return codec


def sent_payload(message):
    return pybase64.b64decode(json.loads(message)["media"]["payload"])


def parameters_of(message):
    (event,) = TelnyxCodec().receive(wire(message))
    return {name: value for name, value in event.parameters.items() if name != "client_state"}


def test_the_documented_stream():
    events = replay(TelnyxCodec(outbound=MULAW_8K), MESSAGES)
    sizes = {2: 792, 3: 160, 5: 160, 4: 160, 6: 320}
    assert events == [
        StreamStarted(
            carrier="telnyx",
            stream_id=STREAM,
            call_id=CALL,
            inbound=ALAW_8K,
            outbound=MULAW_8K,
            parameters={"client_state": "aGF2ZSBhIG5pY2UgZGF5ID1d"},
            from_number="+13122010094",
            to_number="+13122123456",
        ),
        *(AudioIn(bytes([n]) * size, n * 20, n) for n, size in sizes.items()),
        MarkPlayed("g3:17"),
        Dtmf("1"),
        CarrierFault("100003", "malformed_frame: not JSON"),
        StreamEnded(),
    ]


def test_pieces_out_of_order_become_frames_in_order():
    inbound = Inbound(ALAW_8K, reorder_frames=KIND.reorder_frames)
    frames = [
        frame
        for event in replay(TelnyxCodec(), MESSAGES)
        if isinstance(event, AudioIn)
        for frame in inbound.receive(AudioIn(event.payload, None, event.sequence))
    ]
    whole = b"".join(frames + inbound.flush())
    assert whole.startswith(
        b"\x02" * 792 + b"\x03" * 160 + b"\x04" * 160 + b"\x05" * 160 + b"\x06" * 320
    )


def test_what_is_sent():
    codec = started()
    payload = pybase64.b64encode(b"\xff" * 160)
    assert codec.send(Play(b"\xff" * 160)) == (
        b'{"event":"media","media":{"payload":"%b"}}' % payload
    )
    assert codec.send(Mark("x")) == b'{"event":"mark","mark":{"name":"x"}}'
    assert codec.send(Clear()) == b'{"event":"clear"}'


@pytest.mark.parametrize(
    ("encoding", "rate_hz", "expected"),
    [("PCMU", 8000, MULAW_8K), ("PCMA", 8000, ALAW_8K), ("L16", 16000, L16_16K)],
)
def test_inbound_is_what_start_says_and_outbound_what_was_asked_for(encoding, rate_hz, expected):
    for outbound in (None, MULAW_8K, ALAW_8K, L16_16K):
        codec = TelnyxCodec(outbound=outbound)
        (event,) = codec.receive(wire(start(encoding, rate_hz)))
        assert event.inbound == expected
        assert event.outbound == (outbound or expected)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({}, MULAW_8K),
        ({"outbound_codec": "L16"}, L16_16K),
        ({"outbound_codec": "inbound"}, ALAW_8K),
    ],
)
def test_the_outbound_setting(setting, expected):
    (event,) = make_codec(setting).receive(wire(start("PCMA")))
    assert event.outbound == expected


@pytest.mark.parametrize(
    "wrong",
    [("G722", 8000), ("OPUS", 16000), ("AMR-WB", 16000), ("PCMU", 16000), ("L16", 8000)],
)
def test_unsupported_codec(wrong):
    with pytest.raises(CarrierProtocolError) as caught:
        TelnyxCodec().receive(wire(start(*wrong)))
    assert caught.value.code == "unsupported_codec"


def test_two_channels_are_unsupported():
    with pytest.raises(CarrierProtocolError) as caught:
        TelnyxCodec().receive(wire(start(channels=2)))
    assert caught.value.code == "unsupported_codec"


def test_an_outbound_format_telnyx_does_not_take():
    with pytest.raises(ValueError):
        TelnyxCodec(outbound=L16_8K)
    with pytest.raises(ValueError):
        make_codec({"outbound_codec": "G722"})


@pytest.mark.parametrize("where", ["start", "top"])
@pytest.mark.parametrize(
    "given", [{"a": "1", "b": ""}, [{"name": "a", "value": "1"}, {"name": "b"}]]
)
def test_parameters_wherever_and_however_they_come(where, given):
    message = only(MESSAGES, "start")
    (message["start"] if where == "start" else message)["custom_parameters"] = given
    assert parameters_of(message) == {"a": "1", "b": ""}


@pytest.mark.parametrize("given", ["a", 7, [1], [{"value": "x"}], {"a": 1}, [{"name": 1}]])
def test_parameters_of_wrong_types(given):
    message = only(MESSAGES, "start")
    message["start"]["custom_parameters"] = given
    with pytest.raises(CarrierProtocolError) as caught:
        TelnyxCodec().receive(wire(message))
    assert caught.value.code == "malformed_message"


def test_fields_that_may_be_null_or_missing():
    message = only(MESSAGES, "start")
    message["start"].update({"from": None, "client_state": None, "custom_parameters": None})
    del message["start"]["to"], message["start"]["tags"], message["stream_id"]
    (event,) = TelnyxCodec().receive(wire(message))
    assert (event.from_number, event.to_number, event.stream_id) == ("", "", "")
    assert event.parameters == {}


def test_a_start_without_a_call():
    message = only(MESSAGES, "start")
    del message["start"]["call_control_id"]
    with pytest.raises(CarrierProtocolError) as caught:
        TelnyxCodec().receive(wire(message))
    assert caught.value.code == "malformed_message"


def test_a_fault_may_come_before_the_start_and_be_brief():
    fault = {"event": "error", "payload": {"code": "100002"}}
    assert TelnyxCodec().receive(wire(fault)) == [CarrierFault("100002", "")]
    fault = {"event": "error", "payload": {"detail": "odd"}}
    assert TelnyxCodec().receive(wire(fault)) == [CarrierFault("unknown_error", "odd")]


def test_a_reconnect_is_a_new_socket_and_a_new_codec():
    codec = started()
    with pytest.raises(CarrierProtocolError) as caught:
        codec.receive(wire(start()))
    assert caught.value.code == "duplicate_start"
    assert len(TelnyxCodec().receive(wire(start()))) == 1


class TestChunks:
    @pytest.mark.parametrize(
        ("outbound", "silence"), [(MULAW_8K, b"\xff"), (ALAW_8K, b"\xd5"), (L16_16K, b"\0")]
    )
    def test_under_20_ms_is_filled_up_with_silence(self, outbound, silence):
        codec = started(outbound=outbound, l16_byte_order="little")
        assert sent_payload(codec.send(Play(b"ab"))) == b"ab" + silence * (outbound.frame_bytes - 2)

    @pytest.mark.parametrize("size", [160, 161, 8000, 240_000])
    def test_the_rest_goes_as_it_is(self, size):
        assert len(sent_payload(started().send(Play(bytes(size))))) == size

    def test_over_30_s_is_a_bug(self):
        with pytest.raises(ValueError):
            started().send(Play(bytes(240_001)))

    def test_half_a_sample_is_a_bug(self):
        with pytest.raises(ValueError):
            started(outbound=L16_16K).send(Play(bytes(641)))


class TestL16:
    INSIDE = struct.pack("<320h", *range(-160, 160))

    @pytest.mark.parametrize(("order", "sign"), [("little", "<"), ("big", ">")])
    def test_the_byte_order_is_a_setting(self, order, sign):
        codec = make_codec({"outbound_codec": "L16", "l16_byte_order": order})
        codec.receive(wire(start("L16", 16000)))
        on_the_wire = struct.pack(f"{sign}320h", *range(-160, 160))
        media = only(MESSAGES, "media")
        media["media"]["payload"] = pybase64.b64encode(on_the_wire).decode()
        (event,) = codec.receive(wire(media))
        assert event.payload == self.INSIDE
        assert sent_payload(codec.send(Play(self.INSIDE))) == on_the_wire

    def test_network_order_is_the_default(self):
        codec = make_codec({"outbound_codec": "L16"})
        codec.receive(wire(start("PCMU")))
        assert sent_payload(codec.send(Play(self.INSIDE)))[:2] == struct.pack(">h", -160)
        media = only(MESSAGES, "media")
        (event,) = codec.receive(wire(media))
        assert event.payload == b"\x02" * 792

    def test_half_a_sample(self):
        media = only(MESSAGES, "media")
        media["media"]["payload"] = "YWJj"
        with pytest.raises(CarrierProtocolError) as caught:
            started(start("L16", 16000)).receive(wire(media))
        assert caught.value.code == "malformed_payload"


class TestStartingAStream:
    REQUEST = StreamRequest(
        "wss://h.example/media/telnyx?t=1&u=2", {"token": 'a"b'}, "https://h.example/s"
    )

    def test_texml(self):
        root = ET.fromstring(texml(self.REQUEST, ALAW_8K).body)
        ((stream,),) = root
        assert stream.attrib == {
            "url": "wss://h.example/media/telnyx?t=1&u=2",
            "track": "inbound_track",
            "bidirectionalMode": "rtp",
            "bidirectionalCodec": "PCMA",
            "bidirectionalSamplingRate": "8000",
            "enableReconnect": "true",
            "statusCallback": "https://h.example/s",
        }
        assert [(p.tag, p.attrib) for p in stream] == [
            ("Parameter", {"name": "token", "value": 'a"b'})
        ]

    def test_texml_without_reconnect(self):
        assert b'enableReconnect="false"' in texml(self.REQUEST, reconnect=False).body

    def test_the_answer_asks_for_the_codec_that_the_setting_names(self):
        body = KIND.answer(self.REQUEST, {"outbound_codec": "L16"}).body
        assert b'bidirectionalCodec="L16" bidirectionalSamplingRate="16000"' in body
        assert b'bidirectionalCodec="PCMU"' in KIND.answer(self.REQUEST, {}).body
        with pytest.raises(ValueError):
            KIND.answer(self.REQUEST, {"outbound_codec": "inbound"})

    def test_answer(self):
        request = answer_call(CALL, "wss://h/ws", client_state=b"hello", command_id="c-1")
        assert (request.method, request.url) == (
            "POST",
            f"https://api.telnyx.com/v2/calls/{CALL}/actions/answer",
        )
        assert json.loads(request.body) == {
            "stream_url": "wss://h/ws",
            "stream_track": "inbound_track",
            "stream_bidirectional_mode": "rtp",
            "stream_bidirectional_codec": "PCMU",
            "stream_bidirectional_target_legs": "self",
            "client_state": "aGVsbG8=",
            "command_id": "c-1",
        }

    def test_answer_cannot_ask_for_a_rate(self):
        with pytest.raises(ValueError):
            answer_call(CALL, "wss://h/ws", L16_16K)

    def test_streaming_start(self):
        request = streaming_start(CALL, self.REQUEST, L16_16K)
        assert request.url == f"https://api.telnyx.com/v2/calls/{CALL}/actions/streaming_start"
        assert json.loads(request.body) == {
            "stream_url": "wss://h.example/media/telnyx?t=1&u=2",
            "stream_track": "inbound_track",
            "stream_bidirectional_mode": "rtp",
            "stream_bidirectional_codec": "L16",
            "stream_bidirectional_sampling_rate": 16000,
            "stream_bidirectional_target_legs": "self",
            "custom_parameters": [{"name": "token", "value": 'a"b'}],
        }

    def test_a_format_telnyx_does_not_take(self):
        with pytest.raises(ValueError):
            texml(self.REQUEST, L16_8K)


def test_reject():
    request = reject_call(CALL, command_id="c-2")
    assert request.url == f"https://api.telnyx.com/v2/calls/{CALL}/actions/reject"
    assert json.loads(request.body) == {"cause": "CALL_REJECTED", "command_id": "c-2"}


def test_what_is_sent_is_what_the_setting_names():
    assert [outbound_format({"outbound_codec": name}) for name in ("PCMU", "PCMA", "L16")] == [
        MULAW_8K,
        ALAW_8K,
        L16_16K,
    ]
    assert outbound_format() == MULAW_8K
    with pytest.raises(ValueError):
        outbound_format({"outbound_codec": "inbound"})


def test_hang_up():
    assert hang_up("", CALL) == RestRequest(
        method="POST",
        url=f"https://api.telnyx.com/v2/calls/{CALL}/actions/hangup",
        body=b"{}",
        content_type="application/json",
        settled=((422, 90018),),
    )

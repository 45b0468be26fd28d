"""What holds for all of ``CARRIERS``, a new one included: its capture is all that it needs."""

import json

import msgspec
import pybase64
import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.audio.format import AudioFormat
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
from media.carriers import CARRIERS
from media.carriers.answer import StreamRequest
from media.carriers.kind import SignedRequest
from media.carriers.wire import MESSAGE_LIMIT_BYTES
from tests.support.carriers import capture, only, replay, wire

CODES = {
    "malformed_message",
    "malformed_payload",
    "audio_before_start",
    "duplicate_start",
    "stop_before_start",
    "unsupported_codec",
    "message_too_large",
}
NAMES = [kind.name for kind in CARRIERS]
KINDS = {kind.name: kind for kind in CARRIERS}
COMMANDS = [Play(bytes(640)), Mark("g1:1"), Clear()]

pytestmark = pytest.mark.parametrize("name", NAMES)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


def started(name):
    codec = KINDS[name].codec()
    codec.receive(wire(only(capture(name), "start")))
    return codec


def code_of(codec, message):
    with pytest.raises(CarrierProtocolError) as caught:
        codec.receive(message)
    assert caught.value.code in CODES
    return caught.value.code


def events_or_code(codec, message):
    """What the codec makes of it; any other exception than a protocol error goes through."""
    try:
        return codec.receive(message), None
    except CarrierProtocolError as error:
        return [], error.code


def test_names_and_paths_are_unique(name):
    kind = KINDS[name]
    assert NAMES.count(name) == 1
    assert [k.path for k in CARRIERS].count(kind.path) == 1
    assert kind.path == f"/media/{name}"
    assert kind.codec().name == name


def test_a_call_from_end_to_end(name):
    messages = capture(name)
    events = replay(KINDS[name].codec(), messages)
    kinds = [type(event) for event in events]
    assert kinds[0] is StreamStarted
    assert kinds.count(StreamStarted) == 1
    assert kinds[-1] is StreamEnded
    assert {AudioIn, MarkPlayed, Dtmf} <= set(kinds)
    start = events[0]
    assert start.carrier == name
    assert start.stream_id
    assert start.call_id
    assert isinstance(start.inbound, AudioFormat)
    payloads = [event.payload for event in events if isinstance(event, AudioIn)]
    sent = [m["media"]["payload"] for m in messages if m["event"] == "media"]
    assert payloads == [pybase64.b64decode(payload) for payload in sent]


def test_after_the_end_nothing_counts(name):
    codec = KINDS[name].codec()
    messages = capture(name)
    replay(codec, messages)
    for message in messages:
        assert codec.receive(wire(message)) == []
    assert codec.receive(b"not json") == []
    assert codec.receive(bytes(MESSAGE_LIMIT_BYTES + 1)) == []


def test_connected_and_the_unknown_are_ignored(name):
    for codec in (KINDS[name].codec(), started(name)):
        assert codec.receive(b'{"event":"connected","version":"0.2.0","x":{}}') == []
        assert codec.receive(b'{"event":"future","media":7,"start":[]}') == []


def test_unknown_fields_are_ignored(name):
    def extended(value):
        if isinstance(value, dict):
            more = {key: extended(inner) for key, inner in value.items()}
            return more if "token" in value else {"novelty": [1, {"a": None}], **more}
        return value

    messages = capture(name)
    plain = replay(KINDS[name].codec(), messages)
    assert replay(KINDS[name].codec(), [extended(message) for message in messages]) == plain


def test_counters_may_be_numbers(name):
    def numbers(value, key=""):
        if isinstance(value, dict):
            return {name: numbers(inner, name) for name, inner in value.items()}
        if key != "digit" and isinstance(value, str) and value.isdigit():
            return int(value)
        return value

    messages = capture(name)
    plain = replay(KINDS[name].codec(), messages)
    varied = [numbers(m) if m["event"] != "start" else m for m in messages]
    assert varied != messages
    assert replay(KINDS[name].codec(), varied) == plain


def test_counters_may_be_missing(name):
    media = only(capture(name), "media")
    del media["media"]["chunk"], media["media"]["timestamp"]
    (event,) = started(name).receive(wire(media))
    assert (event.timestamp_ms, event.sequence) == (None, None)


def test_the_other_track_is_ignored(name):
    media = only(capture(name), "media")
    media["media"]["track"] = "outbound"
    assert started(name).receive(wire(media)) == []


def test_audio_before_start(name):
    codec = KINDS[name].codec()
    assert code_of(codec, wire(only(capture(name), "media"))) == "audio_before_start"


def test_stop_before_start(name):
    assert code_of(KINDS[name].codec(), wire(only(capture(name), "stop"))) == "stop_before_start"


def test_stop_before_any_audio(name):
    assert started(name).receive(wire(only(capture(name), "stop"))) == [StreamEnded()]


def test_duplicate_start(name):
    assert code_of(started(name), wire(only(capture(name), "start"))) == "duplicate_start"


def test_marks_and_digits_before_start_are_ignored(name):
    codec = KINDS[name].codec()
    for event in ("mark", "dtmf"):
        assert codec.receive(wire(only(capture(name), event))) == []


def test_message_too_large(name):
    padded = b'{"event":"connected","x":"%b"}'
    room = MESSAGE_LIMIT_BYTES - len(padded % b"")
    assert KINDS[name].codec().receive(padded % (b"x" * room)) == []
    assert code_of(KINDS[name].codec(), padded % (b"x" * (room + 1))) == "message_too_large"


@pytest.mark.parametrize("payload", ["a", "YQ", "Y W I=", "-_-_", "YQ==YQ==", "µµµµ", "YWJj\n"])
def test_malformed_payload(name, payload):
    media = only(capture(name), "media")
    media["media"]["payload"] = payload
    assert code_of(started(name), wire(media)) == "malformed_payload"


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\x00",
        b"\xff\xfe",
        b"nonsense",
        b"[]",
        b"7",
        b'"media"',
        b"null",
        b"{}",
        b'{"event":7}',
        b'{"event":null}',
        b'{"event":"media"}',
        b'{"event":"media","media":null}',
        b'{"event":"media","media":{}}',
        b'{"event":"media","media":{"payload":7}}',
        b'{"event":"media","media":{"payload":"YWJj","chunk":"first"}}',
        b'{"event":"media","media":{"payload":"YWJj","timestamp":{}}}',
        b'{"event":"media","media":{"payload":"YWJj","track":1}}',
        b'{"event":"media","media":{"payload":"YWJj"}',
        b'{"event":"media","media":{"payload":"YWJj","track":"\xff"}}',
        b'{"event":"media","media":{"payload":"YWJj","chunk":"' + b"9" * 5000 + b'"}}',
        b'{"event":"media","media":{"payload":"YWJj","chunk":' + b"9" * 5000 + b"}}",
        b'{"event":"media","x":' + b"[" * 60000,
        b'{"event":"future","x":' + b"[" * 60000,
        b'{"event":"mark","mark":{}}',
        b'{"event":"mark","mark":{"name":1}}',
        b'{"event":"dtmf","dtmf":{}}',
        b'{"event":"dtmf","dtmf":{"digit":"12"}}',
        b'{"event":"dtmf","dtmf":{"digit":"E"}}',
        b'{"event":"dtmf","dtmf":{"digit":""}}',
        b'{"event":"start"}',
        b'{"event":"start","start":{}}',
    ],
    ids=lambda message: message[:60].decode(errors="replace") or "empty",
)
def test_malformed_message(name, message):
    assert code_of(started(name), message) == "malformed_message"


@pytest.mark.parametrize(("digit", "expected"), [(d, d) for d in "0123456789*#AD"] + [("b", "B")])
def test_digits(name, digit, expected):
    dtmf = only(capture(name), "dtmf")
    dtmf["dtmf"]["digit"] = digit
    assert started(name).receive(wire(dtmf)) == [Dtmf(expected)]


@given(data=st.data())
def test_nothing_but_a_protocol_error_is_raised(name, data):
    """Messages of the capture with anything anywhere in them, before and after the start."""
    codec = data.draw(st.sampled_from([KINDS[name].codec(), started(name)]))
    message = only(capture(name), data.draw(st.sampled_from([m["event"] for m in capture(name)])))
    target = message
    while True:
        key = data.draw(st.sampled_from(sorted(target)))
        if isinstance(target[key], dict) and target[key] and data.draw(st.booleans()):
            target = target[key]
            continue
        if data.draw(st.booleans()):
            target[key] = data.draw(json_values)
        else:
            del target[key]
        break
    events, code = events_or_code(codec, json.dumps(message).encode())
    assert code is None or code in CODES
    for event in events:
        assert msgspec.json.decode(msgspec.json.encode(event), type=type(event)) == event


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_noise_is_refused_or_ignored(name, message):
    events, code = events_or_code(started(name), message)
    assert events == []
    assert code is None or code in CODES


@given(cut=st.integers(0, 400), flip=st.integers(0, 255), data=st.data())
def test_damaged_messages(name, cut, flip, data):
    message = bytearray(wire(data.draw(st.sampled_from(capture(name)))))
    message[cut % len(message)] ^= flip
    for damaged in (bytes(message), bytes(message[:cut])):
        _, code = events_or_code(started(name), damaged)
        assert code is None or code in CODES


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_nothing_is_sent_before_the_start(name, command):
    with pytest.raises(RuntimeError):
        KINDS[name].codec().send(command)


@given(payload=st.binary(min_size=640, max_size=2000), label=st.text(max_size=60))
def test_what_is_sent_is_json_and_survives_base64(name, payload, label):
    codec = started(name)
    media = json.loads(codec.send(Play(payload)))
    assert media["event"] == "media"
    assert pybase64.b64decode(media["media"]["payload"], validate=True) == payload
    mark = json.loads(codec.send(Mark(label)))
    assert (mark["event"], mark["mark"]) == ("mark", {"name": label})
    assert json.loads(codec.send(Clear()))["event"] == "clear"


def test_an_empty_play_is_a_bug(name):
    with pytest.raises(ValueError):
        started(name).send(Play(b""))


def test_settings_are_checked(name):
    kind = KINDS[name]
    with pytest.raises(ValueError, match="colour"):
        kind.codec({"colour": "red"})
    with pytest.raises(ValueError, match="colour"):
        kind.answer(StreamRequest("wss://h/ws"), {"colour": "red"})


def test_the_answer_names_the_stream(name):
    document = KINDS[name].answer(StreamRequest("wss://h/media/x", {"token": "a&b"}), {})
    assert b"wss://h/media/x" in document.body
    assert document.content_type.startswith("text/xml")


@pytest.mark.parametrize(
    "url", ["https://h/ws", "ws://h/ws", "wss://", "h/ws", "wss://h/w s", "wss://h/ws#x"]
)
def test_a_stream_url_is_an_absolute_wss_one(name, url):
    with pytest.raises(ValueError):
        KINDS[name].answer(StreamRequest(url), {})


def test_hanging_up_stays_within_the_path(name):
    request = KINDS[name].hang_up("AC/../x", "id?/../../y")
    assert request.method == "POST"
    assert request.url.startswith("https://api.")
    assert "?" not in request.url
    assert "/../" not in request.url
    assert request.settled


@given(
    headers=st.dictionaries(
        st.sampled_from(
            [
                "x-twilio-signature",
                "x-twilio-webhooks-signature-settings",
                "telnyx-signature-ed25519",
                "telnyx-timestamp",
                "content-type",
            ]
        ),
        st.text(max_size=90) | st.just("application/x-www-form-urlencoded"),
    ),
    url=st.text(max_size=40) | st.sampled_from(["https://[h/", "https://h:x/?a", "wss://h"]),
    body=st.binary(max_size=40),
    secret=st.text(max_size=50),
)
def test_no_forged_request_passes_or_raises(name, headers, url, body, secret):
    kind, request = KINDS[name], SignedRequest(url, headers, body)
    assert kind.verify_webhook(request, secret, 1_700_000_000) is False
    if kind.verify_upgrade is not None:
        assert kind.verify_upgrade(request, secret, 1_700_000_000) is False

"""The carrier that docs/adding-a-carrier.md shows is a working one."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

from media.audio.format import MULAW_8K
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

GUIDE = Path(__file__).parents[3] / "docs" / "adding-a-carrier.md"


@pytest.fixture
def acme(tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (source,) = [block for block in blocks if "KIND = CarrierKind(" in block]
    path = tmp_path / "acme_of_the_guide.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, path.stem, module)
    spec.loader.exec_module(module)
    return module


def test_it_speaks(acme):
    codec = acme.KIND.codec()
    with pytest.raises(RuntimeError):
        codec.send(Clear())
    stream = [
        {"event": "start", "stream": "s", "call": "c", "encoding": "ulaw", "rate": "8000"},
        {"event": "media", "media": {"payload": "/w==", "timestamp": "40", "chunk": 2}},
        {"event": "media", "media": {"payload": "/w==", "track": "outbound"}},
        {"event": "mark", "mark": {"name": "g1"}},
        {"event": "dtmf", "dtmf": {"digit": "#"}},
        {"event": "new", "media": 1},
    ]
    events = [event for message in stream for event in codec.receive(json.dumps(message).encode())]
    assert events == [
        StreamStarted("acme", "s", "c", MULAW_8K, MULAW_8K),
        AudioIn(b"\xff", 40, 2),
        MarkPlayed("g1"),
        Dtmf("#"),
    ]
    assert json.loads(codec.send(Play(b"\xff")))["media"] == {"payload": "/w=="}
    assert json.loads(codec.send(Mark('"')))["mark"] == {"name": '"'}
    assert codec.receive(b'{"event":"stop"}') == [StreamEnded()]
    assert codec.receive(b"noise") == []


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b'{"event":"media","media":{"payload":"/w=="}}', "audio_before_start"),
        (b'{"event":"stop"}', "stop_before_start"),
        (b'{"event":"media","media":{"payload":"?"}}', "malformed_payload"),
        (b'{"event":"mark"}', "malformed_message"),
        (bytes(65537), "message_too_large"),
        (
            b'{"event":"start","stream":"s","call":"c","encoding":"opus","rate":48000}',
            "unsupported_codec",
        ),
    ],
)
def test_it_refuses(acme, message, code):
    with pytest.raises(CarrierProtocolError) as caught:
        acme.KIND.codec().receive(message)
    assert caught.value.code == code


def test_it_answers_and_hangs_up(acme):
    document = acme.KIND.answer(StreamRequest("wss://h/ws?t=1", {"a": "b"}), {})
    assert b'<Parameter name="a" value="b"/>' in document.body
    assert acme.KIND.hang_up("", "a/b").url == "https://api.acme.example/calls/a%2Fb/end"
    with pytest.raises(ValueError):
        acme.KIND.codec({"colour": "red"})

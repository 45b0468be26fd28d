"""What one 20 ms frame costs on the pure path, step by step, in CPU time.

Beside it stands the least that any server has to do for a frame, measured in the same run: read
the JSON into one struct, decode, ask the voice activity detector, and for the way out encode and
join. Each figure is the best of several repetitions, also as a multiple of the calibration's
fixed work, which lets runs on a faster or slower core be compared.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pybase64
import webrtcvad

from benchmarks.bars import Bar, at_most, table
from benchmarks.figures import ratio
from benchmarks.machine import on_core, work_us
from benchmarks.setting import Outcome, Setting, say
from control.http.media_socket import text_frame
from media.audio.format import MULAW_8K
from media.audio.g711 import decode_mulaw
from media.carrier import AudioIn, Play
from media.carriers.twilio import KIND
from media.inbound import Inbound
from media.playout import Playout
from media.playout_events import PlayoutEvent
from media.recording import RecordingTimeline
from media.transport import Connection, Leg
from media.vad.edges import SpeechEdges
from media.vad.webrtc import WebRtcVad
from voicecore.adapters.scripted_tts import sound_chunks

FRAMES = 2000
QUICK_FRAMES = 500
WARM_UP = 50
REPEATS = 15
CHUNK_MS = 60
FRAMES_A_CHUNK = CHUNK_MS // 20
LIMIT = 3.0
"""The whole path against the least possible: more is a regression."""

LAST = "micro.json"

Step = Callable[[int], object]
"""Does one frame's work; takes the frame's number."""


class Cost(msgspec.Struct, frozen=True):
    """``us`` a frame of 20 ms; ``works``: the same in units of the fixed work."""

    name: str
    us: float
    works: float


def measure(setting: Setting) -> Outcome:
    frames = QUICK_FRAMES if setting.quick else FRAMES
    last_path = setting.folder.parents[1] / LAST
    with on_core(setting.cores.server):
        unit_us, best_us = _best(frames)
    costs = [Cost(name, round(us, 3), round(us / unit_us, 4)) for name, us in best_us.items()]
    say("\n" + _show(costs, _read(last_path)))
    last_path.write_bytes(msgspec.json.encode(costs))
    figures = {"unit_us": unit_us, "costs": msgspec.to_builtins(costs)}
    return Outcome((_bar(costs),), figures)


def _best(frames: int) -> tuple[float, dict[str, float]]:
    """The best times of the fixed work and of each step, in microseconds a frame. They take
    turns, so that a core that changes its speed does so for all of them."""
    unit_us = float("inf")
    best_us = {name: float("inf") for name, _ in STEPS}
    for _ in range(REPEATS):
        unit_us = min(unit_us, work_us(rounds=100, repeats=1))
        for name, make in STEPS:
            best_us[name] = min(best_us[name], _time_us(make(), frames))
    return unit_us, best_us


def _time_us(step: Step, frames: int) -> float:
    """The time a frame, after a short warm-up."""
    for number in range(WARM_UP):
        step(number)
    began_ns = time.thread_time_ns()
    for number in range(WARM_UP, WARM_UP + frames):
        step(number)
    return (time.thread_time_ns() - began_ns) / 1000 / frames


def _show(costs: Sequence[Cost], last: Sequence[Cost]) -> str:
    before = {cost.name: cost.works for cost in last}
    bare_us = _cost(costs, BARE_IN)
    rows = [("step", "us a frame", "x fixed work", "x bare inbound", "x last run")]
    for cost in costs:
        then = before.get(cost.name)
        rows.append(
            (
                cost.name,
                f"{cost.us:.2f}",
                f"{cost.works:.2f}",
                f"{cost.us / bare_us:.2f}",
                f"{cost.works / then:.2f}" if then else "-",
            )
        )
    return table(rows)


def _bar(costs: Sequence[Cost]) -> Bar:
    whole_us = _cost(costs, IN) + _cost(costs, OUT)
    bare_us = _cost(costs, BARE_IN) + _cost(costs, BARE_OUT)
    return at_most(
        "micro: a frame in and a frame out, against the least possible",
        ratio(whole_us, bare_us),
        LIMIT,
        "x",
        baseline=f"{whole_us:.1f} us; least {bare_us:.1f} us",
    )


def _cost(costs: Sequence[Cost], name: str) -> float:
    return next(cost.us for cost in costs if cost.name == name)


def _read(path: Path) -> list[Cost]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Cost])
    except (OSError, msgspec.DecodeError):
        return []


# The material: five seconds of something like speech, as the carrier sends it.

SPEECH = [chunk.payload for chunk in sound_chunks(MULAW_8K, 20, 0)]
START = (
    b'{"event":"start","sequenceNumber":"1","start":{"accountSid":"AC0","streamSid":"MZ0",'
    b'"callSid":"CA0","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw",'
    b'"sampleRate":8000,"channels":1},"customParameters":{}},"streamSid":"MZ0"}'
)


def _media(number: int) -> bytes:
    payload = pybase64.b64encode(SPEECH[number % len(SPEECH)])
    return (
        b'{"event":"media","sequenceNumber":"%d","media":{"track":"inbound","chunk":"%d",'
        b'"timestamp":"%d","payload":"%b"},"streamSid":"MZ0"}'
        % (number + 2, number + 1, number * 20, payload)
    )


MESSAGES = [_media(number) for number in range(FRAMES + WARM_UP)]
CHUNK = b"".join(SPEECH[:FRAMES_A_CHUNK])


class _Media(msgspec.Struct, gc=False):
    payload: bytes


class _Message(msgspec.Struct, gc=False):
    media: _Media


class _Silence:
    """A timer that never fires."""

    def cancel(self) -> None:
        """Nothing to cancel."""


class _Frozen:
    """A clock that is set by hand, and a socket that counts what it is given."""

    def __init__(self) -> None:
        self.at_ms = 0
        self.sent_bytes = 0

    def now_ms(self) -> int:
        return self.at_ms

    def call_at(self, at_ms: int, callback: Callable[[], None]) -> _Silence:
        return _Silence()

    def send(self, text: bytes) -> None:
        self.sent_bytes += len(text_frame(text))

    def unread_bytes(self) -> int:
        return 0

    def close(self, code: int, reason: str) -> None:
        """Nothing is open."""


class _Listener:
    """The least that a call does with its leg."""

    def __init__(self) -> None:
        self._voiced = WebRtcVad(MULAW_8K, 2).voiced
        self._edge = SpeechEdges().receive

    def on_frame(self, now_ms: int, frame: bytes) -> None:
        self._edge(self._voiced(frame))

    def on_dtmf(self, digit: str) -> None:
        """Nobody presses keys here."""

    def on_playout(self, event: PlayoutEvent) -> None:
        """Nobody asks."""

    def on_sent(self, at_ms: int, payload: bytes) -> None:
        """Nothing is recorded."""

    def on_fault(self, code: str, detail: str) -> None:
        """The carrier is well."""

    def on_closed(self, reason: str) -> None:
        """The stream does not end."""


def _leg() -> tuple[Connection, Leg, _Frozen]:
    frozen = _Frozen()
    legs: list[Leg] = []
    connection = Connection(
        KIND,
        KIND.codec({}),
        frozen,
        frozen,
        on_started=legs.append,
        on_refused=lambda code, detail: None,
    )
    connection.message(START)
    legs[0].attach(_Listener(), Playout(MULAW_8K, chunk_ms=CHUNK_MS))
    return connection, legs[0], frozen


def _bare_in() -> Step:
    decode = msgspec.json.Decoder(_Message).decode
    is_speech = webrtcvad.Vad(2).is_speech

    def step(number: int) -> None:
        is_speech(decode_mulaw(decode(MESSAGES[number]).media.payload), 8000)

    return step


def _bare_out() -> Step:
    head = b'{"event":"media","streamSid":"MZ0","media":{"payload":"'

    def step(number: int) -> None:
        if number % FRAMES_A_CHUNK == 0:
            text_frame(head + pybase64.b64encode(CHUNK) + b'"}}')

    return step


def _whole_in() -> Step:
    connection, _, frozen = _leg()

    def step(number: int) -> None:
        frozen.at_ms = number * 20
        connection.message(MESSAGES[number])

    return step


def _whole_out() -> Step:
    _, leg, frozen = _leg()

    def step(number: int) -> None:
        if number % FRAMES_A_CHUNK == 0:
            frozen.at_ms = number * 20
            leg.play(1, CHUNK)

    return step


def _codec_in() -> Step:
    codec = KIND.codec({})
    codec.receive(START)
    return lambda number: codec.receive(MESSAGES[number])


def _inbound() -> Step:
    inbound = Inbound(MULAW_8K)
    pieces = [
        AudioIn(SPEECH[number % len(SPEECH)], number * 20, number + 1)
        for number in range(FRAMES + WARM_UP)
    ]
    return lambda number: inbound.receive(pieces[number])


def _decoding() -> Step:
    return lambda number: decode_mulaw(SPEECH[number % len(SPEECH)])


def _vad() -> Step:
    voiced = WebRtcVad(MULAW_8K, 2).voiced
    return lambda number: voiced(SPEECH[number % len(SPEECH)])


def _edges() -> Step:
    edges = SpeechEdges()
    return lambda number: edges.receive(number % 100 < 80)


def _playout() -> Step:
    playout = Playout(MULAW_8K, chunk_ms=CHUNK_MS)

    def step(number: int) -> None:
        if number % FRAMES_A_CHUNK == 0:
            playout.write(1, CHUNK)
            playout.poll(number * 20)
            playout.next_deadline()
            playout.events.clear()

    return step


def _codec_out() -> Step:
    codec = KIND.codec({})
    codec.receive(START)
    play = Play(CHUNK)
    return lambda number: codec.send(play) if number % FRAMES_A_CHUNK == 0 else None


def _recording() -> Step:
    timeline = RecordingTimeline(MULAW_8K, MULAW_8K)

    def step(number: int) -> None:
        timeline.caller(number * 20, SPEECH[number % len(SPEECH)])
        if number % FRAMES_A_CHUNK == 0:
            timeline.agent(number * 20, CHUNK)
        if number % 50 == 49:
            timeline.take(number * 20 - 300)

    return step


BARE_IN, BARE_OUT = "bare inbound", "bare outbound"
IN, OUT = "whole way in", "whole way out"
STEPS: tuple[tuple[str, Callable[[], Step]], ...] = (
    (BARE_IN, _bare_in),
    (IN, _whole_in),
    ("  codec: message to audio", _codec_in),
    ("  inbound: audio to 20 ms frames", _inbound),
    ("  mu-law to samples", _decoding),
    ("  voice activity, decoding included", _vad),
    ("  edges of speech", _edges),
    (BARE_OUT, _bare_out),
    (OUT, _whole_out),
    ("  playout: write, poll, deadline", _playout),
    ("  codec: audio to message", _codec_out),
    ("recording, both sides, once a second to samples", _recording),
)

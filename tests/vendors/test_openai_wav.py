"""WAV from servers that send it."""

import contextlib
import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fixtures import running
from tests.support.openai_server import Head, OpenAiServer
from tests.support.openai_tts_call import SECOND, say, wav
from voicecore.adapters.openai_wav import WavHead
from voicecore.providers.errors import VendorError
from voicecore.providers.tts import TtsFailed

server = running(OpenAiServer)


async def test_wav_is_unwrapped(server: OpenAiServer) -> None:
    audio = b"\x01\x02" * 500
    plans = [[Head(Content_Type="audio/wav"), wav(audio), b"LIST\x02\x00\x00\x00xx"]]
    sink = await say(server, plans, "Hi.", response_format="wav")
    assert sink.audio == audio
    assert server.seen[0].body["response_format"] == "wav"


async def test_wav_of_another_rate_fails(server: OpenAiServer) -> None:
    sink = await say(server, [[wav(SECOND, rate_hz=44_100)]], "Hi.")
    assert isinstance(sink.events[-1], TtsFailed)
    assert sink.events[-1].error.code == "garbage"
    assert "44100" in sink.events[-1].error.detail


@settings(deadline=None)
@given(st.binary(max_size=200), st.lists(st.integers(0, 300), max_size=6), st.booleans())
def test_any_cut_of_a_wav_gives_the_same_samples(
    audio: bytes, cuts: list[int], unknown_size: bool
) -> None:
    audio = audio[: len(audio) // 2 * 2]
    whole = wav(audio)
    if unknown_size:
        whole = whole[:40] + b"\xff\xff\xff\xff" + whole[44:]
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    head = WavHead(24_000, required=True)
    pieces = [whole[a:b] for a, b in itertools.pairwise(edges)]
    assert b"".join(head.strip(piece) for piece in pieces) == audio


@settings(deadline=None)
@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_are_samples_or_a_vendor_error(data: bytes, riff: bool) -> None:
    head = WavHead(24_000)
    with contextlib.suppress(VendorError):
        for _ in range(200):
            head.strip(b"RIFF" + data if riff else data)
    assert len(head._head) < 8192

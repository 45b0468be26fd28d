"""Whole calls over real sockets: our telephone on one end, our server on the other. What is
asserted is what the caller heard."""

import asyncio
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import soundfile
import yaml

from control.settings import Settings
from media.phone.awkward import awkward_plan
from media.phone.sides import carrier_kind
from tests.support.answering import Server, answering, call, speech_file
from tests.support.in_time import Called, in_time
from voicecore.phone.phone import RunOptions, place_calls
from voicecore.phone.script_file import load_script
from voicecore.providers.errors import VendorError

pytestmark = pytest.mark.e2e


def turn_steps(tmp_path: Path) -> list[Any]:
    return [
        {"wait": "agent_finished"},
        {"play": speech_file(tmp_path)},
        {"wait": "agent_finished"},
        {"hang_up": {}},
    ]


@pytest.mark.parametrize(
    ("carrier", "codec", "agent_codec"),
    [
        ("twilio", "mulaw", "mulaw"),
        ("telnyx", "mulaw", "mulaw"),
        ("telnyx", "alaw", "mulaw"),
        ("telnyx", "l16_16k", "l16_16k"),
    ],
)
async def test_a_turn_is_answered(
    tmp_path: Path, carrier: str, codec: str, agent_codec: str
) -> None:
    outbound = {"mulaw": "PCMU", "alaw": "PCMA", "l16_16k": "L16"}[agent_codec]
    settings = Settings(telnyx_outbound_codec=outbound)
    line = {"carrier": carrier, "codec": codec, "agent_codec": agent_codec}

    async def play(folder: Path) -> Called:
        async with answering(folder, settings) as server:
            return server, await call(server, turn_steps(tmp_path), **line)

    # Audio is sent ahead, which bridges no more than 140 ms in which nothing runs.
    server, result = await in_time(play, tmp_path, late_ms=100)
    report = result.report.call_reports[0]
    assert report.outcome == "completed", report.detail
    assert not report.protocol_violations
    (turn,) = report.turns
    assert turn.reply_latency_ms is not None
    assert not report.gaps
    assert report.agent_audible_ms > 1500, "the reply is two seconds of speech"
    (caller,) = [entry for entry in server.transcript() if entry["speaker"] == "caller"]
    assert caller["text"] == "What are your hours?"
    assert server.of("call_ended") == [{"reason": "caller_hangup"}]


@pytest.mark.parametrize("carrier", ["twilio", "telnyx"])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("drop_at_ms", [None, 1_000])
async def test_an_awkward_carrier(
    tmp_path: Path, carrier: str, seed: int, drop_at_ms: int | None
) -> None:
    """A call is answered unless its own plan drops it, and then fails as the drop it is."""
    plan = awkward_plan(seed, keeps_order=carrier_kind(carrier).keeps_order)
    plan = msgspec.structs.replace(plan, drop_at_ms=drop_at_ms, half_message=bool(seed % 2))
    async with answering(tmp_path) as server:
        run = RunOptions(plan=plan)
        result = await call(server, turn_steps(tmp_path), carrier=carrier, run=run)
    report = result.report.call_reports[0]
    assert not report.protocol_violations
    (ended,) = server.of("call_ended")
    if drop_at_ms is None:
        assert (report.outcome, report.error_code) == ("completed", None), report.detail
        (turn,) = report.turns
        assert turn.reply_latency_ms is not None
        assert report.agent_audible_ms > 1500, "greeting and reply"
        assert ended == {"reason": "caller_hangup"}
    else:
        assert (report.outcome, report.error_code) == ("running", "cut_off"), report.detail
        assert ended == {"reason": "carrier_disconnected"}


async def test_an_interruption_is_heard_to_work(tmp_path: Path) -> None:
    steps = [
        {"wait": "agent_finished"},
        {"play": speech_file(tmp_path)},
        {"interrupt": {"play": speech_file(tmp_path), "after_ms": 500}},
        {"wait": "agent_finished"},
        {"hang_up": {}},
    ]
    async with answering(tmp_path) as server:
        result = await call(server, steps)
    report = result.report
    assert report.completed == 1, report.call_reports[0].detail
    assert report.call_reports[0].clears == 1
    (cut,) = [turn for turn in server.of("agent_turn") if turn["ended"] == "interrupted"]
    assert 0 < len(cut["heard_text"]) < len(cut["text"])
    heard = [word["heard"] for word in cut["words"]]
    assert heard[0] is True
    assert heard[-1] is False


async def test_what_was_heard_is_what_was_played(tmp_path: Path) -> None:
    """The server's idea of what was heard against the carrier's own."""
    steps = [
        {"wait": "agent_finished"},
        {"play": speech_file(tmp_path)},
        {"interrupt": {"play": speech_file(tmp_path), "after_ms": 700}},
        {"hang_up": {}},
    ]

    async def play(folder: Path) -> Called:
        async with answering(folder) as server:
            return server, await call(server, steps)

    server, result = await in_time(play, tmp_path, late_ms=50)
    (cut,) = [turn for turn in server.of("agent_turn") if turn["ended"] == "interrupted"]
    record = result.records[0]
    begun_us = next(
        # The phone's clock and the server's begin within a connection's time of each other.
        start.start_us
        for start in record.audible
        if start.start_us > (cut["start_ms"] - 200) * 1000
    )
    really_ms = (record.clears[0] - begun_us) / 1000
    assert abs(cut["played_ms"] - really_ms) < 100, "one word of this voice"


async def test_recording_holds_both_sides(tmp_path: Path) -> None:
    async with answering(tmp_path) as server:
        await call(server, turn_steps(tmp_path))
        live = server.call_dirs()[0] / "recording.wav"
        assert live.exists(), "it is written while the call runs"
    samples, rate_hz = soundfile.read(server.call_dirs()[0] / "recording.wav", dtype="int16")
    assert rate_hz == 8000
    assert samples.shape[1] == 2
    for turn in server.transcript():
        side = 0 if turn["speaker"] == "caller" else 1
        spoken = slice(turn["start_ms"] * 8 + 160, turn["end_ms"] * 8 - 160)
        piece = samples[spoken, side].astype(float)
        other = samples[spoken, 1 - side].astype(float)
        assert (piece**2).mean() > 100 * ((other**2).mean() + 1), turn["speaker"]


async def test_the_agent_hangs_up(tmp_path: Path) -> None:
    llm = {
        "vendor": "scripted",
        "settings": {
            "rules": [{"match": ".", "tool": {"name": "end_call", "arguments": {}}}],
        },
    }
    steps = [
        {"wait": "agent_finished"},
        {"play": speech_file(tmp_path)},
        {"wait": "call_ended"},
    ]
    async with answering(tmp_path, llm=llm, tools=["end_call"]) as server:
        result = await call(server, steps)
    assert result.report.ended_by == {"server": 1}
    assert server.of("call_ended") == [{"reason": "agent_hangup"}]
    assert server.of("agent_turn")[-1]["heard_text"] == "Goodbye."


async def test_keys_reach_the_model(tmp_path: Path) -> None:
    steps = [{"wait": "agent_finished"}, {"dtmf": "42#"}, {"wait": "agent_finished"}]
    async with answering(tmp_path) as server:
        await call(server, steps)
    assert [turn["text"] for turn in server.of("caller_turn")] == ["DTMF: 42"]


async def test_a_call_that_fails_says_so(tmp_path: Path) -> None:
    # The first answer, which warms the model up at the start, is good.
    faults = {"fail_at": "open", "retryable": False, "every": 2}
    llm = {"vendor": "scripted", "settings": {"faults": faults}}
    steps = [
        {"wait": "agent_finished"},
        {"play": speech_file(tmp_path)},
        {"wait": "call_ended"},
    ]
    no_draft = {"preemptive": {"enabled": False}}  # of which a failure is made good
    async with answering(tmp_path, llm=llm, turn_taking=no_draft) as server:
        result = await call(server, steps)
    assert result.report.ended_by == {"server": 1}
    assert server.of("call_ended") == [{"reason": "llm_failed"}]
    assert "something" in server.of("agent_turn")[-1]["heard_text"]


async def test_a_model_that_never_works_is_noticed_before_the_first_call(tmp_path: Path) -> None:
    llm = {"vendor": "scripted", "settings": {"faults": {"fail_at": "open"}}}
    with pytest.raises(VendorError):
        async with answering(tmp_path, llm=llm):
            pytest.fail("the server came up")


async def test_a_dropped_socket_ends_the_call(tmp_path: Path) -> None:
    async with answering(tmp_path) as server:
        await call(server, [{"wait": "agent_speaking"}, {"drop": {}}])
    assert server.of("call_ended") == [{"reason": "carrier_disconnected"}]


async def test_many_calls_at_once(tmp_path: Path) -> None:
    async with answering(tmp_path) as server:
        result = await call(server, turn_steps(tmp_path), run=RunOptions(calls=20))
        async with aiohttp.ClientSession() as http, http.get(f"{server.http}/metrics") as answer:
            metrics = await answer.text()
    assert result.report.completed == 20
    assert 'voicecore_calls_ended_total{reason="caller_hangup"} 20.0' in metrics
    assert len(server.call_dirs()) == 20


async def test_a_full_server_refuses(tmp_path: Path) -> None:
    settings = Settings(max_calls=1)
    steps = [{"wait": "agent_finished"}, {"silence": {"ms": 1500}}, {"hang_up": {}}]
    async with answering(tmp_path, settings) as server:
        result = await call(server, steps, run=RunOptions(calls=2, ramp_per_s=2))
    assert result.report.completed == 1
    assert result.report.failed == 1


async def test_token_lets_one_stream_in(tmp_path: Path) -> None:
    settings = Settings(stream_secret="a secret")  # type: ignore[arg-type]
    steps = [{"wait": "agent_finished"}, {"hang_up": {}}]
    async with answering(tmp_path, settings) as server:
        token = server.media.entrance.mint()["token"]
        first = await call(server, steps, parameters={"token": token})
        again = await call(server, steps, parameters={"token": token})
        by_path = await call(
            server,
            steps,
            carrier="telnyx",
            path="/" + server.media.entrance.mint()["token"],
        )
    assert first.report.completed == 1
    assert again.report.completed == 0
    assert by_path.report.completed == 1


@pytest.mark.parametrize("carrier", ["twilio", "telnyx"])
async def test_answer_document_leads_to_a_call(tmp_path: Path, carrier: str) -> None:
    settings = Settings(stream_secret="a secret", public_url="https://voice.example.com")  # type: ignore[arg-type]
    async with answering(tmp_path, settings) as server:
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{server.http}/answer/{carrier}", data={"CallSid": "CA1"}) as answer,
        ):
            document = ElementTree.fromstring(await answer.text())
        stream = document.find("./Connect/Stream")
        assert stream is not None
        start = f"wss://voice.example.com/media/{carrier}"
        assert (stream.get("url") or "").startswith(start)
        path = (stream.get("url") or "").removeprefix(start)
        parameters = {p.get("name"): p.get("value") for p in stream.findall("Parameter")}
        steps = [{"wait": "agent_finished"}, {"hang_up": {}}]
        result = await call(server, steps, carrier=carrier, path=path, parameters=parameters)
    assert result.report.completed == 1


async def test_drain_lets_a_call_end(tmp_path: Path) -> None:
    connected = asyncio.Event()

    async def stop_when_connected(server: Server) -> None:
        await connected.wait()
        await server.media.calls.drain(0.2)

    script = load_script("steps: [{wait: agent_finished}, {wait: call_ended}]")
    async with answering(tmp_path) as server:
        stopping = asyncio.create_task(stop_when_connected(server))
        result = await place_calls(
            server.url(),
            script,
            on_event=lambda event: connected.set() if event.kind == "agent_started" else None,
        )
        await stopping
    assert result.report.ended_by == {"server": 1}
    assert server.of("call_ended") == [{"reason": "drain"}]


@pytest.mark.parametrize(
    ("carrier", "path_of", "code"),
    [("twilio", "telnyx", "wrong_carrier"), ("telnyx", "twilio", "wrong_carrier")],
)
async def test_another_carrier_s_path_is_told_as_such(
    tmp_path: Path, carrier: str, path_of: str, code: str
) -> None:
    steps = [{"wait": "agent_finished"}, {"hang_up": {}}]
    script = load_script(yaml.safe_dump({"steps": steps, "carrier": carrier}))
    async with answering(tmp_path) as server, asyncio.timeout(30):
        result = await place_calls(server.url(path_of), script)
    (report,) = result.report.call_reports
    assert report.error_code == code, report.detail
    assert "1002" in report.detail


async def test_a_missing_token_is_told_as_such(tmp_path: Path) -> None:
    settings = Settings(stream_secret="a secret")  # type: ignore[arg-type]
    steps = [{"wait": "agent_finished"}, {"hang_up": {}}]
    async with answering(tmp_path, settings) as server:
        result = await call(server, steps)
    (report,) = result.report.call_reports
    assert report.error_code == "stream_unauthorized"
    assert report.detail.endswith("(close code 1008: bad_token)")

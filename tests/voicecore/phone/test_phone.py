"""The telephone over real sockets on loopback, against a small agent."""

import asyncio
import json
import time
from collections import Counter
from pathlib import Path

import pytest
import soundfile
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from media.carriers.kind import SignedRequest
from media.carriers.twilio import verify_upgrade
from media.phone.awkward import AwkwardPlan
from tests.support.phone_agent import PhoneAgent, listening, tone
from tests.support.refusing import refusing_port
from voicecore.phone import socket as phone_socket
from voicecore.phone.phone import RunOptions, RunResult, place_calls, repeated
from voicecore.phone.script import HangUp, Repeat, Script
from voicecore.phone.script_file import load_script
from voicecore.phone.setup import PhoneEvent
from voicecore.phone.socket import ConnectError, Connector
from voicecore.phone.socket_websockets import connect_websockets

# The phone makes up for the frames that it could not send in time: of what is said then, only the
# silence that was waited for before it still has its length. It has to be longer than the break
# that makes what comes next an answer.
TALK = """
wait_timeout_ms: 20000
quiet_ms: 250
steps:
  - wait: agent_finished
  - play: hello.wav
  - wait: agent_finished
  - hang_up:
"""


@pytest.fixture(params=["websockets", "picows"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    connector: Connector = connect_websockets
    if request.param == "picows":
        pytest.importorskip("picows")
        from voicecore.phone.socket_picows import connect_picows

        connector = connect_picows
    monkeypatch.setattr(phone_socket, "fastest", lambda: connector)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    audio = bytes(640) + tone(120) + bytes(960)
    soundfile.write(tmp_path / "hello.wav", memoryview(audio).cast("h"), 8000)
    return tmp_path


async def call(
    url: str, text: str, folder: Path, *, carrier: str | None = None, **options: object
) -> RunResult:
    script = load_script(text, folder=str(folder), carrier=carrier)
    async with asyncio.timeout(60):
        return await place_calls(url, script, options=RunOptions(**options))  # type: ignore[arg-type]


async def test_marks_of_what_was_heard_come_back_before_a_late_caller_hangs_up(
    tmp_path: Path,
) -> None:
    """The machine stands still until all of the greeting is over."""
    agent = PhoneAgent()

    def stands_still(event: PhoneEvent) -> None:
        if event.kind == "agent_started":
            time.sleep(0.4)

    script = load_script("quiet_ms: 100\nsteps: [wait: agent_finished]", folder=str(tmp_path))
    async with listening(agent) as url:
        result = await place_calls(url, script, on_event=stands_still)
    assert result.report.call_reports[0].outcome == "completed"
    assert [m["mark"]["name"] for m in agent.events("mark")] == ["greeting"]


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("carrier", ["twilio", "telnyx"])
async def test_a_conversation(carrier: str, folder: Path) -> None:
    agent = PhoneAgent()
    async with listening(agent) as url:
        result = await call(url, TALK, folder, carrier=carrier, keep_audio=True)
    report = result.report
    assert (report.completed, report.protocol_violations) == (1, {})
    turn = report.call_reports[0].turns[0]
    # The agent answers after ten quiet frames; a busy machine adds to that, or its last voiced
    # frame was sent late and the quiet ones caught up. Both times are rounded down, so that what
    # lies between them may seem a millisecond less.
    late_ms = report.send_late_ms.max
    assert turn.reply_latency_ms is not None
    assert late_ms is not None
    assert turn.reply_latency_ms >= 179 - late_ms
    assert report.agent_audio_ms == 160
    assert report.call_reports[0].marks == 2
    assert report.ended_by == {"caller": 1}
    assert result.records[0].spoken
    assert sum(len(audio) for _, audio in result.records[0].heard) == 160 * 8
    order = [message["event"] for message in agent.messages]
    assert order[:2] == ["connected", "start"]
    assert order[-1] == "stop"
    assert Counter(order)["mark"] == 2
    assert [m["mark"]["name"] for m in agent.events("mark")] == ["greeting", "reply-1"]
    chunks = [int(message["media"]["chunk"]) for message in agent.events("media")]
    assert chunks == list(range(1, len(chunks) + 1))
    stamps = [int(message["media"]["timestamp"]) for message in agent.events("media")]
    assert stamps == list(range(stamps[0], stamps[0] + 20 * len(stamps), 20))
    assert stamps[0] > 0


async def test_frames_keep_to_the_clock(folder: Path) -> None:
    """However late single frames are, their number is that of the time that has passed."""
    agent = PhoneAgent(greeting_ms=0)
    async with listening(agent) as url:
        result = await call(url, "steps: [silence: 400]", folder)
    assert len(agent.events("media")) == 20
    assert result.report.duration_ms >= 400


async def test_an_interruption_clears_the_agent(folder: Path) -> None:
    # The reply may follow at once where frames were made up for: it is one by its length.
    agent = PhoneAgent(greeting_ms=5000, reply_ms=800)
    text = TALK.replace(
        "  - wait: agent_finished\n  - play: hello.wav",
        "  - interrupt: {play: hello.wav, after_ms: 100}",
    )
    async with listening(agent) as url:
        result = await call(url, text, folder)
    report = result.report.call_reports[0]
    assert report.outcome == "completed"
    assert report.clears == 1
    assert report.turns[0].agent_speaking
    silence_ms = report.turns[0].interruption_to_silence_ms
    assert silence_ms is not None
    assert 0 < silence_ms < 3000
    assert report.agent_heard_ms < report.agent_audio_ms
    assert [m["mark"]["name"] for m in agent.events("mark")] == ["greeting", "reply-1"]


@pytest.mark.usefixtures("library")
async def test_the_server_hangs_up(folder: Path) -> None:
    agent = PhoneAgent(goodbye_after=1)
    waiting = TALK.replace("wait: agent_finished\n  - hang_up:", "wait: call_ended")
    async with listening(agent) as url:
        result, cut_short = await asyncio.gather(
            call(url, waiting, folder), call(url, waiting + "  - play: hello.wav\n", folder)
        )
    report = result.report.call_reports[0]
    assert (report.outcome, report.ended_by, report.close_code) == ("completed", "server", 4001)
    report = cut_short.report.call_reports[0]
    assert (report.outcome, report.ended_by) == ("server_ended", "server")
    assert "line 8" in report.detail
    assert cut_short.report.failed == 1


@pytest.mark.usefixtures("library")
async def test_the_server_dies(folder: Path) -> None:
    async def dying(socket: ServerConnection) -> None:
        async for text in socket:
            if json.loads(text)["event"] == "media":
                socket.transport.abort()

    async with serve(dying, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        result = await call(f"ws://127.0.0.1:{port}/", "steps: [wait: call_ended]", folder)
    report = result.report.call_reports[0]
    assert (report.outcome, report.ended_by, report.close_code) == (
        "server_ended",
        "network",
        None,
    )


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("step", ["drop:", "drop: {half_message: true}"])
async def test_the_socket_drops(folder: Path, step: str) -> None:
    agent = PhoneAgent(greeting_ms=0)
    async with listening(agent) as url:
        result = await call(url, f"steps:\n  - silence: 60\n  - {step}", folder)
    report = result.report.call_reports[0]
    assert (report.outcome, report.ended_by, report.close_code) == ("completed", "caller", None)
    assert agent.broken_ends == 1
    assert not agent.events("stop")
    assert len(agent.events("media")) == 3


async def test_violations_are_counted_and_the_call_goes_on(folder: Path) -> None:
    agent = PhoneAgent()
    agent.extra = ["{", '{"event":"media","media":{"payload":"////"}}', b"\x00\x01"]
    async with listening(agent) as url:
        result, telnyx = await asyncio.gather(
            call(url, TALK, folder), call(url, TALK, folder, carrier="telnyx")
        )
    assert result.report.completed == 1
    assert result.report.protocol_violations == {
        "binary_frame": 1,
        "malformed_message": 1,
        "missing_stream_id": 1,
    }
    assert len(result.report.call_reports[0].protocol_violation_details) == 3
    assert telnyx.report.protocol_violations["chunk_too_short"] == 1
    assert [m["payload"]["code"] for m in agent.events("error")] == [100003, 100003]


@pytest.mark.parametrize("carrier", ["twilio", "telnyx"])
async def test_an_awkward_carrier_still_holds_the_conversation(carrier: str, folder: Path) -> None:
    agent = PhoneAgent()
    plan = AwkwardPlan(
        seed=4,
        first_timestamp_ms=171,
        start_delay_ms=50,
        payload_bytes=(40, 400),
        jitter_ms=30,
        unknown_every_ms=100,
    )
    async with listening(agent) as url:
        result = await call(url, TALK, folder, carrier=carrier, plan=plan)
    assert result.report.completed == 1
    assert agent.events("media")[0]["media"]["timestamp"] == "171"
    sizes = {len(message["media"]["payload"]) for message in agent.events("media")}
    assert len(sizes) > 5
    assert {"line-quality", "line_quality"} & {message["event"] for message in agent.messages}


async def test_a_plan_drops_the_socket(folder: Path) -> None:
    agent = PhoneAgent(greeting_ms=0)
    plan = AwkwardPlan(drop_at_ms=100, half_message=True)
    async with listening(agent) as url:
        result = await call(url, "steps: [silence: 60000]", folder, plan=plan)
    assert agent.broken_ends == 1
    assert result.report.call_reports[0].duration_ms < 50_000


async def test_many_calls_share_the_phone(folder: Path) -> None:
    agent = PhoneAgent()
    async with listening(agent) as url:
        result = await call(url, TALK, folder, calls=20, ramp_per_s=200.0)
    report = result.report
    assert (report.calls, report.completed) == (20, 20)
    assert report.reply_latency_ms.n == 20
    assert len({message["start"]["callSid"] for message in agent.events("start")}) == 20
    assert len(agent.events("stop")) == 20


async def test_a_run_of_a_given_length_ends_as_a_success(folder: Path) -> None:
    agent = PhoneAgent(greeting_ms=0, reply_ms=40)
    text = "steps:\n  - play: hello.wav\n  - silence: 40\n"
    async with listening(agent) as url:
        for duration_s in (0.7, 7.0):
            result = await call(url, text, folder, calls=2, duration_s=duration_s)
            assert result.report.completed == 2
            assert result.report.duration_ms >= duration_s * 1000
            if result.report.turns >= 4:  # a busy machine may have connected too late for it
                break
    assert result.report.turns >= 4


def test_a_run_of_a_given_length_loops_what_the_script_loops() -> None:
    script = load_script("steps:\n  - cough:\n  - repeat: 2\n    steps: [cough: ]\n  - hang_up:")
    looped = repeated(script, 5000)
    assert [type(step) for step in looped.steps] == [type(script.steps[0]), Repeat]
    assert isinstance(looped.steps[1], Repeat)
    assert (looped.steps[1].times, looped.steps[1].for_ms) == (None, 5000)
    whole = repeated(load_script("steps: [cough: , hang_up: ]"), 5000)
    assert isinstance(whole.steps[0], Repeat)
    assert len(whole.steps[0].steps) == 1
    assert repeated(Script((HangUp(1),)), 5).steps


@pytest.mark.usefixtures("library")
async def test_the_upgrade_is_signed_like_twilios(folder: Path) -> None:
    agent = PhoneAgent(greeting_ms=0)
    async with listening(agent) as url:
        await call(url, "steps: [silence: 20]", folder, auth_token="secret", call_id="CA7")
        signed = "wss://voice.example.com/media"
        await call(url, "steps: [silence: 20]", folder, auth_token="secret", signed_url=signed)
    public = url.replace("ws://", "wss://")
    for headers, address in zip(agent.headers, (public, signed), strict=True):
        assert headers["user-agent"] == "Twilio.TmeWs/1.0"
        assert "sec-websocket-extensions" not in headers
        request = SignedRequest(url=address, headers=headers, body=b"")
        assert verify_upgrade(request, "secret")
        assert not verify_upgrade(request, "other")
    assert agent.events("start")[0]["start"]["callSid"] == "CA7"


async def test_events_tell_the_call_as_it_goes(folder: Path) -> None:
    events: list[PhoneEvent] = []
    script = load_script(TALK.replace("  - hang_up:", "  - dtmf: 1"), folder=str(folder))
    async with listening(PhoneAgent()) as url, asyncio.timeout(60):
        await place_calls(url, script, on_event=events.append)
    assert [(event.kind, event.text) for event in events] == [
        ("connected", ""),
        ("agent_started", ""),
        ("say_started", "hello.wav"),
        ("say_finished", "hello.wav"),
        ("agent_started", ""),
        ("dtmf", "1"),
        ("ended", "caller: hung up"),
    ]


@pytest.mark.usefixtures("library")
async def test_a_refused_upgrade_says_so(folder: Path) -> None:
    def refuse(connection: ServerConnection, request: Request) -> Response:
        return connection.respond(403, "no such agent\n")

    async def unused(socket: ServerConnection) -> None: ...

    async with serve(unused, "127.0.0.1", 0, process_request=refuse) as server:
        port = server.sockets[0].getsockname()[1]
        result = await call(f"ws://127.0.0.1:{port}/", "steps: [cough: ]", folder)
    report = result.report.call_reports[0]
    assert (report.outcome, report.ended_by) == ("connect_failed", "nobody")
    assert report.error_code == "upgrade_unauthorized"
    assert "HTTP 403" in report.detail
    assert "no such agent" in report.detail


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"", "upgrade_failed"),
        (b"hello\n", "upgrade_failed"),
        (b"hello\r\n\r\n", "upgrade_failed"),
        (b"HTTP/1.1 101 Go\r\n\r\n", "upgrade_failed"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "upgrade_refused"),
        (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "upgrade_not_found"),
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "server_busy"),
    ],
)
async def test_what_is_no_websocket_server_says_so(folder: Path, answer: bytes, code: str) -> None:
    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(closing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        result = await call(f"ws://127.0.0.1:{port}/", "steps: [cough: ]", folder)
    report = result.report.call_reports[0]
    assert (report.outcome, report.error_code) == ("connect_failed", code)


@pytest.mark.usefixtures("library")
async def test_a_server_without_tls_says_so(folder: Path) -> None:
    async with listening(PhoneAgent()) as url:
        result = await call(url.replace("ws:", "wss:"), "steps: [cough: ]", folder)
    assert result.report.error_codes == {"tls_failed": 1}


@pytest.mark.usefixtures("library")
async def test_a_server_that_hangs_up_at_once_says_so(folder: Path) -> None:
    async def closing(socket: ServerConnection) -> None:
        await socket.close(1008, "no such agent")

    async with serve(closing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        result = await call(f"ws://127.0.0.1:{port}/", "steps: [wait: agent_finished]", folder)
    report = result.report.call_reports[0]
    assert report.error_code == "closed_before_audio"
    assert report.detail.endswith("(close code 1008: no such agent)")


@pytest.mark.usefixtures("library")
async def test_nobody_there_says_so(folder: Path) -> None:
    with refusing_port() as port:
        result = await call(f"ws://127.0.0.1:{port}/media", "steps: [cough: ]", folder)
    report = result.report.call_reports[0]
    assert (report.outcome, report.error_code) == ("connect_failed", "connect_refused")
    assert result.report.failed == 1


@pytest.mark.parametrize(
    ("url", "detail"),
    [
        ("http://127.0.0.1/", "no WebSocket URL"),
        ("ws:///x", "no WebSocket URL"),
        ("ws://127.0.0.1:99999/", "no WebSocket URL"),
        ("ws://[::1", "no WebSocket URL"),
        ("ws://127.0.0.1/?token=1", "query strings"),
    ],
)
async def test_urls_that_no_carrier_calls(url: str, detail: str, folder: Path) -> None:
    with pytest.raises(ConnectError, match=detail):
        await call(url, "steps: [cough: ]", folder)


@pytest.mark.usefixtures("library")
async def test_a_message_in_fragments_is_one_message(folder: Path) -> None:
    heard: list[str] = []

    async def fragmenting(socket: ServerConnection) -> None:
        async for text in socket:
            message = json.loads(text)
            if message["event"] == "start":
                mark = {"event": "mark", "streamSid": message["streamSid"], "mark": {"name": "m"}}
                whole = json.dumps(mark)
                await socket.send([whole[:10], whole[10:20], whole[20:]])
            elif message["event"] == "mark":
                heard.append(message["mark"]["name"])
                await socket.close()

    async with serve(fragmenting, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        result = await call(f"ws://127.0.0.1:{port}/", "steps: [wait: call_ended]", folder)
    assert heard == ["m"]
    assert result.report.completed == 1
    assert result.report.call_reports[0].close_code == 1000

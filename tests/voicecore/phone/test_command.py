"""``voicecore call`` as it is typed, against a small agent on loopback."""

import argparse
import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from control.commands import call
from tests.support.phone_agent import PhoneAgent, listening, tone
from tests.support.refusing import refusing_port
from voicecore.phone.failures import ADVICE

TALK = """
quiet_ms: 250
steps:
  - wait: agent_finished
  - play: hello.wav
  - wait: agent_finished
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "hello.wav", memoryview(tone(120)).cast("h"), 8000)
    (tmp_path / "caller.yaml").write_text(TALK)
    return tmp_path


def completed(report: str) -> int:
    return int(json.loads(Path(report).read_bytes())["completed"])


def parse(*argv: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    call.add_parser(parser.add_subparsers())
    return parser.parse_args(["call", *argv])


async def run(*argv: str) -> int:
    async with asyncio.timeout(60):
        return await asyncio.to_thread(call.run, parse(*argv))


async def test_a_call_with_everything(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    agent = PhoneAgent()
    script, report, wav = (str(folder / name) for name in ("caller.yaml", "out.json", "out.wav"))
    async with listening(agent) as url:
        status = await run(
            url, "--script", script, "--json", report, "--wav", wav, "--token", "t", "--awkward"
        )
    assert status == 0
    assert agent.events("start")[0]["start"]["customParameters"] == {"token": "t"}
    assert completed(report) == 1
    stereo, rate_hz = soundfile.read(wav)
    assert rate_hz == 8000
    assert (np.abs(stereo).max(axis=0) > 0.1).all()
    shown = capsys.readouterr().out
    assert "caller: hello.wav" in shown
    assert "reply latency" in shown
    assert "1 of 1 call completed" in shown


@pytest.mark.parametrize(
    ("url", "written", "option", "carrier"),
    [
        ("ws://127.0.0.1:1/media/telnyx", "", [], "telnyx"),
        ("wss://a.example.com/voice/media/telnyx/a-token?x=1", "", [], "telnyx"),
        ("ws://127.0.0.1:1/media/twilio", "", [], "twilio"),
        ("ws://127.0.0.1:1/stream?to=/media/telnyx", "", [], "twilio"),
        ("ws://127.0.0.1:1/media/telnyx", "carrier: twilio", [], "twilio"),
        ("ws://127.0.0.1:1/media/telnyx", "", ["--carrier", "twilio"], "twilio"),
    ],
)
def test_who_calls_shows_in_the_url(
    folder: Path, url: str, written: str, option: list[str], carrier: str
) -> None:
    """Unless it is said."""
    script = folder / "caller.yaml"
    script.write_text(f"{written}\n{TALK}")
    assert call.script_of(parse(url, "--script", str(script), *option)).carrier == carrier


async def test_json_alone_on_standard_output(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with listening(PhoneAgent()) as url:
        status = await run(
            url, "--script", str(folder / "caller.yaml"), "--calls", "3", "--json", "-"
        )
    assert status == 0
    assert json.loads(capsys.readouterr().out)["completed"] == 3


async def test_a_call_that_fails_is_status_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = folder / "caller.yaml"
    script.write_text("steps:\n  - wait: {agent_finished: true, timeout_ms: 100}\n")
    async with listening(PhoneAgent(greeting_ms=0)) as url:
        assert await run(url, "--script", str(script)) == 1
    assert capsys.readouterr().err.splitlines() == [
        "the call failed: no_agent_audio: line 2: waited 100 ms for agent_finished; it never spoke",
        f"    what to do: {ADVICE['no_agent_audio']}",
    ]


async def test_calls_that_cannot_be_made_say_why_and_what_to_do(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script, report = str(folder / "caller.yaml"), folder / "out.json"
    with refusing_port() as port:
        url = f"ws://127.0.0.1:{port}/media"
        assert await run(url, "--script", script, "--json", str(report)) == 1
        shown = capsys.readouterr()
        assert await run(url, "--script", script, "--json", "-", "--calls", "3") == 1
    assert not shown.out.strip()
    assert shown.err.splitlines() == [
        f"the call failed: connect_refused: nothing listens at 127.0.0.1:{port}",
        f"    what to do: {ADVICE['connect_refused']}",
    ]
    assert json.loads(report.read_bytes())["error_codes"] == {"connect_refused": 1}
    shown = capsys.readouterr()
    assert json.loads(shown.out)["error_codes"] == {"connect_refused": 3}
    assert shown.err.startswith("3 of 3 calls failed (number 0, 1, 2): connect_refused: ")


async def test_one_failed_call_of_three_is_status_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agent, came = PhoneAgent(), 0

    def refuse_second(connection: ServerConnection, request: Request) -> Response | None:
        nonlocal came
        came += 1
        return connection.respond(503, "full\n") if came == 2 else None

    async with serve(agent.handle, "127.0.0.1", 0, process_request=refuse_second) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        assert await run(url, "--script", str(folder / "caller.yaml"), "--calls", "3") == 1
    shown = capsys.readouterr()
    assert "2 of 3 calls completed" in shown.out
    assert "1 of 3 calls failed (number " in shown.err
    assert "server_busy: the server refused the upgrade: HTTP 503: full" in shown.err


async def test_a_report_that_cannot_be_written_is_status_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with listening(PhoneAgent()) as url:
        script = str(folder / "caller.yaml")
        assert await run(url, "--script", script, "--json", str(folder / "no" / "r.json")) == 1
    shown = capsys.readouterr()
    assert "cannot write the report" in shown.err
    assert "1 of 1 call completed" in shown.out


async def test_all_mistakes_of_a_script_are_printed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = folder / "caller.yaml"
    script.write_text("codec: opus\nsteps:\n  - sing: la\n  - dtmf: x\n")
    assert await run("ws://127.0.0.1:9/", "--script", str(script)) == 2
    printed = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[:3] for line in printed] == [
        [str(script), "line 1", "codec"],
        [str(script), "line 3", "steps[0]"],
        [str(script), "line 4", "steps[1].dtmf"],
    ]
    script.write_text("steps:\n  - play: no.wav\n  - play: neither.wav\n")
    assert await run("ws://127.0.0.1:9/", "--script", str(script)) == 2
    printed = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in printed] == ["line 2", "line 3"]


@pytest.mark.parametrize(
    ("script", "options", "message"),
    [
        ("steps: [sing: la]", [], "caller.yaml: line 1: steps[0]: a step has exactly one of"),
        ("steps: [play: no.wav]", [], "cannot read"),
        ("name: x\nstt: 1\nllm: 2", [], "caller.yaml: line 1: this looks like an agent file"),
        (
            "voice: {vendor: nobody}\nsteps: [say: Hi]",
            [],
            "caller.yaml: line 1: voice.vendor: no tts vendor named 'nobody'",
        ),
        (None, [], "cannot read the script"),
        ("steps: [cough: ]", ["--auth-token"], "VOICECORE_TWILIO_AUTH_TOKEN"),
        ("steps: [cough: ]", ["--call-id", "CA1", "--calls", "2"], "every call needs its own"),
    ],
)
async def test_wrong_usage_is_status_two(
    script: str | None,
    options: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(call.AUTH_TOKEN_VARIABLE, raising=False)
    path = tmp_path / "caller.yaml"
    if script is not None:
        path.write_text(script)
    assert await run("ws://127.0.0.1:9/", "--script", str(path), *options) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv",
    [
        ["--calls", "0"],
        ["--calls", "x"],
        ["--ramp", "0"],
        ["--ramp", "nan"],
        ["--duration", "-1"],
        ["--carrier", "pigeon"],
    ],
)
def test_options_are_checked(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("ws://127.0.0.1:9/", "--script", "x", *argv)
    assert argv[0] in capsys.readouterr().err

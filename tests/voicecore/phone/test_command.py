"""``voicecore call`` as it is typed, against a small agent on loopback."""

import argparse
import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from control.commands import call
from tests.support.phone_agent import PhoneAgent, listening, tone

TALK = """
quiet_ms: 100
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
    assert "1 of 1 calls completed" in shown


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
    assert "line 2: waited 100 ms for agent_finished; it never spoke" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("script", "options", "message"),
    [
        ("steps: [sing: la]", [], "caller.yaml: line 1: steps[0]: a step has exactly one of"),
        ("steps: [play: no.wav]", [], "cannot read"),
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
    "argv", [["--calls", "0"], ["--ramp", "0"], ["--duration", "-1"], ["--carrier", "pigeon"]]
)
def test_options_are_checked(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("ws://127.0.0.1:9/", "--script", "x", *argv)
    assert argv[0] in capsys.readouterr().err

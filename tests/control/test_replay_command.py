"""``voicecore replay`` from the outside."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from control.cli import main
from tests.support.recorded_calls import record_call
from tests.support.sim_call import AGENT, SimCall


async def asks(call: SimCall) -> None:
    await call.until_quiet()
    call.speaks(1200)
    await call.wait_ms(5000)


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of two calls, one directory that is broken, and the agent beside it."""
    base = tmp_path_factory.mktemp("replay")
    (base / "agent.yaml").write_text(yaml.safe_dump(AGENT))
    (base / "calls").mkdir()
    record_call(base / "calls" / "one", asks)
    record_call(base / "calls" / "two", asks)
    broken = base / "broken"
    broken.mkdir()
    (broken / "events.jsonl").write_text("no events\n")
    return base


def replay(*args: Any) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "control.cli", "replay", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_one_call(calls: Path, tmp_path: Path) -> None:
    done = replay(
        calls / "calls" / "one", "--agent", calls / "agent.yaml", "--out", tmp_path / "out"
    )
    assert done.returncode == 0, done.stderr
    assert "no difference" in done.stdout
    assert "What are your hours?" in done.stdout
    assert (tmp_path / "out" / "one" / "events.jsonl").exists()


def test_many_calls_as_json(calls: Path) -> None:
    done = replay(
        calls / "calls", calls / "broken", "--agent", calls / "agent.yaml", "--json",
        "--set", "turn_taking.endpointing.min_silence_ms=900",
    )  # fmt: skip
    assert done.returncode == 1
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["type"] for line in lines] == ["call", "call", "failed", "summary"]
    assert [line["differs"] for line in lines[:2]] == [True, True]
    (pair,) = lines[0]["difference"]["turns"]
    assert pair["change"] == "same"
    assert pair["latency_change_ms"] > 300
    assert lines[2]["code"] == "bad_events"
    summary = lines[3]
    assert (summary["calls"], summary["differing"], summary["failed"]) == (2, 2, {"bad_events": 1})
    assert summary["after"]["latency_ms_median"] > summary["before"]["latency_ms_median"] + 300


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ((), "--agent AGENT.yaml is required"),
        (("--agent", "nowhere.yaml"), "nowhere.yaml: cannot be read"),
        (("--set", "limits.silence.ask_after_ms=soon"), "limits.silence.ask_after_ms: must be"),
        (("--set", "turn_taking.vad.stop_mss=5"), "unknown field; did you mean 'stop_ms'?"),
        (("--set", "name.short=x"), "cannot set name.short: name is not a block of fields"),
        (("--set", "tools[3]=end_call"), "cannot set tools[3]"),
        (("--set", "nothing"), "expected FIELD=VALUE"),
        (("--set", "name={a"), "--set name: not valid YAML"),
    ],
)
def test_what_is_wrong_is_told(
    args: tuple[str, ...], told: str, calls: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = ("--agent", str(calls / "agent.yaml")) if args and "--agent" not in args else ()
    assert main(["replay", str(calls / "calls" / "one"), *agent, *args]) == 2
    assert told in capsys.readouterr().err


def test_a_directory_without_calls(
    calls: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file.txt").write_text("")
    assert main(["replay", str(tmp_path), "--agent", str(calls / "agent.yaml")]) == 2
    assert "no calls in" in capsys.readouterr().err

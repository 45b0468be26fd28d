"""``voicecore evaluate`` without any speech: coughs, and an agent on scripted vendors."""

from pathlib import Path

import pytest

from control.cli import main
from voicecore.evaluate import run
from voicecore.evaluate.results import read_results

AGENT = """\
name: silent
instructions: You answer.
greeting: Hello there.
stt: {vendor: scripted}
llm: {vendor: scripted}
tts: {vendor: scripted}
"""

SCENES = """\
version: 1
group: sounds
scenes:
  - id: coughs
    title: coughs
    listen_ms: 2200
    call:
      - {tic: "[cough]", after_agent_ms: 400}
  - id: clicks
    title: clicks
    quick: true
    listen_ms: 600
    call:
      - {tic: "[click]", after_agent_ms: 400}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "agent.yaml").write_text(AGENT)
    (tmp_path / "scenes").mkdir()
    (tmp_path / "scenes" / "coughs.yaml").write_text(SCENES)
    return tmp_path


def evaluate(folder: Path, *more: str, scenes: str | None = None) -> int:
    return main(
        [
            "evaluate",
            str(folder / "agent.yaml"),
            *("--scenes", scenes or str(folder / "scenes")),
            *("--out", str(folder / "out")),
            *("--cache", str(folder / "cache")),
            *more,
        ]
    )


def test_what_is_wrong_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options, scenes, told in (
        ((), "nowhere", "--scenes: nowhere is neither a directory nor a file nor one of: all,"),
        (("--only", "none"), None, "--only: there is no group or scene 'none'; groups: sounds"),
        (("--baseline", str(folder)), None, "--baseline: there are no results in"),
        (("--only", "coughs", "--quick"), "responds", "--only: there is no group or scene"),
    ):
        assert evaluate(folder, *options, scenes=scenes) == 2
        assert told in capsys.readouterr().err


def test_a_wrong_scene_is_told_with_its_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "scenes" / "coughs.yaml").write_text(SCENES.replace("[click]", "[clack]"))
    assert evaluate(folder) == 2
    assert "coughs.yaml:14:" in capsys.readouterr().err


def test_nothing_is_marked_as_quick(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "scenes" / "coughs.yaml").write_text(SCENES.replace("    quick: true\n", ""))
    assert evaluate(folder, "--quick") == 2
    assert "--quick: none of the scenes" in capsys.readouterr().err


def test_a_wrong_agent(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "agent.yaml").write_text("name: a\n")
    assert evaluate(folder) == 2
    assert "agent.yaml" in capsys.readouterr().err


@pytest.mark.e2e
def test_scenes_are_played_and_scored(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "out").mkdir()
    (folder / "out" / "keep.txt").write_text("not ours")
    assert evaluate(folder) == 0
    results = read_results(folder / "out")
    assert {scene.id for scene in results.scenes} == {"coughs", "clicks"}
    for scene in results.scenes:
        if scene.void is None:
            assert [judged.what for judged in scene.judged] == ["tic"]
        assert (folder / "out" / scene.phone_wav).exists()
        assert (folder / "out" / scene.call_dir / "events.jsonl").exists()
    assert (folder / "out" / "keep.txt").exists()
    printed = capsys.readouterr().out
    assert "coughs and vocal tics: goes on with the same reply" in printed


@pytest.mark.e2e
def test_a_bar_that_is_missed_is_a_failure_where_required(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This speech-to-text takes whatever it hears for words, so the cough is answered."""
    monkeypatch.setattr(run, "ATTEMPTS", 10)  # a scene that the machine was too slow for is void
    assert evaluate(folder, "--only", "coughs", "--require") == 1
    (scene,) = read_results(folder / "out").scenes
    (judged,) = scene.judged
    assert (judged.ok, scene.passed) == (False, False)
    assert judged.detail.startswith("answered it after")
    assert "took the turn as" in judged.detail

from collections import Counter
from pathlib import Path

import pytest

from voicecore.evaluate.scene import Scene
from voicecore.evaluate.scene_file import SETS, load_scenes, load_suite, set_names
from voicecore.yaml_lines import YamlFileError

GOOD = """\
version: 1
group: mine
voice: heart
line: {noise: babble, snr_db: 20}
scenes:
  - id: first
    title: a caller
    call:
      - turn: Hello there?
      - interruption: [Wait, 500, "[cough]", please.]
        at_ms: 2000
        level_db: -6
      - {backchannel: Okay., after_own_ms: 900, voice: joe}
"""


def scenes(tmp_path: Path, text: str) -> tuple[Scene, ...]:
    (tmp_path / "a.yaml").write_text(text)
    return load_scenes(tmp_path / "a.yaml")


def wrong(tmp_path: Path, text: str) -> str:
    with pytest.raises(YamlFileError) as raised:
        scenes(tmp_path, text)
    return str(raised.value)


def test_a_scene(tmp_path: Path) -> None:
    (scene,) = scenes(tmp_path, GOOD)
    assert (scene.id, scene.group, scene.carrier) == ("first", "mine", "twilio")
    assert (scene.line.noise, scene.line.snr_db) == ("babble", 20.0)
    turn, interruption, backchannel = scene.events
    assert (turn.kind, turn.voice, turn.after_agent_ms) == ("turn", "heart", 700)
    assert interruption.parts == ("Wait", 500, "[cough]", "please.")
    assert (interruption.at_ms, interruption.after_agent_ms) == (2000, None)
    assert interruption.text == "Wait … [cough] please."
    assert (backchannel.after_own_ms, backchannel.voice) == (900, "joe")


def test_every_mistake_is_told_with_its_place(tmp_path: Path) -> None:
    text = (
        GOOD.replace("voice: joe", "voice: jo")
        .replace("[cough]", "[hiccup]")
        .replace("noise: babble", "noise: babble, snr: 3")
    )
    told = wrong(tmp_path, text)
    assert "a.yaml:4:23: line.snr: unknown field; did you mean 'snr_db'?" in told
    told = wrong(tmp_path, text.replace(", snr: 3", ""))
    assert "there is no voice 'jo'; known: joe, joe-light" in told
    assert "there is no sound [hiccup]; known: [cough]" in told
    assert all("a.yaml:" in line for line in told.splitlines())
    assert len(told.splitlines()) == 2


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("turn: Hello there?", "say: Hello there?", "unknown field"),
        ("{backchannel: Okay., ", "{tic: Um., backchannel: Okay., ", "needs exactly one of"),
        ("        at_ms: 2000\n", "", "an interruption needs at_ms"),
        ("after_own_ms: 900", "after_own_ms: 900, at_ms: 100", "give one of at_ms"),
        ("[Wait, 500,", "[500, Wait,", "begins or ends with a pause"),
        ("- turn: Hello there?", "- {turn: Hello., after_own_ms: 200}", "no sound before"),
        ("id: first", "id: First!", "id"),
        ("version: 1", "version: 2", "version"),
        ("title: a caller", "title: a caller\n    carrier: vonage", "there is no carrier"),
    ],
)
def test_what_is_refused(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in GOOD
    assert told in wrong(tmp_path, GOOD.replace(old, new))


def test_an_id_is_given_once(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yaml").write_text(GOOD)
    with pytest.raises(YamlFileError, match="the id 'first' is also in"):
        load_suite(tmp_path, "mine")


def test_a_folder_without_scenes(tmp_path: Path) -> None:
    with pytest.raises(YamlFileError, match="no scene file"):
        load_suite(tmp_path, "mine")


def test_our_own_scenes_are_as_many_as_promised() -> None:
    suite = load_suite(SETS, "voicecore")
    events = Counter(event.kind for scene in suite.scenes for event in scene.events)
    groups = Counter(scene.group for scene in suite.scenes)
    assert events["interruption"] >= 30
    assert events["backchannel"] >= 30
    assert events["tic"] >= 20
    assert events["side_talk"] >= 12
    assert events["background"] >= 12
    plain = [s for s in suite.scenes if s.group == "responds"]
    assert sum(len(scene.events) for scene in plain) >= 20
    assert groups["disfluencies"] >= 20
    assert {scene.group for scene in suite.scenes} == set(set_names())


def test_every_set_has_a_quick_scene() -> None:
    suite = load_suite(SETS, "voicecore")
    assert {s.group for s in suite.scenes if s.quick} == {s.group for s in suite.scenes}


def test_background_speech_is_far_away() -> None:
    for scene in load_suite(SETS, "voicecore").scenes:
        levels = [event.level_db for event in scene.events if event.kind == "background"]
        assert all(-20 <= level <= -14 for level in levels), scene.id

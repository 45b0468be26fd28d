"""Three scenes over the wire, with real voices and real speech-to-text. What the agent does with
them is its own affair: what is asserted is that they were played, heard and scored."""

from pathlib import Path

import msgspec
import pytest
import soundfile

from control.cli import main
from voicecore.evaluate.results import read_results
from voicecore.evaluate.run import PhoneFacts
from voicecore.journal import read_events

pytestmark = [pytest.mark.e2e, pytest.mark.local_models]

AGENT = """\
name: brief
instructions: You answer.
greeting: Hello, how can I help?
stt: {vendor: moonshine}
llm:
  vendor: scripted
  settings:
    replies:
      - >-
        The practice is open on weekdays from eight in the morning until five in the afternoon,
        and on Saturdays from ten until two, and you can park behind the house.
tts: {vendor: piper, voice: heart}
recording: true
"""

SCENES = """\
version: 1
group: three
voice: heart-deep
line: {noise: white, snr_db: 30}
scenes:
  - id: interrupts
    title: interrupts
    call:
      - turn: When are you open?
      - interruption: Sorry, stop, where exactly are you located?
        at_ms: 1800
  - id: murmurs
    title: coughs
    carrier: telnyx
    call:
      - turn: When are you open?
      - {tic: "[cough]", at_ms: 2000}
  - id: halts
    title: halts
    call:
      - turn: [My number is, 700, "five five five, oh one two."]
"""


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluate")
    (folder / "agent.yaml").write_text(AGENT)
    (folder / "scenes").mkdir()
    (folder / "scenes" / "three.yaml").write_text(SCENES)
    options = ["--jobs", "3", "--out", str(folder / "out"), "--cache", str(folder / "cache")]
    scenes = ["--scenes", str(folder / "scenes")]
    assert main(["evaluate", str(folder / "agent.yaml"), *scenes, *options]) == 0
    return folder / "out"


def test_every_scene_was_played_and_judged(out: Path) -> None:
    results = read_results(out)
    assert (results.agent, results.suite) == ("brief", "scenes")
    assert [scene.id for scene in results.scenes] == ["interrupts", "murmurs", "halts"]
    for scene in results.scenes:
        if scene.void is None:
            whats = [judged.what for judged in scene.judged]
            assert whats[0] == "turn"
            assert all(judged.detail for judged in scene.judged)
        else:
            assert "too slow" in scene.void


def test_the_agent_was_interrupted(out: Path) -> None:
    (scene, *_) = read_results(out).scenes
    if scene.void is None:
        _, interruption = scene.judged
        assert interruption.ok, interruption.detail
        assert 0 < scene.figures["yield_ms_max"] < 2_000


def test_what_was_said_and_heard_is_kept(out: Path) -> None:
    for scene in read_results(out).scenes:
        samples, rate_hz = soundfile.read(out / scene.phone_wav, dtype="int16")
        assert (rate_hz, samples.shape[1]) == (8000, 2)
        facts = msgspec.json.decode(
            (out / scene.phone_wav).with_name("phone.json").read_bytes(), type=PhoneFacts
        )
        assert facts.said
        # The caller is on the left, and the agent on the right, when they are said to speak.
        one = facts.said[0]
        assert abs(samples[one.start_ms * 8 : one.end_ms * 8, 0]).max() > 1_000
        first = facts.agent[0]
        assert abs(samples[first.start_ms * 8 : first.end_ms * 8, 1]).max() > 1_000
        events = read_events((out / scene.call_dir / "events.jsonl").read_bytes())
        assert events[-1].type == "call_ended"


def test_figures_count_what_was_scored(out: Path) -> None:
    results = read_results(out)
    figures = {figure.name: figure for figure in results.figures}
    valid = [scene for scene in results.scenes if scene.void is None]
    assert figures["yield_rate"].n == sum(scene.id == "interrupts" for scene in valid)
    assert figures["ignores_tic"].n <= 1
    assert figures["ignores_backchannel"].value is None

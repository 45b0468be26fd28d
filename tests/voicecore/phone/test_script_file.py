from pathlib import Path

import pytest

from media.audio.format import ALAW_8K, L16_16K, MULAW_8K
from voicecore.phone.script import (
    Drop,
    HangUp,
    PressKeys,
    Repeat,
    Silence,
    Utter,
    Wait,
    leaves,
    utterances,
)
from voicecore.phone.script_file import load_script
from voicecore.phone.yaml_reader import ScriptError

FULL = """\
carrier: telnyx
codec: alaw
agent_codec: mulaw
voice: {vendor: piper, voice: joe, settings: {speed: 1.2}}
parameters: {token: "abc", number: 007}
from: "+15550100"
noise_dbfs: -60
quiet_ms: 900
wait_timeout_ms: 5000
timeout_s: 30
steps:
  - wait: agent_finished
  - say: What are your opening hours?
  - wait: {agent_speaking_ms: 800, timeout_ms: 2000}
  - interrupt: Sorry, where are you?
  - interrupt: {play: stop.wav, after_ms: 300}
  - wait: {agent_finished: true, quiet_ms: 500}
  - play: a/b.wav
  - cough:
  - murmur: mm-hm
  - silence: {ms: 3000}
  - silence: 40
  - dtmf: 0123w4#a
  - wait: call_ended
  - drop: {half_message: true}
"""


def test_every_field() -> None:
    script = load_script(FULL, folder="/scripts")
    assert (script.carrier, script.codec, script.agent_codec) == ("telnyx", ALAW_8K, MULAW_8K)
    assert script.voice is not None
    assert (script.voice.vendor, script.voice.settings) == ("piper", {"speed": 1.2})
    assert script.parameters == {"token": "abc", "number": "007"}
    assert (script.from_number, script.noise_dbfs, script.timeout_ms) == ("+15550100", -60, 30_000)
    assert script.steps == (
        Wait(12, "agent_finished", 900, 5000),
        Utter(13, "say", text="What are your opening hours?"),
        Wait(14, "agent_speaking", 800, 2000),
        Utter(15, "interrupt", text="Sorry, where are you?"),
        Utter(16, "interrupt", path="/scripts/stop.wav", after_ms=300, timeout_ms=5000),
        Wait(17, "agent_finished", 500, 5000),
        Utter(18, "play", path="/scripts/a/b.wav"),
        Utter(19, "cough"),
        Utter(20, "murmur", text="mm-hm"),
        Silence(21, 3000),
        Silence(22, 40),
        PressKeys(23, "0123w4#A"),
        Wait(24, "call_ended", 0, 5000),
        Drop(25, half_message=True),
    )
    assert len(utterances(script)) == 6


def test_defaults() -> None:
    script = load_script("steps:\n  - hang_up:\n")
    assert (script.carrier, script.codec, script.agent_codec) == ("twilio", MULAW_8K, MULAW_8K)
    assert script.steps == (HangUp(2),)
    assert script.timeout_ms == 120_000
    assert script.l16_big_endian


def test_the_carrier_can_be_chosen_from_outside() -> None:
    assert load_script("carrier: telnyx\nsteps: [cough: ]", carrier="twilio").carrier == "twilio"
    script = load_script("carrier: telnyx\ncodec: l16_16k\nbyte_order: little\nsteps: [cough: ]")
    assert (script.codec, script.agent_codec, script.l16_big_endian) == (L16_16K, L16_16K, False)


def test_repeating_everything_but_the_goodbye() -> None:
    script = load_script("repeat: 3\nsteps:\n  - cough:\n  - silence: 20\n  - hang_up:\n")
    assert script.steps == (Repeat(1, (Utter(3, "cough"), Silence(4, 20)), times=3), HangUp(5))
    assert [step.line for step in leaves(script.steps)] == [3, 4, 5]
    looped = load_script("loop_s: 60\nsteps: [cough: ]")
    assert looped.steps == (Repeat(1, (Utter(2, "cough"),), for_ms=60_000),)
    assert looped.timeout_ms == 180_000


def test_repeating_some_steps() -> None:
    script = load_script(
        "steps:\n  - wait: agent_finished\n"
        "  - repeat: 2\n    steps:\n      - cough:\n  - hang_up:\n"
    )
    assert script.steps[1] == Repeat(3, (Utter(5, "cough"),), times=2)
    assert script.timeout_ms == 360_000


@pytest.mark.parametrize(
    ("text", "line", "field", "detail"),
    [
        ("", 1, "", "empty"),
        ("steps: [", 1, "", "not valid YAML"),
        ("- a", 1, "", "must be a map"),
        ("carrier: twilio", 1, "", "steps is missing"),
        ("steps: []", 1, "steps", "at least one"),
        ("steps: hello", 1, "steps", "must be a list"),
        ("steps:\n  - hello", 2, "steps[0]", "a step is a map"),
        ("steps:\n  - cough:\n  - sing: la", 3, "steps[1]", "exactly one of"),
        ("steps:\n  - cough:\n    silence: 20", 2, "steps[0]", "exactly one of"),
        ("steps:\n  - cough:\n    why: x", 3, "steps[0].why", "unknown field"),
        ("stepz: 1\nsteps: [cough: ]", 1, "stepz", "unknown field"),
        ("steps: [cough: ]\nsteps: [cough: ]", 2, "steps", "the key appears twice"),
        ("carrier: pigeon\nsteps: [cough: ]", 1, "carrier", "must be one of twilio, telnyx"),
        ("codec: alaw\nsteps: [cough: ]", 1, "codec", "twilio does not stream alaw"),
        ("codec: opus\nsteps: [cough: ]", 1, "codec", "must be one of"),
        ("steps:\n  - wait: agent_happy", 2, "steps[0].wait", "must be one of"),
        ("steps:\n  - wait: {quiet_ms: 500}", 2, "steps[0].wait", "exactly one of"),
        ("steps:\n  - wait:\n      agent_speaking_ms: soon", 3, "steps[0].wait.agent_speaking_ms",
         "must be a whole number, not 'soon'"),
        ("steps:\n  - wait: {agent_finished: 700}", 2, "steps[0].wait.agent_finished",
         "takes no value"),
        ("steps:\n  - say: hello", 2, "voice", "`say` needs a voice"),
        ("steps:\n  - interrupt: {after_ms: 5}", 2, "steps[0].interrupt", "exactly one of"),
        ("steps:\n  - dtmf: 12x", 2, "steps[0].dtmf", "0-9"),
        ("steps:\n  - silence: {}", 2, "steps[0].silence", "ms is missing"),
        ("steps:\n  - silence: true", 2, "steps[0].silence", "whole number"),
        ("steps:\n  - hang_up:\n  - cough:", 2, "steps[0]", "the call is over"),
        ("repeat: 2\nsteps:\n  - hang_up:", 1, "repeat", "nothing to repeat"),
        ("repeat: 2\nloop_s: 3\nsteps: [cough: ]", 2, "loop_s", "not both"),
        ("steps:\n  - repeat: 2", 2, "steps[0]", "steps is missing"),
        ("noise_dbfs: 3\nsteps: [cough: ]", 1, "noise_dbfs", "-90 to -10"),
        ("parameters: [1]\nsteps: [cough: ]", 1, "parameters", "must be a map"),
        ("voice: {vendor: piper, speed: 2}\nsteps: [cough: ]", 1, "voice.speed", "unknown field"),
        ("voice: {model: x}\nsteps: [cough: ]", 1, "voice", "vendor"),
        ("timeout_s: 0\nsteps: [cough: ]", 1, "timeout_s", "must be 1 to"),
    ],
)  # fmt: skip
def test_mistakes_name_their_field_and_line(text: str, line: int, field: str, detail: str) -> None:
    with pytest.raises(ScriptError) as caught:
        load_script(text)
    (problem,) = caught.value.problems
    assert (problem.line, problem.field) == (line, field)
    assert detail in problem.detail
    assert f"line {line}: " in str(caught.value)


WRONG = """\
carrier: pigeon
codec: opus
noise_dbfs: 3
parameters: {a: [1]}
voice: {model: x, speed: 2}
steps:
  - sya: hello
  - wait: {agent_finishd: true, quiet_ms: 5, timeout_ms: soon}
  - interrupt: {after_ms: -1}
  - cough:
  - repeat: 0
    steps:
      - dtmf: 12x
      - silence: {}
  - hang_up:
  - play: [a.wav]
timeout_s: 0
colour: red
"""


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_file() -> None:
    with pytest.raises(ScriptError) as caught:
        load_script(WRONG)
    assert [(problem.line, problem.field) for problem in caught.value.problems] == [
        (1, "carrier"),
        (2, "codec"),
        (3, "noise_dbfs"),
        (4, "parameters.a"),
        (5, "voice.speed"),
        (5, "voice"),
        (7, "steps[0]"),
        (8, "steps[1].wait.agent_finishd"),
        (8, "steps[1].wait.timeout_ms"),
        (8, "steps[1].wait.quiet_ms"),
        (8, "steps[1].wait"),
        (9, "steps[2].interrupt.after_ms"),
        (9, "steps[2].interrupt"),
        (11, "steps[4].repeat"),
        (13, "steps[4].steps[0].dtmf"),
        (14, "steps[4].steps[1].silence"),
        (15, "steps[5]"),
        (16, "steps[6].play"),
        (17, "timeout_s"),
        (18, "colour"),
    ]
    lines = str(caught.value).splitlines()
    assert lines[0] == "line 1: carrier: must be one of twilio, telnyx, not 'pigeon'"
    assert "did you mean 'agent_finished'?" in lines[7]


def test_all_that_is_no_yaml_is_reported() -> None:
    with pytest.raises(ScriptError) as caught:
        load_script("to: a\nto: b\nfrom: a\nfrom: b\nsteps: [cough: ]")
    assert [problem.line for problem in caught.value.problems] == [2, 4]


def test_one_mistake_is_not_reported_as_two() -> None:
    """What a mistake makes impossible to judge is not judged."""
    with pytest.raises(ScriptError) as caught:
        load_script("carrier: pigeon\ncodec: alaw\nrepeat: 0\nsteps:\n  - sing: la")
    assert [problem.line for problem in caught.value.problems] == [1, 3, 5]


def test_long_parameters_are_refused_where_the_carrier_refuses_them() -> None:
    text = f"parameters: {{token: {'x' * 495}}}\nsteps: [cough: ]"
    with pytest.raises(ScriptError, match="less than 500"):
        load_script(text)
    assert load_script(text, carrier="telnyx").parameters["token"] == "x" * 495


def test_steps_nested_too_deep_are_refused() -> None:
    text = "steps:\n"
    for depth in range(12):
        text += f"{'  ' * depth}- repeat: 2\n{'  ' * depth}  steps:\n"
    with pytest.raises(ScriptError, match="nested more than 8 deep"):
        load_script(f"{text}{'  ' * 12}- cough:\n")


def test_the_script_of_the_document_is_valid() -> None:
    document = Path(__file__).parents[3] / "docs" / "calling.md"
    blocks = document.read_text().split("```yaml\n")[1:]
    assert blocks
    for block in blocks:
        load_script(block.split("```")[0])


AGENT = Path(__file__).parents[3] / "examples" / "agent.yaml"


@pytest.mark.parametrize(
    "text", [AGENT.read_text(), "stt: {vendor: x}\ninstructions: Be brief.\nvoice: 3\n"]
)
def test_an_agent_file_is_told_as_such_and_once(text: str) -> None:
    with pytest.raises(ScriptError) as caught:
        load_script(text)
    (problem,) = caught.value.problems
    assert problem.detail.startswith("this looks like an agent file: it has `")
    assert "`steps`" in problem.detail


def test_known_fields_are_told_once() -> None:
    with pytest.raises(ScriptError) as caught:
        load_script("name: x\nstep: 1\nlanguage: en\nsteps: [cough: ]\n")
    details = [problem.detail for problem in caught.value.problems]
    assert ["known: carrier," in detail for detail in details] == [True, False, False]
    assert details[1] == "unknown field; did you mean 'steps'?"

"""The command line itself: help that says everything, and the version."""

import argparse
from importlib.metadata import version

import pytest

from control.cli import main, make_parser

COMMANDS = (
    "answer",
    "serve",
    "doctor",
    "migrate",
    "admin",
    "secrets",
    "seed",
    "call",
    "demo",
    "evaluate",
    "replay",
)


def commands() -> dict[str, argparse.ArgumentParser]:
    parser = make_parser()
    (found,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return dict(found.choices)


def shown(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_these_are_the_commands() -> None:
    assert tuple(commands()) == COMMANDS


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(["--version"], capsys) == f"voicecore {version('voicecore')}\n"


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_has_no_markup_and_ends_with_examples(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown([*command.split(), "--help"], capsys)
    assert "`" not in text
    _, examples, tail = text.partition("\nexamples:\n")
    assert examples
    assert f"voicecore {command}".strip() in tail
    assert max(len(line) for line in text.splitlines()) <= 100


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained_with_its_default(command: str) -> None:
    parser = commands()[command]
    for action in parser._actions:
        assert action.help, action.dest
        if action.default not in (None, False, argparse.SUPPRESS):
            assert "(default: %(default)" in action.help, action.dest


@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_parse(command: str) -> None:
    parser = commands()[command]
    assert parser.epilog
    for line in parser.epilog.splitlines()[1:]:
        words = line.split()
        at = words.index("voicecore")
        assert make_parser().parse_args(words[at + 1 :]).command == command


@pytest.mark.parametrize("argv", [[], ["sing"], ["answer"], ["answer", "--port", "65536", "x"]])
def test_wrong_usage_is_status_two(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    assert ended.value.code == 2
    assert "_" not in capsys.readouterr().err

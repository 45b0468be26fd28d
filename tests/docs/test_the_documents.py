"""What the documents name exists: links, commands, options, variables, endpoints, targets."""

import argparse
import asyncio
import re
import shlex
from pathlib import Path

import pytest

from control import cli
from control.clock import MonotonicClock
from control.configuration import reference
from control.http.media_app import media_app
from control.http.media_entrance import MediaEntrance
from control.metrics import Metrics
from control.settings import Settings
from voicecore.adapters.registry import ADAPTERS, VendorConfig, vendors
from voicecore.agents.load import load_agent
from voicecore.calls import Calls
from voicecore.phone.script_file import load_script
from voicecore.stream_tokens import LIFETIME_S

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
README = (ROOT / "README.md").read_text()
CODE = "\n".join(
    path.read_text()
    for package in ("media", "voicecore", "control", "benchmarks")
    for path in (ROOT / package).rglob("*.py")
)
FOREIGN_OPTIONS = {"--url", "--target", "--stop-timeout", "--env-file", "--no-deps"}
"""Of cloudflared, docker and pip."""
INVENTED_VARIABLES = {"ACME_API_KEY"}
SETTINGS = {f"VOICECORE_{name.upper()}": field for name, field in Settings.model_fields.items()}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="voicecore", exit_on_error=False)
    subparsers = made.add_subparsers(required=True)
    for command in cli.COMMANDS:
        command.add_parser(subparsers)
    return made


def options() -> set[str]:
    """Every option of every subcommand."""
    found: set[str] = set()
    for action in parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                found.update(name for one in sub._actions for name in one.option_strings)
    return found


def blocks(text: str, language: str = r"\w*") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands() -> list[tuple[str, str]]:
    found = []
    for document in DOCUMENTS:
        for block in blocks(document.read_text()):
            for line in block.replace("\\\n", " ").splitlines():
                if re.match(r"\s*voicecore [a-z]", line):
                    found.append((document.name, line.partition(" #")[0].strip()))
    return found


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def ids(value: object) -> str:
    return value.name if isinstance(value, Path) else str(value)


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_links_lead_somewhere(document):
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.DOTALL | re.MULTILINE)
    broken = []
    for target in re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        if not file.exists():
            broken.append(target)
        elif anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            if anchor not in {slug(heading) for heading in headings}:
                broken.append(target)
    assert not broken


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_files_that_are_named_exist(document):
    named = re.findall(
        r"`((?:docs|examples|media|voicecore|control|tests|benchmarks)/[\w./-]+)`",
        document.read_text(),
    )
    allowed = {"voicecore/adapters/acme_stt.py"}
    assert not [name for name in named if not (ROOT / name).exists() and name not in allowed]


def test_commands_are_found():
    assert ("README.md", "voicecore answer examples/agent.yaml") in commands()


@pytest.mark.parametrize(("document", "command"), commands(), ids=ids)
def test_commands_parse(document, command):
    args = parser().parse_args(shlex.split(command)[1:])
    named = [value for value in vars(args).values() if isinstance(value, Path)]
    assert all((ROOT / path).exists() for path in named if path.parts[0] == "examples")


@pytest.mark.parametrize("name", [command.__name__.rpartition(".")[2] for command in cli.COMMANDS])
def test_every_command_has_help_and_is_documented(name, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    assert ended.value.code == 0
    assert f"voicecore {name}" in capsys.readouterr().out
    assert f"voicecore {name}" in README or f"make {name}" in README


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_options_exist(document):
    spans = re.findall(r"`([^`\n]+)`", document.read_text())
    named = {word for span in spans for word in re.findall(r"(?<![\w-])--[a-z][a-z-]*", span)}
    known = options() | FOREIGN_OPTIONS
    if document.name == "benchmarks.md":
        known |= {name for name in named if f'"{name}"' in CODE}
    assert named <= known


def test_every_option_of_answer_is_in_the_readme():
    made = parser().parse_args(["answer", "a.yaml"])
    wanted = {f"--{name.replace('_', '-')}" for name in vars(made) if name not in ("agent", "run")}
    assert {name for name in wanted if f"`{name}" not in README} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_variables_exist(document):
    text = document.read_text()
    ours = set(re.findall(r"\bVOICECORE_[A-Z0-9_]*[A-Z0-9]\b", text))
    assert ours <= {*SETTINGS, *(name for name in ours if f'"{name}"' in CODE)}
    keys = set(re.findall(r"\b[A-Z]+_API_KEY\b", text)) - INVENTED_VARIABLES
    assert {key for key in keys if f'"{key}"' not in CODE} == set()


def test_every_setting_is_described_with_its_default():
    """Run ``python -m control.configuration docs/configuration.md`` after a change."""
    assert (ROOT / "docs" / "configuration.md").read_text() == reference()
    assert SETTINGS.keys() == set(
        re.findall(r"^\| `(VOICECORE_\w+)` \|", reference(), re.MULTILINE)
    )
    assert all(field.description for field in SETTINGS.values())
    assert f"{LIFETIME_S} s old at most" in reference()


async def test_endpoints_exist():
    clock = MonotonicClock(asyncio.get_running_loop())
    calls = Calls(lambda leg: pytest.fail("no call is made"), limit=1)
    entrance = MediaEntrance(calls, Settings(), Metrics(), clock, carrier_options={})
    routes = {
        (route.method, route.resource.canonical)
        for route in media_app(entrance).router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    served = {route for route in routes if "{token}" not in route[1]}
    table = README.partition("## Endpoints")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(GET|POST) (/\S+)`", table)) == served


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    named = {name for text in DOCUMENTS for name in re.findall(r"\bmake ([a-z]+)", _code(text))}
    assert {"demo", "test"} <= named
    targets = {name for line in re.findall(r"^([a-z ]+):", makefile, re.M) for name in line.split()}
    assert named <= targets


def _code(document: Path) -> str:
    text = document.read_text()
    return "\n".join([*blocks(text), *re.findall(r"`([^`\n]+)`", text)])


def test_vendors_are_those_of_the_registry():
    table = README.partition("| kind | vendors |")[2].partition("\n\n")[0]
    rows = dict(re.findall(r"^\| `?(\w+)`? \| (.*) \|$", table, re.MULTILINE))
    for kind in ("stt", "llm", "tts"):
        named = set(re.findall(r"`([a-z]+)`", rows[kind])) | {"scripted"}
        assert named == set(vendors(kind))
    assert len(ADAPTERS) == sum(len(vendors(kind)) for kind in ("stt", "llm", "tts"))


def test_the_agent_of_the_readme_can_be_loaded(tmp_path):
    (text,) = [block for block in blocks(README, "yaml") if "instructions:" in block]
    path = tmp_path / "agent.yaml"
    path.write_text(text)
    secrets = dict.fromkeys(("DEEPGRAM_API_KEY", "OPENAI_API_KEY", "ELEVENLABS_API_KEY"), "key")
    agent = load_agent(path, secrets=secrets)
    assert agent.recording
    assert agent.vendor("stt", secrets)[0] == VendorConfig("deepgram", "nova-3")


def test_the_caller_of_the_readme_can_be_loaded():
    (text,) = [block for block in blocks(README, "yaml") if "steps:" in block]
    assert len(load_script(text, folder=str(ROOT)).steps) == 5

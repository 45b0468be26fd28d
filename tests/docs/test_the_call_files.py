"""docs/call-files.md describes every event with its fields, as the code makes them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from media.call_directory import safe_call_directory
from media.line_quality import LineQuality
from media.recording_writer import FREE_PER_FILE, QUEUE_LIMIT_BYTES
from voicecore.call_files import LINE_LAG_MS, RECORD_EVERY_MS, SETTLE_MS
from voicecore.call_record import BATCH_MS
from voicecore.journal import (
    EVENT_EVERY_MS,
    EVENT_LIMIT_BYTES,
    EVENTS_BURST,
    JOURNAL_LIMIT_BYTES,
    Event,
    read_events,
)
from voicecore.transcript import (
    TRANSCRIPT_LIMIT_BYTES,
    TranscriptEntry,
    TranscriptWord,
    read_transcript,
)
from voicecore.turns.latency import STAGES
from voicecore.turns.reply import ReplyKind

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "call-files.md").read_text()
SOURCES = {path: ast.parse(path.read_text()) for path in sorted((ROOT / "voicecore").rglob("*.py"))}
CODE = "\n".join(
    path.read_text()
    for package in ("media", "voicecore")
    for path in (ROOT / package).rglob("*.py")
)
PASSED_ON = {"Emit": set[str](), "event": {"output.type"}, "Event": {"type_", "event.type"}}
"""Where an event is handed on that was made elsewhere: not a type of its own."""
SPREAD = {
    "summary.after_speech_end_ms": set(STAGES),
    "structs.asdict(quality)": set(LineQuality.__struct_fields__),
}
"""The keys of values that are not a dict in sight."""


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def keys_of(value: ast.expr, function: ast.FunctionDef, tree: ast.AST) -> set[str]:
    """The keys of the dict that an expression makes."""
    source = ast.unparse(value)
    if isinstance(value, ast.Dict):
        found: set[str] = set()
        for key, inner in zip(value.keys, value.values, strict=True):
            if key is None:
                found |= keys_of(inner, function, tree)
            else:
                found.add(ast.literal_eval(key))
        return found
    if source in SPREAD:
        return SPREAD[source]
    if isinstance(value, ast.Name):
        before = [
            node
            for node in ast.walk(function)
            if isinstance(node, ast.Assign)
            and ast.unparse(node.targets[0]) == value.id
            and node.lineno < value.lineno
        ]
        if before:
            return keys_of(max(before, key=lambda node: node.lineno).value, function, tree)
    if isinstance(value, ast.Call) and source.startswith("self."):
        (made_by,) = [one for one in functions(tree) if source == f"self.{one.name}()"]
        (made,) = [node.value for node in ast.walk(made_by) if isinstance(node, ast.Return)]
        assert made is not None
        return keys_of(made, made_by, tree)
    raise AssertionError(f"line {value.lineno}: the fields of {source} cannot be read off")


def made_events() -> dict[str, set[str]]:
    """Every type of event that the code makes, with its fields: ``Emit(type, data)``,
    ``record.event(type, at_ms, data)`` and ``Event(sequence, at_ms, type, data)``."""
    found: dict[str, set[str]] = {}
    places = {"Emit": 0, "event": 0, "Event": 2}
    for path, tree in SOURCES.items():
        names = {
            node.targets[0].id: node.value.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and isinstance(node.value, ast.Constant)
        }
        for function in functions(tree):
            for node in ast.walk(function):
                if not isinstance(node, ast.Call):
                    continue
                name = ast.unparse(node.func).rpartition(".")[2]
                if name not in places or (name == "Event" and "asyncio" in ast.unparse(node.func)):
                    continue
                type_ = node.args[places[name]]
                if ast.unparse(type_) in PASSED_ON[name]:
                    continue
                text = names.get(type_.id) if isinstance(type_, ast.Name) else None
                text = type_.value if isinstance(type_, ast.Constant) else text
                assert isinstance(text, str), f"{path.name}:{node.lineno}: {ast.unparse(type_)}"
                found.setdefault(text, set()).update(keys_of(node.args[-1], function, tree))
    return found


def section(heading: str) -> str:
    found = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^##|\Z)", TEXT, re.M | re.S)
    assert found is not None, heading
    return found[2]


def fields_of(text: str) -> list[str]:
    """The names before the colon of each item of a list."""
    items = re.findall(r"^- ((?:`\w+`(?:, )?)+):", text, re.M)
    return [name for item in items for name in re.findall(r"`(\w+)`", item)]


MADE = made_events()
DESCRIBED = re.findall(r"^### `(\w+)`$", TEXT, re.M)


def test_events_are_found():
    assert {"call_started", "tts_usage", "agent_turn", "events_dropped"} <= MADE.keys()
    assert MADE["tool_called"] == {"reply", "name", "call_id", "arguments"}
    assert MADE["call_started"] >= {"carrier", "call_id"}
    assert {"reply", "first_byte"} <= MADE["turn_latency"]


def test_every_event_is_described_once_and_no_other():
    assert sorted(DESCRIBED) == sorted(MADE)


@pytest.mark.parametrize("type_", sorted(MADE))
def test_every_field_of_an_event_is_described(type_):
    assert sorted(fields_of(section(f"`{type_}`"))) == sorted(MADE[type_])


@pytest.mark.parametrize(
    ("heading", "struct"),
    [("An entry", TranscriptEntry), ("A word", TranscriptWord), ("`events.jsonl`", Event)],
)
def test_every_field_of_a_file_is_described(heading, struct):
    assert sorted(fields_of(section(heading))) == sorted(struct.__struct_fields__)


def test_the_examples_are_what_the_files_hold():
    transcript, event = re.findall(r"```json\n(.*?)```", TEXT, re.S)
    assert {entry.speaker for entry in read_transcript(transcript.encode())} == {"agent", "caller"}
    (read,) = read_events(event.encode())
    assert set(read.data) == MADE[read.type]


def test_kinds_of_replies_are_described():
    found = set(re.findall(r"`(\w+)`", section("`agent_turn`").partition("- `kind`")[2]))
    assert {kind.value for kind in ReplyKind} <= found


def test_the_reasons_are_described():
    cuts = set(re.findall(r'\.cut\(now_ms, "(\w+)"', CODE))
    ends = set(
        re.findall(
            r"(?:give_up\(now_ms, |end_reason=|end_reason = |ended_reason = |_finish\(|_line_gone\("
            r"|_tell_end\()"
            r'"(\w+)"',
            CODE,
        )
    )
    assert {"interrupted", "caller_went_on"} <= cuts
    assert {"caller_hangup", "agent_hangup", "max_duration", "internal_error"} <= ends
    why_cut, why_ended = (
        set(re.findall(r"`(\w+)`", section(f"`{type_}`"))) for type_ in ("agent_turn", "call_ended")
    )
    assert cuts <= why_cut | why_ended
    assert ends <= why_ended


def test_the_codes_of_damage_are_described():
    made = set(re.findall(r'(?:damaged\(.*|dropped\(|code = |else )"(flooded|\w+_\w+)"', CODE))
    codes = set(re.findall(r"^\| `(\w+)` \|", section("Limits"), re.M)) - {"recording"}
    assert codes == {"flooded", "queue_full", "too_long", "disk_error"}
    assert codes <= made


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (r"(\d+) at once, then", EVENTS_BURST),
        (r"then (\d+) a second", 1000 // EVENT_EVERY_MS),
        (r"`events.jsonl` \| (\d+) MiB", JOURNAL_LIMIT_BYTES // 2**20),
        (r"`transcript.json` \| (\d+) MiB", TRANSCRIPT_LIMIT_BYTES // 2**20),
        (r"\| (\d+) MiB for all calls; one file, a sixteenth", QUEUE_LIMIT_BYTES // 2**20),
        (r"longer than (\d+) KiB", EVENT_LIMIT_BYTES // 1024),
    ],
)
def test_the_limits_are_those_of_the_code(words, value):
    found = re.search(words, TEXT)
    assert found is not None
    assert int(found[1]) == value
    assert FREE_PER_FILE == 16


def test_what_a_killed_process_loses_is_as_described():
    """In words: half a second, half a second more, a tenth of a second, less than a second."""
    assert BATCH_MS == 100
    assert RECORD_EVERY_MS + SETTLE_MS + BATCH_MS <= 500
    assert LINE_LAG_MS - SETTLE_MS <= 500
    assert RECORD_EVERY_MS + LINE_LAG_MS + BATCH_MS <= 900, "the machine needs some time too"


def test_the_directory_is_named_as_described():
    (shown,) = re.findall(r"^var/calls/(\S+)/$", TEXT, re.M)
    call_id = shown.partition(".")[0]
    assert safe_call_directory(Path("calls"), call_id).name == shown
    assert safe_call_directory(Path("calls"), "b6d9-4c").name == "b6d9-4c"

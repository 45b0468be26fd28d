from pathlib import Path

import pytest

from voicecore.agents import parse_agent
from voicecore.agents.model import Agent
from voicecore.agents.reference import insert, reference

DOCUMENT = Path(__file__).parents[3] / "docs" / "agent-file.md"


def test_the_document_has_the_model_s_fields() -> None:
    text = DOCUMENT.read_text()
    assert insert(text, reference()) == text, "run python -m voicecore.agents.reference"


def test_every_block_has_a_section() -> None:
    text = reference()
    for block in Agent.model_json_schema()["$defs"].values():
        assert all(f"| `{field}` |" in text for field in block.get("properties", {}))
    for title in ("`tts`", "`limits.silence`", "`tools: http`", "`tools: transfer_call.targets`"):
        assert f"### {title}" in text


def test_a_document_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="markers"):
        insert("# nothing", "fields")


def test_the_document_s_first_example_is_valid() -> None:
    example = DOCUMENT.read_text().split("```yaml\n")[1].split("```")[0]
    assert parse_agent(example, "docs").name == "front-desk"


def test_the_document_s_tool_is_valid() -> None:
    parts = DOCUMENT.read_text().split("```yaml\n")
    text = parts[1].split("```")[0].replace("tools: [end_call]\n", "") + parts[2].split("```")[0]
    assert parse_agent(text, "docs").tools[0].type == "http"

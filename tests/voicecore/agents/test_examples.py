"""The examples with the real adapters: what they set is what the vendors take."""

from pathlib import Path

import pytest

from voicecore.agents import AgentFileError, load_agent

FOLDER = Path(__file__).parents[3] / "examples"
SECRETS = dict.fromkeys(
    ("DEEPGRAM_API_KEY", "OPENAI_API_KEY", "ELEVENLABS_API_KEY", "ORDERS_TOKEN"), "test-key"
)


@pytest.mark.parametrize("name", ["agent", "agent-cloud", "scripted"])
def test_examples_can_be_loaded(name: str) -> None:
    agent = load_agent(FOLDER / f"{name}.yaml", secrets=SECRETS)
    assert agent.greeting


def test_a_wrong_setting_of_a_real_vendor_has_its_line(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    text = (FOLDER / "scripted.yaml").read_text()
    path.write_text(
        text.replace("llm: {vendor: scripted}", "llm:\n  vendor: scripted\n  settings:\n    sed: 1")
    )
    line = path.read_text().splitlines().index("    sed: 1") + 1
    with pytest.raises(AgentFileError) as caught:
        load_agent(path, secrets={})
    assert f"{path}:{line}:" in str(caught.value) or f"{path}:{line - 1}:" in str(caught.value)
    assert "llm.settings" in str(caught.value)

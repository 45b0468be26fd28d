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


def test_all_keys_that_are_missing_are_told_at_once() -> None:
    path = FOLDER / "agent-cloud.yaml"
    with pytest.raises(AgentFileError) as caught:
        load_agent(path, secrets={"ELEVENLABS_API_KEY": "two words"})
    told = {(problem.path[0], problem.detail) for problem in caught.value.problems}
    assert told == {
        ("stt", "DEEPGRAM_API_KEY is not set"),
        ("llm", "OPENAI_API_KEY is not set"),
        ("tts", "ELEVENLABS_API_KEY holds characters that no key has"),
        ("tools", "there is no secret named ORDERS_TOKEN"),
    }
    assert all(problem.place is not None for problem in caught.value.problems)


def test_a_vendor_that_is_not_used_needs_no_key() -> None:
    secrets = {name: key for name, key in SECRETS.items() if name != "DEEPGRAM_API_KEY"}
    with pytest.raises(AgentFileError) as caught:
        load_agent(FOLDER / "agent-cloud.yaml", secrets=secrets)
    assert [problem.path[0] for problem in caught.value.problems] == ["stt"]


def test_a_server_of_one_s_own_needs_no_key(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    settings = "{base_url: 'http://127.0.0.1:8000/v1'}"
    block = f"llm: {{vendor: openai, model: m, settings: {settings}}}"
    text = (FOLDER / "scripted.yaml").read_text()
    assert "llm: {vendor: scripted}" in text
    path.write_text(text.replace("llm: {vendor: scripted}", block))
    assert load_agent(path, secrets={}).llm[0].vendor == "openai"

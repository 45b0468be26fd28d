"""The agents that the pause sweep calls, made of the agent's own file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from voicecore.evaluate.pause_suite import LONGEST_MS
from voicecore.yaml_lines import read_yaml

LONGEST_WAIT_MS = LONGEST_MS + 100
BASELINE_MS = 300
REPLY = "Okay."
"""No question, and over before the next turn begins."""


def write_agents(agent_file: Path, folder: Path) -> Mapping[str, Path]:
    """Three agent files: ``recorded`` waits longer than any pause, so that it never cuts in;
    ``configured`` has the file's own turn-taking; ``silence`` waits ``BASELINE_MS`` whatever was
    said. Their model and voice are scripted, so that what is measured is when they answer.

    :raises YamlFileError: the agent's file cannot be read.
    :raises OSError: the files cannot be written."""
    written = {}
    document = read_yaml(agent_file).value
    for name, endpointing in {
        "recorded": {"adapts": False, "min_silence_ms": LONGEST_WAIT_MS, "model": ""},
        "configured": {},
        "silence": {"adapts": False, "min_silence_ms": BASELINE_MS, "model": ""},
    }.items():
        path = folder / f"agent-{name}.yaml"
        path.write_text(json.dumps(agent_with(document, endpointing), indent=2), "utf-8")
        written[name] = path
    return written


def agent_with(document: Any, endpointing: Mapping[str, Any]) -> dict[str, Any]:
    """The agent less what it does besides listening, with some of its endpointing changed."""
    kept = {key: document[key] for key in ("language", "stt", "turn_taking") if key in document}
    taking = dict(kept.get("turn_taking") or {})
    taking["endpointing"] = {**(taking.get("endpointing") or {}), **endpointing}
    tts = {"vendor": "scripted", "settings": {"word_ms": 250, "first_audio_ms": 0}}
    llm = {"vendor": "scripted", "settings": {"replies": [REPLY], "first_token_ms": 0}}
    return {
        "name": "pauses",
        "instructions": "Say what the script says.",
        **kept,
        "turn_taking": taking,
        "llm": llm,
        "tts": tts,
        "recording": True,
    }

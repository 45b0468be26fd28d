"""Agents with tools, for tests of tools."""

from typing import Any

from voicecore.agents import Agent
from voicecore.providers.llm import ToolCall
from voicecore.tools.toolset import ToolSet

SCRIPTED = {"vendor": "scripted"}


def agent_with(*tools: Any, **fields: Any) -> Agent:
    return Agent.model_validate(
        {"name": "a", "instructions": "x", "stt": SCRIPTED, "llm": SCRIPTED, "tts": SCRIPTED}
        | {"tools": list(tools), **fields}
    )


def tools_of(*tools: Any, **fields: Any) -> ToolSet:
    return ToolSet(agent_with(*tools, **fields))


def http_tool(**fields: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "name": "find",
        "description": "Finds.",
        "url": "https://api.example.com/find",
        "parameters": {
            "type": "object",
            "properties": {"id": {"type": "string"}, "full": {"type": "boolean"}},
            "required": ["id"],
        },
    } | fields


def call(name: str, arguments: str = "{}", call_id: str = "c1") -> ToolCall:
    return ToolCall(call_id, name, arguments)

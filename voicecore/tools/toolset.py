"""An agent's tools: their specifications, and the checking of the model's calls."""

from collections.abc import Mapping
from typing import Any

import msgspec
from jsonschema.protocols import Validator

from voicecore.agents.model import Agent
from voicecore.agents.tools import BuiltinTool, HttpTool
from voicecore.providers.llm import ToolCall, ToolSpec
from voicecore.tools.builtin import builtin_request, builtin_spec
from voicecore.tools.requests import HttpCall, ToolProblem, ToolRequest
from voicecore.tools.schemas import ArgumentsError, make_validator, parse_arguments
from voicecore.tools.urls import add_query, fill_template, template_arguments
from voicecore.yaml_lines import did_you_mean


class _Entry(msgspec.Struct, frozen=True):
    tool: BuiltinTool | HttpTool
    spec: ToolSpec
    validator: Validator


class ToolSet:
    """The tools of an agent. Made once for each agent and shared by its calls."""

    def __init__(self, agent: Agent) -> None:
        self._timeout_ms = agent.limits.tool_timeout_ms
        specs = [(tool, _spec(tool)) for tool in agent.tools]
        self._entries = {
            spec.name: _Entry(tool, spec, make_validator(spec.parameters)) for tool, spec in specs
        }
        self.specs: tuple[ToolSpec, ...] = tuple(spec for _, spec in specs)
        """What to send to the model (``LlmRequest.tools``)."""

    def validate(self, call: ToolCall) -> ToolRequest | ToolProblem:
        """Check a call of the model's: the tool exists, the arguments are JSON that fits its
        schema. A problem's text tells the model how to do better, and is bounded."""
        entry = self._entries.get(call.name)
        name = call.name[:64]
        if entry is None:
            detail = f"there is no tool {name!r}{did_you_mean(name, self._entries)}"
            return ToolProblem(call.id, name, "unknown_tool", detail)
        try:
            arguments = parse_arguments(call.arguments, entry.validator)
            if isinstance(entry.tool, HttpTool):
                return _http_call(entry.tool, call.id, arguments, self._timeout_ms)
            return builtin_request(entry.tool, call.id, arguments)
        except (ArgumentsError, ValueError) as error:
            return ToolProblem(call.id, name, "invalid_arguments", str(error))


def _spec(tool: BuiltinTool | HttpTool) -> ToolSpec:
    if isinstance(tool, HttpTool):
        return ToolSpec(tool.name, tool.description, tool.parameters)
    return builtin_spec(tool)


def _http_call(
    tool: HttpTool, call_id: str, arguments: Mapping[str, Any], timeout_ms: int
) -> HttpCall:
    used = template_arguments(tool.url)
    rest = {name: value for name, value in arguments.items() if name not in used}
    url, body = fill_template(tool.url, arguments), None
    headers = dict(tool.headers)
    place = tool.arguments_in
    if place == "auto":
        place = "query" if tool.method in ("GET", "DELETE") else "body"
    if place == "query":
        url = add_query(url, rest)
    elif place == "body":
        body = msgspec.json.encode(rest)
        if "content-type" not in (name.lower() for name in headers):
            headers["Content-Type"] = "application/json"
    return HttpCall(
        call_id=call_id,
        name=tool.name,
        method=tool.method,
        url=url,
        headers=headers,
        body=body,
        timeout_ms=tool.timeout_ms or timeout_ms,
        result_limit_bytes=tool.result_limit_bytes,
        result_path=tool.result_path or "",
        say_while=tool.say_while,
    )

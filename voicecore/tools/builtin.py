"""The tools that every agent can have. Each is a specification for the model and a pure
function from checked arguments to a request; a ``ValueError`` of it is told to the model."""

import re
from collections.abc import Mapping
from typing import Any

from voicecore.agents.tools import (
    BuiltinTool,
    CollectDigitsTool,
    EndCallTool,
    SendDtmfTool,
    TransferCallTool,
)
from voicecore.providers.llm import ToolSpec
from voicecore.tools.requests import (
    CollectDigits,
    EndCall,
    SendDtmf,
    ToolRequest,
    TransferCall,
)

MAX_SPOKEN_CHARS = 500
MAX_DTMF_KEYS = 64
DEFAULT_COLLECT_WAIT_S = 10

_E164 = re.compile(r"\+[1-9][0-9]{6,14}\Z")
_KEYS = re.compile(rf"[0-9A-D*#w]{{1,{MAX_DTMF_KEYS}}}\Z")


def builtin_spec(tool: BuiltinTool) -> ToolSpec:
    """The tool as the model sees it."""
    if isinstance(tool, EndCallTool):
        properties, required = _END_CALL, []
    elif isinstance(tool, TransferCallTool):
        properties, required = {"target": _transfer_target(tool)}, ["target"]
    elif isinstance(tool, SendDtmfTool):
        properties, required = _SEND_DTMF, ["digits"]
    else:
        properties, required = _collect_digits(tool), []
    schema: dict[str, Any] = {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
    return ToolSpec(tool.type, tool.description, {**schema, "required": required})


def builtin_request(tool: BuiltinTool, call_id: str, arguments: Mapping[str, Any]) -> ToolRequest:
    """The request for arguments that fit the tool's schema.

    :raises ValueError: they do not make sense; the text is for the model."""
    if isinstance(tool, EndCallTool):
        farewell = arguments.get("farewell", "").strip()
        return EndCall(call_id, reason=arguments.get("reason", ""), farewell=farewell)
    if isinstance(tool, TransferCallTool):
        return _transfer(tool, call_id, arguments["target"].strip())
    if isinstance(tool, SendDtmfTool):
        return SendDtmf(call_id, _keys(arguments["digits"]))
    return _collect(tool, call_id, arguments)


_END_CALL: dict[str, Any] = {
    "reason": {
        "type": "string",
        "maxLength": 200,
        "description": "Why the call ends, in a few words, for the record.",
    },
    "farewell": {
        "type": "string",
        "maxLength": MAX_SPOKEN_CHARS,
        "description": "What to say before hanging up. Leave it out if you have said goodbye.",
    },
}

_SEND_DTMF: dict[str, Any] = {
    "digits": {
        "type": "string",
        "minLength": 1,
        "maxLength": 2 * MAX_DTMF_KEYS,
        "description": "The keys to press: 0-9, *, #, and w for a pause of half a second.",
    }
}


def _transfer_target(tool: TransferCallTool) -> dict[str, Any]:
    lines = ["Whom to transfer the caller to."]
    lines += [f"{target.name}: {target.description or 'no description'}" for target in tool.targets]
    if tool.allow_numbers:
        lines.append("Or a telephone number in international form, such as +15550100.")
        return {"type": "string", "maxLength": 60, "description": "\n".join(lines)}
    names = [target.name for target in tool.targets]
    return {"type": "string", "enum": names, "description": "\n".join(lines)}


def _transfer(tool: TransferCallTool, call_id: str, wanted: str) -> TransferCall:
    say = tool.say or ""
    for target in tool.targets:
        if target.name.casefold() == wanted.casefold():
            return TransferCall(call_id, target.number, target.name, say)
    number = re.sub(r"[ ().-]", "", wanted)
    if tool.allow_numbers and _E164.match(number):
        return TransferCall(call_id, number, say=say)
    names = ", ".join(target.name for target in tool.targets)
    raise ValueError(
        f"target must be a telephone number such as +15550100{f' or one of: {names}' * bool(names)}"
    )


def _keys(text: str) -> str:
    keys = re.sub(r"[\s,-]", "", text).upper().replace("W", "w")
    if not _KEYS.match(keys):
        raise ValueError(f"digits must be 1 to {MAX_DTMF_KEYS} of 0-9, *, # and w")
    return keys


def _collect_digits(tool: CollectDigitsTool) -> dict[str, Any]:
    return {
        "count": {
            "type": "integer",
            "minimum": 1,
            "maximum": tool.max_digits,
            "description": "How many digits to wait for, if that is known.",
        },
        "finish_on_key": {
            "type": "string",
            "enum": ["#", "*", ""],
            "description": "The key with which the caller finishes; empty for none. Default #.",
        },
        "timeout_s": {
            "type": "number",
            "minimum": 1,
            "maximum": tool.max_wait_s,
            "description": "How long to wait, in seconds. "
            f"Default {min(DEFAULT_COLLECT_WAIT_S, tool.max_wait_s)}.",
        },
        "prompt": {
            "type": "string",
            "maxLength": MAX_SPOKEN_CHARS,
            "description": "What to say first. Leave it out if you have already asked.",
        },
    }


def _collect(tool: CollectDigitsTool, call_id: str, arguments: Mapping[str, Any]) -> CollectDigits:
    wait_s = arguments.get("timeout_s", min(DEFAULT_COLLECT_WAIT_S, tool.max_wait_s))
    return CollectDigits(
        call_id,
        count=int(arguments.get("count", tool.max_digits)),
        finish_on_key=arguments.get("finish_on_key", "#"),
        timeout_ms=round(wait_s * 1000),
        prompt=arguments.get("prompt", "").strip(),
    )

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.support.agent_tools import call, http_tool, tools_of
from voicecore.providers.llm import Message
from voicecore.tools.requests import (
    CollectDigits,
    EndCall,
    HttpCall,
    SendDtmf,
    ToolProblem,
    TransferCall,
)

TRANSFER = {
    "type": "transfer_call",
    "targets": [
        {"name": "sales", "number": "+15550100", "description": "To buy."},
        {"name": "Front Desk", "number": "sip:desk@example.com"},
    ],
}


def _problem(tools: Any, name: str, arguments: str) -> str:
    found = tools.validate(call(name, arguments))
    assert isinstance(found, ToolProblem), found
    assert found.error == "invalid_arguments"
    return found.detail


def test_specs_are_valid_schemas_in_the_file_s_order() -> None:
    tools = tools_of("collect_digits", http_tool(), "end_call", TRANSFER, "send_dtmf")
    assert [spec.name for spec in tools.specs] == [
        "collect_digits",
        "find",
        "end_call",
        "transfer_call",
        "send_dtmf",
    ]
    for spec in tools.specs:
        Draft202012Validator.check_schema(spec.parameters)
        assert spec.parameters["type"] == "object"
        assert spec.description
    target = tools.specs[3].parameters["properties"]["target"]
    assert target["enum"] == ["sales", "Front Desk"]
    assert "sales: To buy." in target["description"]


def test_descriptions_can_be_set() -> None:
    tools = tools_of({"type": "end_call", "description": "Hang up after three jokes."})
    assert tools.specs[0].description == "Hang up after three jokes."


def test_end_call() -> None:
    tools = tools_of("end_call")
    assert tools.validate(call("end_call", "")) == EndCall("c1")
    arguments = '{"reason": "done", "farewell": " Bye. "}'
    assert tools.validate(call("end_call", arguments)) == EndCall("c1", "done", "Bye.")
    assert "Additional properties" in _problem(tools, "end_call", '{"x": 1}')
    assert "reason" in _problem(tools, "end_call", '{"reason": 5}')


def test_transfer_goes_to_targets_only() -> None:
    tools = tools_of(TRANSFER)
    found = tools.validate(call("transfer_call", '{"target": "sales"}'))
    assert found == TransferCall("c1", "+15550100", "sales", "One moment, I am connecting you.")
    for target in ("+15550199", "sale", ""):
        detail = _problem(tools, "transfer_call", json.dumps({"target": target}))
        assert "'sales', 'Front Desk'" in detail
    assert "'target' is a required property" in _problem(tools, "transfer_call", "{}")


def test_transfer_to_any_number_if_allowed() -> None:
    tools = tools_of({**TRANSFER, "allow_numbers": True, "say": None})
    found = tools.validate(call("transfer_call", '{"target": "+1 (555) 010-0199"}'))
    assert found == TransferCall("c1", "+15550100199")
    named = tools.validate(call("transfer_call", '{"target": "front desk"}'))
    assert named == TransferCall("c1", "sip:desk@example.com", "Front Desk")
    for target in ("911", "+1555010019911112", "sip:x@evil", "+15550100;ext=1", "0"):
        detail = _problem(tools, "transfer_call", json.dumps({"target": target}))
        assert "sales, Front Desk" in detail


def test_send_dtmf() -> None:
    tools = tools_of("send_dtmf")
    assert tools.validate(call("send_dtmf", '{"digits": "1w2-3 #*d"}')) == SendDtmf("c1", "1w23#*D")
    for digits in ("", "12x", "1" * 65, "١"):
        _problem(tools, "send_dtmf", json.dumps({"digits": digits}))


def test_collect_digits() -> None:
    tools = tools_of({"type": "collect_digits", "max_digits": 12, "max_wait_s": 20})
    assert tools.validate(call("collect_digits")) == CollectDigits("c1", 12, "#", 10_000)
    arguments = '{"count": 4, "finish_on_key": "", "timeout_s": 2.5, "prompt": "Your PIN?"}'
    found = tools.validate(call("collect_digits", arguments))
    assert found == CollectDigits("c1", 4, "", 2500, "Your PIN?")
    for wrong in ('{"count": 13}', '{"count": 0}', '{"timeout_s": 21}', '{"finish_on_key": "1"}'):
        _problem(tools, "collect_digits", wrong)


def test_http_arguments_go_where_the_tool_says() -> None:
    arguments = '{"id": "a/b?c", "full": true}'

    def made(**fields: Any) -> HttpCall:
        found = tools_of(http_tool(**fields)).validate(call("find", arguments))
        assert isinstance(found, HttpCall), found
        return found

    body = made(headers={"Authorization": "Bearer ${TOKEN}"})
    assert (body.method, body.url) == ("POST", "https://api.example.com/find")
    assert json.loads(body.body or b"") == {"id": "a/b?c", "full": True}
    assert body.headers == {
        "Authorization": "Bearer ${TOKEN}",
        "Content-Type": "application/json",
    }
    query = made(method="GET")
    assert query.url == "https://api.example.com/find?id=a%2Fb%3Fc&full=true"
    assert query.body is None
    path = made(method="DELETE", url="https://api.example.com/x/{id}?v=1")
    assert path.url == "https://api.example.com/x/a%2Fb%3Fc?v=1&full=true"
    none = made(arguments_in="none")
    assert (none.url, none.body) == ("https://api.example.com/find", None)
    own = made(headers={"content-type": "application/vnd.x+json"})
    assert own.headers == {"content-type": "application/vnd.x+json"}


def test_http_timeouts_and_phrases() -> None:
    tools = tools_of(http_tool(), limits={"tool_timeout_ms": 4000})
    found = tools.validate(call("find", '{"id": "1"}'))
    assert isinstance(found, HttpCall)
    assert (found.timeout_ms, found.say_while, found.result_path) == (4000, None, "")
    tools = tools_of(http_tool(timeout_ms=500, say_while="Wait.", result_path="a.b"))
    found = tools.validate(call("find", '{"id": "1"}'))
    assert isinstance(found, HttpCall)
    assert (found.timeout_ms, found.say_while, found.result_path) == (500, ("Wait.",), "a.b")


@pytest.mark.parametrize(
    "arguments",
    [
        "{",
        "[]",
        "null",
        '"x"',
        '{"id": "\\ud800"}',
        '{"id": 5}',
        '{"full": true}',
        "[" * 10_000,
        '{"id": ' + '{"a":' * 30 + "1" + "}" * 31,
        '{"id": "' + "x" * 20_000 + '"}',
    ],
)
def test_hostile_arguments_are_problems_of_bounded_length(arguments: str) -> None:
    tools = tools_of(http_tool())
    assert len(_problem(tools, "find", arguments)) < 1500


def test_many_errors_are_cut() -> None:
    names = [f"p{at}" for at in range(50)]
    schema = {"type": "object", "properties": {name: {"type": "integer"} for name in names}}
    tools = tools_of(http_tool(parameters=schema))
    detail = _problem(tools, "find", json.dumps(dict.fromkeys(names, "x" * 300)))
    assert detail.count("is not of type") <= 5
    assert len(detail) < 1500


def test_patterns_are_not_run() -> None:
    schema = {"type": "object", "properties": {"id": {"type": "string", "pattern": "^(a+)+$"}}}
    tools = tools_of(http_tool(parameters=schema))
    assert tools.specs[0].parameters["properties"]["id"]["pattern"] == "^(a+)+$"
    found = tools.validate(call("find", json.dumps({"id": "a" * 40 + "b"})))
    assert isinstance(found, HttpCall)


def test_unknown_tools_are_told_to_the_model() -> None:
    found = tools_of("end_call").validate(call("endcall", "{}", "c9"))
    assert isinstance(found, ToolProblem)
    result = found.result()
    assert result.error == "unknown_tool"
    assert json.loads(result.text) == {
        "error": "unknown_tool",
        "detail": "there is no tool 'endcall'; did you mean 'end_call'?",
    }
    assert result.message() == Message(role="tool", text=result.text, tool_call_id="c9")
    long = tools_of("end_call").validate(call("x" * 5000))
    assert isinstance(long, ToolProblem)
    assert len(long.detail) < 200

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from voicecore.adapters import registry
from voicecore.adapters.registry import Adapter, ConfigProblem, VendorConfig, VendorConfigError
from voicecore.agents import (
    Agent,
    AgentFileError,
    UnresolvedSecretError,
    agent_of,
    check_secrets,
    check_vendors,
    load_agent,
    parse_agent,
)
from voicecore.yaml_lines import FieldProblem, parse_yaml

MINIMAL = """
name: a
instructions: Be brief.
stt: {vendor: scripted}
llm: {vendor: scripted}
tts: {vendor: scripted}
"""
FOLDER = Path(__file__).parents[3] / "examples"
EXAMPLES = [FOLDER / "agent.yaml", FOLDER / "agent-cloud.yaml", FOLDER / "scripted.yaml"]


class FakeVendor:
    """Stands for every adapter: takes ``speed`` and ``key`` only."""

    def __init__(self, config: VendorConfig, secrets: object) -> None:
        problems = []
        for name, value in config.settings.items():
            if name == "speed" and value not in (1, 2):
                problems.append(ConfigProblem("settings.speed", f"must be 1 or 2, not {value}"))
            if name == "key" and value != "sesame-secret":
                problems.append(ConfigProblem("settings.key", "wrong key"))
            if name not in ("speed", "key"):
                problems.append(ConfigProblem(f"settings.{name}", "unknown setting"))
        if problems:
            first, *others = problems
            raise VendorConfigError(first.field, first.detail, *others)


@pytest.fixture(autouse=True)
def _fake_vendors(monkeypatch: pytest.MonkeyPatch) -> None:
    def factory(adapter: Adapter) -> str:
        missing = adapter.vendor == "moonshine" and adapter.kind == "stt"
        return "not_installed_here:Stt" if missing else f"{__name__}:FakeVendor"

    monkeypatch.setattr(
        registry,
        "ADAPTERS",
        tuple(msgspec.structs.replace(each, factory=factory(each)) for each in registry.ADAPTERS),
    )


def _problems(text: str, secrets: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(AgentFileError) as caught:
        parse_agent(text, "agent.yaml", secrets=secrets)
    return str(caught.value).splitlines()


def test_defaults() -> None:
    agent = parse_agent(MINIMAL, "agent.yaml")
    assert agent.greeting is None
    assert agent.turn_taking.vad.model_dump() == {
        "vendor": "webrtcvad",
        "mode": 2,
        "start_ms": 60,
        "stop_ms": 160,
    }
    assert (agent.turn_taking.playout.lead_ms, agent.turn_taking.playout.chunk_ms) == (200, 60)
    assert agent.limits.max_duration_s == 1800
    assert (agent.limits.silence.ask_after_ms, agent.limits.silence.max_asks) == (8000, 2)
    assert agent.recording is False
    assert agent.tools == ()


def test_every_problem_is_reported_at_its_place() -> None:
    text = """name: a
instructons: Be brief.
greeting: 5
stt:
  vendor: deepgrm
llm:
  - vendor: openai
    modell: x
  - settings: {}
tts: {vendor: piper, voice: [joe]}
turn_taking:
  vad: {mode: 4, vendor: silero}
  interruption: {enabled: perhaps}
  playout:
    chunk_ms: 50
    lead_ms: "200"
limits: {max_duration_s: 1.5}
tools:
  - endcall
  - type: transfer_cal
  - name: x
phrases: {silence_prompts: []}
recording: on
"""
    assert _problems(text) == [
        "agent.yaml:1:1: instructions: required, but missing",
        "agent.yaml:2:1: instructons: unknown field; did you mean 'instructions'?; known fields: "
        "dtmf, greeting, instructions, language, limits, llm, name, phrases, recording, stt, "
        "tools, tts, turn_taking",
        "agent.yaml:3:1: greeting: must be text, not 5; put it in quotes",
        "agent.yaml:5:3: stt.vendor: no stt vendor is named 'deepgrm'; did you mean 'deepgram'?; "
        "known: deepgram, moonshine, scripted",
        "agent.yaml:8:5: llm[0].modell: unknown field; did you mean 'model'?; known fields: "
        "language, model, settings, vendor",
        "agent.yaml:9:5: llm[1].vendor: required, but missing",
        "agent.yaml:10:22: tts.voice: must be text, not a list",
        "agent.yaml:12:9: turn_taking.vad.mode: must be less than or equal to 3, not 4",
        "agent.yaml:12:18: turn_taking.vad.vendor: must be 'webrtcvad', not 'silero'",
        "agent.yaml:13:18: turn_taking.interruption.enabled: must be true or false, not 'perhaps'",
        "agent.yaml:15:5: turn_taking.playout.chunk_ms: must be a multiple of 20, not 50",
        "agent.yaml:16:5: turn_taking.playout.lead_ms: must be a whole number, not '200'",
        "agent.yaml:17:10: limits.max_duration_s: must be a whole number, not 1.5",
        "agent.yaml:19:5: tools[0]: there is no 'endcall'; did you mean 'end_call'?; known: "
        "collect_digits, end_call, http, send_dtmf, transfer_call",
        "agent.yaml:20:5: tools[1].type: there is no 'transfer_cal'; did you mean "
        "'transfer_call'?; known: collect_digits, end_call, http, send_dtmf, transfer_call",
        "agent.yaml:21:5: tools[2].type: required, but missing; known: collect_digits, "
        "end_call, http, send_dtmf, transfer_call",
        "agent.yaml:22:11: phrases.silence_prompts: must have at least 1 item",
    ]


@pytest.mark.parametrize("text", ["5", "- a", "text", "null"])
def test_a_file_that_is_no_mapping(text: str) -> None:
    assert "must be a block of named fields" in _problems(text)[0]


def test_one_vendor_or_several_in_order() -> None:
    text = MINIMAL.replace(
        "tts: {vendor: scripted}",
        "tts:\n  - {vendor: elevenlabs, voice: v, model: m}\n"
        "  - {vendor: piper, language: de-AT, settings: {speed: 2}}",
    )
    agent = parse_agent(text, "a")
    assert agent.vendor("stt") == (VendorConfig("scripted", language="en"),)
    assert agent.vendor("tts") == (
        VendorConfig("elevenlabs", model="m", voice="v", language="en"),
        VendorConfig("piper", language="de-AT", settings={"speed": 2}),
    )
    assert _problems(MINIMAL.replace("llm: {vendor: scripted}", "llm: []"))[0].startswith(
        "agent.yaml:5:1: llm: "
    )


def test_secrets_are_references_until_they_are_used() -> None:
    text = MINIMAL.replace(
        "stt: {vendor: scripted}",
        'stt: {vendor: deepgram, settings: {key: "${DOOR}", nested: {list: ["x ${DOOR}"]}}}',
    )
    agent = parse_agent(text, "a")
    assert "${DOOR}" in repr(agent)
    config = agent.vendor("stt", {"DOOR": "sesame-secret"})[0]
    assert config.settings == {"key": "sesame-secret", "nested": {"list": ["x sesame-secret"]}}
    assert "sesame" not in repr(config)
    with pytest.raises(UnresolvedSecretError, match="DOOR") as caught:
        agent.vendor("stt")
    assert caught.value.field == "settings.key"


def test_vendors_settings_are_checked_at_their_lines() -> None:
    text = """name: a
instructions: x
stt:
  vendor: moonshine
llm:
  vendor: openai
  settings:
    speed: 3
tts:
  - vendor: piper
    settings: {key: "${DOOR}"}
  - vendor: openai
    settings: {key: "${MISSING}"}
  - vendor: deepgram
    settings:
      tempo: 1
      speed: 9
"""
    assert _problems(text, {"DOOR": "sesame-secret"}) == [
        "agent.yaml:4:3: stt.vendor: cannot be used here: No module named 'not_installed_here'",
        "agent.yaml:8:5: llm.settings.speed: must be 1 or 2, not 3",
        "agent.yaml:13:16: tts[1].settings.key: there is no secret named MISSING",
        "agent.yaml:16:7: tts[2].settings.tempo: unknown setting",
        "agent.yaml:17:7: tts[2].settings.speed: must be 1 or 2, not 9",
    ]
    agent = parse_agent(text, "a")
    paths = [problem.path for problem in check_vendors(agent, {"DOOR": "sesame-secret"})]
    assert paths == [
        ("stt", 0, "vendor"),
        ("llm", 0, "settings", "speed"),
        ("tts", 1, "settings", "key"),
        ("tts", 2, "settings", "tempo"),
        ("tts", 2, "settings", "speed"),
    ]


def test_vendors_are_checked_even_if_other_fields_are_wrong() -> None:
    text = "nam: a\nllm: {vendor: openai, settings: {speed: 9}}\nstt: 5\n"
    found = _problems(text, {})
    assert "agent.yaml:2:34: llm.settings.speed: must be 1 or 2, not 9" in found
    assert "agent.yaml:1:1: name: required, but missing" in found


def test_no_secret_is_in_an_error() -> None:
    text = MINIMAL.replace(
        "llm: {vendor: scripted}", 'llm: {vendor: openai, settings: {speed: "${DOOR}"}}'
    )
    found = _problems(text, {"DOOR": "sesame-secret"})
    assert found == ["agent.yaml:5:34: llm.settings.speed: must be 1 or 2, not ***"]
    plain = MINIMAL.replace(
        "llm: {vendor: scripted}", "llm: {vendor: openai, settings: [sk-live-1]}"
    )
    assert "sk-live-1" not in "".join(_problems(plain))


HTTP_TOOL = """
tools:
  - type: http
    name: find
    description: Finds.
    url: {url}
    parameters:
      type: object
      properties: {{id: {{type: string}}, opt: {{type: string}}}}
      required: [id]
    headers: {headers}
"""


def _http(url: str = "http://h/{id}", headers: str = "{}") -> str:
    return MINIMAL + HTTP_TOOL.format(url=url, headers=headers)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h/x",
        "//h/x",
        "/x",
        "http://{id}/x",
        "http://h{id}/x",
        "http://h:{id}/x",
        "{id}://h/x",
        "http://user@h/x",
        "http://user:pw@h/x",
        "http://h\\\\@evil/x",
        "http://127.1/x",
        "http://2130706433/x",
        "http://0x7f.1/x",
        "http://0x7f000001/x",
        "http://a..b/x",
        "http://.a/x",
        "http://[::1/x",
        "http://[1]/x",
        "http://h:0/x",
        "http://h:65536/x",
        "http://h/x#{id}",
        "http://h/{opt}",
        "http://h/{other}",
        "http://h/{id",
        "http://h/{}",
        "http://h/{id.x}",
        "http://h/${SECRET}",
        "http://h/ä",
        "http://h/a b",
    ],
)
def test_unusable_urls(url: str) -> None:
    found = _problems(_http(f'"{url}"'))
    assert [line.split(": ")[1] for line in found] == ["tools[0].url"], found


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ("{Host: x}", "tools[0].headers.Host: Host is set by the server"),
        ("{content-length: '1'}", "is set by the server"),
        ('{"a b": x}', "is not a header's name"),
        ('{X: "a\\r\\nb"}', "must be printable ASCII on one line"),
        ("{X: 5}", "must be text"),
        ('{X: "${lower}"}', "is not a reference to a secret"),
        ("{X: a, x: b}", "two headers are named 'x'"),
    ],
)
def test_unusable_headers(headers: str, expected: str) -> None:
    found = _problems(_http(headers=headers))
    assert len(found) == 1
    assert expected in found[0]


def test_headers_secrets_must_exist_and_fit() -> None:
    text = _http(headers='{A: "Bearer ${ONE}", B: "${TWO}", C: "${THREE}"}')
    found = _problems(text, {"TWO": "a\r\nX: injected", "THREE": "fine"})
    assert found == [
        "agent.yaml:17:15: tools[0].headers.A: there is no secret named ONE",
        "agent.yaml:17:35: tools[0].headers.B: the secret must be printable ASCII on one line",
    ]
    agent = parse_agent(text, "a")
    assert check_secrets(agent, {"ONE": "1", "TWO": "2", "THREE": "3"}) == ()


@pytest.mark.parametrize(
    "parameters",
    [
        "{type: string}",
        "{}",
        "{type: object, properties: {x: {type: strng}}}",
        "{type: object, properties: {x: {$ref: 'http://internal/schema'}}}",
        "{type: object, properties: {x: {$ref: '#'}}}",
        "{type: object, patternProperties: {'(a+)+$': {}}}",
        "{type: object, required: [x]}",
        "{type: object, properties: {x: " + "{items: " * 25 + "{}" + "}" * 25 + "}}",
    ],
)
def test_unusable_parameters(parameters: str) -> None:
    tool = f"{{type: http, name: t, description: d, url: 'http://h', parameters: {parameters}}}"
    found = _problems(f"{MINIMAL}tools:\n  - {tool}\n")
    assert all("tools[0].parameters: " in line for line in found), found


def test_tools_are_checked_as_a_whole() -> None:
    twice = f"{MINIMAL}tools: [end_call, send_dtmf, end_call]\n"
    assert _problems(twice) == ["agent.yaml:7:1: tools: two tools are named 'end_call'"]
    nowhere = f"{MINIMAL}tools: [transfer_call]\n"
    assert "there are no targets" in _problems(nowhere)[0]
    bad_number = (
        f"{MINIMAL}tools:\n  - type: transfer_call\n    targets: [{{name: a, number: 5}}]\n"
    )
    assert (
        "tools[0].targets[0].number: must be text, not 5; put it in quotes"
        in (_problems(bad_number)[0])
    )


def test_agents_are_immutable_and_survive_json() -> None:
    agent = parse_agent(_http(), "a")
    with pytest.raises(ValueError, match="frozen"):
        agent.name = "b"  # type: ignore[misc]
    assert Agent.model_validate_json(agent.model_dump_json()) == agent


def test_every_field_has_a_description() -> None:
    schema = Agent.model_json_schema()
    blocks = [schema, *schema["$defs"].values()]
    bare = [
        (block["title"], name)
        for block in blocks
        for name, field in block.get("properties", {}).items()
        if not (field.get("description") or "$ref" in field)
    ]
    assert bare == []
    assert schema["$defs"]["TtsVendor"]["properties"]["vendor"]["enum"]


def test_load_agent_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    with pytest.raises(AgentFileError, match=r"x\.yaml: cannot be read"):
        load_agent(path, secrets={})
    path.write_text(MINIMAL)
    assert load_agent(path, secrets={}).name == "a"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_valid(path: Path) -> None:
    agent = parse_agent(path.read_text(), path.name)
    for kind in ("stt", "llm", "tts"):
        assert agent.vendor(kind, {"ORDERS_TOKEN": "x"})
    assert check_secrets(agent, {"ORDERS_TOKEN": "x"}) == ()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_json_schema_says_the_same(path: Path) -> None:
    validator = Draft202012Validator(Agent.model_json_schema())
    document = parse_yaml(path.read_text(), path.name).value
    assert [error.message for error in validator.iter_errors(document)] == []
    assert list(validator.iter_errors({**document, "stt": [{"vendor": "nobody"}]}))
    assert list(validator.iter_errors({**document, "tools": ["endcall"]}))


def _spots(value: Any) -> list[tuple[Any, Any]]:
    """Every container of a document with every key or position in it."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, item in items:
        found.append((value, key))
        if isinstance(item, (dict, list)):
            found += _spots(item)
    return found


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("${X}"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)


@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.randoms(use_true_random=False), st.sampled_from(EXAMPLES), _ANY)
def test_any_wrong_value_is_a_problem_with_a_place(random: Any, path: Path, value: Any) -> None:
    document = parse_yaml(path.read_text(), path.name).value
    container, key = random.choice(_spots(document))
    container[key] = value
    problems: list[FieldProblem] | None = None
    try:
        parse_agent(json.dumps(document, indent=1), "agent.yaml", secrets={"ORDERS_TOKEN": "x"})
    except AgentFileError as error:
        problems = list(error.problems)
    assert problems is None or (problems and all(problem.place for problem in problems))


class TestAnAgentThatComesFromNoFile:
    """One in JSON has the file's fields and rules, and problems without places."""

    def test_it_is_the_agent_that_the_file_would_be(self) -> None:
        assert agent_of(parse_yaml(MINIMAL, "a").value, "config") == parse_agent(MINIMAL, "a")

    def test_problems_have_paths_only(self) -> None:
        value = {**parse_yaml(MINIMAL, "a").value, "llm": [{"vendor": "opnai"}], "x": 1}
        with pytest.raises(AgentFileError) as caught:
            agent_of(value, "config", secrets={})
        assert {problem.path for problem in caught.value.problems} == {("llm", 0, "vendor"), ("x",)}
        assert all(problem.place is None for problem in caught.value.problems)
        assert str(caught.value).startswith("config: llm[0].vendor: ")

    @pytest.mark.parametrize("inner", [float("nan"), float("-inf")])
    def test_what_no_file_can_hold(self, inner: float) -> None:
        value = {**parse_yaml(MINIMAL, "a").value, "limits": {"a": [inner]}}
        with pytest.raises(AgentFileError, match="finite"):
            agent_of(value, "config")

    def test_depth_has_a_bound(self) -> None:
        deep: Any = 1
        for _ in range(5000):
            deep = [deep]
        with pytest.raises(AgentFileError, match="deeper"):
            agent_of({"tools": deep}, "config")

    def test_a_model_file_is_looked_for_only_if_it_must_be_ready(self) -> None:
        endpointing = {"endpointing": {"model": "/no/such.onnx"}}
        value = {**parse_yaml(MINIMAL, "a").value, "turn_taking": endpointing}
        assert agent_of(value, "config", secrets={}, ready=False)
        with pytest.raises(AgentFileError, match=r"no/such\.onnx"):
            agent_of(value, "config", secrets={})

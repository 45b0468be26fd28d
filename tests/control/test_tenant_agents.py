"""What an agent of a workspace may be."""

import importlib
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from pydantic import BaseModel

from control.settings import (
    PLATFORM_KEYS,
    Settings,
    SettingsError,
    read_agent_secrets,
    read_settings,
)
from control.templates import shipped
from control.tenant_agents import (
    KINDS,
    OWNERS_SETTINGS,
    TenantAgentError,
    secret_names,
    tenant_agent,
)
from voicecore.adapters import registry
from voicecore.adapters.reference import VENDORS
from voicecore.yaml_lines import dotted

LOCAL = {
    "name": "desk",
    "instructions": "Be brief.",
    "stt": {"vendor": "moonshine"},
    "llm": {"vendor": "llama"},
    "tts": {"vendor": "piper", "voice": "joe"},
}
CLOUD = {
    "name": "desk",
    "instructions": "Be brief.",
    "stt": {"vendor": "deepgram"},
    "llm": {"vendor": "openai", "model": "gpt"},
    "tts": {"vendor": "elevenlabs", "model": "eleven_flash_v2_5", "voice": "x"},
}
KEYS = dict.fromkeys(PLATFORM_KEYS, "a-key")

REVIEWED = frozenset(
    """
    api_key_env apply_text_normalization audio base_url cache_dir chunk_interval_ms chunk_ms
    connect_timeout_ms context_ms context_tokens eager_after_ms eager_eot_threshold echo
    enable_logging enable_ssml_parsing end_of_turn endpointing eot_threshold eot_timeout_ms
    expect_finish_reason extra_body faults filler_words final_ms finalize_after_ms
    finalize_timeout_ms first_audio_ms first_audio_timeout_ms first_clause_chars first_token_ms
    first_token_timeout_ms force_end_turn greeting inactivity_timeout_s instructions
    interim_every_ms interim_ms interims keyterm language_code language_hint
    max_completion_tokens max_tokens max_utterance_ms mip_opt_out nice numerals order parallel
    profanity_filter punctuate rate_hz reasoning_effort redact replies response_format
    resumed_after_ms revises rules seed slots smart_format speakers speed stall_timeout_ms
    stream_usage supports_tools system_role tag temperature threads token_interval_ms tools
    transcript unsure_every utterance_end_ms utterances voice_settings word_ms
    """.split()
)
"""Settings of which somebody has decided whether workspaces may set them."""


class Watched(Mapping[str, str]):
    """Secrets that know which of them were asked for."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._secrets = secrets
        self.asked = set[str]()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return self._secrets[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._secrets)

    def __len__(self) -> int:
        return len(self._secrets)


@pytest.mark.parametrize(("kind", "vendor"), [(one.kind, one.vendor) for one in registry.ADAPTERS])
@pytest.mark.parametrize("key", ["", "OUR_KEY"])
def test_the_secrets_of_an_agent_are_those_its_vendors_ask_for(
    kind: registry.Kind, vendor: str, key: str
) -> None:
    settings = {"api_key_env": key} if key and vendor == "openai" else {}
    block = {"vendor": vendor, "model": "", "voice": "", "settings": settings}
    if (kind, vendor) == ("llm", "openai"):
        block["model"] = "gpt"
    elif vendor in ("openai", "elevenlabs"):
        block |= {"model": "tts-1", "voice": "x"}
    secrets = Watched({**KEYS, "OUR_KEY": "k"})
    make = {"stt": registry.make_stt, "llm": registry.make_llm, "tts": registry.make_tts}[kind]
    make(registry.VendorConfig(**block), secrets)
    assert secret_names({kind: block}) == secrets.asked


def test_the_secrets_of_an_agent_are_those_it_refers_to() -> None:
    config = {
        "instructions": "Say ${NOTHING}.",
        "stt": [
            {"vendor": "deepgram", "settings": {"tag": ["${TAG}"]}},
            {"vendor": "moonshine", "settings": {"x": "${SPARE}"}},
        ],
        "llm": [{"vendor": "scripted"}, {"vendor": "openai"}],
        "tools": ["end_call", {"type": "http", "headers": {"A": "Bearer ${ONE} ${TWO}"}}],
    }
    assert secret_names(config) == {"DEEPGRAM_API_KEY", "TAG", "SPARE", "ONE", "TWO"}
    for odd in ({}, dict.fromkeys((*KINDS, "tools"), 7), {"stt": [7, {"settings": 7}]}):
        assert secret_names(odd) == frozenset()


def problems_of(
    config: dict[str, Any], settings: Settings | None = None, *, ready: bool = False
) -> dict[str, str]:
    try:
        tenant_agent(config, settings or Settings(), KEYS, ready=ready)
    except TenantAgentError as error:
        return {dotted(problem.path): problem.detail for problem in error.problems}
    return {}


def http_tool(**fields: Any) -> dict[str, Any]:
    tool = {"type": "http", "name": "look", "description": "Looks.", **fields}
    return {**LOCAL, "tools": [tool]}


class TestTheSchema:
    def test_is_the_agent_files(self) -> None:
        agent = tenant_agent(LOCAL, Settings(), {})
        assert (agent.name, agent.tts[0].voice) == ("desk", "joe")

    def test_every_wrong_field_is_told_at_once_with_its_path(self) -> None:
        config = {
            "instructions": "",
            "stt": {"vendor": "nobody"},
            "llm": {"vendor": "openai", "settings": {"temperature": 9}},
            "tts": [{"vendor": "piper"}, {"vendor": "piper", "settings": {"speed": "fast"}}],
            "turn_taking": {"playout": {"chunk_ms": 100, "lead_ms": 40}, "vad": {"mode": 7}},
            "tools": ["end_call", {"type": "transfer_call"}, {"type": "fly"}],
            "colour": "red",
        }
        assert set(problems_of(config)) == {
            "name",
            "instructions",
            "stt.vendor",
            "llm.model",
            "llm.settings.temperature",
            "tts[1].settings.speed",
            "turn_taking.playout.lead_ms",
            "turn_taking.vad.mode",
            "tools[1].allow_numbers",
            "tools[2].type",
            "colour",
        }

    def test_rules_across_fields(self) -> None:
        endpointing = {"model_finished_from": 0.2, "model_unfinished_below": 0.6}
        found = problems_of({**LOCAL, "turn_taking": {"endpointing": endpointing}})
        assert set(found) == {"turn_taking.endpointing.model_unfinished_below"}

    def test_what_is_nested_too_deeply_is_one_problem(self) -> None:
        deep: Any = {}
        for _ in range(900):
            deep = {"a": deep}
        assert list(problems_of({**LOCAL, "turn_taking": deep})) == [""]
        assert list(problems_of({**LOCAL, "dtmf": [float("inf")]})) == [""]

    def test_a_flood_of_mistakes_is_cut_off(self) -> None:
        found = problems_of({**LOCAL, **{f"field_{at}": at for at in range(5000)}})
        assert 0 < len(found) <= 100

    def test_schemas_that_take_seconds_to_check_are_not_checked(self) -> None:
        many = {f"p{at}": {"type": "string"} for at in range(1600)}
        config = http_tool(url="nonsense", parameters={"type": "object", "properties": many})
        assert list(problems_of(config)) == ["tools"]


class TestOutOfReach:
    @pytest.mark.parametrize(
        ("kind", "block", "field"),
        [
            ("stt", {"vendor": "moonshine", "model": "/etc"}, "stt.model"),
            ("llm", {"vendor": "llama", "model": "../../secret.gguf"}, "llm.model"),
            ("tts", {"vendor": "piper", "voice": "/etc/passwd"}, "tts.voice"),
            ("llm", {"vendor": "llama", "settings": {"cache_dir": "/"}}, "llm.settings.cache_dir"),
        ],
    )
    def test_files(self, kind: str, block: dict[str, Any], field: str) -> None:
        assert field in problems_of({**LOCAL, kind: block})

    def test_a_file_that_would_hear_ends_of_turns_is_not_even_looked_for(self) -> None:
        field = "turn_taking.endpointing.model"
        there, missing = (
            problems_of({**LOCAL, "turn_taking": {"endpointing": {"model": path}}}, ready=True)
            for path in ("/etc/passwd", "/no/such/file")
        )
        assert there == missing
        assert list(there) == [field]

    @pytest.mark.parametrize("name", sorted(OWNERS_SETTINGS))
    def test_settings_of_the_machines_owner(self, name: str) -> None:
        found = problems_of({**LOCAL, "llm": {"vendor": "llama", "settings": {name: 1}}})
        assert f"llm.settings.{name}" in found

    @pytest.mark.parametrize(
        ("kind", "vendor", "base_url"),
        [
            ("llm", "openai", "http://127.0.0.1:8080/v1"),
            ("llm", "openai", "https://collector.example/v1"),
            ("llm", "openai", "https://api.openai.com@collector.example/v1"),
            ("llm", "openai", "https://api.openai.com.collector.example/v1"),
            ("llm", "openai", "wss://api.deepgram.com"),
            ("llm", "openai", ["https://api.openai.com/v1"]),
            ("stt", "deepgram", "ws://api.deepgram.com"),
            ("stt", "deepgram", "wss://collector.example"),
            ("tts", "elevenlabs", "wss://collector.example"),
            ("tts", "elevenlabs", "wss://api.deepgram.com"),
        ],
    )
    def test_no_platform_key_goes_to_a_server_of_the_tenants(
        self, kind: str, vendor: str, base_url: Any
    ) -> None:
        block = {**CLOUD[kind], "vendor": vendor, "settings": {"base_url": base_url}}  # type: ignore[dict-item]
        assert f"{kind}.settings.base_url" in problems_of({**CLOUD, kind: block})

    def test_a_vendors_other_region_may_be_named(self) -> None:
        block = {"vendor": "deepgram", "settings": {"base_url": "wss://api.eu.deepgram.com"}}
        assert not problems_of({**CLOUD, "stt": block}, ready=True)

    @pytest.mark.parametrize("name", ["VOICECORE_DATABASE_URL", "PATH", "DEEPGRAM_API_KEY"])
    def test_no_other_secret_is_a_key(self, name: str) -> None:
        block = {"vendor": "openai", "model": "gpt", "settings": {"api_key_env": name}}
        assert "llm.settings.api_key_env" in problems_of({**CLOUD, "llm": block})

    @pytest.mark.parametrize("name", ["OPENAI_API_KEY", "PATH", "VOICECORE_DATABASE_URL"])
    def test_references_to_what_was_not_laid_open(self, name: str) -> None:
        found = problems_of(
            {
                **http_tool(url="https://api.example.com/x", headers={"X": f"${{{name}}}"}),
                "stt": {"vendor": "deepgram", "settings": {"keyterm": [f"a ${{{name}}}"]}},
            }
        )
        assert set(found) == {"tools[0].headers.X", "stt.settings.keyterm[0]"}

    def test_a_secret_that_was_laid_open(self) -> None:
        settings = Settings(agent_secrets=("ORDERS_TOKEN",))
        config = http_tool(url="https://api.example.com/x", headers={"X": "${ORDERS_TOKEN}"})
        assert tenant_agent(config, settings, {**KEYS, "ORDERS_TOKEN": "t"})
        assert list(problems_of(config, settings)) == ["tools[0].headers.X"]

    def test_a_workspaces_own_secret(self) -> None:
        config = http_tool(url="https://api.example.com/x", headers={"X": "${ORDERS_TOKEN}"})
        secrets = {**KEYS, "ORDERS_TOKEN": "t"}
        assert tenant_agent(config, Settings(), secrets, own={"ORDERS_TOKEN"})
        with pytest.raises(TenantAgentError):
            tenant_agent(config, Settings(), secrets)

    @pytest.mark.parametrize(
        "name", ["Authorization", "x-api-key", "apikey", "Cookie", "X-Auth-Token", "X-Secret"]
    )
    def test_a_secret_in_clear(self, name: str) -> None:
        """Everybody in the workspace is shown the configuration."""
        url = "https://api.example.com/x"
        shown = problems_of(http_tool(url=url, headers={name: "Bearer sk-123"}))
        assert "${NAME}" in shown[f"tools[0].headers.{name}"]
        own = http_tool(url=url, headers={name: "Bearer ${ORDERS_TOKEN}"})
        assert tenant_agent(own, Settings(), {**KEYS, "ORDERS_TOKEN": "t"}, own={"ORDERS_TOKEN"})
        assert problems_of(http_tool(url=url, headers={"X-Shop": "12"})) == {}

    @pytest.mark.parametrize(
        "url",
        [
            "http://api.example.com/",
            "https://127.0.0.1/",
            "https://127.0.0.1:8080/x",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://10.1.2.3/",
            "https://169.254.169.254/latest/meta-data",
            "https://localhost/",
            "https://localhost./",
            "https://LOCALHOST/",
            "https://db.internal/",
            "https://printer.local:8443/",
            "https://postgres/",
            "https://2130706433/",
            "https://user@127.0.0.1/",
            "file:///etc/passwd",
        ],
    )
    def test_tools_reach_public_hosts_only_and_encrypted(self, url: str) -> None:
        assert list(problems_of(http_tool(url=url))) == ["tools[0].url"]

    def test_scripted_vendors_are_for_tests(self) -> None:
        config = {**LOCAL, "llm": {"vendor": "scripted"}}
        assert list(problems_of(config)) == ["llm.vendor"]
        for name in ("scripted", "lama", "scriptd"):
            (told,) = problems_of({**LOCAL, "llm": {"vendor": name}}).values()
            assert told.endswith("; offered: openai, llama")
            assert ("did you mean 'llama'?" in told) == (name == "lama")
        offered = Settings(agent_vendors=("moonshine", "scripted", "piper"))
        assert not problems_of(config, offered)

    def test_every_setting_of_every_vendor_was_thought_about(self) -> None:
        found: set[str] = set()
        for vendor in VENDORS:
            module, _, name = vendor.settings.partition(":")
            model = getattr(importlib.import_module(f"voicecore.adapters.{module}"), name)
            is_pydantic = issubclass(model, BaseModel)
            found.update(model.model_fields if is_pydantic else model.__struct_fields__)
        assert found == REVIEWED


class TestReadiness:
    def test_a_vendor_without_a_key(self) -> None:
        assert tenant_agent(CLOUD, Settings(), {}, ready=False)
        with pytest.raises(TenantAgentError, match="OPENAI_API_KEY"):
            tenant_agent(CLOUD, Settings(), {})
        assert tenant_agent(CLOUD, Settings(), KEYS)

    def test_blanks_and_examples_are_filled_in(self) -> None:
        target = {"name": "desk", "number": "+15550100"}
        config = {
            **LOCAL,
            "greeting": "This is {{practice}}.",
            "tools": [{"type": "transfer_call", "targets": [target]}],
        }
        assert not problems_of(config)
        assert problems_of(config, ready=True) == {
            "greeting": "fill in {{practice}}",
            "tools[0].targets[0].number": "is an example's number: put a real one",
        }


class TestSettings:
    def test_only_what_is_named_is_read_of_the_environment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        monkeypatch.setenv("ORDERS_TOKEN", "t")
        monkeypatch.setenv("OTHER", "o")
        monkeypatch.delenv("DEEPGRAM_API_KEY", raising=False)
        monkeypatch.setenv("VOICECORE_AGENT_SECRETS", " ORDERS_TOKEN , ABSENT,")
        monkeypatch.setenv("VOICECORE_AGENT_VENDORS", "openai,deepgram")
        settings = read_settings()
        assert settings.agent_vendors == ("openai", "deepgram")
        assert read_agent_secrets(settings) == {"OPENAI_API_KEY": "k", "ORDERS_TOKEN": "t"}

    @pytest.mark.parametrize("name", ["VOICECORE_DATABASE_URL", "OPENAI_API_KEY", "lower", "A B"])
    def test_what_is_never_laid_open(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("VOICECORE_AGENT_SECRETS", name)
        with pytest.raises(SettingsError, match="VOICECORE_AGENT_SECRETS"):
            read_settings()


TEMPLATES = dict(shipped())


class TestTheTemplatesThatShip:
    def test_there_are_at_least_these(self) -> None:
        industries = {template.industry for template in TEMPLATES.values()}
        assert industries >= {
            "dental",
            "restaurant",
            "real_estate",
            "home_services",
            "healthcare",
            "legal",
            "hospitality",
            "support",
        }

    @pytest.mark.parametrize("slug", TEMPLATES)
    def test_each_is_whole(self, slug: str) -> None:
        agent = tenant_agent(TEMPLATES[slug].default_config, Settings(), {}, ready=False)
        assert len(agent.instructions.split()) >= 300
        assert agent.greeting
        assert agent.name == TEMPLATES[slug].name
        assert {tool.type for tool in agent.tools} >= {"end_call", "transfer_call"}
        for words in ("emergency_number", "What you never do", "Handing over"):
            assert words in agent.instructions

    @pytest.mark.parametrize("slug", TEMPLATES)
    def test_nothing_but_blanks_and_examples_is_left_to_do(self, slug: str) -> None:
        found = problems_of(dict(TEMPLATES[slug].default_config), ready=True)
        assert found
        assert all("fill in" in detail or "example" in detail for detail in found.values())

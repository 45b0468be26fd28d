"""Configurations of agents, as they come in: putting them together and checking them.

A configuration is what an agent file holds, as JSON.
"""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import MappingProxyType
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from control.http.context import Context
from control.http.errors import Invalid, Refused
from control.http.refusals import VALIDATION_ERROR
from control.tenant_agents import TenantAgentError, tenant_agent
from voicecore.agents import Agent
from voicecore.yaml_lines import MAX_DEPTH, FieldPath, FieldProblem
from voicecore.yaml_models import MISSING

_CHECKER = ThreadPoolExecutor(1, thread_name_prefix="agent-check")
"""A large configuration takes half a second of a core: one at a time, so that calls go on."""


EXAMPLE: Mapping[str, Any] = {
    "name": "Acme Dental",
    "language": "en",
    "instructions": "You answer the telephone of Acme Dental. Keep every answer short. "
    "The practice is open on weekdays from eight to five.",
    "greeting": "Acme Dental, how can I help you?",
    "stt": {"vendor": "moonshine"},
    "llm": {"vendor": "llama"},
    "tts": {"vendor": "piper", "voice": "joe"},
    "tools": ["end_call"],
}
"""A whole one, on local models: it needs no key."""


_WHOLE = ": `config` is the whole configuration, and replaces the one before"


class _AgentFile:
    """Documents a mapping as an agent file's content; handlers check it themselves."""

    def __init__(self, *, whole: bool) -> None:
        self._whole = whole

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        agent = handler(Agent.__pydantic_core_schema__)
        if self._whole:
            return agent
        fields = handler.resolve_ref_schema(agent)
        return {name: value for name, value in fields.items() if name != "required"}


Config = Annotated[dict[str, Any], _AgentFile(whole=True)]
"""What an agent file holds, as JSON."""
PartOfConfig = Annotated[dict[str, Any], _AgentFile(whole=False)]
AgentName = Annotated[str, Field(min_length=1, max_length=100)]


def merged(
    base: Mapping[str, Any], over: Mapping[str, Any], *, levels: int = MAX_DEPTH
) -> dict[str, Any]:
    """``base`` with ``over`` laid over it: objects field by field; lists and everything else as a
    whole, null too. A vendor's block is replaced by another vendor's, as nothing in it fits.
    Below so many levels, which no configuration has, everything is replaced."""
    result = dict(base)
    for name, value in over.items():
        old = result.get(name)
        if (
            levels
            and isinstance(value, Mapping)
            and isinstance(old, Mapping)
            and not _differ(old, value)
        ):
            result[name] = merged(old, value, levels=levels - 1)
        else:
            result[name] = value
    return result


def _differ(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return "vendor" in new and new["vendor"] != old.get("vendor")


def with_voice(
    config: Mapping[str, Any], provider: str | None, voice: Mapping[str, Any]
) -> dict[str, Any]:
    """The configuration with another voice: ``voice`` laid over its text-to-speech block, or over
    the first of several, which is the one that is used."""
    if provider is None and not voice:
        return dict(config)
    given = config.get("tts")
    blocks = given if isinstance(given, list) else [given]
    first = blocks[0] if blocks and isinstance(blocks[0], Mapping) else {}
    over = voice if provider is None else {**voice, "vendor": provider}
    new = merged({"tts": first}, {"tts": over})["tts"]
    return {**config, "tts": [new, *blocks[1:]] if len(blocks) > 1 else new}


async def check(
    context: Context,
    config: Mapping[str, Any],
    workspace_id: UUID | None,
    *,
    ready: bool,
    field: str = "config",
    voice_given: tuple[str | None, Mapping[str, Any]] = (None, MappingProxyType({})),
    replaces: bool = False,
) -> None:
    """Make sure that a workspace may have such an agent; or, for None, any workspace.

    :param ready: it must be able to answer a call.
    :param voice_given: what ``with_voice`` was given; its mistakes are told by their own names.
    :param replaces: it takes another one's place, whose fields it does not keep.
    :raises Refused: every wrong field, by its path (``config.llm.model``)."""
    settings = context.plane.settings
    lent = await context.plane.vault.lend(context.db, workspace_id)
    provider, voice = voice_given
    try:
        loop = asyncio.get_running_loop()
        work = partial(tenant_agent, config, settings, lent.secrets, own=lent.own, ready=ready)
        await loop.run_in_executor(_CHECKER, work)
    except TenantAgentError as error:
        details = [
            Invalid(
                _field(field, problem.path, provider, voice),
                problem.detail + (_WHOLE if replaces and _is_left_out(problem) else ""),
            )
            for problem in error.problems
        ]
        raise Refused(VALIDATION_ERROR, details=details) from None


def _is_left_out(problem: FieldProblem) -> bool:
    return problem.detail == MISSING and len(problem.path) == 1


def _field(field: str, path: FieldPath, provider: str | None, voice: Mapping[str, Any]) -> str:
    """What the caller calls a field."""
    if path[:1] == ("tts",):
        below = path[2:] if path[1:2] == (0,) else path[1:]
        if provider is not None and below == ("vendor",):
            return "voice_provider"
        if below and below[0] in voice:
            return ".".join(map(str, ("voice_config", *below)))
    return ".".join(map(str, (field, *path)))

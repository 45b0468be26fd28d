"""Agent files: reading them, and finding everything that is wrong with one."""

import importlib.util
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from voicecore.adapters.keys import NeedsKey
from voicecore.adapters.registry import (
    Kind,
    VendorConfig,
    VendorConfigError,
    make_llm,
    make_stt,
    make_tts,
)
from voicecore.agents.fields import Block, as_list
from voicecore.agents.model import MAX_TOOLS, Agent
from voicecore.agents.secrets import UnresolvedSecretError, redact, references, resolve
from voicecore.agents.tools import HttpTool
from voicecore.agents.vendors import LlmVendor, SttVendor, TtsVendor, VendorBlock
from voicecore.local.turn_end_file import UnfitModelError, find_model
from voicecore.providers.errors import VendorError
from voicecore.yaml_lines import (
    MAX_DEPTH,
    FieldPath,
    FieldProblem,
    YamlDocument,
    YamlFileError,
    changed,
    parse_yaml,
    read_yaml,
    undotted,
)
from voicecore.yaml_models import model_problems

_PRIVATE = ("settings", "headers")
_KINDS: Mapping[Kind, type[VendorBlock]] = {"stt": SttVendor, "llm": LlmVendor, "tts": TtsVendor}
_MAKERS: Mapping[Kind, Callable[[VendorConfig, Mapping[str, str]], object]] = {
    "stt": make_stt,
    "llm": make_llm,
    "tts": make_tts,
}

B = TypeVar("B", bound=Block)


class AgentFileError(YamlFileError):
    """An agent file that cannot be used; the text has a line for each problem."""


def load_agent(path: Path | str, *, secrets: Mapping[str, str]) -> Agent:
    """Read an agent file and make sure that calls can be answered with it: its fields, its
    references to ``secrets``, its vendors' settings, the keys of those that are used, and the
    files it names. Vendors' modules are imported, but nothing is connected or loaded.

    :raises AgentFileError: with everything that is wrong."""
    try:
        document = read_yaml(Path(path))
    except YamlFileError as error:
        raise AgentFileError(error.source, error.problems) from None
    return _checked(document, secrets)


def load_agent_with(
    path: Path | str,
    changes: Mapping[FieldPath, Any],
    *,
    secrets: Mapping[str, str] | None = None,
) -> Agent:
    """An agent file with some fields set otherwise, and checked like any other. Without
    ``secrets``, references and vendors' settings are not checked.

    :raises AgentFileError: with everything that is wrong."""
    try:
        document = changed(read_yaml(Path(path)), changes)
    except YamlFileError as error:
        raise AgentFileError(error.source, error.problems) from None
    return _checked(document, secrets)


def parse_agent(text: str, source: str, *, secrets: Mapping[str, str] | None = None) -> Agent:
    """The agent in a text; ``source`` names it in errors. Without ``secrets``, references and
    vendors' settings are not checked.

    :raises AgentFileError: with everything that is wrong."""
    try:
        document = parse_yaml(text, source)
    except YamlFileError as error:
        raise AgentFileError(error.source, error.problems) from None
    return _checked(document, secrets)


def agent_of(
    value: Mapping[str, Any],
    source: str,
    *,
    secrets: Mapping[str, str] | None = None,
    ready: bool = True,
) -> Agent:
    """The agent that values describe which come from no file, such as JSON: the same fields and
    rules as a file's. Problems have paths (``("llm", "model")``) and no places. Without
    ``secrets``, references and vendors' settings are not checked; unless it must be ``ready``,
    neither are vendors' keys, and no file is looked for.

    :raises AgentFileError: with everything that is wrong."""
    if (detail := _unfit(value, MAX_DEPTH)) is not None:
        raise AgentFileError(source, [FieldProblem((), detail)])
    return _checked(YamlDocument(source, value, {}), secrets, ready=ready)


def _unfit(value: Any, levels: int) -> str | None:
    """What keeps a value from being one that a file could hold."""
    if isinstance(value, float) and not math.isfinite(value):
        return "a number must be finite"
    if not isinstance(value, (Mapping, list)):
        return None
    if not levels:
        return f"nested deeper than {MAX_DEPTH} levels"
    below = value.values() if isinstance(value, Mapping) else value
    return next((found for one in below if (found := _unfit(one, levels - 1))), None)


def check_secrets(agent: Agent, secrets: Mapping[str, str]) -> tuple[FieldProblem, ...]:
    """The references in tools' headers to secrets that are missing or unfit for a header."""
    return tuple(_header_problems(dict(enumerate(agent.tools)), secrets))


def check_vendors(agent: Agent, secrets: Mapping[str, str]) -> tuple[FieldProblem, ...]:
    """What the vendors' adapters say about their settings and keys. Each adapter is made once and
    dropped; making one does no I/O (``registry.Adapter``)."""
    return tuple(_vendor_problems(_blocks_of(agent), agent.language, secrets, keys=True))


def _header_problems(
    tools: Mapping[int, object], secrets: Mapping[str, str]
) -> Iterator[FieldProblem]:
    for at, tool in tools.items():
        for name, value in tool.headers.items() if isinstance(tool, HttpTool) else ():
            path: FieldPath = ("tools", at, "headers", name)
            try:
                resolved: str = resolve(value, secrets)
            except UnresolvedSecretError as error:
                yield FieldProblem(path, str(error))
            else:
                if not (resolved.isascii() and resolved.isprintable()):
                    yield FieldProblem(path, "the secret must be printable ASCII on one line")


def _vendor_problems(
    blocks: Mapping[tuple[Kind, int], VendorBlock],
    language: str,
    secrets: Mapping[str, str],
    *,
    keys: bool,
) -> Iterator[FieldProblem]:
    for (kind, at), block in blocks.items():
        used = [secrets[name] for name in references(block.settings) if name in secrets]
        try:
            made = _MAKERS[kind](block.config(language, secrets), secrets)
            if keys and at == 0 and isinstance(made, NeedsKey):  # the others are not used
                made.check_key()
        except VendorConfigError as error:
            for problem in error.problems:
                path: FieldPath = (kind, at, *undotted(problem.field))
                yield FieldProblem(path, redact(problem.detail, used))
        except UnresolvedSecretError as error:
            yield FieldProblem((kind, at, *undotted(error.field)), str(error))
        except VendorError as error:
            yield FieldProblem((kind, at, "vendor"), error.detail)
        except ImportError as error:
            yield FieldProblem((kind, at, "vendor"), f"cannot be used here: {error.msg}")


def _turn_end_problems(value: Any) -> Iterator[FieldProblem]:
    """What keeps the model that hears ends of turns from being loaded, as far as is known
    without loading it."""
    path: FieldPath = ("turn_taking", "endpointing", "model")
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    if not isinstance(value, str) or not value:
        return
    if importlib.util.find_spec("onnxruntime") is None:
        yield FieldProblem(
            path, "needs the package onnxruntime (`pip install voicecore[turn-end]`)"
        )
    try:
        find_model(value)
    except UnfitModelError as error:
        yield FieldProblem(path, str(error))


def _checked(
    document: YamlDocument, secrets: Mapping[str, str] | None, *, ready: bool = True
) -> Agent:
    agent, problems = None, list[FieldProblem]()
    try:
        agent = Agent.model_validate(document.value)
    except ValidationError as error:
        problems = model_problems(document, error, Agent, _PRIVATE)
    if secrets is not None:
        blocks, tools, language = _usable_parts(document.value if agent is None else agent)
        found = (
            *_header_problems(tools, secrets),
            *_vendor_problems(blocks, language, secrets, keys=ready),
            *(_turn_end_problems(document.value) if ready else ()),
        )
        problems += [document.problem(problem.path, problem.detail) for problem in found]
    if agent is None or problems:
        raise AgentFileError(document.source, problems)
    return agent


def _blocks_of(agent: Agent) -> dict[tuple[Kind, int], VendorBlock]:
    return {
        (kind, at): block for kind in _KINDS for at, block in enumerate(agent.vendor_blocks(kind))
    }


def _usable_parts(
    value: Any,
) -> tuple[dict[tuple[Kind, int], VendorBlock], dict[int, HttpTool], str]:
    """The vendors and tools of an agent; or those of a file that are right in themselves,
    whatever else is wrong, so that one attempt shows all that there is to mend."""
    if isinstance(value, Agent):
        blocks = _blocks_of(value)
        http = {at: one for at, one in enumerate(value.tools) if isinstance(one, HttpTool)}
        return blocks, http, value.language
    parts = value if isinstance(value, dict) else {}
    blocks = {
        (kind, at): block
        for kind, model in _KINDS.items()
        for at, block in _valid_items(parts.get(kind), model)
    }
    tools = dict(_valid_items(parts.get("tools"), HttpTool))
    language = parts.get("language")
    return blocks, tools, language if isinstance(language, str) else "en"


def _valid_items(value: Any, model: type[B]) -> Iterator[tuple[int, B]]:
    items = as_list(value)
    for at, item in enumerate(items[:MAX_TOOLS] if isinstance(items, list) else ()):
        try:
            valid = model.model_validate(item)
        except ValidationError:
            continue
        yield at, valid

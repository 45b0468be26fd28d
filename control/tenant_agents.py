"""What an agent of a workspace may be: an agent file's content, with less in its reach.

The writer of an agent file owns the machine. The writer of a workspace's agent does not, so such an
agent names no file and no server of this network, sends no key of the platform's to somebody else,
reads nothing of the environment that was not laid open (``VOICECORE_AGENT_SECRETS``), and refers
to no secrets but its workspace's own and those.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from control.settings import Settings
from voicecore.adapters.registry import Kind, vendors
from voicecore.agents import Agent, AgentFileError, agent_of
from voicecore.agents.model import MAX_TOOLS
from voicecore.agents.secrets import references
from voicecore.local.turn_end_file import SMART_TURN
from voicecore.tools.addresses import is_numeric, is_public
from voicecore.yaml_lines import FieldPath, FieldProblem, did_you_mean

MAX_PROBLEMS = 100
MAX_TOOLS_PARTS = 1500
"""Blocks and lists of all tools together: checking the schemas of their arguments takes about a
millisecond for each."""

KINDS: tuple[Kind, ...] = ("stt", "llm", "tts")
_PACKAGED: Mapping[tuple[str, str], tuple[str, tuple[str, ...]]] = {
    ("stt", "moonshine"): ("model", ("tiny-en",)),
    ("llm", "llama"): ("model", ("gemma3-270m", "smollm2-135m")),
    ("tts", "piper"): ("voice", ("joe", "heart")),
}
"""Fields that name what is packaged, or else a file."""
_OWN_SERVERS: Mapping[str, tuple[str, ...]] = {
    "deepgram": ("wss://api.deepgram.com", "wss://api.eu.deepgram.com"),
    "elevenlabs": (
        "wss://api.elevenlabs.io",
        "wss://api.us.elevenlabs.io",
        "wss://api.eu.residency.elevenlabs.io",
        "wss://api.in.residency.elevenlabs.io",
    ),
    "openai": (
        "https://api.openai.com/v1",
        "https://eu.api.openai.com/v1",
        "https://us.api.openai.com/v1",
    ),
}
"""Where a vendor's key may go: the vendor's regions."""
_KEYS = {
    "deepgram": "DEEPGRAM_API_KEY",
    "elevenlabs": "ELEVENLABS_API_KEY",
    "openai": "OPENAI_API_KEY",
}
"""What vendors' adapters look for."""
OWNERS_SETTINGS = frozenset(
    ("cache_dir", "context_tokens", "extra_body", "nice", "parallel", "slots", "threads")
)
"""Of this machine, or of requests that are paid with the platform's key."""
_PRIVATE_NAMES = ("localhost", "local", "internal", "intranet", "lan", "home", "corp", "home.arpa")
_HOST = re.compile(r"https://(\[[^\]]*\]|[^:/?#]*)")
_BLANK = re.compile(r"\{\{[^{}]{1,80}\}\}")
_SECRET_HEADER = re.compile(r"authorization|cookie|token|secret|password|api-?key", re.IGNORECASE)
"""Headers by these names carry one."""
_EXAMPLE_NUMBER = re.compile(r"\+1(\d{3})?55501\d\d")


class TenantAgentError(Exception):
    """``problems`` are all that is wrong with an agent, with paths below its configuration."""

    def __init__(self, problems: Iterable[FieldProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problem.describe("config") for problem in self.problems))


def tenant_agent(
    config: Mapping[str, Any],
    settings: Settings,
    secrets: Mapping[str, str],
    *,
    own: Collection[str] = (),
    ready: bool = True,
) -> Agent:
    """The agent that a workspace's configuration describes. It may import vendors' modules, which
    takes up to a second: not for the event loop.

    :param secrets: what ``Vault.lend`` gives; the agent is to be prepared with the same.
    :param own: the names of those that are the workspace's own.
    :param ready: whether it must be able to answer a call: there are keys for its vendors, and
        nothing is left of a template's blanks and examples.
    :raises TenantAgentError: with everything that is wrong."""
    if _parts(config.get("tools"), MAX_TOOLS_PARTS) > MAX_TOOLS_PARTS:
        detail = f"must have at most {MAX_TOOLS_PARTS} blocks and lists in all"
        raise TenantAgentError([FieldProblem(("tools",), detail)])
    agent, problems = _parsed(config, secrets)
    # What is too deep is not looked into any further.
    if not any(not problem.path for problem in problems):
        known = frozenset((*settings.agent_secrets, *own))
        problems = [*_overreaching(config, settings, known), *problems]
    if ready and not problems:
        agent, problems = _parsed(config, secrets, ready=True)
        problems += _unfinished(config)
    if agent is None or problems:
        raise TenantAgentError(_first_of_each(problems))
    return agent


def secret_names(config: Mapping[str, Any]) -> frozenset[str]:
    """The secrets that an agent is made with: the keys of the vendors that it uses, and whatever
    its vendors' settings and its tools refer to."""
    names = set[str]()
    for kind in KINDS:
        blocks = list(_blocks(kind, config.get(kind)))
        names.update(references([block for _, block in blocks]))
        for _, block in blocks[:1]:  # the others are not used
            key = _at(block, ("settings", "api_key_env")) or _KEYS.get(str(block.get("vendor")))
            names.update((str(key),) if key else ())
    names.update(references(config.get("tools")))
    return frozenset(names)


def _parts(value: Any, enough: int) -> int:
    """How many blocks and lists there are, or at least that there are more than enough."""
    count, waiting = 0, [value]
    while waiting and count <= enough:
        one = waiting.pop()
        if isinstance(one, (Mapping, list)):
            count += 1
            waiting += one.values() if isinstance(one, Mapping) else one
    return count


def _parsed(
    config: Mapping[str, Any], secrets: Mapping[str, str], *, ready: bool = False
) -> tuple[Agent | None, list[FieldProblem]]:
    try:
        return agent_of(config, "config", secrets=secrets, ready=ready), []
    except AgentFileError as error:
        return None, list(error.problems)


def _first_of_each(problems: Iterable[FieldProblem]) -> list[FieldProblem]:
    found: dict[FieldPath, FieldProblem] = {}
    for problem in problems:
        found.setdefault(problem.path, problem)
    return list(found.values())[:MAX_PROBLEMS]


def _overreaching(
    config: Mapping[str, Any], settings: Settings, known: Collection[str]
) -> Iterator[FieldProblem]:
    """``known``: the secrets that may be referred to."""
    for kind in KINDS:
        for path, block in _blocks(kind, config.get(kind)):
            yield from _vendor_problems(kind, path, block, settings, known)
    for path, tool in _blocks("tools", config.get("tools")):
        yield from _tool_problems(path, tool, known)
    path = ("turn_taking", "endpointing", "model")
    if (model := _at(config, path)) and model != SMART_TURN:
        yield FieldProblem(path, f"must be {SMART_TURN!r} or empty")


def _at(value: Any, path: FieldPath) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _blocks(name: str, value: Any) -> Iterator[tuple[FieldPath, Mapping[str, Any]]]:
    """The blocks of a field that has one or a list of them."""
    if isinstance(value, Mapping):
        yield (name,), value
    elif isinstance(value, list):
        for at, block in enumerate(value[:MAX_TOOLS]):
            if isinstance(block, Mapping):
                yield (name, at), block


def _vendor_problems(
    kind: Kind,
    path: FieldPath,
    block: Mapping[str, Any],
    settings: Settings,
    known: Collection[str],
) -> Iterator[FieldProblem]:
    vendor = block.get("vendor")
    offered = [one for one in vendors(kind) if one in settings.agent_vendors]
    if isinstance(vendor, str) and vendor not in offered:
        what = "is not offered here"
        if vendor not in vendors(kind):
            what = f"no {kind} vendor is named {vendor[:60]!r}{did_you_mean(vendor, offered)}"
        yield FieldProblem((*path, "vendor"), f"{what}; offered: {', '.join(offered)}")
    field, packaged = _PACKAGED.get((kind, str(vendor)), ("", ()))
    if field and block.get(field) and block[field] not in packaged:
        yield FieldProblem((*path, field), f"must be one of: {', '.join(packaged)}")
    given = block.get("settings")
    for name, value in given.items() if isinstance(given, Mapping) else ():
        below = (*path, "settings", name)
        if name in OWNERS_SETTINGS:
            yield FieldProblem(below, "is for the owner of the server to set")
        elif name == "base_url" and not _is_vendors_own(str(vendor), value):
            yield FieldProblem(below, "must be one of the vendor's own servers")
        elif name == "api_key_env" and value not in ("OPENAI_API_KEY", *known):
            yield FieldProblem(below, "there is no such secret")
        yield from _reference_problems(below, value, known)


def _is_vendors_own(vendor: str, base_url: Any) -> bool:
    if base_url in ("", None):
        return True
    servers = _OWN_SERVERS.get(vendor, ())
    return isinstance(base_url, str) and base_url.rstrip("/") in servers


def _tool_problems(
    path: FieldPath, tool: Mapping[str, Any], known: Collection[str]
) -> Iterator[FieldProblem]:
    url = tool.get("url")
    if isinstance(url, str) and not _is_public_https(url):
        yield FieldProblem((*path, "url"), "must be https:// and the name of a public host")
    headers = tool.get("headers")
    for name, value in headers.items() if isinstance(headers, Mapping) else ():
        below = (*path, "headers", name)
        if _SECRET_HEADER.search(str(name)) and not any(references(value)):
            yield FieldProblem(below, "must refer to a secret, as ${NAME}: agents are shown as is")
        yield from _reference_problems(below, value, known)


def _is_public_https(url: str) -> bool:
    """As far as is known without looking the name up, which is done at each request."""
    match = _HOST.match(url)
    if match is None:
        return False
    host = match[1].strip("[]").removesuffix(".").lower()
    if is_numeric(host):
        return is_public(host)
    return "." in host and not any(host.endswith(f".{name}") for name in _PRIVATE_NAMES)


def _reference_problems(
    path: FieldPath, value: Any, known: Collection[str]
) -> Iterator[FieldProblem]:
    for below, text in _texts(path, value):
        for name in references(text):
            if name not in known:
                yield FieldProblem(below, f"there is no secret named {name[:40]}")


def _unfinished(config: Mapping[str, Any]) -> Iterator[FieldProblem]:
    for path, text in _texts((), config):
        blanks = dict.fromkeys(_BLANK.findall(text))
        if blanks:
            yield FieldProblem(path, f"fill in {', '.join(list(blanks)[:20])}")
        elif path[-1:] == ("number",) and _EXAMPLE_NUMBER.fullmatch(text):
            yield FieldProblem(path, "is an example's number: put a real one")


def _texts(path: FieldPath, value: Any) -> Iterator[tuple[FieldPath, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for name, below in value.items():
            yield from _texts((*path, name), below)
    elif isinstance(value, list):
        for at, below in enumerate(value):
            yield from _texts((*path, at), below)

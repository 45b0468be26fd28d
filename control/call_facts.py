"""What a call leaves for the database: values that can wait on disk, come twice, and be written
once. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, TypeVar
from uuid import UUID

import msgspec


class CallBegan(msgspec.Struct, frozen=True, tag_field="fact", tag="began"):
    """A call was answered."""

    workspace_id: UUID
    call_id: UUID
    agent_id: UUID | None
    agent_version: int | None
    agent_name: str
    carrier: str
    carrier_call_id: str
    direction: Literal["inbound", "outbound", "internal"]
    caller_number: str
    called_number: str
    started_at: datetime
    server: UUID | None = None
    """The one whose call it is: if that dies, the call is over."""
    files: str = ""
    """Where its recording and transcript are, under the directory of calls."""
    is_test: bool = False
    """Somebody tried the agent: no carrier brought the call."""


class CallEvent(msgspec.Struct, frozen=True, tag_field="fact", tag="event"):
    """Something happened in it. ``sequence`` counts from 1 within the call."""

    workspace_id: UUID
    call_id: UUID
    sequence: int
    type: str
    at_ms: int
    data: Mapping[str, Any]
    occurred_at: datetime


class CallTurn(msgspec.Struct, frozen=True, tag_field="fact", tag="turn"):
    """Somebody said something."""

    workspace_id: UUID
    call_id: UUID
    sequence: int
    speaker: Literal["caller", "agent"]
    start_ms: int
    end_ms: int
    text: str
    """What was heard of it: of an interrupted agent not all of the words."""
    words: list[dict[str, Any]]
    interrupted: bool = False


class CallOver(msgspec.Struct, frozen=True, tag_field="fact", tag="over"):
    """It ended."""

    workspace_id: UUID
    call_id: UUID
    status: Literal["completed", "failed"]
    end_reason: str
    ended_at: datetime
    duration_ms: int
    has_recording: bool
    latency: Mapping[str, int] = {}
    """Median and worst of the replies' latencies, in milliseconds."""


CallFact = CallBegan | CallEvent | CallTurn | CallOver

MOST_CHARACTERS = 1_000_000
"""Of one text: PostgreSQL takes no JSON without end."""

Fact = TypeVar("Fact", bound=CallFact)

_ENCODER = msgspec.json.Encoder()
_DECODER: msgspec.json.Decoder[CallFact] = msgspec.json.Decoder(CallFact)


def mended(fact: Fact) -> Fact:
    """The fact with texts that PostgreSQL takes, whoever they come from: it knows no NUL, and UTF-8
    no lone surrogates."""
    names = fact.__struct_fields__
    return type(fact)(**{name: _mended(getattr(fact, name)) for name in names})


def _mended(value: Any) -> Any:
    match value:
        case str():
            if len(value) > MOST_CHARACTERS:
                value = value[:MOST_CHARACTERS]
            if value.isascii() and "\0" not in value:
                return value
            return value.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
        case Mapping():
            return {_mended(key): _mended(item) for key, item in value.items()}
        case list() | tuple():
            return [_mended(item) for item in value]
    return value


def encode_facts(facts: list[CallFact]) -> bytes:
    """A line of JSON each."""
    return b"".join(_ENCODER.encode(fact) + b"\n" for fact in facts)


def decode_facts(lines: bytes) -> tuple[list[CallFact], bytes]:
    """The facts, and the lines that are none: the last one may have been cut off."""
    facts: list[CallFact] = []
    wrong = b""
    for line in lines.split(b"\n"):
        if line:
            try:
                facts.append(_DECODER.decode(line))
            except msgspec.DecodeError:
                wrong += line + b"\n"
    return facts, wrong

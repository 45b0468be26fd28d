"""The tools of an agent, as its file declares them."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    JsonValue,
    StrictInt,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from voicecore.agents.conduct import Sentences
from voicecore.agents.fields import Block, Description, Sentence
from voicecore.agents.secrets import check_references
from voicecore.tools.schemas import check_parameters
from voicecore.tools.urls import template_arguments

TransferNumber = Annotated[
    str,
    StringConstraints(pattern=r"^(\+[1-9][0-9]{6,14}|sips?:[!-~]{1,200})$", max_length=210),
]

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}\Z")
_HEADER_VALUE = re.compile(r"[ -~]{0,4000}\Z")
_CONNECTION_HEADERS = frozenset(("connection", "expect", "te", "trailer", "upgrade"))
_FRAMING_HEADERS = frozenset(("accept-encoding", "content-length", "host", "transfer-encoding"))


def _header_name(name: str) -> str:
    if not _HEADER_NAME.match(name):
        raise ValueError(f"{name[:60]!r} is not a header's name")
    if name.lower() in _CONNECTION_HEADERS | _FRAMING_HEADERS:
        raise ValueError(f"{name} is set by the server itself")
    return name


def _header_value(value: str) -> str:
    if not _HEADER_VALUE.match(value):
        raise ValueError("must be printable ASCII on one line, at most 4000 characters")
    check_references(value)
    return value


HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderValue = Annotated[str, AfterValidator(_header_value)]


class EndCallTool(Block):
    """Lets the model end the call."""

    type: Literal["end_call"] = Field(description="This tool.")
    description: Description = Field(
        default="End the telephone call. Use it when the caller says goodbye or nothing is left "
        "to do.",
        description="When the model should use the tool.",
    )


class TransferTarget(Block):
    """Somebody a call can be transferred to."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_ -]{0,59}$")] = Field(
        description="What the model calls the target."
    )
    number: TransferNumber = Field(
        description='The number to dial, in E.164 form (`"+15550100"`), or a `sip:` address.'
    )
    description: Description | None = Field(
        default=None, description="When the model should choose this target."
    )


class TransferCallTool(Block):
    """Lets the model ask for the call to be transferred to a person: the event
    ``transfer_requested`` with the number."""

    type: Literal["transfer_call"] = Field(description="This tool.")
    description: Description = Field(
        default="Transfer the caller to a person. Use it when the caller asks for one or you "
        "cannot help.",
        description="When the model should use the tool.",
    )
    targets: tuple[TransferTarget, ...] = Field(
        default=(), max_length=100, description="Whom the call can be transferred to."
    )
    allow_numbers: bool = Field(
        default=False,
        validate_default=True,
        description="Whether the model may also transfer to any E.164 number. Callers can talk a "
        "model into dialling expensive numbers: leave this off where it is not needed.",
    )
    say: Sentence | None = Field(
        default="One moment, I am connecting you.", description="Said before the transfer."
    )

    @field_validator("allow_numbers")
    @classmethod
    def _leads_somewhere(cls, value: bool, info: ValidationInfo) -> bool:
        if not value and not info.data.get("targets", True):
            raise ValueError("there are no targets, so this must be true")
        return value

    @field_validator("targets")
    @classmethod
    def _names_differ(cls, value: tuple[TransferTarget, ...]) -> tuple[TransferTarget, ...]:
        _check_unique([target.name for target in value], "target")
        return value


class SendDtmfTool(Block):
    """Lets the model press keys, for menus of other systems."""

    type: Literal["send_dtmf"] = Field(description="This tool.")
    description: Description = Field(
        default="Press keys on the telephone, for example to answer an automatic menu.",
        description="When the model should use the tool.",
    )


class CollectDigitsTool(Block):
    """Lets the model have the caller type digits, such as an account number."""

    type: Literal["collect_digits"] = Field(description="This tool.")
    description: Description = Field(
        default="Ask the caller to type digits on the telephone keypad and wait for them. Use it "
        "for numbers that must be exact.",
        description="When the model should use the tool.",
    )
    max_digits: StrictInt = Field(
        default=32, ge=1, le=128, description="The most digits the model may ask for."
    )
    max_wait_s: StrictInt = Field(
        default=60, ge=1, le=600, description="The longest time the model may wait for digits."
    )


class HttpTool(Block):
    """A tool of your own: an HTTP request, whose answer the model gets."""

    type: Literal["http"] = Field(description="This kind of tool.")
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")] = Field(
        description="The tool's name for the model."
    )
    description: Description = Field(
        description="What the tool does and when the model should use it."
    )
    parameters: dict[str, JsonValue] = Field(
        default={"type": "object", "properties": {}},
        description="JSON schema (2020-12) of the arguments, an object. `$ref` and "
        "`patternProperties` are not supported; `pattern` is shown to the model but not checked.",
    )
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = Field(
        default="POST", description="The request's method."
    )
    url: str = Field(
        description="The address. `{argument}` in its path or query is replaced with a required "
        "argument, percent-encoded; scheme, host and port are fixed."
    )
    arguments_in: Literal["auto", "body", "query", "none"] = Field(
        default="auto",
        description="Where arguments go that `url` does not use: into a JSON body, into the "
        "query, or nowhere. `auto` is the query for GET and DELETE, else the body.",
    )
    headers: dict[HeaderName, HeaderValue] = Field(
        default={},
        max_length=50,
        description="Headers of the request. Values may refer to secrets: "
        "`Bearer ${ORDERS_TOKEN}`.",
    )
    timeout_ms: Annotated[StrictInt, Field(ge=100, le=120_000)] | None = Field(
        default=None,
        description="How long the whole request may take; empty for `limits.tool_timeout_ms`.",
    )
    say_while: Annotated[Sentences, Field(max_length=20)] | None = Field(
        default=None,
        description="Said while the tool runs, one sentence or a list used in turn; empty for "
        "`phrases.tool_meanwhile`. An empty list says nothing.",
    )
    result_path: Annotated[str, StringConstraints(pattern=r"^[^.]+(\.[^.]+)*$")] | None = Field(
        default=None,
        max_length=500,
        description="The part of a JSON answer that the model gets, such as `data.orders.0`; "
        "empty for all of it.",
    )
    result_limit_bytes: StrictInt = Field(
        default=8192,
        ge=100,
        le=131_072,
        description="The most of the answer that the model gets; the rest is cut off.",
    )

    @field_validator("parameters")
    @classmethod
    def _is_object_schema(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        check_parameters(value)
        return value

    @field_validator("url")
    @classmethod
    def _uses_required_arguments(cls, value: str, info: ValidationInfo) -> str:
        used = template_arguments(value)
        schema: Mapping[str, Any] = info.data.get("parameters") or {}
        for name in used if schema else ():
            if name not in schema.get("required", ()):
                raise ValueError(
                    f"uses {{{name}}}, which must be a property of parameters and required"
                )
        return value

    @field_validator("headers")
    @classmethod
    def _header_names_differ(cls, value: dict[str, str]) -> dict[str, str]:
        _check_unique([name.lower() for name in value], "header")
        return value


BuiltinTool = EndCallTool | TransferCallTool | SendDtmfTool | CollectDigitsTool
BUILTIN_NAMES = ("end_call", "transfer_call", "send_dtmf", "collect_digits")
BuiltinName = Literal["end_call", "transfer_call", "send_dtmf", "collect_digits"]


def _named(value: Any) -> Any:
    return {"type": value} if isinstance(value, str) else value


_AnyTool = Annotated[BuiltinTool | HttpTool, Field(discriminator="type")]
Tool = Annotated[_AnyTool, BeforeValidator(_named, json_schema_input_type=_AnyTool | BuiltinName)]
"""A tool; a built-in one without settings may be written as its name alone."""


def tool_name(tool: BuiltinTool | HttpTool) -> str:
    return tool.name if isinstance(tool, HttpTool) else tool.type


def check_tool_names(tools: tuple[BuiltinTool | HttpTool, ...]) -> None:
    """:raises ValueError: two tools have the same name."""
    _check_unique([tool_name(tool) for tool in tools], "tool")


def _check_unique(names: list[str], what: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"two {what}s are named {', '.join(map(repr, twice))}")

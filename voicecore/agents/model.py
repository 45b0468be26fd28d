"""An agent: everything that is configured about who answers a call."""

from collections.abc import Mapping

from pydantic import Field, field_validator

from voicecore.adapters.registry import Kind, VendorConfig
from voicecore.agents.conduct import DtmfInput, Limits, Phrases
from voicecore.agents.fields import Block, Language, Sentence
from voicecore.agents.tools import Tool, check_tool_names
from voicecore.agents.turn_taking import TurnTaking
from voicecore.agents.vendors import LlmVendors, SttVendors, TtsVendors, VendorBlock

MAX_TOOLS = 64

_NO_SECRETS: Mapping[str, str] = {}


class Agent(Block):
    """An agent. It holds no secrets, only references to them; it is immutable, so that a call
    keeps the agent that it was answered with."""

    name: str = Field(
        min_length=1, max_length=100, description="What the agent is called in logs and reports."
    )
    instructions: str = Field(
        min_length=1,
        max_length=100_000,
        description="Who the agent is and what it should do: the model's system prompt.",
    )
    greeting: Sentence | None = Field(
        default=None,
        description="What the agent says first, as soon as the call is connected. Empty: the "
        "caller speaks first.",
    )
    language: Language = Field(
        default="en", description="The language of the call, as a tag such as `en` or `pt-BR`."
    )
    stt: SttVendors = Field(
        description="Speech-to-text: one vendor, or a list in order of preference, of which the "
        "first is used."
    )
    llm: LlmVendors = Field(
        description="The language model: one vendor, or a list in order of preference, of which "
        "the first is used."
    )
    tts: TtsVendors = Field(
        description="Text-to-speech: one vendor, or a list in order of preference, of which the "
        "first is used."
    )
    turn_taking: TurnTaking = Field(default=TurnTaking(), description="Who speaks when.")
    tools: tuple[Tool, ...] = Field(
        default=(),
        max_length=MAX_TOOLS,
        description="What the model may do besides talking: built-in tools by name or with "
        "settings, and HTTP tools.",
    )
    limits: Limits = Field(
        default=Limits(), description="Bounds that end a wait, a loop or the call."
    )
    phrases: Phrases = Field(
        default=Phrases(), description="Fixed sentences for when the model is not asked."
    )
    recording: bool = Field(default=False, description="Whether calls are recorded.")
    dtmf: DtmfInput = Field(
        default=DtmfInput(), description="Keys that the caller presses of their own accord."
    )

    @field_validator("tools")
    @classmethod
    def _tool_names_differ(cls, value: tuple[Tool, ...]) -> tuple[Tool, ...]:
        check_tool_names(value)
        return value

    def vendor_blocks(self, kind: Kind) -> tuple[VendorBlock, ...]:
        """The vendors of a kind as configured, the preferred first."""
        blocks: Mapping[Kind, tuple[VendorBlock, ...]] = {
            "stt": self.stt,
            "llm": self.llm,
            "tts": self.tts,
        }
        return blocks[kind]

    def vendor(
        self, kind: Kind, secrets: Mapping[str, str] = _NO_SECRETS
    ) -> tuple[VendorConfig, ...]:
        """The vendors of a kind for ``voicecore.adapters.registry``, the preferred first.

        :raises UnresolvedSecretError: a setting refers to a secret that is missing."""
        return tuple(block.config(self.language, secrets) for block in self.vendor_blocks(kind))

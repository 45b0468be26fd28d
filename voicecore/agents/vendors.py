"""The vendors of an agent: which one hears, thinks and speaks, and with what settings."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, JsonValue, field_validator

from voicecore.adapters.registry import Kind, VendorConfig, vendors
from voicecore.agents.fields import Block, Language, as_list
from voicecore.agents.secrets import check_references, resolve
from voicecore.yaml_lines import did_you_mean


def _known(kind: Kind) -> Any:
    """Vendor names, as the JSON schema of the field; read when the schema is made."""

    def extend(schema: dict[str, Any]) -> None:
        schema["enum"] = list(vendors(kind))

    return extend


class VendorBlock(Block):
    """What the blocks of all kinds have."""

    kind: ClassVar[Kind]

    vendor: str = Field(description="The vendor.")
    model: str = Field(
        default="", max_length=200, description="The vendor's model; empty for its default."
    )
    language: Language | None = Field(
        default=None,
        description="The language, if it is not the agent's; `multi` where the vendor has it.",
    )
    settings: dict[str, JsonValue] = Field(
        default={},
        description="The vendor's own settings. Text in them may refer to secrets: `${NAME}`.",
    )

    @field_validator("vendor")
    @classmethod
    def _exists(cls, value: str) -> str:
        known = vendors(cls.kind)
        if value not in known:
            hint = did_you_mean(value, known)
            raise ValueError(
                f"no {cls.kind} vendor is named {value[:60]!r}{hint}; known: {', '.join(known)}"
            )
        return value

    @field_validator("settings")
    @classmethod
    def _refers_to_names(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        check_references(value)
        return value

    def config(self, language: str, secrets: Mapping[str, str]) -> VendorConfig:
        """The values for the vendor's adapter.

        :raises UnresolvedSecretError: a setting refers to a secret that is missing."""
        return VendorConfig(
            vendor=self.vendor,
            model=self.model,
            voice=getattr(self, "voice", ""),
            language=self.language or language,
            settings=resolve(self.settings, secrets, "settings"),
        )


class SttVendor(VendorBlock):
    """Speech-to-text."""

    kind: ClassVar[Kind] = "stt"
    vendor: str = Field(description="The vendor.", json_schema_extra=_known("stt"))


class LlmVendor(VendorBlock):
    """The language model."""

    kind: ClassVar[Kind] = "llm"
    vendor: str = Field(description="The vendor.", json_schema_extra=_known("llm"))


class TtsVendor(VendorBlock):
    """Text-to-speech."""

    kind: ClassVar[Kind] = "tts"
    vendor: str = Field(description="The vendor.", json_schema_extra=_known("tts"))
    voice: str = Field(
        default="", max_length=200, description="The vendor's voice; empty for its default."
    )


_COUNT = Field(min_length=1, max_length=5)

SttVendors = Annotated[
    tuple[SttVendor, ...],
    BeforeValidator(as_list, json_schema_input_type=SttVendor | tuple[SttVendor, ...]),
    _COUNT,
]
"""One vendor, or several in order of preference: the first is used."""

LlmVendors = Annotated[
    tuple[LlmVendor, ...],
    BeforeValidator(as_list, json_schema_input_type=LlmVendor | tuple[LlmVendor, ...]),
    _COUNT,
]
TtsVendors = Annotated[
    tuple[TtsVendor, ...],
    BeforeValidator(as_list, json_schema_input_type=TtsVendor | tuple[TtsVendor, ...]),
    _COUNT,
]

"""When the caller has finished, when the agent gives way, and how far ahead it plays."""

from typing import Literal

from pydantic import Field, StrictInt, ValidationInfo, field_validator

from voicecore.agents.fields import Block


class Vad(Block):
    """Voice activity detection: which 20 ms frames of the caller's audio hold speech."""

    vendor: Literal["webrtcvad"] = Field(default="webrtcvad", description="The detector.")
    mode: StrictInt = Field(
        default=2,
        ge=0,
        le=3,
        description="How strictly the detector tells speech from noise: 0 takes most sounds for "
        "speech, 3 the fewest.",
    )
    start_ms: StrictInt = Field(
        default=60,
        ge=20,
        le=1000,
        description="Voiced time within a short window that makes speech begin. Higher ignores "
        "clicks and coughs, lower reacts sooner.",
    )
    stop_ms: StrictInt = Field(
        default=200,
        ge=40,
        le=2000,
        description="Silence that makes speech stop and asks the STT vendor for its final text.",
    )


class Endpointing(Block):
    """When a pause is the end of the caller's turn. STT vendors that detect turns themselves,
    such as Deepgram Flux, end it without waiting for this."""

    min_silence_ms: StrictInt = Field(
        default=400,
        ge=0,
        le=10_000,
        description="Silence, from the end of speech, before the agent may answer. It is never "
        "shorter than `turn_taking.vad.stop_ms`. Higher lets callers think, lower answers sooner.",
    )
    stt_final_timeout_ms: StrictInt = Field(
        default=700,
        ge=50,
        le=10_000,
        description="How long to wait for the STT vendor's final text before its last interim "
        "text is taken instead; without any text, what was heard counts as noise.",
    )


class Interruption(Block):
    """When speech of the caller stops the agent. Both conditions must hold."""

    enabled: bool = Field(default=True, description="Whether the caller can interrupt the agent.")
    min_speech_ms: StrictInt = Field(
        default=300,
        ge=0,
        le=5000,
        description="Speech that is needed to interrupt; less is taken for a cough or an 'mm-hm'.",
    )
    min_words: StrictInt = Field(
        default=0,
        ge=0,
        le=20,
        description="Words that the STT vendor must have recognised to interrupt. 0 does not wait "
        "for text, which is right for vendors that give none before speech ends.",
    )


class Playout(Block):
    """How the agent's speech is handed to the carrier."""

    chunk_ms: StrictInt = Field(
        default=60,
        ge=20,
        le=500,
        multiple_of=20,
        description="Length of the pieces that audio is sent in.",
    )
    lead_ms: StrictInt = Field(
        default=200,
        ge=40,
        le=5000,
        description="How far ahead of what the caller hears audio is sent. Higher bridges worse "
        "networks, lower stops sooner when the caller interrupts.",
    )

    @field_validator("lead_ms")
    @classmethod
    def _holds_a_chunk(cls, value: int, info: ValidationInfo) -> int:
        chunk = info.data.get("chunk_ms", 0)
        if value < chunk:
            raise ValueError(f"must not be less than chunk_ms ({chunk}), but is {value}")
        return value


class TurnTaking(Block):
    """Who speaks when."""

    vad: Vad = Field(default=Vad(), description="Telling speech from silence.")
    endpointing: Endpointing = Field(
        default=Endpointing(), description="Telling the end of a turn from a pause."
    )
    interruption: Interruption = Field(
        default=Interruption(), description="Giving way to the caller."
    )
    playout: Playout = Field(default=Playout(), description="Sending speech to the carrier.")

"""The bounds of a call, what is said at them, and what the caller's keys do."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StrictInt

from voicecore.agents.fields import Block, Sentence, as_list

Sentences = Annotated[
    tuple[Sentence, ...],
    BeforeValidator(as_list, json_schema_input_type=Sentence | tuple[Sentence, ...]),
]
"""One sentence, or a list of sentences that are used in turn."""


class Silence(Block):
    """What happens when nobody says anything."""

    ask_after_ms: StrictInt = Field(
        default=8000,
        ge=1000,
        le=600_000,
        description="Silence of both sides after which the agent asks whether the caller is "
        "there. Time in which a tool runs does not count.",
    )
    max_asks: StrictInt = Field(
        default=2,
        ge=0,
        le=20,
        description="How often it asks in a row; if there is no answer to the last, it says "
        "goodbye and hangs up. 0 hangs up without asking.",
    )


class Limits(Block):
    """Bounds that end a wait, a loop or the call."""

    max_duration_s: StrictInt = Field(
        default=1800,
        ge=10,
        le=86_400,
        description="Longest duration of a call. At its end the agent says `phrases.wrap_up` and "
        "hangs up.",
    )
    silence: Silence = Field(default=Silence(), description="When nobody speaks.")
    llm_first_token_timeout_ms: StrictInt = Field(
        default=8000,
        ge=200,
        le=120_000,
        description="How long the model may take to begin its answer before it counts as failed.",
    )
    tts_first_audio_timeout_ms: StrictInt = Field(
        default=6000,
        ge=200,
        le=60_000,
        description="How long the voice may take to begin a reply before it counts as failed.",
    )
    tool_timeout_ms: StrictInt = Field(
        default=10_000,
        ge=100,
        le=120_000,
        description="How long an HTTP tool may take, unless it has its own `timeout_ms`.",
    )
    max_tool_rounds: StrictInt = Field(
        default=5,
        ge=1,
        le=50,
        description="How often in one turn the model may ask for tools and get their results "
        "before it must answer.",
    )
    max_tool_repeats: StrictInt = Field(
        default=2,
        ge=1,
        le=20,
        description="How often one tool may give the same result for the same arguments in one "
        "turn before it is not run again.",
    )
    max_tool_calls: StrictInt = Field(
        default=100,
        ge=1,
        le=10_000,
        description="How many tool calls one telephone call may make altogether.",
    )


class Phrases(Block):
    """Fixed sentences. The defaults are English; an agent of another language sets its own."""

    fallback: Sentence = Field(
        default="I'm sorry, something went wrong on our side. Please call again later. Goodbye.",
        description="Said before hanging up when the call cannot go on.",
    )
    apology: Sentence = Field(
        default="I'm sorry, could you say that again?",
        description="Said when the model gave no answer but the call goes on.",
    )
    silence_prompts: Annotated[Sentences, Field(min_length=1, max_length=20)] = Field(
        default=("Are you still there?", "Hello? I cannot hear you."),
        description="What the agent asks after `limits.silence.ask_after_ms`; one sentence, or a "
        "list used in turn.",
    )
    goodbye: Sentence = Field(
        default="Goodbye.",
        description="Said before hanging up when the model gave no farewell of its own.",
    )
    wrap_up: Sentence = Field(
        default="I'm sorry, we have reached the time limit for this call. Goodbye.",
        description="Said at `limits.max_duration_s`.",
    )
    tool_meanwhile: Annotated[Sentences, Field(max_length=20)] = Field(
        default=("One moment, please.",),
        description="Said while an HTTP tool runs that has no `say_while` of its own; one "
        "sentence, or a list used in turn. An empty list says nothing.",
    )
    fillers: Annotated[Sentences, Field(max_length=20)] = Field(
        default=("Let me see.", "Just a second.", "Bear with me."),
        description="Said in turn when an answer takes longer than `turn_taking.filler_after_ms`; "
        "short ones are best. An empty list says nothing.",
    )
    backchannels: Annotated[Sentences, Field(max_length=20)] = Field(
        default=("Mm-hm.", "Okay.", "I see."),
        description="Said in turn to a caller who talks at length, see "
        "`turn_taking.backchannel_after_ms`.",
    )


class DtmfInput(Block):
    """Keys that the caller presses while no `collect_digits` is under way."""

    enabled: bool = Field(
        default=True,
        description="Whether keys are passed to the model as the caller's turn; otherwise they "
        "are ignored.",
    )
    gap_ms: StrictInt = Field(
        default=2000,
        ge=200,
        le=30_000,
        description="Keys pressed no further apart than this belong to one entry.",
    )
    finish_key: Literal["#", "*", ""] = Field(
        default="#",
        description="The key that ends an entry at once and is not part of it; empty for none.",
    )

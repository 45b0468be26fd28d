"""When the caller has finished, when the agent gives way, and how far ahead it plays."""

from typing import Annotated, Literal

from pydantic import Field, StrictInt, StringConstraints, ValidationInfo, field_validator

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
        default=160,
        ge=40,
        le=2000,
        description="Silence that makes speech stop and asks the STT vendor for its final text.",
    )


class Endpointing(Block):
    """When a pause is the end of the caller's turn. The wait follows the text (a whole sentence
    ends sooner than "my number is") and the caller, who may pause more than others. STT vendors
    that detect turns themselves, such as Deepgram Flux, end it without waiting for this."""

    min_silence_ms: StrictInt = Field(
        default=400,
        ge=0,
        le=10_000,
        description="Silence, from the end of speech, before the agent may answer a whole "
        "sentence. It is never shorter than `turn_taking.vad.stop_ms`.",
    )
    open_silence_ms: StrictInt = Field(
        default=600,
        ge=0,
        le=10_000,
        description="The same after a text that may or may not be whole, such as one without "
        "punctuation.",
    )
    max_silence_ms: StrictInt = Field(
        default=2000,
        ge=0,
        le=10_000,
        description="The longest wait, after a text that is surely not whole. After one that ends "
        "with 'and', 'um' or in the middle of a number it is not much less.",
    )
    adapts: bool = Field(
        default=True,
        description="Whether the wait follows text and caller; otherwise it is `min_silence_ms`.",
    )
    stt_final_timeout_ms: StrictInt = Field(
        default=700,
        ge=50,
        le=10_000,
        description="How long to wait for the STT vendor's final text before its last interim "
        "text is taken instead; without any text, what was heard counts as noise.",
    )
    model: str = Field(
        default="",
        max_length=1000,
        description="A model that hears whether the caller has finished: `smart-turn-v3.2`, or the "
        "path of an ONNX file in the shape of Smart Turn v3, from the working directory unless it "
        "is absolute. Empty: none. Not asked where the STT vendor detects turns itself.",
    )
    model_finished_from: float = Field(
        default=0.9,
        ge=0,
        le=1,
        description="The model's probability from which the caller sounds finished: it weighs as "
        "much as a full stop of an STT vendor that hears where sentences end.",
    )
    model_unfinished_below: float = Field(
        default=0.5,
        validate_default=True,
        ge=0,
        le=1,
        description="The probability below which the caller sounds unfinished: it weighs as much "
        "the other way. Between and beyond, the weight follows the probability's log odds.",
    )
    model_timeout_ms: StrictInt = Field(
        default=200,
        ge=20,
        le=5000,
        description="An answer of the model that takes longer is dropped. No turn waits for it.",
    )

    @field_validator("model")
    @classmethod
    def _has_an_effect(cls, value: str, info: ValidationInfo) -> str:
        if value and not info.data.get("adapts", True):
            raise ValueError("has no effect with `adapts: false`")
        return value

    @field_validator("model_unfinished_below")
    @classmethod
    def _is_not_finished_too(cls, value: float, info: ValidationInfo) -> float:
        most = info.data.get("model_finished_from", 1.0)
        if value > most:
            raise ValueError(f"must not be above model_finished_from ({most}), but is {value}")
        return value


Words = Annotated[
    tuple[Annotated[str, StringConstraints(min_length=1, max_length=80)], ...],
    Field(max_length=200),
]


class Interruption(Block):
    """What happens when the caller makes a sound while the agent speaks. The agent's audio
    pauses after a moment; then it is decided, from words, length and loudness, whether the
    agent gives way or goes on where it was."""

    enabled: bool = Field(default=True, description="Whether the caller can interrupt the agent.")
    sensitivity: Literal["low", "normal", "high"] = Field(
        default="normal",
        description="How easily the agent gives way: sets `pause_ms`, `overlap_ms`, `short_ms`, "
        "`min_speech_ms` and `min_above_noise_db` where they are not given. `low` suits noisy "
        "lines, `high` callers who speak softly.",
    )
    pause_ms: StrictInt | None = Field(
        default=None,
        ge=20,
        le=2000,
        description="Speech that makes the agent pause, at once or when `overlap_ms` have passed "
        "since its onset; a shorter sound does not. By `sensitivity`: 300, 200 or 120.",
    )
    overlap_ms: StrictInt | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="How long after the onset of such speech the agent pauses at the earliest; "
        "words that interrupt do not wait. More breaks its sentence for less long when the caller "
        "only murmurs, or not at all for a sound that is judged before; less gives way sooner. 0: "
        "it pauses after `pause_ms`. By `sensitivity`: 450, 360 or 200.",
    )
    short_ms: StrictInt | None = Field(
        default=None,
        ge=0,
        le=5000,
        description="A shorter sound interrupts only by words that always do and by a short "
        "question: STT vendors make words of coughs and murmurs too. By `sensitivity`: 700, 550 "
        "or 350.",
    )
    min_speech_ms: StrictInt | None = Field(
        default=None,
        ge=20,
        le=5000,
        description="Speech that has the floor though no word of it is known by `decide_ms`, "
        "until there is one or it is over; less is taken for a cough. By `sensitivity`: 900, 600 "
        "or 400.",
    )
    min_above_noise_db: float | None = Field(
        default=None,
        ge=0,
        le=60,
        description="How much louder than the line's noise speech without known words must be. By "
        "`sensitivity`: 10, 6 or 3.",
    )
    quieter_db: float = Field(
        default=11.0,
        ge=0,
        le=60,
        description="Sound that is so much quieter than the caller usually speaks is somebody "
        "else, or a television, and does not interrupt. 60: loudness does not matter.",
    )
    decide_ms: StrictInt = Field(
        default=500,
        ge=100,
        le=2000,
        description="How long after `pause_ms` of speech a sound that goes on is judged first. "
        "One that is over is judged 580 ms after it, or 640 if its words are late, and a little "
        "later behind a word with which people also begin; nothing is waited for longer than 5 s.",
    )
    min_words: StrictInt = Field(
        default=0,
        ge=0,
        le=20,
        description="Words, apart from those of `never`, that the STT vendor must have recognised "
        "to interrupt. 0: one is enough, and so is speech of `min_speech_ms` without any.",
    )
    min_confidence: float = Field(
        default=0.6,
        ge=0,
        le=1,
        description="How sure the STT vendor must be of words to interrupt: it writes some for a "
        "cough or a laugh too, without being sure. 0.4 is enough of somebody who speaks for 2 s; "
        "a turn below that gets no answer, unless it is the second in a row. 0: the vendor is "
        "always believed.",
    )
    always: Words = Field(
        default=(),
        description="Words and phrases that interrupt whatever else is said, besides the usual "
        "ones of the agent's language, such as 'stop' or 'wait'.",
    )
    never: Words = Field(
        default=(),
        description="Words and phrases that do not interrupt, besides the usual ones of the "
        "agent's language, such as 'mm-hm' or 'okay'.",
    )
    protected: Words = Field(
        default=(),
        description="Sentences of the agent that nothing interrupts, such as a legal notice, as "
        "they are spoken.",
    )
    keys: bool = Field(
        default=True, description="Whether a pressed key stops the agent, like an interruption."
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


class Preemptive(Block):
    """Having the model begin when the caller has probably finished. The answer is used if what
    the caller said turns out to be just that, and dropped otherwise; `draft_dropped` events tell
    what that cost. No tool runs before the turn is certain."""

    enabled: bool = Field(
        default=True,
        description="Whether the model begins early. Off, no request is ever made in vain.",
    )
    voice: bool = Field(
        default=False,
        description="Whether the answer's first sentence is spoken beforehand too: sooner "
        "answers, and speech that may be paid for in vain.",
    )
    max_per_turn: StrictInt = Field(
        default=3, ge=1, le=10, description="How many answers are begun for one turn at most."
    )


class TurnTaking(Block):
    """Who speaks when."""

    vad: Vad = Field(default=Vad(), description="Telling speech from silence.")
    endpointing: Endpointing = Field(
        default=Endpointing(), description="Telling the end of a turn from a pause."
    )
    interruption: Interruption = Field(
        default=Interruption(), description="Giving way to the caller."
    )
    preemptive: Preemptive = Field(
        default=Preemptive(), description="Beginning the answer before the turn is over."
    )
    filler_after_ms: StrictInt = Field(
        default=2000,
        ge=0,
        le=30_000,
        description="Silence, while the caller waits for an answer, after which one of "
        "`phrases.fillers` is said. It gives way to the answer at once. 0: never.",
    )
    backchannel_after_ms: StrictInt = Field(
        default=0,
        ge=0,
        le=60_000,
        description="How long a caller has talked when the agent says one of "
        "`phrases.backchannels` in the next pause. 0: never.",
    )
    playout: Playout = Field(default=Playout(), description="Sending speech to the carrier.")

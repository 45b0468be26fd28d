"""Having the model answer: its text to sentences, its calls to the tools, its failures to
apologies. Part of the turn machine."""

from typing import Protocol

from voicecore.providers.errors import VendorError
from voicecore.providers.llm import (
    LlmDone,
    LlmEvent,
    LlmRequest,
    LlmText,
    LlmToolCall,
    ToolSpec,
)
from voicecore.turns.deadlines import Deadlines
from voicecore.turns.drafting import Draft
from voicecore.turns.events import vendor_failed
from voicecore.turns.history import History
from voicecore.turns.outputs import Emit, FinishSaying, Output, StartLlm, StopLlm
from voicecore.turns.reply import Reply, ReplyKind
from voicecore.turns.settings import TurnSettings
from voicecore.turns.synthesis import PROGRESS, Synthesis
from voicecore.turns.tooling import Tooling

FIRST_TOKEN = "first_token"
LONGEST_ANSWER_CHARS = 20_000
"""A model that goes on beyond this (twenty minutes of speech) is stopped."""
MAX_CALLS_IN_ANSWER = 64
MAX_LLM_FAILURES = 2


class Speaking(Protocol):
    """The speaking side, as thinking uses it."""

    def speak(
        self, now_ms: int, kind: ReplyKind, text: str, *, end_reason: str | None = None
    ) -> None: ...

    def cut(self, now_ms: int, why: str) -> None: ...

    def give_up(self, now_ms: int, reason: str) -> None: ...


class Thinking:
    """The model's side of the live reply. Appends to the machine's outputs."""

    def __init__(
        self,
        settings: TurnSettings,
        history: History,
        tools: Tooling,
        tool_specs: tuple[ToolSpec, ...],
        deadlines: Deadlines,
        out: list[Output],
        voice: Synthesis,
        speaker: Speaking,
    ) -> None:
        self._settings = settings
        self._history = history
        self._tools = tools
        self._tool_specs = tool_specs
        self._deadlines = deadlines
        self._out = out
        self._voice = voice
        self._speaker = speaker
        self._failures = 0

    def ask(self, now_ms: int, reply: Reply) -> None:
        """Ask the model for a reply, or for the rest of it after its tools."""
        reply.may_call = self._tools.allowed
        specs = self._tool_specs if reply.may_call else ()
        request = LlmRequest(self._history.messages(), specs)
        self._out.append(StartLlm(reply.number, request))
        self._deadlines.set(FIRST_TOKEN, now_ms + self._settings.first_token_timeout_ms)

    def adopt(self, now_ms: int, draft: Draft) -> None:
        """The draft's model goes on for the live reply: take what it said so far."""
        reply = draft.reply
        self._deadlines.set(FIRST_TOKEN, now_ms + self._settings.first_token_timeout_ms)
        if draft.came:
            reply.latency.mark("llm_first_token", draft.came[0][0])
        for _, event in draft.came:
            self.came(now_ms, reply, event)

    def came(self, now_ms: int, reply: Reply, event: LlmEvent) -> None:
        """The model said something of the live reply."""
        if reply.llm_done:
            return
        if isinstance(event, LlmText) and not event.text:
            return  # no progress
        self._deadlines.clear(FIRST_TOKEN)
        self._voice.progress(now_ms)
        if isinstance(event, LlmText):
            reply.latency.mark("llm_first_token", now_ms)
            text = event.text[: LONGEST_ANSWER_CHARS + 1 - len(reply.round_text)]
            reply.round_text += text
            for sentence in reply.sentences.push(text):
                self._voice.say(now_ms, reply, sentence)
        elif isinstance(event, LlmToolCall):
            if reply.may_call:
                reply.calls.append(self._tools.own(event.call))
        elif isinstance(event, LlmDone):
            self._done(now_ms, reply, event)
            return
        if len(reply.round_text) > LONGEST_ANSWER_CHARS or len(reply.calls) >= MAX_CALLS_IN_ANSWER:
            self._out.append(StopLlm(reply.number))
            detail = f"more than {LONGEST_ANSWER_CHARS} characters or {MAX_CALLS_IN_ANSWER} calls"
            error = VendorError("llm", "garbage", detail, retryable=False)
            self._out.append(vendor_failed("llm", error, reply.number))
            self._done(now_ms, reply, LlmDone())

    def _done(self, now_ms: int, reply: Reply, done: LlmDone) -> None:
        reply.llm_done = True
        for sentence in reply.sentences.flush():
            self._voice.say(now_ms, reply, sentence)
        self._out.append(
            Emit(
                "llm_usage",
                {
                    "reply": reply.number,
                    "input_tokens": done.input_tokens,
                    "cached_tokens": done.cached_tokens,
                    "output_tokens": done.output_tokens,
                },
            )
        )
        if reply.calls:
            self._failures = 0
            self._deadlines.clear(PROGRESS)
            self._tools.run(now_ms, reply)
        elif reply.script and (reply.round_text.strip() or reply.acted):
            self._failures = 0
            self._out.append(FinishSaying(reply.number))
        elif reply.acted:  # it was asked to do something, not to talk
            self._failures = 0
            self._speaker.cut(now_ms, "nothing_to_say")
        else:
            error = VendorError("llm", "garbage", "an empty answer", retryable=True)
            self.failed(now_ms, reply, error)

    def timed_out(self, now_ms: int, reply: Reply, code: str) -> None:
        """Nothing, or nothing more, came in time."""
        self._out.append(StopLlm(reply.number))
        error = VendorError("llm", code, "nothing came in time", retryable=True)
        self.failed(now_ms, reply, error)

    def failed(self, now_ms: int, reply: Reply, error: VendorError) -> None:
        """Finish what was begun, else apologise, else give up."""
        self._failures += 1
        self._out.append(vendor_failed("llm", error, reply.number))
        if not error.retryable or self._failures >= MAX_LLM_FAILURES:
            self._speaker.give_up(now_ms, "llm_failed")
        elif reply.script:
            reply.llm_done = True
            self._deadlines.clear(FIRST_TOKEN)
            if not reply.round_text.strip():  # "One moment, please", and then nothing
                self._voice.say(now_ms, reply, self._settings.phrases.apology)
            self._voice.progress(now_ms)
            self._out.append(FinishSaying(reply.number))
        else:
            self._speaker.cut(now_ms, "llm_failed")
            self._speaker.speak(now_ms, ReplyKind.PROMPT, self._settings.phrases.apology)

"""Preemptive replies: the model begins when the caller has probably finished, and what it says
is held back until it is certain. Part of the turn machine.

A draft becomes the reply if, once the turn is decided, the model would be asked the same thing:
the same conversation, the caller's words equal but for punctuation and capitals. Otherwise it is
dropped, and what it cost is told. Nothing that a draft asks for happens before it is used, tools
least of all. There is at most one draft, and never beside a live reply.
"""

from collections.abc import Callable

from voicecore.providers.errors import VendorError
from voicecore.providers.llm import LlmDone, LlmEvent, LlmRequest, LlmText, LlmToolCall, ToolSpec
from voicecore.turns.backchannels import plain
from voicecore.turns.deadlines import Deadlines
from voicecore.turns.history import History
from voicecore.turns.outputs import DropDraft, Emit, Output, Say, StartLlm, StopLlm, UseDraft
from voicecore.turns.reply import Reply
from voicecore.turns.settings import PreemptivePolicy
from voicecore.turns.tooling import Tooling

DRAFT = "draft"
LONGEST_DRAFT_MS = 5000
"""A caller who has probably finished for so long has not: the draft is dropped."""
LONGEST_DRAFT_CHARS = 8000
MOST_HELD_CALLS = 64
MOST_VOICED_CHARS = 200
"""How much of a draft is spoken beforehand: about its first sentence."""


class Draft:
    """An answer to a turn that is not decided yet."""

    def __init__(self, reply: Reply, text: str, request: LlmRequest, now_ms: int) -> None:
        self.reply = reply
        self.request = request
        self.text = plain(text)
        self.started_ms = now_ms
        self.came: list[tuple[int, LlmEvent]] = []
        """What the model said, and when."""
        self.characters = 0
        self.calls = 0
        self.voiced_chars = 0
        self.usage = LlmDone()


class Drafting:
    """Holds the draft. Appends to the machine's outputs."""

    def __init__(
        self,
        policy: PreemptivePolicy,
        history: History,
        tools: Tooling,
        tool_specs: tuple[ToolSpec, ...],
        deadlines: Deadlines,
        out: list[Output],
        new_reply: Callable[[], Reply],
    ) -> None:
        self.draft: Draft | None = None
        self._policy = policy
        self._history = history
        self._tools = tools
        self._tool_specs = tool_specs
        self._deadlines = deadlines
        self._out = out
        self._new_reply = new_reply
        self._begun = 0
        """Drafts of this turn."""

    def foresee(self, now_ms: int, text: str, *, likely: bool) -> None:
        """What the caller has said so far, and whether that is likely to be all."""
        draft = self.draft
        if draft is not None and plain(text) != draft.text:
            self.drop(now_ms, "text_changed")
            draft = None
        if not likely or draft is not None or not self._policy.enabled:
            return
        if self._begun >= self._policy.max_per_turn or not plain(text):
            return
        self._begun += 1
        reply = self._new_reply()
        reply.may_call = self._tools.allowed_in_next_turn
        request = LlmRequest(self._history.preview(text), self._specs(reply))
        self.draft = Draft(reply, text, request, now_ms)
        self._deadlines.set(DRAFT, now_ms + LONGEST_DRAFT_MS)
        self._out.append(Emit("draft_started", {"reply": reply.number, "text": text}))
        self._out.append(StartLlm(reply.number, request))

    def came(self, now_ms: int, event: LlmEvent) -> None:
        """The model said something of the draft: it is kept for later."""
        draft = self.draft
        assert draft is not None
        draft.came.append((now_ms, event))
        if isinstance(event, LlmText):
            draft.characters += len(event.text)
            if self._policy.voice and draft.voiced_chars < MOST_VOICED_CHARS:
                self._voice(draft, draft.reply.draft_sentences.push(event.text))
        elif isinstance(event, LlmToolCall):
            draft.calls += 1
        elif isinstance(event, LlmDone):
            draft.usage = event
            if self._policy.voice and draft.voiced_chars < MOST_VOICED_CHARS:
                self._voice(draft, draft.reply.draft_sentences.flush())
        if draft.characters > LONGEST_DRAFT_CHARS or draft.calls > MOST_HELD_CALLS:
            self._begun = self._policy.max_per_turn
            self.drop(now_ms, "too_long")

    def _voice(self, draft: Draft, sentences: list[str]) -> None:
        for sentence in sentences:
            draft.voiced_chars += len(sentence)
            draft.reply.said_beforehand += 1
            self._out.append(Say(draft.reply.number, sentence))

    def failed(self, now_ms: int, error: VendorError) -> None:
        """The model or the voice failed the draft: the turn is answered without one."""
        self._begun = self._policy.max_per_turn
        self.drop(now_ms, error.code)

    def due(self, now_ms: int) -> None:
        """The draft is too old."""
        self.drop(now_ms, "timeout")

    def take(self, now_ms: int) -> Draft | None:
        """The caller's turn is decided and in the history: the draft, if it answers just that."""
        draft = self.draft
        self._begun = 0
        if draft is None:
            return None
        reason = self._difference(draft)
        if reason:
            self.drop(now_ms, reason)
            return None
        self.draft = None
        self._deadlines.clear(DRAFT)
        data = {"reply": draft.reply.number, "lead_ms": now_ms - draft.started_ms}
        self._out.append(Emit("draft_used", data))
        self._out.append(UseDraft(draft.reply.number))
        return draft

    def drop(self, now_ms: int, reason: str) -> None:
        """It is not needed, or no good."""
        draft, self.draft = self.draft, None
        if draft is None:
            return
        self._deadlines.clear(DRAFT)
        self._out.append(StopLlm(draft.reply.number))
        self._out.append(DropDraft(draft.reply.number))
        self._out.append(
            Emit(
                "draft_dropped",
                {
                    "reply": draft.reply.number,
                    "reason": reason,
                    "after_ms": now_ms - draft.started_ms,
                    "output_characters": draft.characters,
                    "input_tokens": draft.usage.input_tokens,
                    "output_tokens": draft.usage.output_tokens,
                },
            )
        )

    def turn_ignored(self, now_ms: int) -> None:
        """What the draft answers was no turn."""
        self._begun = 0
        self.drop(now_ms, "turn_ignored")

    def _specs(self, reply: Reply) -> tuple[ToolSpec, ...]:
        return self._tool_specs if reply.may_call else ()

    def _difference(self, draft: Draft) -> str:
        if draft.reply.may_call != self._tools.allowed_in_next_turn:
            return "context_changed"
        then, now = draft.request.messages, self._history.messages()
        if then[:-1] != now[:-1]:
            return "context_changed"
        return "" if plain(then[-1].text) == plain(now[-1].text) else "text_changed"

"""What must hold after every step of a call, watched from within its session.

The only places where the simulation looks into the product are here; each says what it reads.
"""

from collections.abc import Callable
from typing import Any

from media.playout import QUEUE_LIMIT_MS
from media.transport import Leg
from voicecore.answering import AnsweringAgent
from voicecore.call_record import CallRecord
from voicecore.session import INBOX_LIMIT, Session
from voicecore.turns.machine import Phase
from voicecore.turns.outputs import Emit, PlayTones


class WatchedLeg(Leg):
    """``hear(reply, audio)`` gets everything that is handed to it."""

    hear: Callable[[int, bytes], None] | None = None

    def play(self, reply: int, audio: bytes) -> None:
        if self.hear is not None:
            self.hear(reply, audio)
        super().play(reply, audio)


class WatchedSession(Session):
    """A session that notes in ``wrong`` what must not be; nothing it does is changed."""

    def __init__(self, leg: Leg, agent: AnsweringAgent, record: CallRecord, tools: Any) -> None:
        self.wrong: list[str] = []
        self.ended_replies: set[int] = set()
        self.inbox_max = 0
        self.last_progress_ms = 0
        self.begun = False
        self.with_tones: set[int] = set()
        """Replies in which keys are pressed."""
        self._cleared: dict[int, int] = {}
        self._last_live = 0
        super().__init__(leg, agent, record, tools)
        self._queue_limit_bytes = QUEUE_LIMIT_MS * self.leg.started.outbound.bytes_per_ms

    # What is read

    @property
    def reply_in_voice(self) -> int:
        voice = self._saying._voice
        return (voice._number or 0) if voice is not None else 0

    @property
    def replies_begun(self) -> int:
        return self._machine._speaker._count

    @property
    def phase(self) -> Phase:
        return self._machine.phase

    @property
    def assistant_texts(self) -> list[str]:
        """What the history says that the agent said."""
        messages = self._machine._speaker._history._messages
        return [each.text for each in messages if each.role == "assistant" and each.text]

    @property
    def moment(self) -> str:
        """What is going on."""
        machine = self._machine
        if machine.phase is not Phase.TALKING:
            return "while the call ends"
        if machine._speaker.paused:
            return "in a pause"
        if self._hearing._edges.speaking:
            return "while the caller speaks"
        if machine._speaker.audible:
            return "while the agent speaks"
        return "while it thinks" if machine.live_reply is not None else "in silence"

    def owns(self, tasks: object) -> bool:
        return tasks is self._tasks

    def left_behind(self) -> list[str]:
        """What should not be there once the call is over."""
        left = []
        if self._inbox:
            left.append(f"{len(self._inbox)} items in the inbox")
        if self._timer is not None:
            left.append("the session's timer")
        if self._tasks._tasks:
            left.append("tasks of the call")
        if self._hearing._stt is not None:
            left.append("the stream to the speech-to-text")
        if self.leg._timer is not None:
            left.append("the leg's timer")
        if self.leg._owner is not None:
            left.append("the leg's owner")
        if self._machine.next_deadline() is not None:
            left.append("a deadline of the machine")
        if self._saying._held or self._machine.draft is not None:
            left.append("a draft")
        return left

    def _run_of(self, reply: int) -> int:
        """How often a reply was resumed after a pause; one that the playout has forgotten can
        never be resumed."""
        state = self._playout._replies.get(reply)
        return getattr(state, "run", 0) if state is not None else 1 << 30

    # Watching

    def sent(self, what: str, reply: int) -> None:
        """Audio of a reply (0: of nobody knows which), or a clear while it was the last to be
        heard, goes to the wire."""
        self.last_progress_ms = self.leg.now_ms()
        if not reply:
            return
        if what == "clear":
            self._cleared[reply] = self._run_of(reply)
            return
        if reply in self.ended_replies:
            self._fail(f"1: audio of reply {reply}, which has ended")
        if reply == self._machine.draft:
            self._fail(f"1: audio of reply {reply}, which is a draft")
        if reply in self._cleared and self._run_of(reply) <= self._cleared[reply]:
            self._fail(f"2: audio of reply {reply} after its clear, without a resume")

    def _fail(self, what: str) -> None:
        self.wrong.append(f"{what} at {self.leg.now_ms()} ms")

    def _post(self, item: Any) -> None:
        super()._post(item)
        if len(self._inbox) > self.inbox_max:
            self.inbox_max = len(self._inbox)

    def _begin(self) -> None:
        super()._begin()
        # What was posted is taken before the next deadline is set, and so before the next check.
        self.begun = True

    def _perform(self, output: Any) -> None:
        super()._perform(output)
        if type(output) is PlayTones:
            self.with_tones.add(output.reply)
        if type(output) is not Emit:
            return
        kind = output.type
        if kind == "agent_turn":
            reply = output.data["reply"]
            if reply in self.ended_replies:
                self._fail(f"3: reply {reply} ends twice")
            self.ended_replies.add(reply)
        elif kind == "draft_dropped":
            if output.data["reply"] in self.ended_replies:
                self._fail(f"3: draft {output.data['reply']} ends twice")
            self.ended_replies.add(output.data["reply"])
        elif kind == "tool_called" and output.data["reply"] == self._machine.draft:
            self._fail(f"1: a tool runs for reply {output.data['reply']}, which is a draft")
        self.last_progress_ms = self.leg.now_ms()

    def _arm(self) -> None:
        """The end of every step."""
        super()._arm()
        machine = self._machine
        live = machine.live_reply
        if live is not None and live != self._last_live:
            if live < self._last_live:
                self._fail(f"1: reply {live} lives again after {self._last_live}")
            if live in self.ended_replies:
                self._fail(f"1: reply {live} lives and has ended")
            self._last_live = live
        if machine.phase is not Phase.ENDED and self.begun and not self._over.done():
            deadline_ms = machine.next_deadline()
            if deadline_ms is None:
                if not self._hearing._edges.speaking:
                    self._fail("5: nothing is awaited and nobody speaks")
            elif self._timer is None or self._timer_ms != deadline_ms:
                self._fail("5: a deadline without its timer")
        unsent = 0
        for state in self._playout._replies.values():
            unsent += state.unsent_bytes()
        if unsent > self._queue_limit_bytes:
            self._fail("8: the playout holds too much")

    def _crash(self, error: BaseException) -> None:
        self._fail(f"9: the session failed: {error!r}")
        super()._crash(error)

    @property
    def queues(self) -> list[str]:
        """Bounds that were exceeded."""
        if self.inbox_max > INBOX_LIMIT:
            return [f"8: {self.inbox_max} items in the inbox"]
        return []

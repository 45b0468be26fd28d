"""One call: the shell around the turn machine.

The leg's callbacks and the vendors' sinks post into one bounded inbox; one consumer, run by the
event loop as soon as something is there, gives each item to the machine and carries out what
the machine answers. Nothing is awaited between the two. Frames do not pass the inbox.

What the call hears is in ``hearing``, what it asks the model in ``asking``, what it says in
``saying``.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, assert_never

import structlog

from media.clock import Timer
from media.playout import Playout
from media.playout_events import PlayoutEvent
from media.playout_events import ReplyStarted as PlayoutStarted
from media.transport import Leg
from voicecore.answering import AnsweringAgent
from voicecore.asking import Asking
from voicecore.call_record import CallRecord
from voicecore.call_tasks import CallTasks
from voicecore.hearing import Hearing
from voicecore.last_words import LastWords
from voicecore.saying import Saying
from voicecore.tools.requests import HttpCall
from voicecore.turns import inputs, outputs
from voicecore.turns.history import History
from voicecore.turns.machine import Phase, TurnMachine
from voicecore.vendor_log import VendorLog
from voicecore.voice_events import Voiced

if TYPE_CHECKING:  # its HTTP client takes long to load
    from voicecore.tools.http import HttpToolRunner

INBOX_LIMIT = 2000
"""Items between two runs of the consumer. More is a vendor gone mad: the call ends."""

LEAVE_TIMEOUT_S = 2.0
"""How long the call's tasks may take to end when it is over."""

log = structlog.get_logger("voicecore.session")


class InboxOverflow(Exception):
    """Far more happened at once than a call brings about."""


class Session:
    """A live call. ``run`` lives as long as the call; everything else is called from the
    event loop and returns at once."""

    def __init__(
        self, leg: Leg, agent: AnsweringAgent, record: CallRecord, http_tools: "HttpToolRunner"
    ) -> None:
        self.leg = leg
        self.agent = agent
        self.ended_reason = ""
        self._record = record
        self._http_tools = http_tools
        conduct = agent.conduct
        names = {"stt": agent.stt.name, "llm": agent.llm.name, "tts": agent.tts.name}
        self._vendor_log = VendorLog(names, self._log_keys())
        self._playout = Playout(
            leg.started.outbound, lead_ms=conduct.lead_ms, chunk_ms=conduct.chunk_ms
        )
        self._hearing = Hearing(leg, agent, record=record.caller_audio, post=self._post)
        self._machine = TurnMachine(
            conduct.turns,
            history=History(conduct.instructions),
            tools=agent.tools,
            guard=agent.new_guard(),
            played_ms=self._playout.cut_ms,
            ear=self._hearing,
        )
        self._tasks = CallTasks(self._task_failed)
        self._asking = Asking(agent.llm, self._tasks, post=self._post)
        self._saying = Saying(
            leg,
            agent,
            record,
            self._machine,
            step=self._step,
            post=self._post,
            post_first=self._post_first,
            tell=self._perform,
            held_limit=INBOX_LIMIT // 2,
        )
        self._last_words = LastWords(leg, agent)
        self._inbox: deque[inputs.Input | Voiced] = deque()
        self._draining = False
        self._timer: Timer | None = None
        self._timer_ms: int | None = None
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        leg.attach(self, self._playout)

    async def run(self) -> None:
        """See the call through. A bug ends this call, with ``internal_error``, and no other; a
        vendor's task that does not end holds it for ``LEAVE_TIMEOUT_S`` at most."""
        await self._tasks.around(self._live(), LEAVE_TIMEOUT_S)

    async def _live(self) -> None:
        try:
            if not await self._ends_well():
                await self._last_words.say(self._machine.live_reply)
                self.leg.hang_up()
        finally:
            if not self.ended_reason:  # the process does not wait for the call any longer
                self._tell_end("cancelled")
            self._release()
            self.leg.hang_up()
            self._record.close()

    async def _ends_well(self) -> bool:
        """Wait for the call's end. False: a bug brought it."""
        try:
            self._begin()
            await self._over
        except Exception as error:
            self._failed(error)
            return False
        return True

    def request_end(self, reason: str) -> None:
        """End the call politely."""
        self._post(inputs.EndRequested(reason))

    # From the leg

    def on_frame(self, now_ms: int, frame: bytes) -> None:
        try:
            self._hearing.frame(now_ms, frame)
        except Exception as error:
            self._crash(error)

    def on_dtmf(self, digit: str) -> None:
        self._post(inputs.DigitPressed(digit))

    def on_playout(self, event: PlayoutEvent) -> None:
        self._last_words.on_playout(event)
        if isinstance(event, PlayoutStarted):
            self._post(inputs.ReplyStarted(event.reply, event.at_ms))
        else:
            self._post(inputs.ReplyPlayed(event.reply, event.played_ms))

    def on_sent(self, at_ms: int, payload: bytes) -> None:
        self._record.agent_audio(at_ms, payload)
        self._hearing.agent_said(payload)

    def on_fault(self, code: str, detail: str) -> None:
        self._record.event("carrier_fault", self.leg.now_ms(), {"code": code, "detail": detail})

    def on_closed(self, reason: str) -> None:
        self._last_words.on_closed()
        self._post(inputs.StreamClosed(reason))

    # The inbox

    def _post(self, item: inputs.Input | Voiced) -> None:
        if self._over.done():
            return
        if len(self._inbox) >= INBOX_LIMIT:
            self._crash(InboxOverflow(f"{INBOX_LIMIT} items at once"))
            return
        self._inbox.append(item)
        if not self._draining:
            self._draining = True
            self._loop.call_soon(self._drain)

    def _post_first(self, items: Sequence[inputs.Input | Voiced]) -> None:
        """Take these next."""
        self._inbox.extendleft(reversed(items))
        if items and not self._draining:
            self._draining = True
            self._loop.call_soon(self._drain)

    def _drain(self) -> None:
        """The one consumer. A bug in what it calls ends this call."""
        try:
            while self._inbox and not self._over.done():
                item = self._inbox.popleft()
                if isinstance(item, Voiced):
                    self._saying.receive(item)
                else:
                    self._step(item)
            self._arm()
        except Exception as error:
            self._crash(error)
        finally:
            self._draining = False

    def _step(self, item: inputs.Input) -> None:
        self._act(self._machine.receive(self.leg.now_ms(), item))

    def _act(self, wanted: list[outputs.Output]) -> None:
        for output in wanted:
            self._perform(output)
        if self._machine.phase is Phase.ENDED:
            self._finish()

    def _on_timer(self) -> None:
        self._timer = None
        self._drain()  # what came before goes first: the end of the line, a text that is late
        try:
            if not self._over.done():
                self._act(self._machine.on_deadline(self.leg.now_ms()))
            self._arm()
        except Exception as error:
            self._crash(error)

    def _arm(self) -> None:
        deadline_ms = None if self._over.done() else self._machine.next_deadline()
        if self._timer is not None:
            if deadline_ms == self._timer_ms:
                return
            self._timer.cancel()
            self._timer = None
        self._timer_ms = deadline_ms
        if deadline_ms is not None:
            self._timer = self.leg.call_at(deadline_ms, self._on_timer)

    # What the machine wants done

    def _perform(self, output: outputs.Output) -> None:  # noqa: C901 - a table
        match output:
            case outputs.Emit():  # first, for most are
                if output.type == "call_ended":
                    self.ended_reason = output.data["reason"]
                    self._record_quality()
                data = self._vendor_log.event(output.type, output.data)
                self._record.event(output.type, self.leg.now_ms(), data)
            case outputs.StartLlm():
                self._asking.ask(output.reply, output.request)
            case outputs.StopLlm():
                self._asking.stop()
            case outputs.Say():
                self._vendor_log.said(output.text)
                self._saying.say(output.reply, output.text)
            case outputs.SayPhrase():
                self._saying.say_phrase(output.reply, output.text)
            case outputs.SayFiller():
                self._saying.say_filler(output.reply, output.text)
            case outputs.ShortenReply():
                self.leg.shorten(output.reply, output.to_ms)
            case outputs.UseDraft():
                self._saying.use_draft()
            case outputs.DropDraft():
                self._saying.drop_draft(output.reply)
            case outputs.FinishSaying():
                self._saying.finish(output.reply)
            case outputs.RestartVoice():
                self._saying.drop(output.reply)
            case outputs.CancelReply():
                self._asking.stop()
                self._saying.drop(output.reply)
                # Its audio may be in the playout though the machine does not know of it yet.
                self._silence(output.reply)
            case outputs.ClearPlayout():
                self._silence(output.reply)
            case outputs.PauseReply():
                quiet_ms = self.leg.pause(output.reply)
                self._post(inputs.ReplyPaused(output.reply, quiet_ms))
                self._record.cut_agent_audio(self.leg.now_ms())
            case outputs.ResumeReply():
                self.leg.resume(output.reply, output.from_ms)
            case outputs.WantInterim():
                self._hearing.want_interim()
            case outputs.FinalizeStt():
                self._hearing.finalize()
            case outputs.TurnOver():
                self._hearing.turn_over()
            case outputs.ReopenStt():
                self._hearing.open(self._tasks.spawn)
            case outputs.RunHttpTool():
                self._tasks.spawn(self._run_tool(output.request))
            case outputs.PlayTones():
                self._saying.play_tones(output.reply, output.digits)
            case outputs.HangUp():
                self.leg.hang_up()
            case _:
                assert_never(output)

    def _silence(self, reply: int) -> None:
        self.leg.clear(reply)
        self._record.cut_agent_audio(self.leg.now_ms())

    async def _run_tool(self, request: HttpCall) -> None:
        result = await self._http_tools.run(request)
        self._post(inputs.ToolAnswered(result))

    # Beginning and end

    def _begin(self) -> None:
        self._saying.open(self._tasks.spawn)
        self._hearing.open(self._tasks.spawn)
        self._record.event("call_started", 0, self._call_facts())
        self._post(inputs.CallStarted())

    def _finish(self) -> None:
        if not self._over.done():
            self._over.set_result(None)

    def _crash(self, error: BaseException) -> None:
        if not self._over.done():
            self._over.set_exception(error)

    def _task_failed(self, error: BaseException) -> None:
        if self._over.done():
            log.error("a task failed after the end", exc_info=error, **self._log_keys())
        else:
            self._crash(error)

    def _failed(self, error: Exception) -> None:
        if isinstance(error, InboxOverflow):
            self._tell_end("inbox_overflow")
            log.error("call flooded", detail=str(error), **self._log_keys())
        else:
            self._tell_end("internal_error")
            log.error("call failed by a bug", exc_info=error, **self._log_keys())
        self._release()

    def _release(self) -> None:
        """Leave nothing behind: no timer, stream or task."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._inbox.clear()
        self._asking.stop()
        self._hearing.close()
        self._saying.close()
        self._tasks.cancel()

    def _tell_end(self, reason: str) -> None:
        """Tell the end of the live reply and of the call, in whatever state the machine is."""
        wanted: list[outputs.Output] = []
        try:
            wanted = self._machine.receive(self.leg.now_ms(), inputs.StreamClosed(reason))
        except Exception as error:
            log.error("the machine cannot end", exc_info=error, **self._log_keys())
        for output in wanted:
            if isinstance(output, outputs.Emit | outputs.CancelReply):
                self._perform_last(output)
        if not self.ended_reason:
            self._perform(outputs.Emit("call_ended", {"reason": reason}))
        self.ended_reason = reason

    def _perform_last(self, output: outputs.Output) -> None:
        """What fails now must not keep back what follows: the bill."""
        try:
            self._perform(output)
        except Exception as error:
            log.error("cannot end cleanly", exc_info=error, **self._log_keys())

    def _record_quality(self) -> None:
        """How the line was; before each ``call_ended``, but recorded once."""
        quality = self.leg.quality
        if not self._record.line_quality(self.leg.now_ms(), quality):
            return
        if quality.inbound_dropped_ms:
            dropped_ms = quality.inbound_dropped_ms
            log.warning("audio came too fast", dropped_ms=dropped_ms, **self._log_keys())

    def _call_facts(self) -> dict[str, Any]:
        started = self.leg.started
        return {
            "carrier": started.carrier,
            "call_id": started.call_id,
            "stream_id": started.stream_id,
            "agent": self.agent.conduct.name,
            "inbound": f"{started.inbound.encoding} {started.inbound.rate_hz}",
            "outbound": f"{started.outbound.encoding} {started.outbound.rate_hz}",
        }

    def _log_keys(self) -> dict[str, str]:
        return {"call_id": self.leg.started.call_id, "carrier": self.leg.started.carrier}

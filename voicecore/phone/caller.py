"""The caller: runs a script, 20 ms at a time. Pure; time is an input in microseconds.

The script is one generator that yields a frame per tick. A wait is a loop that yields silence,
an utterance a loop that yields its frames: the order of the script is the order of the code.
"""

from collections.abc import Generator
from pathlib import PurePath
from typing import Literal

import msgspec

from voicecore.phone.script import (
    Drop,
    HangUp,
    PressKeys,
    Repeat,
    Script,
    Silence,
    Step,
    Utter,
    UtteranceKind,
    Wait,
)
from voicecore.phone.sounds import Frame, Sounds

TICK_US = 20_000
KEY_TICKS = 10
KEY_PAUSE_TICKS = 25
STRETCH_US = 700_000
"""Agent audio this far apart belongs to two speeches."""
_SPEAKING_US = 300_000
_BREAK_US = 150_000
"""After the caller has spoken, this much silence parts the answer from what was said before."""

Outcome = Literal[
    "running", "completed", "wait_timed_out", "call_timed_out", "server_ended", "connect_failed"
]


class Said(msgspec.Struct):
    """An utterance as it was sent; None has not happened. The times are those at which the
    frames left: a carrier's frame leaves when its last sample has been spoken."""

    line: int
    kind: UtteranceKind
    text: str
    started_us: int
    first_voiced_us: int | None = None
    last_voiced_us: int | None = None
    ended_us: int | None = None


class SaidStarted(msgspec.Struct, frozen=True):
    said: Said


class SaidFinished(msgspec.Struct, frozen=True):
    said: Said


class PressKey(msgspec.Struct, frozen=True):
    digit: str


class EndCall(msgspec.Struct, frozen=True):
    """The caller is gone: ``hang_up`` says so to the server, the others just vanish."""

    how: Literal["hang_up", "drop", "half_message"]


Action = SaidStarted | SaidFinished | PressKey | EndCall


class _Over(Exception):
    """The script ends here."""

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.detail = detail


class Caller:
    """One call's caller. Each ``tick`` gives the frame to send; ``actions`` fills with what else
    to do, and whoever ticks empties it. ``stop_at_us`` ends the call there, as a success."""

    def __init__(
        self,
        script: Script,
        sounds: Sounds,
        start_us: int,
        *,
        stop_at_us: int | None = None,
        idle_offset: int = 0,
    ) -> None:
        self.outcome: Outcome = "running"
        self.detail = ""
        self.said: list[Said] = []
        self.actions: list[Action] = []
        self._sounds = sounds
        self._now_us = start_us
        self._timeout_at_us = start_us + script.timeout_ms * 1000
        self._stop_at_us = stop_at_us
        self._ticks = idle_offset
        self._closed = False
        self._stretch_us = start_us
        self._agent_end_us: int | None = None
        self._since_us = start_us
        self._frames = self._run(script.steps)

    def tick(self, now_us: int, agent: tuple[int, int] | None) -> Frame:
        """The next frame to send. ``agent`` is the span of agent audio heard since the last
        tick, if any was audible."""
        self._now_us = now_us
        self._ticks += 1
        if agent is not None:
            self._hear(*agent)
        if self.outcome == "running":
            self._check_deadlines()
        if self.outcome == "running":
            return next(self._frames)
        return self._idle()

    def server_closed(self, now_us: int, *, broken: bool = False) -> None:
        """The server ended the call. That completes a script that only waits for it, or waits
        for the agent to finish what it has begun; but never when the connection just broke."""
        self._now_us = now_us
        self._closed = True
        if self.outcome != "running":
            return
        if broken:
            self.outcome = "server_ended"
            self.detail = "the connection broke: the server closed it without a close frame"
        else:
            next(self._frames)

    def _run(self, steps: tuple[Step, ...]) -> Generator[Frame, None, None]:
        try:
            yield from self._steps(steps)
            raise _Over("completed", "")
        except _Over as over:
            self.outcome, self.detail = over.outcome, over.detail
        if not self._closed and not any(isinstance(action, EndCall) for action in self.actions):
            self.actions.append(EndCall("hang_up"))
        while True:
            yield self._idle()

    def _steps(self, steps: tuple[Step, ...]) -> Generator[Frame, None, None]:
        for step in steps:
            match step:
                case Utter():
                    yield from self._utter(step)
                case Wait():
                    yield from self._wait(step)
                case Silence():
                    yield from self._quiet(step.line, step.ms * 1000 // TICK_US)
                case PressKeys():
                    yield from self._press(step)
                case Repeat():
                    yield from self._repeat(step)
                case HangUp():
                    raise _Over("completed", "")
                case Drop():
                    if not self._closed:
                        self.actions.append(
                            EndCall("half_message" if step.half_message else "drop")
                        )
                    raise _Over("completed", "")

    def _repeat(self, step: Repeat) -> Generator[Frame, None, None]:
        until_us = None if step.for_ms is None else self._now_us + step.for_ms * 1000
        passes = 0
        while (step.times is None or passes < step.times) and (
            until_us is None or self._now_us < until_us
        ):
            passes += 1
            ticks = self._ticks
            yield from self._steps(step.steps)
            if self._ticks == ticks:  # a pass without any time in it must not spin
                yield from self._quiet(step.line, 1)

    def _utter(self, step: Utter) -> Generator[Frame, None, None]:
        if step.after_ms is not None:
            wait = Wait(step.line, "agent_speaking", step.after_ms, step.timeout_ms)
            yield from self._wait(wait)
        sound = self._sounds.utterances[step.sound]
        said = Said(step.line, step.kind, step.text or PurePath(step.path).name, self._now_us)
        for index, frame in enumerate(sound.frames):
            self._check_open(step.line)
            if not index:
                self.said.append(said)
                self.actions.append(SaidStarted(said))
            if index == sound.first_voiced:
                said.first_voiced_us = self._now_us
            if index == sound.last_voiced:
                said.last_voiced_us = self._now_us
                if step.kind not in ("murmur", "cough"):
                    self._await_reply()
            yield frame
        said.ended_us = self._now_us
        self.actions.append(SaidFinished(said))

    def _wait(self, step: Wait) -> Generator[Frame, None, None]:
        until_us = self._now_us + step.timeout_ms * 1000
        while not self._satisfied(step):
            self._check_open(step.line)
            if self._now_us >= until_us:
                raise _Over("wait_timed_out", self._timeout_detail(step))
            yield self._idle()
        if step.condition == "agent_finished":
            self._await_reply()

    def _await_reply(self) -> None:
        """What the agent says from now on is its next speech, unless it just goes on."""
        self._since_us = self._now_us

    def _satisfied(self, step: Wait) -> bool:
        now_us, end_us = self._now_us, self._agent_end_us
        if end_us is None or end_us <= self._since_us:
            return step.condition == "call_ended" and self._closed
        match step.condition:
            case "call_ended":
                return self._closed
            case "agent_finished":
                # The tail of a speech that the caller has just cut off is no answer to it.
                own = self._stretch_us >= self._since_us or end_us - self._since_us > STRETCH_US
                return own and (self._closed or now_us - end_us >= step.ms * 1000)
        begun_us = max(self._stretch_us, self._since_us)
        return now_us - end_us <= _SPEAKING_US and end_us - begun_us >= step.ms * 1000

    def _timeout_detail(self, step: Wait) -> str:
        heard = "it never spoke" if self._agent_end_us is None else "it has spoken before"
        if self._agent_end_us is not None and self._agent_end_us > self._since_us:
            quiet_ms = (self._now_us - self._agent_end_us) // 1000
            heard = f"its last audible audio was {quiet_ms} ms ago"
        return f"line {step.line}: waited {step.timeout_ms} ms for {step.condition}; {heard}"

    def _press(self, step: PressKeys) -> Generator[Frame, None, None]:
        for key in step.digits:
            if key == "w":
                yield from self._quiet(step.line, KEY_PAUSE_TICKS)
            else:
                self._check_open(step.line)
                self.actions.append(PressKey(key))
                yield from self._quiet(step.line, KEY_TICKS)

    def _quiet(self, line: int, ticks: int) -> Generator[Frame, None, None]:
        for _ in range(ticks):
            self._check_open(line)
            yield self._idle()

    def _idle(self) -> Frame:
        idle = self._sounds.idle
        return idle[self._ticks % len(idle)]

    def _hear(self, start_us: int, end_us: int) -> None:
        last_us = self._agent_end_us
        pause_us = STRETCH_US if last_us is None else start_us - last_us
        answers = self._stretch_us < self._since_us < start_us and pause_us >= _BREAK_US
        if pause_us >= STRETCH_US or answers:
            self._stretch_us = start_us
        self._agent_end_us = end_us

    def _check_open(self, line: int) -> None:
        if self._closed:
            raise _Over("server_ended", f"the server ended the call at line {line} of the script")

    def _check_deadlines(self) -> None:
        if self._stop_at_us is not None and self._now_us >= self._stop_at_us:
            self._end("completed", "")
        elif self._now_us >= self._timeout_at_us:
            self._end("call_timed_out", "the call took longer than the script's timeout_s")

    def _end(self, outcome: Outcome, detail: str) -> None:
        self.outcome, self.detail = outcome, detail
        self.actions.append(EndCall("hang_up"))

"""Drives a turn machine on a clock that is only a number."""

from typing import Any, TypeVar

from voicecore.agents.load import parse_agent
from voicecore.providers.llm import LlmDone, LlmText, LlmToolCall, ToolCall
from voicecore.providers.stt import SttFinal
from voicecore.providers.words import spread_words
from voicecore.tools.guard import ToolGuard
from voicecore.tools.toolset import ToolSet
from voicecore.turns import inputs
from voicecore.turns import outputs as out
from voicecore.turns.endpointing import EndpointingPolicy
from voicecore.turns.history import History
from voicecore.turns.machine import Phase, TurnMachine
from voicecore.turns.overlap import OverlapPolicy
from voicecore.turns.settings import TurnSettings

O = TypeVar("O", bound=out.Output)  # noqa: E741

AGENT = """
name: test
instructions: Be brief.
stt: {vendor: scripted}
llm: {vendor: scripted}
tts: {vendor: scripted}
tools:
  - end_call
  - send_dtmf
  - collect_digits
  - type: transfer_call
    targets: [{name: sales, number: "+15550100"}]
  - type: http
    name: lookup
    description: Looks something up.
    method: GET
    url: https://example.com/lookup
    parameters: {type: object, properties: {q: {type: string}}}
"""


TEXT = "We are open from nine to five on weekdays and from ten to two on Saturdays."


def after(silence_ms: int) -> EndpointingPolicy:
    """Turns end after this much silence, whatever was said."""
    return EndpointingPolicy(min_silence_ms=silence_ms, adapts=False)


class SuspiciousEar:
    """What the VAD suspects is set by the test."""

    def __init__(self) -> None:
        self.begins = self.stops = False

    def may_begin(self) -> bool:
        return self.begins

    def may_stop(self) -> bool:
        return self.stops


class Driver:
    """A machine, its clock, and everything it has asked for so far."""

    def __init__(
        self, settings: TurnSettings | None = None, *, start: bool = True, agent: str = AGENT
    ) -> None:
        self.now_ms = 0
        self.ear = SuspiciousEar()
        self.heard_ms: dict[int, int] = {}
        self.outputs: list[out.Output] = []
        self.history = History("Be brief.")
        parsed = parse_agent(agent, "test.yaml")
        self.machine = TurnMachine(
            settings or TurnSettings(),
            history=self.history,
            tools=ToolSet(parsed),
            guard=ToolGuard(parsed.limits),
            played_ms=lambda now_ms, reply: self.heard_ms.get(reply, 0),
            ear=self.ear,
        )
        if start:
            self.send(inputs.CallStarted())

    @property
    def ended(self) -> bool:
        return self.machine.phase is Phase.ENDED

    def send(self, event: inputs.Input) -> list[out.Output]:
        new = self.machine.receive(self.now_ms, event)
        self.outputs += new
        return new

    def pass_ms(self, duration_ms: int) -> list[out.Output]:
        """Let time pass, stopping at every deadline on the way."""
        new: list[out.Output] = []
        until_ms = self.now_ms + duration_ms
        while (due_ms := self.machine.next_deadline()) is not None and due_ms <= until_ms:
            assert due_ms > self.now_ms or new is not None
            self.now_ms = max(self.now_ms, due_ms)
            new += self.machine.on_deadline(self.now_ms)
        self.now_ms = until_ms
        self.outputs += new
        return new

    def of(self, kind: type[O]) -> list[O]:
        return [output for output in self.outputs if isinstance(output, kind)]

    def last(self, kind: type[O]) -> O:
        return self.of(kind)[-1]

    def events(self, type_: str) -> list[Any]:
        return [emit.data for emit in self.of(out.Emit) if emit.type == type_]

    # What people and vendors do

    def caller_speaks(self, for_ms: int) -> None:
        """Voiced frames, as the VAD reports them."""
        self.send(inputs.SpeechStarted(self.now_ms))
        passed_ms = 0
        for length_ms in (160, 300, 600):
            if for_ms >= length_ms:
                self.pass_ms(length_ms - passed_ms)
                passed_ms = length_ms
                self.send(inputs.SpeechSustained(length_ms))
        self.pass_ms(for_ms - passed_ms)

    def caller_says(self, text: str, *, for_ms: int = 1000) -> None:
        """Speech, then 200 ms of VAD hangover, then the final text."""
        self.caller_speaks(for_ms)
        self.caller_stops()
        self.final(text)

    def caller_stops(self, hangover_ms: int = 200) -> None:
        stopped_ms = self.now_ms
        self.pass_ms(hangover_ms)
        self.send(inputs.SpeechStopped(stopped_ms))

    def final(self, text: str, **kwargs: Any) -> None:
        self.send(inputs.Heard(SttFinal(text, flushed=True, **kwargs)))

    def caller_turn(self, text: str) -> int:
        """A whole turn; returns the number of the reply that it started."""
        self.caller_says(text)
        self.pass_ms(1000)
        return self.last(out.StartLlm).reply

    def model_says(self, reply: int, *texts: str, done: bool = True) -> None:
        for text in texts:
            self.send(inputs.Thought(reply, LlmText(text)))
        if done:
            self.send(inputs.Thought(reply, LlmDone()))

    def model_calls(self, reply: int, name: str, arguments: str = "{}", id_: str = "c1") -> None:
        self.send(inputs.Thought(reply, LlmToolCall(ToolCall(id_, name, arguments))))
        self.send(inputs.Thought(reply, LlmDone()))

    def voice_speaks(self, reply: int, *, done: bool = True) -> int:
        """All that was given to the voice becomes audio, 100 ms a word, and starts to play."""
        said = [s.text for s in self.of(out.Say) if s.reply == reply]
        said += [s.text for s in self.of(out.SayPhrase) if s.reply == reply]
        text = " ".join(said)
        duration_ms = 100 * len(text.split())
        self.send(inputs.WordsCame(reply, spread_words(text, 0, duration_ms)))
        self.send(inputs.AudioCame(reply, duration_ms))
        self.send(inputs.ReplyStarted(reply, self.now_ms))
        if done:
            self.send(inputs.SpeechDone(reply))
        return duration_ms

    def reply_plays(self, reply: int) -> None:
        duration_ms = self.voice_speaks(reply)
        self.pass_ms(duration_ms)
        self.send(inputs.ReplyPlayed(reply, duration_ms))

    def full_reply(self, reply: int, text: str) -> None:
        self.model_says(reply, text)
        self.reply_plays(reply)


def speaking(
    text: str = TEXT,
    *,
    done: bool = True,
    **policy: Any,
) -> tuple[Driver, int]:
    """An agent in mid-reply, 550 ms heard; words last 100 ms. ``done``: that is all."""
    driver = Driver(TurnSettings(overlap=OverlapPolicy(**policy)))
    reply = driver.caller_turn("When?")
    driver.model_says(reply, text, done=done)
    driver.voice_speaks(reply, done=done)
    driver.pass_ms(550)
    driver.heard_ms[reply] = 550
    return driver, reply

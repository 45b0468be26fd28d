"""The caller's audio of one call: frames to the VAD and to the speech-to-text.

A frame is handled within the socket's callback and is done with when it returns; only what it
leads to is posted.
"""

from collections.abc import Callable

from msgspec import structs

from media.audio.convert import Converter
from media.audio.format import FRAME_MS
from media.clock import Timer
from media.transport import Leg
from media.vad import DETECTORS
from media.vad.edges import SpeechEdges
from media.vad.speech import SpeechStarted, SpeechSustained
from voicecore.answering import AnsweringAgent
from voicecore.providers.stt import Spawn, SttEvent, SttFinal, SttStream
from voicecore.providers.turn_end import TurnEndOpinion, TurnEndQuestion
from voicecore.providers.words import Word
from voicecore.turns import inputs
from voicecore.turns.turn_audio import TurnAudio

LINE_SILENT_MS = 1000
"""Speech is over when the line brings nothing at all for so long."""

MAX_DRIFT_MS = 500
"""The line's own time may differ so far from ours before it is set anew."""


class Hearing:
    """One call's ears. Times are milliseconds of the call."""

    def __init__(
        self,
        leg: Leg,
        agent: AnsweringAgent,
        *,
        record: Callable[[int, bytes], None],
        post: Callable[[inputs.Input], None],
    ) -> None:
        line = self._line = leg.started.inbound
        settings = agent.conduct.vad
        self._vad = DETECTORS[settings.vendor](line, settings.mode)
        self._edges = SpeechEdges(
            start_ms=settings.start_ms,
            sustain_ms=settings.sustain_ms,
            stop_ms=settings.stop_ms,
        )
        self._voiced = self._vad.voiced
        self._edge = self._edges.receive
        self._vendor = agent.stt
        self._format = agent.stt.accepts(line)
        self._converter = None if self._format == line else Converter(line, self._format)
        self._turn_end = agent.turn_end
        self._turn_audio: TurnAudio | None = None
        self._agent_converter: Converter | None = None
        if self._turn_end is not None:
            self._turn_audio = TurnAudio(line.frame_bytes)
            outbound = leg.started.outbound
            self._agent_converter = None if outbound == line else Converter(outbound, line)
        self._question: TurnEndQuestion | None = None
        self._record = record
        self._post = post
        self._leg = leg
        self._watch: Timer | None = None
        self._last_frame_ms = 0
        self._line_ms: int | None = None
        """Where the next frame lies in the call; None before the first."""
        self._stt_from_ms: int | None = None
        """Where the first frame lies that the open stream was given."""
        self._stt: SttStream | None = None

    def open(self, spawn: Spawn) -> None:
        """Open the speech-to-text, or another one in place of one that died."""
        if self._stt is not None:
            self._stt.close()
        self._stt_from_ms = None
        self._stt = self._vendor.open(self._format, sink=self._heard, spawn=spawn)
        if self._edges.speaking:
            self._stt.speech_started()

    def frame(self, now_ms: int, frame: bytes) -> None:
        """Take 20 ms of the caller."""
        line_ms = self._line_ms
        began_ms = now_ms - FRAME_MS
        if line_ms is None or not -MAX_DRIFT_MS < began_ms - line_ms < MAX_DRIFT_MS:
            if line_ms is not None and began_ms > line_ms:
                self._vad.levels.missing()
            line_ms = max(began_ms, 0)  # the line lost or withheld audio: stay aligned
        self._record(line_ms, frame)
        self._line_ms = line_ms + FRAME_MS
        self._last_frame_ms = now_ms
        if self._turn_audio is not None:
            self._turn_audio.add(frame)
        stt = self._stt
        if stt is not None:
            if self._stt_from_ms is None:
                self._stt_from_ms = line_ms
            convert = self._converter
            stt.push(frame if convert is None else convert.process(frame))
        edge = self._edge(self._voiced(frame))
        if edge is None:
            return
        if isinstance(edge, SpeechStarted):
            if stt is not None:
                stt.speech_started()
            self._post(inputs.SpeechStarted(now_ms - edge.ago_ms))
            self._drop_question()
            if self._turn_audio is not None:
                self._turn_audio.speech_started(edge.ago_ms)
            self._watch_line()
        elif isinstance(edge, SpeechSustained):
            levels = self._vad.levels
            above_noise_db, loudest_dbfs = levels.above_noise_db(), levels.loudest_dbfs()
            self._post(inputs.SpeechSustained(edge.for_ms, above_noise_db, loudest_dbfs))
        else:
            self._vad.levels.reset()
            self._speech_stopped(now_ms - edge.ago_ms)

    def agent_said(self, payload: bytes) -> None:
        """Take what the line was given of the agent's voice."""
        if self._turn_audio is not None:
            convert = self._agent_converter
            self._turn_audio.agent_said(payload if convert is None else convert.process(payload))

    def _speech_stopped(self, at_ms: int) -> None:
        self._post(inputs.SpeechStopped(at_ms))
        if self._turn_audio is None or self._turn_end is None:
            return

        def judged(opinion: TurnEndOpinion) -> None:
            self._post(inputs.TurnEndJudged(at_ms, opinion.probability, opinion.took_ms))

        self._drop_question()
        audio = self._turn_audio.speech_stopped()
        self._question = self._turn_end.judge(audio, self._line, judged)

    def _drop_question(self) -> None:
        if self._question is not None:
            self._question.cancel()
            self._question = None

    def _watch_line(self) -> None:
        """While the caller speaks, see that the line goes on: only frames end speech."""
        if self._watch is None:
            self._watch = self._leg.call_at(self._last_frame_ms + LINE_SILENT_MS, self._check_line)

    def _check_line(self) -> None:
        self._watch = None
        if not self._edges.speaking:
            return
        if self._leg.now_ms() - self._last_frame_ms < LINE_SILENT_MS:
            self._watch_line()
            return
        self._edges.reset()
        self._vad.levels.reset()
        self._speech_stopped(self._last_frame_ms)

    def _heard(self, event: SttEvent) -> None:
        self._post(inputs.Heard(_shifted(event, self._stt_from_ms or 0)))

    def may_begin(self) -> bool:
        """Whether the caller has perhaps begun to speak, which takes a moment to tell."""
        return self._edges.may_start

    def may_stop(self) -> bool:
        """Whether the caller has perhaps stopped speaking, which takes a moment to tell."""
        edges = self._edges
        return edges.may_stop or (edges.speaking and self._vad.levels.faded)

    def want_interim(self) -> None:
        """Have the caller's words so far guessed now."""
        if self._stt is not None:
            self._stt.want_interim()

    def finalize(self) -> None:
        """The caller stopped: have the text finished."""
        if self._stt is not None:
            self._stt.finalize()

    def turn_over(self) -> None:
        """The text so far was taken for the caller's turn."""
        if self._stt is not None:
            self._stt.turn_over()

    def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self._drop_question()
        stt, self._stt = self._stt, None
        if stt is not None:
            stt.close()


def _shifted(event: SttEvent, by_ms: int) -> SttEvent:
    """The event with its words' times counted from the start of the call."""
    if not isinstance(event, SttFinal) or not event.words or not by_ms:
        return event
    words = tuple(
        Word(word.text, word.start_ms + by_ms, word.end_ms + by_ms) for word in event.words
    )
    return structs.replace(event, words=words)

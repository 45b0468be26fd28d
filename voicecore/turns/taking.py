"""What becomes of a turn that the caller has finished: it is taken or ignored, and sometimes taken
after all, or answered again. Part of the turn machine."""

from voicecore.turns.backchannels import is_hesitation
from voicecore.turns.barge_in import BargeIn
from voicecore.turns.caller_turn import CallerTurn
from voicecore.turns.deadlines import Deadlines
from voicecore.turns.events import caller_turn
from voicecore.turns.listening import Listener
from voicecore.turns.outputs import Emit, Output
from voicecore.turns.overlap_pause import HOLD_MS
from voicecore.turns.reply import Reply, ReplyKind
from voicecore.turns.settings import TurnSettings
from voicecore.turns.silence import Silence
from voicecore.turns.speaking import Speaker

WENT_ON = "went_on"
EARLY_ANSWER_MS = 2500
"""How long before a question's end it may be answered already."""


class Taking:
    """Takes the caller's turns, and has them answered. Appends to the machine's outputs."""

    def __init__(
        self,
        settings: TurnSettings,
        listener: Listener,
        speaker: Speaker,
        barge_in: BargeIn,
        silence: Silence,
        deadlines: Deadlines,
        out: list[Output],
    ) -> None:
        self._settings = settings
        self._listener = listener
        self._speaker = speaker
        self._barge_in = barge_in
        self._silence = silence
        self._deadlines = deadlines
        self._out = out
        self._turn: CallerTurn | None = None
        self._ignored: tuple[Reply, CallerTurn] | None = None
        """What was last said over a reply and did not interrupt it."""
        self._was_wild = False
        """The last turn was ignored because its words were wild guesses. Who speaks so twice is
        believed: the line is bad."""
        self._unanswered: CallerTurn | None = None
        """The last turn, if its answer was dropped before it was heard."""

    def decided(self, now_ms: int, turn: CallerTurn) -> None:
        """The caller has finished."""
        speaker = self._speaker
        if speaker.reply is not None and speaker.audible:
            if not self._barge_in.takes_the_floor(now_ms, turn):
                self._barge_in.let_go_on(now_ms, turn)
                self._ignored = (speaker.reply, turn) if turn.certain_text else None
                self._out.append(Emit("speech_ignored", {"text": turn.text}))
                return
            speaker.cut(now_ms, "interrupted")
        elif self._says_nothing(turn):
            self._silence.somebody_is_there()
            speaker.drafting.turn_ignored(now_ms)
            self._out.append(Emit("speech_ignored", {"text": turn.text}))
            return
        elif speaker.reply is not None:
            speaker.cut(now_ms, "caller_went_on")
        self._take_spoken(now_ms, turn)

    def _says_nothing(self, turn: CallerTurn) -> bool:
        """Whether what was heard while the agent was silent is no turn: a hesitation, an engine, or
        somebody far from the telephone."""
        wild = self._was_wild = turn.wild and not self._was_wild
        if wild or is_hesitation(turn.text, self._settings.endpointing.language):
            return True
        return self._barge_in.said.are_murmur(turn) or self._barge_in.sound.is_away

    def _take_spoken(self, now_ms: int, turn: CallerTurn) -> None:
        self._ignored = None
        self._barge_in.sound.turn_taken()
        self.take(now_ms, turn)

    def take(self, now_ms: int, turn: CallerTurn) -> None:
        """Have a turn answered, said or pressed."""
        self._silence.somebody_is_there()
        self._out.append(caller_turn(turn))
        self._answer(now_ms, turn)

    def _answer(self, now_ms: int, turn: CallerTurn, *, again: bool = False) -> None:
        self._turn, self._unanswered = turn, None
        self._speaker.answer(now_ms, turn, again=again)

    def reply_heard(self, now_ms: int, reply: Reply) -> None:
        """A reply is over, and the caller heard it to its end."""
        if reply.kind is ReplyKind.BACKCHANNEL:
            return
        self._listener.endpointing.went_well()
        ignored, self._ignored = self._ignored, None
        asked = reply.spoken.text.endswith("?") and self._speaker.ended_reason is None
        if not asked or ignored is None or ignored[0] is not reply:
            return
        turn = ignored[1]
        if now_ms < turn.end_ms + EARLY_ANSWER_MS:
            self._take_spoken(now_ms, turn)  # "yes" to a question that had not ended

    # The caller goes on before the answer is heard

    def went_on(self, now_ms: int) -> None:
        """The caller speaks again: the answer waits for what is added."""
        reply = self._speaker.reply
        answers = reply is not None and reply.kind is ReplyKind.ANSWER
        self._unanswered = self._turn if answers else None
        self._deadlines.set(WENT_ON, now_ms + HOLD_MS)
        if answers:
            self._listener.endpointing.cut_off()
        self._speaker.cut(now_ms, "caller_went_on")

    def due(self, now_ms: int) -> None:
        """What the answer waits for has brought no word so far: a car, a vacuum cleaner."""
        if self._speaker.reply is None and not self._listener.text:
            self.answer_again(now_ms)

    def answer_again(self, now_ms: int) -> bool:
        """Nothing was added. Returns whether an answer had waited for it."""
        if self._unanswered is None:
            return False
        self._answer(now_ms, self._unanswered, again=True)
        return True

"""When the sentences of an answer came that was begun before the turn was decided. Pure.

The events tell when a draft was begun, when its first word came, and when it was used; what it
said until then is told only at that moment. When each of these sentences came is an estimate, from
how fast the call's model wrote.
"""

from statistics import median_low

from voicecore.replay.facts import (
    AgentSaying,
    CallerTurn,
    DraftDropped,
    DraftStarted,
    DraftUsed,
    Facts,
    TurnLatency,
)

USUAL_CHARACTER_MS = 5
"""About fifty tokens a second."""


class Begun(list[tuple[int, str]]):
    """The sentences of a reply, in order, with the times at which they were told of."""

    def __init__(self) -> None:
        super().__init__()
        self.token_ms: int | None = None
        """When the model's first word came."""


class Drafts:
    """One call's, by the number of the reply."""

    def __init__(self, facts: Facts) -> None:
        self.started: dict[int, int] = {}
        self.texts: dict[int, str] = {}
        self.used: dict[int, int] = {}
        self.dropped: dict[int, DraftDropped] = {}
        self._said: dict[int, Begun] = {}
        turn_end_ms = 0
        for fact in facts:
            at_ms, what = fact.at_ms, fact.what
            match what:
                case CallerTurn():
                    turn_end_ms = what.end_ms
                case DraftStarted():
                    self.started[what.reply] = at_ms
                    self.texts[what.reply] = what.text
                case DraftUsed():
                    self.used[what.reply] = at_ms
                case DraftDropped():
                    self.dropped[what.reply] = what
                case AgentSaying():
                    self._said.setdefault(what.reply, Begun()).append((at_ms, what.text))
                case TurnLatency(llm_first_token=int(token_ms)):
                    self._said.setdefault(what.reply, Begun()).token_ms = turn_end_ms + token_ms
        self._character_ms = self._rate()

    def written_ms(self, reply: int) -> list[int]:
        """When each of a reply's sentences was written."""
        said = self._said.get(reply, Begun())
        used_ms = self.used.get(reply)
        times: list[int] = []
        characters = 0
        for at_ms, text in said:
            characters += len(text) + 1
            if used_ms is None or at_ms > used_ms:
                times.append(at_ms)
            elif said.token_ms is None:
                times.append(used_ms)
            else:
                written_ms = said.token_ms + round(characters * self._character_ms)
                times.append(min(written_ms, used_ms))
        return times

    def _rate(self) -> float:
        rates = [
            (said[0][0] - said.token_ms) / (len(said[0][1]) + 1)
            for number, said in self._said.items()
            if said and said.token_ms is not None and self.used.get(number, -1) < said[0][0]
        ]
        return max(median_low(rates), 0.0) if rates else USUAL_CHARACTER_MS

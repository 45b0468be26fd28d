"""The excuse for a bug: the fallback phrase, before the line is closed. Never dead air."""

import asyncio

from media.playout_events import PlayoutEvent, ReplyPlayed
from media.transport import Leg
from voicecore.answering import AnsweringAgent

LAST_WORDS = 1_000_000
"""The number of their reply."""
SLACK_MS = 3000
"""How much longer than they take they are waited for."""


class LastWords:
    """One call's. They come from the cache and need neither a vendor nor the turn machine."""

    def __init__(self, leg: Leg, agent: AnsweringAgent) -> None:
        self._leg = leg
        self._agent = agent
        self._over = asyncio.Event()
        """They were heard, or nobody is there to hear them."""

    async def say(self, instead_of: int | None) -> None:
        """Say them in place of a reply, and wait until they were heard."""
        line = self._leg.started.outbound
        spoken = self._agent.phrase(self._agent.conduct.turns.phrases.fallback, line)
        if spoken is None or not self._leg.is_open:
            return
        self._leg.clear(instead_of or 0)
        self._leg.play(LAST_WORDS, spoken.audio)
        self._leg.finish(LAST_WORDS)
        wait_ms = line.duration_ms(len(spoken.audio)) + SLACK_MS
        late = self._leg.call_at(self._leg.now_ms() + wait_ms, self._over.set)
        await self._over.wait()
        late.cancel()

    def on_playout(self, event: PlayoutEvent) -> None:
        if event.reply == LAST_WORDS and isinstance(event, ReplyPlayed):
            self._over.set()

    def on_closed(self) -> None:
        """Nobody hears them any more."""
        self._over.set()

"""The calls of this process: how many may live, and how they end."""

import asyncio
from collections.abc import Callable

import structlog

from media.transport import Leg, StreamRefused
from voicecore.session import LEAVE_TIMEOUT_S, Session

log = structlog.get_logger("voicecore.calls")


class Calls:
    """Admits calls up to a limit and keeps track of them until they are over."""

    def __init__(
        self,
        answer: Callable[[Leg], Session],
        *,
        limit: int,
        on_ended: Callable[[Session], None] = lambda session: None,
    ) -> None:
        """``answer`` makes the session that a leg is given to; it may raise
        ``StreamRefused``."""
        self._answer = answer
        self._limit = limit
        self._on_ended = on_ended
        self._live: dict[asyncio.Task[None], Session] = {}
        self._empty = asyncio.Event()
        self._empty.set()
        self.draining = False

    def __len__(self) -> int:
        return len(self._live)

    @property
    def has_room(self) -> bool:
        return not self.draining and len(self._live) < self._limit

    def take(self, leg: Leg, answer: Callable[[Leg], Session] | None = None) -> None:
        """Answer a call, with another ``answer`` than calls have in general.

        :raises StreamRefused: ``draining``, ``busy``, or what ``answer`` says."""
        if self.draining:
            raise StreamRefused("draining")
        if len(self._live) >= self._limit:
            raise StreamRefused("busy")
        session = (answer or self._answer)(leg)
        task = asyncio.get_running_loop().create_task(session.run())
        self._live[task] = session
        self._empty.clear()
        task.add_done_callback(self._ended)

    async def drain(self, timeout_s: float, *, goodbye_s: float = 10.0) -> None:
        """Take no more calls; let the live ones end by themselves for ``timeout_s``, then ask
        them to, then end them."""
        self.draining = True
        for patience_s, reason in ((timeout_s, "drain"), (goodbye_s, None)):
            try:
                async with asyncio.timeout(patience_s):
                    await self._empty.wait()
                    return
            except TimeoutError:
                if reason is not None:
                    for session in list(self._live.values()):
                        session.request_end(reason)
        tasks = list(self._live)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=2 * LEAVE_TIMEOUT_S)

    def _ended(self, task: asyncio.Task[None]) -> None:
        session = self._live.pop(task)
        if not self._live:
            self._empty.set()
        session.leg.hang_up()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("call task failed", exc_info=error)
        self._on_ended(session)

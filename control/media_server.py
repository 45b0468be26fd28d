"""The media engine as one thing that starts, answers and stops."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from control.http.http_port import HttpPort
from control.http.media_app import media_app
from control.http.media_entrance import MediaEntrance
from control.loop_lag import LoopLag
from control.metrics import Metrics
from control.settings import Settings, carrier_options
from media.call_directory import safe_call_directory
from media.clock import Clock
from media.recording_writer import Damage
from media.transport import Leg
from voicecore.answering import AnsweringAgent
from voicecore.call_record import CallRecords
from voicecore.calls import Calls
from voicecore.session import Session
from voicecore.tools.http import HttpToolRunner

log = structlog.get_logger("control.media_server")


class MediaServer:
    """Answers streams with one agent. ``listen`` takes connections, which are refused until
    ``ready`` was called; ``stop`` lets the live calls end."""

    def __init__(
        self,
        agent: AnsweringAgent,
        settings: Settings,
        http_tools: HttpToolRunner,
        clock: Clock,
        *,
        calls_dir: Path | None,
        on_call_ended: Callable[[int], None] = lambda live_calls: None,
    ) -> None:
        """``on_call_ended(live_calls)`` hears of each call's end, how many go on."""
        self.metrics = Metrics()
        self._agent = agent
        self._http_tools = http_tools
        self._calls_dir = calls_dir
        self._records = CallRecords(
            calls_dir, clock=clock, observer=self.metrics.on_event, on_damage=_log_damage
        )
        self.calls = Calls(self._answer, limit=settings.max_calls, on_ended=self._ended)
        self.entrance = MediaEntrance(
            self.calls, settings, self.metrics, clock, carrier_options=carrier_options(settings)
        )
        self.metrics.streams_refused.labels("too_many_waiting")  # shown before the first too
        self._http_port = HttpPort(media_app(self.entrance), on_dropped=self._newcomer_dropped)
        self._on_call_ended = on_call_ended
        self._media_port: asyncio.Server | None = None
        self._lag = LoopLag(asyncio.get_running_loop(), self.metrics.loop_lag.observe)

    async def listen(self, host: str, port: int) -> int:
        """Listen for HTTP and media; returns the port, which is a free one for 0."""
        return await self._http_port.open(host, port)

    async def listen_for_media(self, host: str, port: int) -> int:
        """Listen for media on a port of its own as well.

        :raises ModuleNotFoundError: picows is not installed."""
        from control.http.media_port import open_media_port

        self._media_port = await open_media_port(self.entrance, host, port)
        return int(self._media_port.sockets[0].getsockname()[1])

    def ready(self) -> None:
        """The agent is loaded: take calls. Loading holds the event loop up, which no call
        suffers from: how late it is counts from here on."""
        self._lag.start()
        self.entrance.ready = True

    async def stop(self, drain_timeout_s: float) -> None:
        """Take no more calls, let the live ones end, and close everything."""
        self.entrance.ready = False
        await self.calls.drain(drain_timeout_s)
        if self._media_port is not None:
            self._media_port.close()
        await self._http_port.close()
        self.entrance.close()
        await self._records.close()
        self._lag.stop()

    def _newcomer_dropped(self, code: str) -> None:
        self.metrics.streams_refused.labels(code).inc()
        self.entrance.silent_closed(code)

    def _answer(self, leg: Leg) -> Session:
        record = self._records.open(leg.started, record_audio=self._agent.conduct.record)
        try:
            session = Session(leg, self._agent, record, self._http_tools)
        except BaseException:
            record.close()
            raise
        log.info("call started", call_id=leg.started.call_id, carrier=leg.started.carrier)
        return session

    def _ended(self, session: Session) -> None:
        started = session.leg.started
        facts: dict[str, str | int] = {
            "call_id": started.call_id,
            "carrier": started.carrier,
            "reason": session.ended_reason,
            "duration_ms": session.leg.now_ms(),
        }
        if self._calls_dir is not None:
            # Where an id is not a call's first, a number follows: the disk's thread knows which.
            facts["files"] = str(safe_call_directory(self._calls_dir, started.call_id))
        log.info("call ended", **facts)
        self._on_call_ended(len(self.calls))


def _log_damage(damage: Damage) -> None:
    log.error(
        "a call's file is damaged",
        call=damage.call,
        file=damage.file,
        code=damage.code,
        detail=damage.detail,
    )

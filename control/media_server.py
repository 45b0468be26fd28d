"""The media engine as one thing that starts, answers and stops."""

import asyncio
from pathlib import Path

import structlog
from aiohttp import web

from control.collector import Collector
from control.http.media_app import media_app
from control.http.media_entrance import MediaEntrance
from control.loop_lag import LoopLag
from control.metrics import Metrics
from control.settings import Settings, carrier_options
from media.clock import Clock
from media.recording_writer import Damage
from media.transport import Leg
from voicecore.answering import AnsweringAgent
from voicecore.call_record import CallRecords
from voicecore.calls import Calls
from voicecore.session import Session
from voicecore.tools.http import HttpToolRunner

log = structlog.get_logger("control.media_server")

BACKLOG = 1024
KEEPALIVE_S = 75.0


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
    ) -> None:
        self.metrics = Metrics()
        self._agent = agent
        self._http_tools = http_tools
        self._records = CallRecords(
            calls_dir, clock=clock, observer=self.metrics.on_event, on_damage=_log_damage
        )
        self.calls = Calls(self._answer, limit=settings.max_calls, on_ended=self._ended)
        self.entrance = MediaEntrance(
            self.calls, settings, self.metrics, clock, carrier_options=carrier_options(settings)
        )
        self._runner = web.AppRunner(
            media_app(self.entrance), access_log=None, keepalive_timeout=KEEPALIVE_S
        )
        self._collector = Collector()
        self._media_port: asyncio.Server | None = None
        self._lag = LoopLag(asyncio.get_running_loop(), self.metrics.loop_lag.observe)

    async def listen(self, host: str, port: int) -> int:
        """Listen for HTTP and media; returns the port, which is a free one for 0."""
        self._lag.start()
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port, backlog=BACKLOG).start()
        return int(self._runner.addresses[0][1])

    async def listen_for_media(self, host: str, port: int) -> int:
        """Listen for media on a port of its own as well.

        :raises ModuleNotFoundError: picows is not installed."""
        from control.http.media_port import open_media_port

        self._media_port = await open_media_port(self.entrance, host, port)
        return int(self._media_port.sockets[0].getsockname()[1])

    def ready(self) -> None:
        """The agent is loaded: take calls."""
        self._collector.settle()
        self.entrance.ready = True

    async def stop(self, drain_timeout_s: float) -> None:
        """Take no more calls, let the live ones end, and close everything."""
        self.entrance.ready = False
        await self.calls.drain(drain_timeout_s)
        if self._media_port is not None:
            self._media_port.close()
        await self._runner.cleanup()
        await self._records.close()
        self._lag.stop()

    def _answer(self, leg: Leg) -> Session:
        record = self._records.open(leg.started, record_audio=self._agent.conduct.record)
        try:
            return Session(leg, self._agent, record, self._http_tools)
        except BaseException:
            record.close()
            raise

    def _ended(self, session: Session) -> None:
        started = session.leg.started
        log.info(
            "call ended",
            call_id=started.call_id,
            carrier=started.carrier,
            reason=session.ended_reason,
        )
        self._collector.call_ended(len(self.calls))


def _log_damage(damage: Damage) -> None:
    log.error("a call's file is damaged", code=damage.code, detail=damage.detail)

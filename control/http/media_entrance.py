"""Who may come in, on whichever listener: room, signatures, tokens."""

import secrets
import time
from collections.abc import Mapping

import msgspec
import structlog

from control.http.errors import UPGRADE_REQUIRED, Refusal
from control.metrics import Metrics
from control.settings import Settings
from media.carriers import CARRIERS, CarrierKind
from media.carriers.kind import SignedRequest
from media.clock import Clock
from media.transport import Connection, Leg, Socket, StreamRefused
from voicecore.calls import Calls
from voicecore.stream_tokens import TokenGate, mint_token

log = structlog.get_logger("control.media")

TOKEN_PARAMETER = "token"
TOO_MANY = "too_many_waiting"
CROWD_LOG_MS = 10_000

DRAINING = Refusal(503, "draining", "the server is shutting down")
NOT_READY = Refusal(503, "not_ready", "the agent is being loaded")
BUSY = Refusal(503, "busy", "no more calls are taken now")
BAD_SIGNATURE = Refusal(403, "bad_signature", "the carrier's signature is missing or wrong")
NOT_SET_UP = Refusal(403, "carrier_not_set_up", "no key to check this carrier by")


class Upgrade(msgspec.Struct, frozen=True):
    """A WebSocket upgrade: path with query, headers by lower-case name."""

    path: str
    headers: Mapping[str, str]


class MediaEntrance:
    """Decides which upgrades become connections and which streams become calls."""

    def __init__(
        self,
        calls: Calls,
        settings: Settings,
        metrics: Metrics,
        clock: Clock,
        *,
        carrier_options: Mapping[str, Mapping[str, str]],
    ) -> None:
        self.calls = calls
        self.settings = settings
        self.metrics = metrics
        self.carrier_options = carrier_options
        self.ready = False
        """Whether the agent can answer."""
        self._waiting: dict[Connection, None] = {}
        self._crowd_logged_ms: int | None = None
        self._clock = clock
        secret = settings.stream_secret.get_secret_value()
        self._gate = TokenGate(secret) if secret else None

    def refuses(self, kind: CarrierKind, upgrade: Upgrade) -> Refusal | None:
        """Why an upgrade is not taken; None if it is."""
        if upgrade.headers.get("upgrade", "").strip().lower() != "websocket":
            return UPGRADE_REQUIRED
        if (unavailable := self._unavailable()) is not None:
            return self._refused(kind, unavailable)
        secret = self.secret_of(kind)
        if kind.verify_upgrade is None or not secret:
            return None
        signed = SignedRequest(self.public_url(upgrade) + upgrade.path, upgrade.headers)
        if kind.verify_upgrade(signed, secret, int(time.time())):
            return None
        return self.bad_signature(kind)

    def refuses_webhook(self, kind: CarrierKind) -> Refusal | None:
        """Why a carrier's webhook is not answered, whoever it comes from; None if it is.

        Nobody is sent to a stream that would be refused, which would end the call. On an error
        Twilio asks the number's fallback URL at once, where another server may answer
        (twilio.com/docs/usage/security/availability-reliability). Telnyx' TeXML applications
        have a failover URL for webhooks that are not answered
        (developers.telnyx.com/docs/voice/programmable-voice/texml-fundamentals); whether every
        5xx counts as that, it does not say."""
        if not self._may_answer(kind):
            return self._refused(kind, NOT_SET_UP)
        if (unavailable := self._unavailable()) is not None:
            return self._refused(kind, unavailable)
        return None

    def connect(self, kind: CarrierKind, socket: Socket, *, path_token: str) -> Connection:
        """A connection that becomes a call when its stream starts and is let in."""

        def started(leg: Leg) -> None:
            self._waiting.pop(connection, None)
            self._admit(leg, path_token)
            self.calls.take(leg)

        def refused(code: str, detail: str) -> None:
            self._waiting.pop(connection, None)
            self.metrics.streams_refused.labels(code).inc()
            if code != TOO_MANY:
                log.warning("stream closed", carrier=kind.name, code=code, detail=detail)

        connection = Connection(
            kind,
            kind.codec(self.carrier_options.get(kind.name, {})),
            socket,
            self._clock,
            on_started=started,
            on_refused=refused,
        )
        self._waiting[connection] = None
        if len(self._waiting) > self.settings.max_waiting:
            # Whoever has been silent the longest goes, so that no crowd of them keeps calls out.
            next(iter(self._waiting)).unreadable(TOO_MANY, "another one came")
            self._log_crowd()
        return connection

    @property
    def waiting(self) -> int:
        """Connections that have not started a stream."""
        return len(self._waiting)

    def _log_crowd(self) -> None:
        """Not one by one: they come by the thousand, and each line takes time from calls."""
        now_ms = self._clock.now_ms()
        if self._crowd_logged_ms is None or now_ms - self._crowd_logged_ms >= CROWD_LOG_MS:
            self._crowd_logged_ms = now_ms
            log.warning("silent connections closed", code=TOO_MANY, waiting=len(self._waiting))

    def _may_answer(self, kind: CarrierKind) -> bool:
        """Whether the carrier's webhooks are served: not where tokens are asked for and only
        another carrier's signature can be checked, or anybody could ask for a token there."""
        guarded = any(self.secret_of(other) for other in CARRIERS)
        return self._gate is None or not guarded or bool(self.secret_of(kind))

    def mint(self) -> dict[str, str]:
        """The stream parameters that let a stream in."""
        secret = self.settings.stream_secret.get_secret_value()
        if not secret:
            return {}
        return {TOKEN_PARAMETER: mint_token(secret, int(time.time()), secrets.token_bytes(16))}

    def public_url(self, upgrade: Upgrade) -> str:
        """How the carrier was told to reach us: configured, or else as the request says."""
        public = self.settings.public_url or f"https://{upgrade.headers.get('host', '')}"
        return public.rstrip("/")

    def secret_of(self, kind: CarrierKind) -> str:
        """What the carrier signs with; empty for no check."""
        secrets_of = {
            "twilio": self.settings.twilio_auth_token.get_secret_value(),
            "telnyx": self.settings.telnyx_public_key,
        }
        return secrets_of.get(kind.name, "")

    def bad_signature(self, kind: CarrierKind) -> Refusal:
        return self._refused(kind, BAD_SIGNATURE)

    def _unavailable(self) -> Refusal | None:
        if self.calls.draining:
            return DRAINING
        if not self.ready:
            return NOT_READY
        return None if self.calls.has_room else BUSY

    def _refused(self, kind: CarrierKind, refusal: Refusal) -> Refusal:
        self.metrics.streams_refused.labels(refusal.code).inc()
        log.warning("request refused", carrier=kind.name, code=refusal.code)
        return refusal

    def _admit(self, leg: Leg, path_token: str) -> None:
        if self._gate is None:
            return
        token = leg.started.parameters.get(TOKEN_PARAMETER, "") or path_token
        if not self._gate.admit(token, int(time.time())):
            raise StreamRefused("bad_token")

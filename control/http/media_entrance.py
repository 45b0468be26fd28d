"""Who may come in, on whichever listener: room, signatures, tokens."""

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from control.http.crowd_log import CrowdLog
from control.http.errors import UPGRADE_REQUIRED, Refusal
from control.metrics import Metrics
from control.settings import Settings
from media.carriers import CARRIERS, CarrierKind
from media.carriers.kind import SignedRequest
from media.clock import Clock
from media.transport import Connection, Leg, Socket, StreamRefused
from voicecore.calls import Calls
from voicecore.session import Session
from voicecore.stream_tokens import TokenGate, mint_token

TOKEN_PARAMETER = "token"
TOO_MANY = "too_many_waiting"

DRAINING = Refusal(503, "DRAINING", "The server is shutting down")
NOT_READY = Refusal(503, "NOT_READY", "The agent is being loaded")
BUSY = Refusal(503, "BUSY", "No more calls are taken now")
BAD_SIGNATURE = Refusal(403, "BAD_SIGNATURE", "The carrier's signature is missing or wrong")
NOT_SET_UP = Refusal(403, "CARRIER_NOT_SET_UP", "There is no key to check this carrier by")


class Upgrade(msgspec.Struct, frozen=True):
    """A WebSocket upgrade: path with query, headers by lower-case name, who sent it (empty
    where the listener does not know) and what our answer calls it."""

    path: str
    headers: Mapping[str, str]
    peer: str = ""
    request_id: str = ""


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
        admit: Callable[[str], Callable[[Leg], Session]] | None = None,
        signing_key: Callable[[str], str] | None = None,
    ) -> None:
        """``admit(token)`` gives who answers the stream that brings this token, or raises
        ``StreamRefused``. Without it every stream is answered alike, and tokens are asked for
        if there is a secret. ``signing_key(carrier)``: what that one signs with, empty for no
        check; without it the settings' is."""
        self.calls = calls
        self.settings = settings
        self.metrics = metrics
        self.carrier_options = carrier_options
        self.ready = False
        """Whether the agent can answer."""
        self._waiting: dict[Connection, None] = {}
        self._crowd_log = CrowdLog(clock)
        self._clock = clock
        self._admit = admit
        self._signing_key = signing_key or self._configured_key
        secret = settings.stream_secret.get_secret_value()
        self._gate = TokenGate(secret) if secret else None

    def refuses(self, kind: CarrierKind, upgrade: Upgrade) -> Refusal | None:
        """Why an upgrade is not taken; None if it is."""
        if upgrade.headers.get("upgrade", "").strip().lower() != "websocket":
            return UPGRADE_REQUIRED
        if (unavailable := self.unavailable()) is not None:
            return self._refused(kind, unavailable, upgrade)
        secret = self.secret_of(kind)
        if kind.verify_upgrade is None or not secret:
            return None
        signed = SignedRequest(self.streams_url(upgrade) + upgrade.path, upgrade.headers)
        if kind.verify_upgrade(signed, secret, int(time.time())):
            return None
        return self.bad_signature(kind, upgrade)

    def refuses_webhook(self, kind: CarrierKind, request: Upgrade) -> Refusal | None:
        """Why a carrier's webhook is not answered, whoever it comes from; None if it is.

        Nobody is sent to a stream that would be refused, which would end the call. On an error
        Twilio asks the number's fallback URL at once, where another server may answer
        (twilio.com/docs/usage/security/availability-reliability). Telnyx' TeXML applications
        have a failover URL for webhooks that are not answered
        (developers.telnyx.com/docs/voice/programmable-voice/texml-fundamentals); whether every
        5xx counts as that, it does not say."""
        if not self._may_answer(kind):
            return self._refused(kind, NOT_SET_UP, request)
        if (unavailable := self.unavailable()) is not None:
            return self._refused(kind, unavailable, request)
        return None

    def connect(self, kind: CarrierKind, socket: Socket, *, path_token: str) -> Connection:
        """A connection that becomes a call when its stream starts and is let in."""

        ids: dict[str, Any] = {}
        token_problem = ""

        def started(leg: Leg) -> None:
            nonlocal token_problem
            self._waiting.pop(connection, None)
            ids.update(call_id=leg.started.call_id, stream_id=leg.started.stream_id)
            token = leg.started.parameters.get(TOKEN_PARAMETER, "") or path_token
            if self._admit is not None:
                self.calls.take(leg, self._admit(token))
                return
            token_problem = self._token_problem(token)
            if token_problem:
                raise StreamRefused("bad_token")
            self.calls.take(leg)

        def refused(code: str, detail: str) -> None:
            self._waiting.pop(connection, None)
            self.metrics.streams_refused.labels(code).inc()
            if code == TOO_MANY:
                self.silent_closed(code)
                return
            self._crowd_log.warning(
                "stream closed",
                code,
                carrier=kind.name,
                detail=detail or token_problem,
                **ids,
            )

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
        return connection

    def silent_closed(self, code: str) -> None:
        """A connection that said too little for too long was closed, on whichever layer."""
        waiting = len(self._waiting)
        self._crowd_log.warning("silent connections closed", code, in_full=1, waiting=waiting)

    def close(self) -> None:
        """Nothing more comes in."""
        self._crowd_log.close()

    @property
    def waiting(self) -> int:
        """Connections that have not started a stream."""
        return len(self._waiting)

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

    def streams_url(self, upgrade: Upgrade) -> str:
        """How the carrier was told to reach us with its stream, likewise."""
        return self.settings.streams_reach.rstrip("/") or self.public_url(upgrade)

    def secret_of(self, kind: CarrierKind) -> str:
        """What the carrier signs with; empty for no check."""
        return self._signing_key(kind.name)

    def _configured_key(self, carrier: str) -> str:
        keys = {
            "twilio": self.settings.twilio_auth_token.get_secret_value(),
            "telnyx": self.settings.telnyx_public_key,
        }
        return keys.get(carrier, "")

    def bad_signature(self, kind: CarrierKind, request: Upgrade) -> Refusal:
        return self._refused(kind, BAD_SIGNATURE, request)

    def unavailable(self) -> Refusal | None:
        """Why no call is taken now, whoever it comes from; None if one is."""
        if self.calls.draining:
            return DRAINING
        if not self.ready:
            return NOT_READY
        return None if self.calls.has_room else BUSY

    def _refused(self, kind: CarrierKind, refusal: Refusal, request: Upgrade) -> Refusal:
        self.metrics.streams_refused.labels(refusal.label).inc()
        self._crowd_log.warning(
            "request refused",
            refusal.label,
            carrier=kind.name,
            peer=request.peer,
            request_id=request.request_id,
        )
        return refusal

    def _token_problem(self, token: str) -> str:
        """Empty where there is none, or no token is wanted."""
        if self._gate is None:
            return ""
        return self._gate.problem(token, int(time.time()))

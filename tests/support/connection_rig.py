"""A connection on virtual time, with a socket that is only a list and a carrier by hand."""

import asyncio
import base64
import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from media.carriers import CARRIERS, CarrierKind
from media.carriers.twilio import KIND as TWILIO
from media.playout import Playout
from media.transport import Connection, Leg, StreamRefused
from tests.support.carriers import capture, only, wire
from tests.support.sim_socket import SimOwner, SimSocket
from tests.support.virtual_loop import VirtualClock, run_virtual


class Rig:
    """A connection with everything around it."""

    def __init__(self, kind: CarrierKind = TWILIO, *, refuse: str = "") -> None:
        self.kind = kind
        self.messages = capture(kind.name)
        self.socket = SimSocket()
        self.owner = SimOwner()
        self.legs: list[Leg] = []
        self.refused: list[tuple[str, str]] = []
        self._refuse = refuse
        self.connection = Connection(
            kind,
            kind.codec({}),
            self.socket,
            VirtualClock(asyncio.get_running_loop()),
            on_started=self._started,
            on_refused=lambda code, detail: self.refused.append((code, detail)),
        )

    @property
    def leg(self) -> Leg:
        return self.legs[0]

    @property
    def codes(self) -> list[str]:
        return [code for code, _ in self.refused]

    def _started(self, leg: Leg) -> None:
        if self._refuse:
            raise StreamRefused(self._refuse)
        leg.attach(self.owner, Playout(leg.started.outbound))
        self.legs.append(leg)

    def message(self, message: Any) -> None:
        self.connection.message(message if isinstance(message, bytes) else wire(message))

    def only(self, event: str) -> dict[str, Any]:
        return only(self.messages, event)

    def start(self) -> None:
        self.message(self.only("connected"))
        self.message(self.only("start"))

    def media(self, payload: bytes = b"\xff" * 160) -> None:
        message = self.only("media")
        message["media"]["payload"] = base64.b64encode(payload).decode()
        self.message(message)

    def numbered(self, chunk: int, timestamp_ms: int | None = None) -> None:
        """20 ms that say by themselves which they are."""
        message = self.only("media")
        at_ms = chunk * 20 if timestamp_ms is None else timestamp_ms
        payload = base64.b64encode(bytes((chunk,)) * 160).decode()
        message["media"] |= {"payload": payload, "chunk": str(chunk), "timestamp": str(at_ms)}
        self.message(message)

    def mark(self, name: str) -> None:
        message = self.only("mark")
        message["mark"]["name"] = name
        self.message(message)


def virtual(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test on virtual time."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        run_virtual(lambda: test(*args, **kwargs))

    run.__signature__ = inspect.signature(test)  # type: ignore[attr-defined]
    del run.__wrapped__  # type: ignore[attr-defined]
    return run


every_carrier = pytest.mark.parametrize("kind", CARRIERS, ids=lambda kind: kind.name)

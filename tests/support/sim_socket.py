"""A WebSocket that is only a list, and the owner of a leg that only notes what it hears."""

from typing import Any

import msgspec

from media.playout_events import PlayoutEvent


class SimSocket:
    """Implements ``media.transport.Socket``. ``unread`` is what the peer has not read."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.unread = 0
        self.closes: list[tuple[int, str]] = []

    def send(self, text: bytes) -> None:
        assert not self.closes, "sent after the close"
        self.sent.append(text)

    def unread_bytes(self) -> int:
        return self.unread

    def close(self, code: int, reason: str) -> None:
        self.closes.append((code, reason))

    @property
    def events(self) -> list[str]:
        return [msgspec.json.decode(text)["event"] for text in self.sent]


class SimOwner:
    """Implements ``media.transport.LegOwner``."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.order: list[str] = []
        """``frame`` and ``closed``, as they came."""
        self.digits = ""
        self.playout: list[PlayoutEvent] = []
        self.sent: list[tuple[int, int]] = []
        self.faults: list[tuple[str, str]] = []
        self.closed: list[str] = []

    def on_frame(self, now_ms: int, frame: bytes) -> None:
        self.frames.append(frame)
        self.order.append("frame")

    def on_dtmf(self, digit: str) -> None:
        self.digits += digit

    def on_playout(self, event: PlayoutEvent) -> None:
        self.playout.append(event)

    def on_sent(self, at_ms: int, payload: bytes) -> None:
        self.sent.append((at_ms, len(payload)))

    def on_fault(self, code: str, detail: str) -> None:
        self.faults.append((code, detail))

    def on_closed(self, reason: str) -> None:
        self.closed.append(reason)
        self.order.append("closed")

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.playout if isinstance(event, kind)]

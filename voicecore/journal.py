"""What happened in a call, as numbered events.

The journal is call data: it holds what was said. Logs and traces do not; ``log_fields`` gives
them what is left of an event without personal data.

A peer that causes events without end (keys, faults, tool calls) costs the disk little: each type
of event has a rate, so that it crowds out its own kind only, and the file has a length.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

EVENT_LIMIT_BYTES = 64 * 1024
"""A longer line keeps its number, time and type, and loses its data."""
EVENT_EVERY_MS = 50
EVENTS_BURST = 500
"""Of each type of event, so many are written at once, and one more each ``EVENT_EVERY_MS``."""
JOURNAL_LIMIT_BYTES = 32 * 1024 * 1024
"""What is written per call; about what a day of talk without a pause makes."""
_BURST_MS = EVENTS_BURST * EVENT_EVERY_MS
EVENTS_DROPPED = "events_dropped"
LAST_TYPES = frozenset({"line_quality", "call_ended"})
"""Written even when the journal is full; a call has one or two of each."""
PERSONAL_PREFIX = "pii_"

PUBLIC_TEXT_KEYS = frozenset(
    {
        "action",
        "carrier",
        "code",
        "component",
        "encoding",
        "format",
        "kind",
        "language",
        "model",
        "name",
        "outcome",
        "phase",
        "provider",
        "reason",
        "role",
        "source",
        "speaker",
        "stage",
        "state",
        "status",
        "tool",
        "vendor",
        "voice",
    }
)
"""Keys whose text is chosen by this program or its operator. All other text is personal."""
PERSONAL_NUMBER_KEYS = frozenset({"digit", "digits", "number", "pin", "extension"})


class Event(msgspec.Struct, frozen=True):
    """``sequence`` counts a call's events from 1, those too that are not written; ``at_ms`` is
    from the start of the stream."""

    sequence: int
    at_ms: int
    type: str
    data: Mapping[str, Any] = {}


Observer = Callable[[Event], None]


class Journal:
    """Numbers a call's events, hands their lines to ``append`` and the events to observers.

    ``append`` takes a line of JSON with its line feed and returns at once. Of events that come
    too fast, or when the journal is full, the first that is left out is replaced by an
    ``events_dropped`` event, and ``dropped(code, detail)`` is called: ``flooded`` once for each
    type that comes too fast, ``too_long`` once. Observers get every event, in order, in
    ``write()``; what one raises reaches the caller of ``write()``."""

    def __init__(
        self,
        append: Callable[[bytes], object],
        *,
        dropped: Callable[[str, str], None] = lambda code, detail: None,
    ) -> None:
        self._append = append
        self._dropped = dropped
        self._observers: tuple[Observer, ...] = ()
        self._sequence = 0
        self._room_bytes = JOURNAL_LIMIT_BYTES
        self._full = False
        self._due_ms: dict[str, int] = {}
        """Of each type, when an event would come if they came at the permitted rate."""
        self._flooding: set[str] = set()

    def observe(self, observer: Observer) -> Callable[[], None]:
        """Adds an observer of all later events; returns what removes it."""
        self._observers = (*self._observers, observer)

        def remove() -> None:
            self._observers = tuple(one for one in self._observers if one is not observer)

        return remove

    def write(self, type_: str, at_ms: int, /, **data: Any) -> Event:
        """Records an event. ``data`` is anything that is JSON, structs and tuples included."""
        self._sequence += 1
        event = Event(self._sequence, at_ms, type_, data)
        if not self._full or type_ in LAST_TYPES:
            due_ms = self._due_ms.get(type_, at_ms)
            if due_ms < at_ms:
                due_ms = at_ms
            if due_ms - at_ms < _BURST_MS:
                self._due_ms[type_] = due_ms + EVENT_EVERY_MS
                self._put(event)
            elif type_ not in self._flooding:
                self._flooding.add(type_)
                self._put_mark(event, "rate")
                self._dropped("flooded", f"events of the type {type_} were left out")
        for observer in self._observers:
            observer(event)
        return event

    def _put(self, event: Event) -> None:
        line = encode_event(event)
        self._room_bytes -= len(line)
        if self._room_bytes >= 0 or event.type in LAST_TYPES:
            self._append(line)
        elif not self._full:
            self._full = True
            self._put_mark(event, "full")
            self._dropped("too_long", f"longer than {JOURNAL_LIMIT_BYTES} bytes")

    def _put_mark(self, event: Event, reason: str) -> None:
        data = {"name": event.type, "reason": reason}
        self._append(encode_event(Event(event.sequence, event.at_ms, EVENTS_DROPPED, data)))


def encode_event(event: Event) -> bytes:
    """One line of ``events.jsonl``. Text that is no Unicode is made so."""
    try:
        line = _encode(event)
    except UnicodeEncodeError:
        line = _encode(msgspec.structs.replace(event, data=mend_text(event.data)))
    if len(line) > EVENT_LIMIT_BYTES:
        note = {"dropped_bytes": len(line)}
        line = _encode(msgspec.structs.replace(event, data=note))
    return line + b"\n"


def read_events(lines: bytes) -> list[Event]:
    """The events of an ``events.jsonl``; a last line that was cut off is left out.

    :raises msgspec.DecodeError: another line is not an event."""
    whole, _, _ = lines.rpartition(b"\n")
    return [_DECODER.decode(line) for line in whole.split(b"\n") if line]


def log_fields(event: Event, *, personal: bool = False) -> dict[str, Any]:
    """The event for logs and traces: its numbers and the text under ``PUBLIC_TEXT_KEYS``.
    With ``personal``, the rest too, each key marked with ``PERSONAL_PREFIX``."""
    fields: dict[str, Any] = {"sequence": event.sequence, "at_ms": event.at_ms}
    for key, value in event.data.items():
        if _is_public(key, value):
            fields[key] = value
        elif personal:
            fields[PERSONAL_PREFIX + key] = value
    return fields


def mend_text(value: Any) -> Any:
    """``value`` with every text in it made encodable: lone surrogates, which JSON can carry
    and UTF-8 cannot, become question marks."""
    match value:
        case str():
            return value.encode("utf-8", "replace").decode()
        case Mapping():
            return {mend_text(key): mend_text(item) for key, item in value.items()}
        case list() | tuple():
            return [mend_text(item) for item in value]
        case msgspec.Struct():
            return mend_text(msgspec.structs.asdict(value))
    return value


def _is_public(key: str, value: object) -> bool:
    if isinstance(value, str):
        return key in PUBLIC_TEXT_KEYS
    if value is None or isinstance(value, bool | float):
        return True
    return isinstance(value, int) and key not in PERSONAL_NUMBER_KEYS


_encode = msgspec.json.Encoder().encode
_DECODER = msgspec.json.Decoder(Event)

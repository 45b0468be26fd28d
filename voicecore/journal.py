"""What happened in a call, as numbered events.

The journal is call data: it holds what was said. Logs and traces do not; ``log_fields`` gives
them what is left of an event without personal data.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

EVENT_LIMIT_BYTES = 64 * 1024
"""A longer line keeps its number, time and type, and loses its data."""
EVENTS_LIMIT = 200_000
"""Events that are written per call; a peer that causes more does not fill the disk."""
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
    """``sequence`` counts from 1 without gaps; ``at_ms`` is from the start of the stream and
    may lie before that of the event before it (speech is noticed after it began)."""

    sequence: int
    at_ms: int
    type: str
    data: Mapping[str, Any] = {}


Observer = Callable[[Event], None]


class Journal:
    """Numbers a call's events, hands their lines to ``append`` and the events to observers.

    ``append`` takes a line of JSON with its line feed and returns at once. Observers are
    called in order, in ``write()``; what one raises reaches the caller of ``write()``."""

    def __init__(self, append: Callable[[bytes], object]) -> None:
        self._append = append
        self._observers: tuple[Observer, ...] = ()
        self._sequence = 0

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
        if self._sequence < EVENTS_LIMIT:
            self._append(encode_event(event))
        elif self._sequence == EVENTS_LIMIT:
            self._append(encode_event(Event(self._sequence, at_ms, "journal_full")))
        for observer in self._observers:
            observer(event)
        return event


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

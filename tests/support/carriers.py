"""A short stream of each carrier, put together from its documented messages, in order."""

import json
from pathlib import Path
from typing import Any

CAPTURES = Path(__file__).parent.parent / "media" / "carriers" / "captures"


def capture(name: str) -> list[dict[str, Any]]:
    """The messages that a carrier sends, from its first to its last."""
    lines = (CAPTURES / f"{name}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def wire(message: Any) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()


def replay(codec: Any, messages: list[Any]) -> list[Any]:
    """Every event of the messages, in order."""
    return [event for message in messages for event in codec.receive(wire(message))]


def only(messages: list[dict[str, Any]], event: str) -> dict[str, Any]:
    """A copy of the first message of that event."""
    return json.loads(json.dumps(next(m for m in messages if m["event"] == event)))

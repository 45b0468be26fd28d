"""What JSON does not know, as it is written."""

from typing import Any
from uuid import UUID

import orjson
from pydantic import BaseModel


def to_json(value: Any) -> bytes:
    """JSON of values as handlers have them: rows' UUIDs and times, and models.

    :raises TypeError: something else."""
    return orjson.dumps(value, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, UUID):  # asyncpg has a kind of its own
        return str(value)
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} cannot be JSON")

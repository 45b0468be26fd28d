"""Which fields of a request are wrong, and what with each."""

from pydantic import ValidationError

from control.http.errors import Invalid
from control.sentences import sentence_of

MOST_TOLD = 100
MOST_PLACE = 300


def invalid_fields(error: ValidationError) -> list[Invalid]:
    """Every field that is wrong, up to some. ``body`` is what has no name: the whole of it."""
    found = error.errors(include_url=False, include_input=False)
    told = [
        Invalid(".".join(map(str, item["loc"]))[:MOST_PLACE] or "body", sentence_of(item))
        for item in found[:MOST_TOLD]
    ]
    if len(found) > MOST_TOLD:
        told[-1] = Invalid("body", f"has {len(found) - MOST_TOLD + 1} more mistakes")
    return told

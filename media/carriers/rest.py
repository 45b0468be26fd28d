"""A request to a carrier's REST API as a value. Whoever sends it adds the credentials."""

import msgspec

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


class RestRequest(msgspec.Struct, frozen=True):
    """``settled`` lists the refusals that mean that the aim is already reached (a call to hang
    up is over), as pairs of HTTP status and the carrier's error code."""

    method: str
    url: str
    body: bytes = b""
    content_type: str = JSON
    settled: tuple[tuple[int, int], ...] = ()

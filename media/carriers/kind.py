"""What the rest of the program needs to know of a carrier to treat all of them alike."""

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from media.carrier import Carrier
from media.carriers.answer import AnswerDocument, StreamRequest
from media.carriers.rest import RestRequest


class SignedRequest(msgspec.Struct, frozen=True):
    """A carrier's HTTP request as its signature sees it.

    ``url`` is the public URL as it was given to the carrier, built from configuration and not
    from proxy headers, its query string still percent-encoded. Names of ``headers`` are in
    lower case. ``body`` is the raw body."""

    url: str
    headers: Mapping[str, str]
    body: bytes = b""


Verify = Callable[[SignedRequest, str, int], bool]
"""``(request, secret, now_s) -> genuine``. Never raises, whatever the request holds."""


class MakeCodec(Protocol):
    def __call__(self, settings: Mapping[str, str] = ..., /) -> Carrier:
        """A codec for one WebSocket.

        :raises ValueError: an unknown setting, or a value that the carrier does not know."""


class CarrierKind(msgspec.Struct, frozen=True):
    """One carrier.

    - ``path``: where its WebSockets come in.
    - ``codec(settings)``: see ``MakeCodec``; its settings are the carrier's own.
    - ``answer(request, settings)``: the document that answers a call and streams it.
      Raises ``ValueError`` for a request that the carrier would refuse.
    - ``hang_up(account_id, call_id)``: the request that ends a call.
    - ``verify_webhook``: is this webhook the carrier's?
    - ``verify_upgrade``: is this WebSocket the carrier's? None where upgrades are not signed.
    - ``start_timeout_ms``: how long after the upgrade the stream may take to start.
    - ``token_in_path``: the token that lets a stream in goes into the URL's path, because the
      carrier does not promise to bring parameters back.
    - ``reorder_frames``: messages held back to put audio in order; 0 where order is promised.
    """

    name: str
    path: str
    codec: MakeCodec
    answer: Callable[[StreamRequest, Mapping[str, str]], AnswerDocument]
    hang_up: Callable[[str, str], RestRequest]
    verify_webhook: Verify
    verify_upgrade: Verify | None
    start_timeout_ms: int
    token_in_path: bool = False
    reorder_frames: int = 0

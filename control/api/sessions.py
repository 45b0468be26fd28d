"""What somebody who logs in is given, in either portal."""

from typing import Any

from control.api.shapes import Body, Secret, Shape
from control.auth import tokens
from control.http.context import Context
from control.http.errors import Refusal, Refused
from control.http.refusals import INVALID_CREDENTIALS, INVALID_TOKEN

_CHALLENGE = {"WWW-Authenticate": "Bearer"}
_NOT_REFRESHED = Refusal(
    INVALID_TOKEN.status,
    INVALID_TOKEN.code,
    "The refresh token is unknown, expired, revoked or used already: log in again",
)


class RefreshRequest(Body):
    refresh_token: Secret


class Session(Shape):
    token: str
    refresh_token: str
    expires_in: int
    """Seconds that the token is good for."""


def session_of(pair: tokens.Pair) -> dict[str, Any]:
    return {
        "token": pair.access,
        "refresh_token": pair.refresh,
        "expires_in": pair.expires_in_s,
    }


def wrong_credentials() -> Refused:
    """The same whatever was wrong."""
    return Refused(INVALID_CREDENTIALS, headers=_CHALLENGE)


async def refreshed(context: Context, token: str, *, of_admin: bool) -> dict[str, Any]:
    """New tokens for a refresh token, of an admin or of a person.

    :raises Refused: it is not good. If it has been used before, its family ends."""
    try:
        found = await tokens.refresh(context.db, token, context.now)
    except tokens.Reused:
        found = None
    if found is None:
        raise Refused(_NOT_REFRESHED, headers=_CHALLENGE, keeps=True)
    pair, holder = found
    if (holder.admin_id is not None) != of_admin:  # the other portal's: it stays as it was
        raise Refused(_NOT_REFRESHED, headers=_CHALLENGE)
    return session_of(pair)

"""What is said to who brings no token that is good here, and how he gets one (RFC 6750, 3)."""

from collections.abc import Sequence

from control.http.access import Access, Bearer, Kind
from control.http.errors import Refusal, Refused
from control.http.refusals import INSUFFICIENT_SCOPE, INVALID_TOKEN

HEADER = "WWW-Authenticate"

_GET_ONE = {
    "admin": "POST /admin/auth/login gives one",
    "person": "POST /auth/login gives one",
    "member": "POST /auth/login gives one, and an API key is one",
    "oauth": "POST /oauth/v2/token gives one",
}
_RENEW_IT = {
    "admin": "POST /admin/auth/refresh swaps its refresh token for a new one",
    "person": "POST /auth/refresh swaps its refresh token for a new one",
    "member": "POST /auth/refresh swaps its refresh token for a new one; API keys are good until "
    "they are revoked",
    "oauth": "POST /oauth/v2/token gives a new one, by grant_type refresh_token or as before",
}


_NOT_YET = ". A sign-up's token is good once its e-mail address is verified"
_OF_A_SIGN_UP = {"person": _NOT_YET, "member": _NOT_YET}
"""Said of every token, so that it shows of none whose it is."""


def no_good_token(kind: Kind, authorization: str, bearer: Bearer | None = None) -> Refused:
    """
    :param kind: whom the endpoint is for.
    :param authorization: the header that came, empty where none did.
    :param bearer: whose token it is, if it is good elsewhere."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        what = f"There is no token. Send `Authorization: Bearer <token>`: {_GET_ONE[kind]}"
        return Refused(_refusal(what), headers={HEADER: "Bearer"})
    if bearer is None:
        what = (
            "The token is unknown, expired or revoked. Access tokens are good for an hour: "
            f"{_RENEW_IT[kind]}{_OF_A_SIGN_UP.get(kind, '')}"
        )
    else:
        what = f"The token is good, but not here: {_GET_ONE[kind]}"
    return Refused(_refusal(what), headers={HEADER: 'Bearer error="invalid_token"'})


def scope_too_small(access: Access, scopes: Sequence[str]) -> Refused:
    """The token is good here, but not for this.

    :param scopes: those that it has."""
    has = f"it has {' and '.join(scopes)}" if scopes else "it has none"
    what = f"{INSUFFICIENT_SCOPE.message}: {access.scope}; {has}"
    refusal = Refusal(INSUFFICIENT_SCOPE.status, INSUFFICIENT_SCOPE.code, what)
    challenge = f'Bearer error="insufficient_scope", scope="{access.scope}"'
    return Refused(refusal, headers={HEADER: challenge})


def _refusal(message: str) -> Refusal:
    return Refusal(INVALID_TOKEN.status, INVALID_TOKEN.code, message)

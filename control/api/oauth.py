"""``POST /oauth/v2/token`` (RFC 6749): the one endpoint that answers in that document's form."""

import base64
import hmac
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, unquote_plus

import msgspec
import orjson
from pydantic import BaseModel, ConfigDict, Field

from control.api import throttle
from control.api.shapes import Shape
from control.auth import tokens
from control.db import accounts
from control.db.database import Row
from control.http.access import PUBLIC, SCOPES, has_scope
from control.http.context import Context
from control.http.endpoint import Answer, Raw, endpoint
from control.http.errors import Refusal
from control.http.form import Form

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class Token(Shape):
    access_token: str
    expires_in: int
    token_type: str
    scope: str
    refresh_token: str | None = None


_CLIENT = {"client_id": "YOUR_ID", "client_secret": "YOUR_SECRET"}


class TokenForm(BaseModel):
    """Documents the form: unknown fields are ignored, and none may come twice. The client is
    named by `client_id` and `client_secret` here, or by HTTP Basic, not by both."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"grant_type": "client_credentials", **_CLIENT, "scope": "read write"},
                {
                    "grant_type": "password",
                    **_CLIENT,
                    "username": "jane@example.com",
                    "password": "Correct-Horse-7",
                },
                {
                    "grant_type": "refresh_token",
                    **_CLIENT,
                    "refresh_token": "YOUR_REFRESH_TOKEN",
                },
            ]
        }
    )

    grant_type: Literal["client_credentials", "password", "refresh_token"]
    client_id: str = Field("", description="Where the client does not come by HTTP Basic.")
    client_secret: str = Field("", description="With `client_id`.")
    username: str = Field("", description="Of `password`, needed: the person's e-mail address.")
    password: str = Field("", description="Of `password`, needed.")
    refresh_token: str = Field(
        "", description="Of `refresh_token`, needed: the one that came last. It is used up."
    )
    scope: str = Field(
        "",
        description="`read`, `write` and `admin`, with spaces between. If none is named: all that "
        "the client has but `admin`; of `refresh_token`: those that were granted.",
    )


class Failure(Shape):
    """An error of RFC 6749, section 5.2."""

    error: str
    error_description: str


ERRORS = (
    Refusal(400, "invalid_request", "A field is missing, comes twice, or the body is no form"),
    Refusal(400, "invalid_grant", "The person's password, or the refresh token, is no good"),
    Refusal(400, "unauthorized_client", "The client may not use the grant `password`"),
    Refusal(400, "unsupported_grant_type", "There is no such `grant_type`"),
    Refusal(400, "invalid_scope", "More was asked for than the client, or the token, has"),
    Refusal(401, "invalid_client", "The client is unknown, or its secret is wrong"),
    Refusal(429, "slow_down", "Too many attempts failed; `Retry-After` says when to go on"),
)
"""`{"error": code, "error_description": why}`."""
OF_ANY_REQUEST = (
    Refusal(408, "invalid_request", "The request did not come whole"),
    Refusal(413, "invalid_request", "The request's body is too large"),
    Refusal(415, "invalid_request", "The body's `Content-Encoding` is not known"),
    Refusal(429, "slow_down", "Too many requests; `Retry-After` says when to go on"),
    Refusal(500, "server_error", "The server has failed"),
    Refusal(503, "temporarily_unavailable", "The database is away, or the server too busy"),
)
"""What is said of requests anywhere, as it is called here. The RFC's codes for it are those of its
section 4.1.2.1, and RFC 8628's."""
_CODES = {one.status: one.code for one in OF_ANY_REQUEST}
_NO_FORM = "The body must be a form (Content-Type: application/x-www-form-urlencoded)"


class OAuthError(Exception):
    """An answer of RFC 6749, section 5.2."""

    def __init__(self, error: str, description: str, *, status: int = 400, wait_s: int = 0) -> None:
        super().__init__(error)
        self.error, self.description, self.status = error, description, status
        self.wait_s = wait_s


class Asked(msgspec.Struct, frozen=True):
    """What the form says."""

    grant_type: str
    client_id: str
    client_secret: str
    username: str
    password: str
    refresh_token: str
    scope: str


def _codes_of(status: int) -> str:
    """For the documentation."""
    found = [one.code for one in (*ERRORS, *OF_ANY_REQUEST) if one.status == status]
    return ", ".join(f"`{code}`" for code in dict.fromkeys(found))


def _in_this_form(refusal: Refusal) -> Raw:
    """What is said of requests anywhere."""
    code = _CODES.get(refusal.status, "invalid_request")
    return _refusal(OAuthError(code, refusal.message, status=refusal.status))


@endpoint(
    "POST",
    "/oauth/v2/token",
    PUBLIC,
    Token,
    refusals=(*ERRORS, *OF_ANY_REQUEST),
    other_statuses={
        status: _codes_of(status)
        for status in sorted({one.status for one in (*ERRORS, *OF_ANY_REQUEST)})
    },
    other_answer=Failure,
    other_form=_in_this_form,
    any_query=True,
    heavy="passwords",
)
async def oauth_token(context: Context, form: Annotated[Form, TokenForm]) -> Answer:
    """Get an access token: by `password`, `refresh_token` or `client_credentials`.

    The body is a form. The client says who it is in it, or by HTTP Basic (`client_id` and
    `client_secret`, each percent-encoded).

    `password` and `refresh_token` give a refresh token, too, which is good once: who uses an old
    one again has stolen it, or was stolen from, so all tokens that came of the same login end.

    Errors are those of RFC 6749: `{"error": code, "error_description": why}`."""
    try:
        _check_type(context.headers.get("Content-Type", ""))
        asked = _asked(form, context.headers.get("Authorization", ""))
        client = await _client(context, asked)
        answer = await _grant(context, asked, client)
    except OAuthError as error:
        return _refusal(error)
    return Raw(orjson.dumps(answer), "application/json;charset=UTF-8", headers=NO_STORE)


async def _grant(context: Context, asked: Asked, client: Row) -> dict[str, Any]:
    if asked.grant_type == "client_credentials":
        scopes = _scopes(asked.scope, client["scopes"])
        holder = tokens.Holder(client_id=client["id"], scopes=scopes)
        pair = await tokens.issue(context.db, holder, context.now, refreshable=False)
        return _shown(pair, scopes)
    if asked.grant_type == "password":
        return await _by_password(context, asked, client)
    if asked.grant_type == "refresh_token":
        return await _refreshed(context, asked, client)
    known = "password, refresh_token, client_credentials"
    raise OAuthError("unsupported_grant_type", f"grant_type must be one of {known}")


async def _by_password(context: Context, asked: Asked, client: Row) -> dict[str, Any]:
    if not client["password_grant"]:
        raise OAuthError("unauthorized_client", "The client may not use the password grant")
    if not asked.username or not asked.password:
        raise OAuthError("invalid_request", "username and password are required")
    who = asked.username.lower()
    await _throttle(context, who)
    user = await accounts.user_by_email(context.db, asked.username)
    kept = None if user is None else user["password_hash"]
    right = await context.plane.passwords.matches(asked.password, kept)
    right = right and await accounts.lock_user_as_known(context.db, user)
    if user is None or not right:
        await throttle.failed(context, who)
        raise OAuthError("invalid_grant", "Invalid username and password combination")
    scopes = _scopes(asked.scope, client["scopes"])
    holder = tokens.Holder(user_id=user["id"], client_id=client["id"], scopes=scopes)
    pair = await tokens.issue(context.db, holder, context.now)
    await accounts.user_logged_in(context.db, user["id"], context.now)
    return _shown(pair, scopes)


async def _refreshed(context: Context, asked: Asked, client: Row) -> dict[str, Any]:
    if not asked.refresh_token:
        raise OAuthError("invalid_request", "refresh_token is required")
    scopes = await _narrowed(context, asked, client)
    try:
        found = await tokens.refresh(
            context.db, asked.refresh_token, context.now, client_id=client["id"], scopes=scopes
        )
    except tokens.Reused:  # an error is an answer here: that the family ends is kept
        found = None
    if found is None:
        raise OAuthError("invalid_grant", "The refresh token is invalid or expired")
    pair, holder = found
    return _shown(pair, holder.scopes)


async def _narrowed(context: Context, asked: Asked, client: Row) -> tuple[str, ...]:
    """The scopes that a refresh asks for, looked at before its token is used up."""
    wanted = asked.scope.split()
    granted = await tokens.granted(context.db, asked.refresh_token, client["id"])
    if granted is not None and not set(wanted) <= set(granted):
        raise OAuthError("invalid_scope", "The scope is wider than the one that was granted")
    return tuple(scope for scope in SCOPES if scope in wanted)


async def _client(context: Context, asked: Asked) -> Row:
    """:raises OAuthError: no client, or its secret is wrong."""
    failure = OAuthError("invalid_client", "Client authentication failed", status=401)
    if not asked.client_id or not asked.client_secret:
        raise failure
    who = f"client:{asked.client_id}"
    await _throttle(context, who)
    client = await accounts.client(context.db, asked.client_id)
    kept = b"" if client is None else client["secret_hash"]
    right = hmac.compare_digest(tokens.digest(asked.client_secret), kept)
    if client is None or not right:
        await throttle.failed(context, who)
        raise failure
    return client


async def _throttle(context: Context, who: str) -> None:
    if wait_s := await throttle.locked_for_s(context, who):
        told = f"Too many failed attempts: try again in {wait_s} s"
        raise OAuthError("slow_down", told, status=429, wait_s=wait_s)


def _asked(form: Form, authorization: str) -> Asked:
    fields = _fields(form)
    client_id, secret = fields.get("client_id", ""), fields.get("client_secret", "")
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() == "basic":
        if secret:
            raise OAuthError("invalid_request", "The client must authenticate in one way only")
        client_id, secret = _basic(encoded)
    if not fields.get("grant_type"):
        raise OAuthError("invalid_request", f"grant_type is required. {_NO_FORM}")
    rest = ("username", "password", "refresh_token", "scope")
    return Asked(
        fields["grant_type"],
        client_id,
        secret,
        *(fields.get(name, "") for name in rest),
    )


def _check_type(content_type: str) -> None:
    """Whoever names no type means a form.

    :raises OAuthError: it is JSON, or a form with files."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind.endswith("json") or kind == "multipart/form-data":
        raise OAuthError("invalid_request", f"{_NO_FORM}, not {kind}")


def _fields(form: Form) -> dict[str, str]:
    """RFC 6749, 3.2: no parameter comes twice; unknown ones are ignored."""
    try:
        pairs = parse_qsl(form.text, keep_blank_values=True, max_num_fields=32, errors="strict")
    except ValueError:
        raise OAuthError("invalid_request", "The body is no form") from None
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise OAuthError("invalid_request", "A parameter comes twice")
    if any("\0" in value for value in fields.values()):
        raise OAuthError("invalid_request", "A parameter has a NUL character in it")
    return fields


def _basic(encoded: str) -> tuple[str, str]:
    try:
        client_id, colon, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:  # what is no ASCII, no Base64 or no UTF-8
        client_id, colon, secret = "", "", ""
    client_id, secret = unquote_plus(client_id), unquote_plus(secret)
    if not colon or "\0" in client_id:
        raise OAuthError("invalid_client", "The Authorization header is no Basic one", status=401)
    return client_id, secret


def _scopes(asked: str, allowed: list[str]) -> tuple[str, ...]:
    wanted = asked.split() or [scope for scope in allowed if scope != "admin"] or allowed
    if not all(scope in SCOPES and has_scope(tuple(allowed), scope) for scope in wanted):
        raise OAuthError("invalid_scope", f"The client may ask for: {' '.join(allowed)}")
    return tuple(scope for scope in SCOPES if scope in wanted)


def _shown(pair: tokens.Pair, scopes: tuple[str, ...]) -> dict[str, Any]:
    answer = {
        "access_token": pair.access,
        "expires_in": pair.expires_in_s,
        "token_type": "bearer",
        "scope": " ".join(scopes),
    }
    return {**answer, "refresh_token": pair.refresh} if pair.refresh else answer


def _refusal(error: OAuthError) -> Raw:
    body = {"error": error.error, "error_description": error.description}
    headers = dict(NO_STORE)
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="oauth"'
    if error.wait_s:
        headers["Retry-After"] = str(error.wait_s)
    return Raw(orjson.dumps(body), "application/json;charset=UTF-8", error.status, headers)


ENDPOINTS = (oauth_token,)

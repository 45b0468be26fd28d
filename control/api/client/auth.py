"""The client portal's identity: signing up, logging in, and what is done about lost passwords.

No answer tells whether an e-mail address is registered. Whoever signs up gets tokens that are good
once he has followed the link in his mail; whoever signs up with an address that has an account gets
tokens that never are, and the account's owner a mail that says so.
"""

from typing import Annotated, Any
from uuid import UUID, uuid4

from pydantic import Field

from control.api import mails, throttle
from control.api.client.workspaces import MyWorkspace
from control.api.sessions import (
    RefreshRequest,
    Session,
    refreshed,
    session_of,
    wrong_credentials,
)
from control.api.shapes import (
    Body,
    Email,
    Name,
    NewPassword,
    Password,
    Secret,
    Shape,
    example,
)
from control.auth import tokens
from control.db import accounts, config, signups, users
from control.db.database import Row
from control.http.access import PERSON, PUBLIC
from control.http.context import Actor, Context
from control.http.endpoint import Answer, endpoint
from control.http.errors import Invalid, Refusal, Refused
from control.http.refusals import (
    INVALID_CREDENTIALS,
    INVALID_TOKEN,
    PERMISSION_DENIED,
    RATE_LIMIT_EXCEEDED,
    VALIDATION_ERROR,
)

SIGNUP_CLOSED = Refusal(
    PERMISSION_DENIED.status, PERMISSION_DENIED.code, "Nobody can sign up by himself now"
)
EMAIL_NOT_VERIFIED = Refusal(
    403,
    "EMAIL_NOT_VERIFIED",
    "This sign-up waits for its e-mail address to be verified: follow the link in the e-mail. To "
    "have another e-mail sent, sign up again with the same address",
)
_NOT_GOOD = Invalid("token", "is not good, or not any more")
_WRONG_PASSWORD = Invalid("current_password", "is wrong")


class SignupRequest(Body):
    model_config = example(email="jane@example.com", password="Correct-Horse-7", name="Jane Doe")

    email: Email
    password: NewPassword
    name: Name


class LoginRequest(Body):
    email: Annotated[str, Field(min_length=1, max_length=254)]
    password: Password


class VerifyEmailRequest(Body):
    token: Secret


class ForgotPasswordRequest(Body):
    email: Email


class ResetPasswordRequest(Body):
    token: Secret
    new_password: NewPassword


class PasswordChange(Body):
    current_password: Password
    new_password: NewPassword


class Person(Shape):
    id: UUID
    email: str
    name: str


class SignedUp(Session):
    user: Person


class LoggedIn(SignedUp):
    workspaces: list[MyWorkspace]


class Myself(Shape):
    user: Person
    workspaces: list[MyWorkspace]


@endpoint(
    "POST",
    "/auth/signup",
    PUBLIC,
    SignedUp,
    status=201,
    refusals=(SIGNUP_CLOSED, RATE_LIMIT_EXCEEDED),
    shows_secret=True,
    heavy="passwords",
)
async def signup(context: Context, body: SignupRequest) -> Answer:
    """Sign up.

    The tokens are good, and one can log in, once the link in the e-mail has been followed (see
    `/auth/verify-email`). The answer is the same where the address has an account already: then
    the e-mail says so, and the tokens are never good."""
    if not await config.setting(context.db, "signup_enabled"):
        raise Refused(SIGNUP_CLOSED)
    await throttle.count_mail(context, body.email)
    pair, link = tokens.new_pair(), tokens.new_secret()
    others = await signups.passwords(context.db, body.email, context.now)
    like = others[0] if others else None
    made = signups.Signup(
        id=uuid4(),
        email=body.email,
        name=body.name,
        password_hash=await context.plane.passwords.hash(body.password, like),
        verify_hash=tokens.digest(link),
        access_hash=tokens.digest(pair.access),
        refresh_hash=tokens.digest(pair.refresh),
    )
    await signups.insert(context.db, made, context.now)
    known = await accounts.user_by_email(context.db, body.email)
    portal = context.plane.portal
    if known is None or known["email_verified_at"] is None:
        context.mail(mails.verify_email(portal, body.email, link))
    else:
        context.mail(mails.already_registered(portal, known["email"]))
    return {
        **session_of(pair),
        "user": {"id": made.id, "email": made.email, "name": made.name},
    }


@endpoint("POST", "/auth/verify-email", PUBLIC, None)
async def verify_email(context: Context, body: VerifyEmailRequest) -> Answer:
    """Show that the address is one's own, by the token from the e-mail's link."""
    row = await signups.take(context.db, tokens.digest(body.token), context.now)
    user_id = None if row is None else await _user_of(context, row)
    if row is None or user_id is None:
        raise Refused(VALIDATION_ERROR, details=[_NOT_GOOD])
    holder = tokens.Holder(user_id=user_id)
    await tokens.begin(context.db, holder, row["access_hash"], row["refresh_hash"], context.now)
    return None


async def _user_of(context: Context, signup: Row) -> UUID | None:
    """The user that a sign-up becomes: a new one, or one that a workspace made with this address,
    which is its owner's from now on. None where the address has an owner already."""
    known = await accounts.user_by_email(context.db, signup["email"])
    if known is None:
        made = await signups.make_user(context.db, signup, context.now)
        return None if made is None else UUID(str(made["id"]))
    if known["email_verified_at"] is not None:
        return None
    await tokens.revoke_person(context.db, known["id"], context.now)
    name, password = signup["name"], signup["password_hash"]
    await users.take_over(context.db, known["id"], name, password, context.now)
    return UUID(str(known["id"]))


@endpoint(
    "POST",
    "/auth/login",
    PUBLIC,
    LoggedIn,
    refusals=(INVALID_CREDENTIALS, EMAIL_NOT_VERIFIED, RATE_LIMIT_EXCEEDED),
    shows_secret=True,
    heavy="passwords",
)
async def login(context: Context, body: LoginRequest) -> Answer:
    """Log in.

    `EMAIL_NOT_VERIFIED` tells who has signed up, and knows the password, that the link in the
    e-mail is still to be followed; it does not tell whether the address has an account."""
    await throttle.refuse_if_locked(context, body.email)
    user = await accounts.user_by_email(context.db, body.email)
    kept = None if user is None else user["password_hash"]
    right = await context.plane.passwords.matches(body.password, kept)
    right = right and await accounts.lock_user_as_known(context.db, user)
    if user is None or not right:
        # The same work and the same answers whether or not the address has an account.
        waiting = await signups.passwords(context.db, body.email, context.now)
        if await context.plane.passwords.is_one_of(body.password, waiting):
            raise Refused(EMAIL_NOT_VERIFIED)
        await throttle.failed(context, body.email)
        raise wrong_credentials()
    pair = await tokens.issue(context.db, tokens.Holder(user_id=user["id"]), context.now)
    await accounts.user_logged_in(context.db, user["id"], context.now)
    return {
        **session_of(pair),
        "user": {name: user[name] for name in Person.model_fields},
        "workspaces": await _workspaces(context, user["id"]),
    }


@endpoint("POST", "/auth/refresh", PUBLIC, Session, refusals=(INVALID_TOKEN,), shows_secret=True)
async def refresh(context: Context, body: RefreshRequest) -> Answer:
    """Swap a refresh token for new tokens.

    It is good once: if it comes again, all that the login brought about ends."""
    return await refreshed(context, body.refresh_token, of_admin=False)


@endpoint("POST", "/auth/logout", PERSON, None)
async def logout(context: Context) -> Answer:
    """Log out: the token and its refresh token are good no more."""
    assert context.bearer.family is not None
    await tokens.revoke_family(context.db, context.bearer.family, context.now)
    return None


@endpoint("GET", "/auth/me", PERSON, Myself)
async def me(context: Context) -> Answer:
    """Who you are, and the workspaces you belong to."""
    bearer = context.bearer
    return {
        "user": {"id": bearer.id, "email": bearer.email, "name": bearer.name},
        "workspaces": await _workspaces(context, bearer.id),
    }


@endpoint("POST", "/auth/forgot-password", PUBLIC, None, refusals=(RATE_LIMIT_EXCEEDED,))
async def forgot_password(context: Context, body: ForgotPasswordRequest) -> Answer:
    """Have a link mailed with which a new password is set. Where nobody is registered with the
    address, none is."""
    await throttle.count_mail(context, body.email)
    found = await tokens.mail_once(context.db, "reset_password", body.email, context.now)
    if found is not None:
        token, address = found
        mail = mails.reset_password(context.plane.portal, address, token)
        context.mail(mail)
    return None


@endpoint("POST", "/auth/reset-password", PUBLIC, None, heavy="passwords")
async def reset_password(context: Context, body: ResetPasswordRequest) -> Answer:
    """Set a new password, by the token from the e-mail's link. Everybody who was logged in is
    logged out."""
    user_id = await tokens.use_once(context.db, "reset_password", body.token, context.now)
    if user_id is None:
        raise Refused(VALIDATION_ERROR, details=[_NOT_GOOD])
    hashed = await context.plane.passwords.hash(body.new_password)
    await accounts.set_password(context.db, user_id, hashed, context.now)
    await tokens.revoke_person(context.db, user_id, context.now)
    user = await accounts.verify_email(context.db, user_id, context.now)
    if user is not None:
        actor = Actor("user", user_id, user["email"])
        await context.write_down("user.password_reset", "user", user_id, by=actor)
        mail = mails.password_changed(context.plane.portal, user["email"])
        context.mail(mail)
    return None


@endpoint("PUT", "/auth/password", PERSON, None, refusals=(RATE_LIMIT_EXCEEDED,), heavy="passwords")
async def change_password(context: Context, body: PasswordChange) -> Answer:
    """Change your password. Every other login of yours ends."""
    bearer = context.bearer
    await throttle.refuse_if_locked(context, bearer.email or "")
    user = await accounts.user(context.db, bearer.id)
    kept = None if user is None else user["password_hash"]
    if not await context.plane.passwords.matches(body.current_password, kept):
        await throttle.failed(context, bearer.email or "")
        raise Refused(VALIDATION_ERROR, details=[_WRONG_PASSWORD])
    hashed = await context.plane.passwords.hash(body.new_password)
    if not await accounts.lock_user_as_known(context.db, user):  # another one was set meanwhile
        raise Refused(VALIDATION_ERROR, details=[_WRONG_PASSWORD])
    await accounts.set_password(context.db, bearer.id, hashed, context.now)
    await tokens.revoke_person(context.db, bearer.id, context.now, but=bearer.family)
    await context.write_down("user.password_changed", "user", bearer.id)
    context.mail(mails.password_changed(context.plane.portal, bearer.email or ""))
    return None


async def _workspaces(context: Context, user_id: UUID) -> list[dict[str, Any]]:
    return [dict(row) for row in await accounts.workspaces(context.db, user_id)]


ENDPOINTS = (
    signup,
    verify_email,
    login,
    refresh,
    logout,
    me,
    forgot_password,
    reset_password,
    change_password,
)

"""Whoever makes users learns which e-mails are registered; not of many, so that nobody walks
through addresses."""

from control.api import throttle
from control.api.sapien.tenancy import is_platform, wrong
from control.auth.rate_limits import Limit
from control.http.context import Context
from control.http.errors import Refused

MOST = Limit(20, 20)
"""Answers that tell one, to a person or to all clients of a workspace. Clients of the platform see
everybody's e-mail anyway."""


async def refuse_who_walks(context: Context) -> None:
    """:raises Refused: too many such answers: the next e-mail is not tried, whether or not it is
    registered."""
    if not is_platform(context.bearer):
        await throttle.take(context, _key(context), MOST, counts=False)


async def already_registered(context: Context) -> Refused:
    """The answer, which is counted.

    :raises Refused: one too many."""
    if not is_platform(context.bearer):
        await throttle.take(context, _key(context), MOST)
    return wrong("email", "Email is already registered")


def _key(context: Context) -> str:
    bearer = context.bearer
    return f"known-emails:{bearer.person or bearer.client_workspace}"

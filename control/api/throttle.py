"""Logins that fail are counted, by who and from where; too many, and the next is not tried. What
makes us send mails is counted whatever comes of it."""

import hashlib

from control.auth.rate_limits import Limit, Standing
from control.http.context import Context
from control.http.refusals import too_often
from control.http.remote import network_of

FAILURES = Limit(10, 50)
FROM_ONE_ADDRESS = Limit(60, 600)
"""Whoever it is that is tried from there."""
OF_ONE_ACCOUNT = Limit(100, 100)
"""From wherever: guesses that are spread over many addresses. Looser, because strangers can keep
the account's owner out with it."""
MAILS = Limit(5, 20)
"""To one mailbox, whoever asks for them."""
MAILS_FROM_ONE_ADDRESS = Limit(30, 300)


async def locked_for_s(context: Context, who: str) -> int:
    """How long the next attempt has to wait; 0 where it has not."""
    for key, limit in _keys(context, who):
        now_s = context.now.timestamp()
        standing = await context.plane.limits.take(key, limit, now_s, counts=False)
        if not standing.allowed:
            return _wait_s(context, standing)
    return 0


async def refuse_if_locked(context: Context, who: str) -> None:
    """:raises Refused: the next attempt has to wait."""
    if wait_s := await locked_for_s(context, who):
        raise too_often(wait_s)


async def failed(context: Context, who: str) -> None:
    """Count a failure."""
    for key, limit in _keys(context, who):
        await context.plane.limits.take(key, limit, context.now.timestamp())


async def count_mail(context: Context, email: str) -> None:
    """Count what mails to an address that anybody may name, registered or not.

    :raises Refused: one too many."""
    keys = [
        (f"mails-from:{network_of(context.remote)}", MAILS_FROM_ONE_ADDRESS),
        (f"mails:{_short(email)}", MAILS),
    ]
    for key, limit in keys:
        await take(context, key, limit)


async def take(context: Context, key: str, limit: Limit, *, counts: bool = True) -> None:
    """Count something, or only look whether it may be.

    :raises Refused: one too many."""
    now_s = context.now.timestamp()
    standing = await context.plane.limits.take(key, limit, now_s, counts=counts)
    if not standing.allowed:
        raise too_often(_wait_s(context, standing))


def _wait_s(context: Context, standing: Standing) -> int:
    return max(standing.reset_at_s - int(context.now.timestamp()), 1)


def _keys(context: Context, who: str) -> list[tuple[str, Limit]]:
    network = network_of(context.remote)
    return [
        (f"login:{_short(who)}:{network}", FAILURES),
        (f"logins:{network}", FROM_ONE_ADDRESS),
        (f"logins-as:{_short(who)}", OF_ONE_ACCOUNT),
    ]


def _short(who: str) -> str:
    """A name that anybody may make as long as a request."""
    return hashlib.sha256(who.lower().encode("utf-8", "replace")).hexdigest()[:32]

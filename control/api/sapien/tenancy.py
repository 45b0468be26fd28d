"""Which customer something belongs to, and whether the caller may change what is the customer's."""

from uuid import UUID

from control.db import workspaces
from control.db.database import Row
from control.http.access import Bearer
from control.http.context import Context
from control.http.errors import Invalid, Refusal, Refused
from control.http.refusals import VALIDATION_ERROR, WORKSPACE_SUSPENDED, role_too_low

OWNERS = ("owner",)
ADMINS = ("owner", "admin")
MANAGERS = ("owner", "admin", "manager")

CHANGE_REFUSALS: tuple[Refusal, ...] = (WORKSPACE_SUSPENDED,)
"""What ``may_change`` adds to the refusals that every endpoint has."""


async def customer_named(context: Context, number: int) -> Row:
    """The customer that a body's ``customer_id`` names.

    :raises Refused: there is none, or none that the caller sees."""
    row = await workspaces.by_number(context.db, context.sight.seen, number)
    if row is None:
        raise no_such_customer()
    return row


def no_such_customer() -> Refused:
    return wrong("customer_id", "There is no such customer")


def may_change(context: Context, workspace_id: UUID, status: str, roles: tuple[str, ...]) -> None:
    """A client that acts for a person may do what the person may.

    :param status: the workspace's.
    :raises Refused: the person's role is none of these, or the workspace is suspended."""
    bearer = context.bearer
    if is_platform(bearer):
        return
    if bearer.person is not None and bearer.roles.get(workspace_id) not in roles:
        raise Refused(role_too_low(roles, bearer.roles.get(workspace_id)))
    if status == "suspended":
        raise Refused(WORKSPACE_SUSPENDED)


def is_platform(bearer: Bearer) -> bool:
    """Whether it is a client of the platform that acts for nobody else."""
    return bearer.person is None and bearer.client_workspace is None


def wrong(field: str, message: str) -> Refused:
    """A field that is wrong by what is there, not by itself."""
    return Refused(VALIDATION_ERROR, details=[Invalid(field, message)])

"""Who may call an endpoint, and who calls. Pure."""

from collections.abc import Mapping
from typing import Literal
from uuid import UUID

import msgspec

Kind = Literal["public", "admin", "person", "member", "oauth"]

ADMIN_ROLES = ("owner", "support", "finance", "read-only")
MEMBER_ROLES = ("owner", "admin", "manager", "member")
SCOPES = ("read", "write", "admin")


class Access(msgspec.Struct, frozen=True):
    """What an endpoint asks of its caller."""

    kind: Kind
    roles: tuple[str, ...] = ()
    """Of admins and of members: one of these."""
    scope: str = ""
    """Of OAuth tokens."""
    people_only: bool = False
    """Of members: what no API key does, whatever its role."""

    @property
    def takes_keys(self) -> bool:
        """Whether an API key may call, none of which is an owner's."""
        return self.kind == "member" and not self.people_only and self.roles != ("owner",)


class Bearer(msgspec.Struct, frozen=True):
    """Who brings a valid token."""

    kind: Literal["admin", "user", "oauth", "api_key"]
    id: UUID
    """Of the admin, person, API key, or of the OAuth client that acts for nobody."""
    email: str | None
    name: str | None
    role: str | None
    """An admin's."""
    scopes: tuple[str, ...]
    family: UUID | None
    client: UUID | None
    client_workspace: UUID | None
    tier: str | None
    """How often the client, or the workspace of the API key, may call; of nobody else."""
    roles: Mapping[UUID, str]
    """A person's or a key's, by workspace."""
    suspended: frozenset[UUID] = frozenset()
    """Those of the workspaces that may be read only."""

    @property
    def person(self) -> UUID | None:
        """The person who acts, by himself or through an OAuth client."""
        return self.id if self.kind == "user" or (self.kind == "oauth" and self.email) else None


PUBLIC = Access("public")
PERSON = Access("person")
"""Anybody who has signed up."""

ADMIN_READS = Access("admin", ADMIN_ROLES)
ADMIN_SUPPORTS = Access("admin", ("owner", "support"))
ADMIN_BILLS = Access("admin", ("owner", "finance"))
ADMIN_OWNS = Access("admin", ("owner",))

MEMBER_READS = Access("member", MEMBER_ROLES)
MEMBER_MANAGES = Access("member", ("owner", "admin", "manager"))
MEMBER_ADMINISTERS = Access("member", ("owner", "admin"))
MEMBER_OWNS = Access("member", ("owner",))

PERSON_LEAVES = Access("member", MEMBER_ROLES, people_only=True)
PERSON_MANAGES = Access("member", MEMBER_MANAGES.roles, people_only=True)
PERSON_ADMINISTERS = Access("member", MEMBER_ADMINISTERS.roles, people_only=True)

OAUTH_READS = Access("oauth", scope="read")
OAUTH_WRITES = Access("oauth", scope="write")
OAUTH_ADMINISTERS = Access("oauth", scope="admin")


def may_give(own: str, role: str) -> bool:
    """Whether a member of the role ``own`` may give a role, or take it: his own or a lower one."""
    return MEMBER_ROLES.index(own) <= MEMBER_ROLES.index(role)


def has_scope(scopes: tuple[str, ...], wanted: str) -> bool:
    """``admin`` includes ``write``, which includes ``read``."""
    return any(SCOPES.index(scope) >= SCOPES.index(wanted) for scope in scopes if scope in SCOPES)

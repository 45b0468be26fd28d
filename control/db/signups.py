"""Sign-ups that wait for their address to be shown to be theirs."""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from control.db.database import Connection, Row

GOOD_FOR = timedelta(days=1)

_FORGET = "DELETE FROM signups WHERE expires_at <= $1"
_INSERT = """
INSERT INTO signups (id, email, name, password_hash, verify_hash, access_hash, refresh_hash,
                     created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"""
_TAKE = "DELETE FROM signups WHERE verify_hash = $1 AND expires_at > $2 RETURNING *"
_END_LINKS = """
UPDATE signups SET verify_hash = sha256(verify_hash) WHERE lower(email) = lower($1)"""
_PASSWORDS = """
SELECT password_hash FROM signups WHERE lower(email) = lower($1) AND expires_at > $2
ORDER BY created_at, id"""
_MAKE_USER = """
INSERT INTO users (id, email, name, first_name, last_name, password_hash, email_verified_at,
                   created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $7)
ON CONFLICT DO NOTHING RETURNING *"""


class Signup(msgspec.Struct, frozen=True):
    """One that waits. The tokens are known to who signed up, the link to who reads the mail."""

    id: UUID
    email: str
    name: str
    password_hash: str
    verify_hash: bytes
    access_hash: bytes
    refresh_hash: bytes


async def insert(db: Connection, signup: Signup, now: datetime) -> None:
    """Keep one for a day. Those that have run out are forgotten."""
    await db.execute(_FORGET, now)
    await db.execute(_INSERT, *msgspec.structs.astuple(signup), now, now + GOOD_FOR)


async def take(db: Connection, verify_hash: bytes, now: datetime) -> Row | None:
    """The sign-up with this link; the links of all others that claim its address are good no
    more. They stay until they run out: who made one must not learn from it that somebody else has
    confirmed the address."""
    row = await db.fetchrow(_TAKE, verify_hash, now)
    if row is not None:
        await db.execute(_END_LINKS, row["email"])
    return row


async def passwords(db: Connection, email: str, now: datetime) -> list[str]:
    """What those who claim an address want to log in with, as it is kept, the first one first."""
    return [row["password_hash"] for row in await db.fetch(_PASSWORDS, email, now)]


async def make_user(db: Connection, signup: Row, now: datetime) -> Row | None:
    """The user that it becomes; None where somebody has the address already."""
    first, _, last = signup["name"].partition(" ")
    names = (signup["name"], first, last.strip())
    values = (signup["id"], signup["email"], *names, signup["password_hash"], now)
    return await db.fetchrow(_MAKE_USER, *values)

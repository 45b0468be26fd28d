"""Opaque tokens: 256 random bits, shown once, kept as their SHA-256.

A login begins a family: an access token and a refresh token. A refresh token is good once; whoever
brings a used one has stolen it, or was stolen from, and the whole family ends (RFC 9700, 4.14.2).

Whoever issues tokens or revokes them first locks the row of whom they are for: what revokes them
sees all that were issued before it, and what issues them sees whether it still may.
"""

import hashlib
import secrets
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import msgspec

from control.db.database import Connection, Row

ACCESS_S = 3600
REFRESH_S = 30 * 24 * 3600
MAILED_S = 3600
MAX_LENGTH = 512
"""Of what is looked up."""

_INSERT = """
INSERT INTO tokens (hash, kind, family, admin_id, user_id, client_id, scopes, created_at,
                    expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"""
_USE = """
UPDATE tokens SET used_at = $3
WHERE hash = $1 AND kind = $2 AND used_at IS NULL AND revoked_at IS NULL AND expires_at > $3
  AND (user_id IS NULL OR EXISTS (
      SELECT FROM users WHERE users.id = tokens.user_id AND users.status = 'active'))
  AND (admin_id IS NULL OR EXISTS (
      SELECT FROM admins WHERE admins.id = tokens.admin_id AND admins.is_active))
RETURNING family, admin_id, user_id, client_id, scopes"""
_MAIL_ONCE = """
WITH person AS (
    SELECT id, email FROM users WHERE lower(email) = lower($4) AND status = 'active'
), kept AS (
    INSERT INTO tokens (hash, kind, family, user_id, created_at, expires_at)
    SELECT $1, $2, $3, id, $5, $6 FROM person
)
SELECT email FROM person"""
_GRANTED = "SELECT scopes FROM tokens WHERE hash = $1 AND kind = 'refresh' AND client_id = $2"
_WHOSE = "SELECT admin_id, user_id, client_id FROM tokens WHERE hash = $1"
_WHOSE_FAMILY = "SELECT admin_id, user_id, client_id FROM tokens WHERE family = $1 LIMIT 1"
_LOCK_USER = "SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE"
_LOCK_ADMIN = "SELECT FROM admins WHERE id = $1 FOR NO KEY UPDATE"
_KEEP_CLIENT = "SELECT FROM oauth_clients WHERE id = $1 FOR SHARE"
_FAMILY_OF = "SELECT family FROM tokens WHERE hash = $1 AND kind = $2"
_REVOKE = "UPDATE tokens SET revoked_at = $2 WHERE family = $1 AND revoked_at IS NULL"
_REVOKE_PERSON = """
UPDATE tokens SET revoked_at = $2
WHERE user_id = $1 AND revoked_at IS NULL AND family IS DISTINCT FROM $3"""
_REVOKE_ADMIN = """
UPDATE tokens SET revoked_at = $2
WHERE admin_id = $1 AND revoked_at IS NULL AND family IS DISTINCT FROM $3"""
_REVOKE_CLIENT = """
UPDATE tokens SET revoked_at = $2 WHERE client_id = $1 AND revoked_at IS NULL"""
_END_ACCESS = """
UPDATE tokens SET revoked_at = $2
WHERE family = $1 AND kind = 'access' AND revoked_at IS NULL"""


class Holder(msgspec.Struct, frozen=True):
    """Whom tokens are for."""

    admin_id: UUID | None = None
    user_id: UUID | None = None
    client_id: UUID | None = None
    scopes: tuple[str, ...] = ()


class Pair(msgspec.Struct, frozen=True):
    """What a login gives."""

    access: str
    refresh: str
    expires_in_s: int = ACCESS_S


class Reused(Exception):
    """A refresh token came for the second time; its family is revoked."""


def new_secret(prefix: str = "") -> str:
    return prefix + secrets.token_urlsafe(32)


def digest(secret: str) -> bytes:
    """What is kept of it. No salt: 256 random bits are in no table."""
    return hashlib.sha256(secret.encode()).digest()


def new_pair(*, refreshable: bool = True) -> Pair:
    """Tokens that nobody knows yet."""
    return Pair(new_secret(), new_secret() if refreshable else "")


async def issue(db: Connection, holder: Holder, now: datetime, *, refreshable: bool = True) -> Pair:
    """Begin a family."""
    pair = new_pair(refreshable=refreshable)
    refresher = digest(pair.refresh) if refreshable else None
    await begin(db, holder, digest(pair.access), refresher, now)
    return pair


async def begin(
    db: Connection, holder: Holder, access: bytes, refresher: bytes | None, now: datetime
) -> None:
    """Begin a family, of the tokens with these hashes."""
    family = uuid4()
    await _keep(db, "access", access, family, holder, now, ACCESS_S)
    if refresher is not None:
        await _keep(db, "refresh", refresher, family, holder, now, REFRESH_S)


async def granted(db: Connection, token: str, client_id: UUID) -> tuple[str, ...] | None:
    """The scopes of a client's refresh token, good or not; None where it is none of its own."""
    scopes = await db.fetchval(_GRANTED, digest(token), client_id)
    return None if scopes is None else tuple(scopes)


async def refresh(
    db: Connection,
    token: str,
    now: datetime,
    *,
    client_id: UUID | None = None,
    scopes: tuple[str, ...] = (),
) -> tuple[Pair, Holder] | None:
    """Swap a refresh token for a new pair; None where it is not good.

    :param client_id: the OAuth client that brings it, which must be the one that got it.
    :param scopes: those of the new access token, where they are to be fewer than were granted.
    :raises Reused: it is good no more, or its holder is not active. What the
        caller does must be kept all the same."""
    await _lock(db, await db.fetchrow(_WHOSE, digest(token)))
    row = await db.fetchrow(_USE, digest(token), "refresh", now)
    if row is None:
        family = await db.fetchval(_FAMILY_OF, digest(token), "refresh")
        if family is None:
            return None
        await db.execute(_REVOKE, family, now)
        raise Reused
    holder = _holder_of(row)
    if holder.client_id != client_id:
        await db.execute(_REVOKE, row["family"], now)
        return None
    await db.execute(_END_ACCESS, row["family"], now)
    pair = new_pair()
    narrowed = msgspec.structs.replace(holder, scopes=scopes or holder.scopes)
    await _keep(db, "access", digest(pair.access), row["family"], narrowed, now, ACCESS_S)
    await _keep(db, "refresh", digest(pair.refresh), row["family"], holder, now, REFRESH_S)
    return pair, narrowed


async def revoke_family(db: Connection, family: UUID, now: datetime) -> None:
    """One login."""
    await _lock(db, await db.fetchrow(_WHOSE_FAMILY, family))
    await db.execute(_REVOKE, family, now)


async def revoke_person(
    db: Connection, user_id: UUID, now: datetime, *, but: UUID | None = None
) -> None:
    """Everywhere he is logged in, but for this family, and what mails he was sent."""
    await db.execute(_LOCK_USER, user_id)
    await db.execute(_REVOKE_PERSON, user_id, now, but)


async def revoke_admin(
    db: Connection, admin_id: UUID, now: datetime, *, but: UUID | None = None
) -> None:
    """Everywhere he is logged in, but for this family."""
    await db.execute(_LOCK_ADMIN, admin_id)
    await db.execute(_REVOKE_ADMIN, admin_id, now, but)


async def revoke_client(db: Connection, client_id: UUID, now: datetime) -> None:
    """All that an OAuth client was given, for itself or for people. It must be revoked already:
    what is issued to it at this moment is good for nothing then."""
    await db.execute(_REVOKE_CLIENT, client_id, now)


async def mail_once(db: Connection, kind: str, email: str, now: datetime) -> tuple[str, str] | None:
    """A token for one use within ``MAILED_S``, and the address to mail it to; None where no active
    user has this address. Either way it is one statement, whose commit waits for no disk: how long
    it takes does not tell which it was."""
    token = new_secret()
    await db.execute("SET LOCAL synchronous_commit = off")
    until = now + timedelta(seconds=MAILED_S)
    values = (digest(token), kind, uuid4(), email, now, until)
    address = await db.fetchval(_MAIL_ONCE, *values)
    return None if address is None else (token, address)


async def use_once(db: Connection, kind: str, token: str, now: datetime) -> UUID | None:
    """Whose it is, if it is good; it is good no more. Until the transaction ends he does not log
    in, and nothing of his is refreshed."""
    await _lock(db, await db.fetchrow(_WHOSE, digest(token)))
    row = await db.fetchrow(_USE, digest(token), kind, now)
    return None if row is None else row["user_id"]


async def _lock(db: Connection, whose: Row | None) -> None:
    """Of whom these tokens are; always the person before the client."""
    if whose is None:
        return
    if whose["user_id"] is not None:
        await db.execute(_LOCK_USER, whose["user_id"])
    if whose["admin_id"] is not None:
        await db.execute(_LOCK_ADMIN, whose["admin_id"])
    if whose["client_id"] is not None:
        await db.execute(_KEEP_CLIENT, whose["client_id"])


async def _keep(
    db: Connection,
    kind: str,
    hashed: bytes,
    family: UUID,
    holder: Holder,
    now: datetime,
    good_for_s: int,
) -> None:
    whose = (holder.admin_id, holder.user_id, holder.client_id, list(holder.scopes))
    until = now + timedelta(seconds=good_for_s)
    await db.execute(_INSERT, hashed, kind, family, *whose, now, until)


def _holder_of(row: Row) -> Holder:
    return Holder(row["admin_id"], row["user_id"], row["client_id"], tuple(row["scopes"]))

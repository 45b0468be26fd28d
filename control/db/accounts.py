"""People, admins, and what they log in with."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from control.db.database import Connection, Row

_USER_BY_EMAIL = "SELECT * FROM users WHERE lower(email) = lower($1)"
_USER = "SELECT * FROM users WHERE id = $1"
_ADMIN_BY_EMAIL = "SELECT * FROM admins WHERE lower(email) = lower($1)"
_ADMIN = "SELECT * FROM admins WHERE id = $1"
_CLIENT = """
SELECT oauth_clients.* FROM oauth_clients
LEFT JOIN workspaces ON workspaces.id = oauth_clients.workspace_id
WHERE client_id = $1 AND revoked_at IS NULL AND workspaces.deleted_at IS NULL"""
_INSERT_ADMIN = """
INSERT INTO admins (email, name, role, password_hash) VALUES ($1, $2, $3, $4) RETURNING *"""
_INSERT_USER = """
INSERT INTO users (email, name, first_name, last_name, password_hash, email_verified_at,
                   created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $7) RETURNING *"""
_LOCK_BY_EMAIL = _USER_BY_EMAIL + " FOR NO KEY UPDATE"
_LOCK_USER_AS_KNOWN = """
SELECT id FROM users WHERE id = $1 AND password_hash = $2 AND status = 'active'
FOR NO KEY UPDATE"""
_LOCK_ADMIN_AS_KNOWN = """
SELECT id FROM admins WHERE id = $1 AND password_hash = $2 AND is_active FOR NO KEY UPDATE"""
_USER_LOGGED_IN = "UPDATE users SET last_login_at = $2 WHERE id = $1"
_ADMIN_LOGGED_IN = "UPDATE admins SET last_login_at = $2 WHERE id = $1"
_SET_ADMIN_PASSWORD = "UPDATE admins SET password_hash = $2 WHERE id = $1"
_WORKSPACES = """
SELECT workspaces.id, workspaces.name, workspaces.industry, members.role, workspaces.status,
       workspaces.subscription_tier
FROM members JOIN workspaces
  ON workspaces.id = members.workspace_id AND workspaces.deleted_at IS NULL
WHERE members.user_id = $1
ORDER BY lower(workspaces.name), workspaces.id"""
_SET_PASSWORD = "UPDATE users SET password_hash = $2, updated_at = $3 WHERE id = $1"
_VERIFY_EMAIL = """
UPDATE users SET email_verified_at = coalesce(email_verified_at, $2),
    managed_by = CASE WHEN email_verified_at IS NOT NULL THEN managed_by END
WHERE id = $1 RETURNING *"""
_INSERT_CLIENT = """
INSERT INTO oauth_clients (client_id, secret_hash, name, workspace_id, scopes, password_grant, tier,
                           shown_to)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING *"""


async def user_by_email(db: Connection, email: str) -> Row | None:
    return await db.fetchrow(_USER_BY_EMAIL, email)


async def user(db: Connection, user_id: UUID) -> Row | None:
    return await db.fetchrow(_USER, user_id)


async def lock_user_by_email(db: Connection, email: str) -> Row | None:
    """Until the transaction ends he stays who he is."""
    return await db.fetchrow(_LOCK_BY_EMAIL, email)


async def lock_user_as_known(db: Connection, user: Row | None) -> bool:
    """Whether he is active, and his password still the one that took time to compare. If so, both
    stay until the transaction ends."""
    if user is None:
        return False
    known = (user["id"], user["password_hash"])
    return await db.fetchval(_LOCK_USER_AS_KNOWN, *known) is not None


async def lock_admin_as_known(db: Connection, admin: Row | None) -> bool:
    """The same of an admin."""
    if admin is None:
        return False
    known = (admin["id"], admin["password_hash"])
    return await db.fetchval(_LOCK_ADMIN_AS_KNOWN, *known) is not None


async def admin_by_email(db: Connection, email: str) -> Row | None:
    return await db.fetchrow(_ADMIN_BY_EMAIL, email)


async def admin(db: Connection, admin_id: UUID) -> Row | None:
    return await db.fetchrow(_ADMIN, admin_id)


async def client(db: Connection, client_id: str) -> Row | None:
    """An OAuth client that is not revoked, nor its workspace deleted."""
    return await db.fetchrow(_CLIENT, client_id)


async def insert_admin(db: Connection, email: str, name: str, role: str, password: str) -> Row:
    """:raises asyncpg.UniqueViolationError: there is one with this e-mail."""
    row = await db.fetchrow(_INSERT_ADMIN, email, name, role, password)
    assert row is not None
    return row


async def insert_user(
    db: Connection,
    email: str,
    name: str,
    password: str | None,
    now: datetime,
    *,
    first_name: str = "",
    last_name: str = "",
    verified_at: datetime | None = None,
) -> Row:
    """:raises asyncpg.UniqueViolationError: there is one with this e-mail."""
    values = (email, name, first_name, last_name, password, verified_at, now)
    row = await db.fetchrow(_INSERT_USER, *values)
    assert row is not None
    return row


async def insert_client(
    db: Connection,
    client_id: str,
    secret_hash: bytes,
    name: str,
    *,
    workspace_id: UUID | None,
    scopes: tuple[str, ...],
    password_grant: bool,
    tier: str | None,
    shown_to: UUID | None = None,
) -> Row:
    """:param tier: None is that of the workspace's subscription.
    :param shown_to: the person who is shown the secret."""
    values = (client_id, secret_hash, name, workspace_id, list(scopes), password_grant, tier)
    row = await db.fetchrow(_INSERT_CLIENT, *values, shown_to)
    assert row is not None
    return row


async def user_logged_in(db: Connection, user_id: UUID, now: datetime) -> None:
    await db.execute(_USER_LOGGED_IN, user_id, now)


async def admin_logged_in(db: Connection, admin_id: UUID, now: datetime) -> None:
    await db.execute(_ADMIN_LOGGED_IN, admin_id, now)


async def set_password(db: Connection, user_id: UUID, password: str, now: datetime) -> None:
    await db.execute(_SET_PASSWORD, user_id, password, now)


async def verify_email(db: Connection, user_id: UUID, now: datetime) -> Row | None:
    """The address is shown to be his: he is nobody else's to manage."""
    return await db.fetchrow(_VERIFY_EMAIL, user_id, now)


async def set_admin_password(db: Connection, admin_id: UUID, password: str) -> None:
    await db.execute(_SET_ADMIN_PASSWORD, admin_id, password)


async def workspaces(db: Connection, user_id: UUID) -> Sequence[Row]:
    """Those he is a member of, with his role in each."""
    return await db.fetch(_WORKSPACES, user_id)

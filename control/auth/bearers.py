"""Who brings a token."""

from control.auth.tokens import MAX_LENGTH, digest
from control.db.database import Connection
from control.http.access import Bearer

_BEARER = "SELECT * FROM bearer_of($1)"
_KEY_USED = "SELECT api_key_used($1)"


async def bearer_of(db: Connection, token: str) -> Bearer | None:
    """None: it is no token, or not any more."""
    if len(token) > MAX_LENGTH:
        return None
    row = await db.fetchrow(_BEARER, digest(token))
    if row is None:
        return None
    if row["use_is_news"]:  # of an API key, once in a minute
        await db.execute(_KEY_USED, row["id"])
    roles = dict(zip(row["workspaces"], row["roles"], strict=True))
    return Bearer(
        kind=row["kind"],
        id=row["id"],
        email=row["email"],
        name=row["name"],
        role=row["role"],
        scopes=tuple(row["scopes"]),
        family=row["family"],
        client=row["client"],
        client_workspace=row["client_workspace"],
        client_tier=row["client_tier"],
        roles=roles,
        suspended=frozenset(row["suspended"]),
    )

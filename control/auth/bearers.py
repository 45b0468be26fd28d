"""Who brings a token."""

import re
from uuid import UUID

from control.auth.tokens import MAX_LENGTH, digest
from control.db.database import Connection
from control.http.access import Bearer

_TOKEN = re.compile(rf"[A-Za-z0-9_-]{{43,{MAX_LENGTH}}}")
"""As ``new_secret`` makes them, whatever they begin with."""

_BEARER = "SELECT * FROM see_as_bearer($1, $2)"
_KEY_USED = "SELECT api_key_used($1)"


def token_in(authorization: str) -> str | None:
    """The token of an ``Authorization`` header. None: it has none that could be ours, which is seen
    without asking the database."""
    scheme, _, rest = authorization.partition(" ")
    token = rest.strip()
    return token if scheme.lower() == "bearer" and _TOKEN.fullmatch(token) else None


async def bearer_of(db: Connection, token: str, place: UUID | None) -> Bearer | None:
    """None: it is no token, or not any more.

    From now on the connection sees what the bearer may see: of his workspaces ``place`` alone, if
    that is given. What his role or the token's scope allows is not looked at here."""
    if _TOKEN.fullmatch(token) is None:
        return None
    row = await db.fetchrow(_BEARER, digest(token), place)
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
        tier=row["client_tier"],
        roles=roles,
        suspended=frozenset(row["suspended"]),
    )

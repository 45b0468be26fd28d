"""Users to make in Sapien's API, and their tokens."""

from typing import Any
from uuid import UUID

from control.auth.tokens import digest
from control.db import accounts
from control.db.database import PLATFORM
from tests.support.api import PASSWORD, Api


def new_user(customer_id: int, **fields: Any) -> dict[str, Any]:
    return {
        "email": "jane.doe@example.com",
        "first_name": "Jane",
        "last_name": "Doe",
        "password": "SecureP@ssw0rd!",
        "role": "user",
        "customer_id": customer_id,
        **fields,
    }


async def number_of(api: Api, workspace_id: UUID) -> int:
    rows = await api.run("SELECT number FROM workspaces WHERE id = $1", workspace_id)
    return int(rows[0]["number"])


async def user_number(api: Api, user_id: UUID) -> int:
    rows = await api.run("SELECT number FROM members WHERE user_id = $1", user_id)
    return int(rows[0]["number"])


async def token_of(
    api: Api, email: str, password: str = PASSWORD, scope: str = "admin"
) -> str | None:
    """Log in by the password grant of a client of the platform."""
    async with api.plane.db.transaction(PLATFORM) as db:
        row = await accounts.client(db, "portal")
        if row is None:
            await accounts.insert_client(
                db,
                "portal",
                digest("secret"),
                "portal",
                workspace_id=None,
                scopes=("read", "write", "admin"),
                password_grant=True,
                tier="enterprise",
            )
    form = {
        "grant_type": "password",
        "client_id": "portal",
        "client_secret": "secret",
        "username": email,
        "password": password,
        "scope": scope,
    }
    answer = await api.post("/oauth/v2/token", data=form)
    return answer.json.get("access_token")

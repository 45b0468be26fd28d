"""What is the same of secrets, whether they are a workspace's or the platform's. Their values come
in and never go out."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, Field

from control.api.shapes import Body, Shape, example
from control.db.database import Row
from control.http.context import Context
from control.http.errors import Refusal, Refused
from control.secret_keys import SecretKeysError

MOST_SECRETS = 100
"""Of one workspace."""
NO_SECRET_KEYS = Refusal(
    503,
    "SECRETS_NOT_SET_UP",
    "The server has no key to encrypt secrets with: VOICECORE_SECRET_KEYS",
)


def _printable(value: str) -> str:
    if not value.isprintable() or value != value.strip():
        raise ValueError("must be printable characters without spaces around them")
    return value


SecretValue = Annotated[
    str,
    Field(min_length=1, max_length=4096, description="Never shown again."),
    AfterValidator(_printable),
]


class NewSecret(Body):
    model_config = example(value="the-key-that-the-vendor-gave-you")

    value: SecretValue = Field(repr=False)


class StoredSecret(Shape):
    name: str
    updated_by: str
    created_at: datetime
    updated_at: datetime


class StoredSecrets(Shape):
    secrets: list[StoredSecret]


class OneStoredSecret(Shape):
    secret: StoredSecret


def secret_of(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in StoredSecret.model_fields}


async def store(context: Context, workspace_id: UUID | None, name: str, value: str) -> Row:
    """:raises Refused: the server cannot encrypt it."""
    who = context.bearer.email or context.bearer.name or ""
    try:
        row = await context.plane.vault.put(
            context.db, workspace_id, name, value, context.now, updated_by=who
        )
    except (LookupError, SecretKeysError) as error:
        raise Refused(NO_SECRET_KEYS) from error
    await context.write_down("secret.stored", "secret", name, workspace_id=workspace_id)
    return row

"""The platform's keys at vendors and carriers."""

from functools import partial
from typing import Annotated

from pydantic import Field

from control.api.stored_secrets import (
    NO_SECRET_KEYS,
    NewSecret,
    OneStoredSecret,
    StoredSecrets,
    secret_of,
    store,
)
from control.db import secrets
from control.http.access import ADMIN_OWNS
from control.http.context import Context
from control.http.endpoint import Answer, endpoint
from control.http.errors import Refusal, Refused
from control.http.refusals import RESOURCE_NOT_FOUND
from control.vault import STORABLE

NO_SUCH_SECRET = Refusal(RESOURCE_NOT_FOUND.status, RESOURCE_NOT_FOUND.code, "There is none stored")
UNKNOWN_NAME = Refusal(
    RESOURCE_NOT_FOUND.status,
    RESOURCE_NOT_FOUND.code,
    f"The platform's secrets are {', '.join(STORABLE)}",
)

PlatformSecret = Annotated[str, Field(max_length=64, description=f"One of {', '.join(STORABLE)}.")]


@endpoint("GET", "/admin/secrets", ADMIN_OWNS, StoredSecrets)
async def list_platform_secrets(context: Context) -> Answer:
    """List the platform's stored secrets by name. Nobody is shown their values."""
    return {"secrets": [secret_of(row) for row in await secrets.find(context.db, None)]}


@endpoint(
    "PUT",
    "/admin/secrets/{name}",
    ADMIN_OWNS,
    OneStoredSecret,
    refusals=(UNKNOWN_NAME, NO_SECRET_KEYS),
)
async def put_platform_secret(context: Context, name: PlatformSecret, body: NewSecret) -> Answer:
    """Store a key of the platform's, which goes before the environment's variable. This server
    uses it at once, others within 15 seconds."""
    if name not in STORABLE:
        raise Refused(UNKNOWN_NAME)
    row = await store(context, None, name, body.value)
    await _use(context)
    return {"secret": secret_of(row)}


@endpoint("DELETE", "/admin/secrets/{name}", ADMIN_OWNS, None)
async def delete_platform_secret(context: Context, name: PlatformSecret) -> Answer:
    """Delete a stored key: the environment's variable counts again."""
    if await secrets.delete(context.db, None, name) is None:
        raise Refused(NO_SUCH_SECRET)
    await context.write_down("secret.deleted", "secret", name)
    await _use(context)
    return None


async def _use(context: Context) -> None:
    """Work with what is stored now, as soon as that is kept."""
    vault = context.plane.vault
    context.afterwards.append(partial(vault.take, await vault.look(context.db)))


ENDPOINTS = (list_platform_secrets, put_platform_secret, delete_platform_secret)

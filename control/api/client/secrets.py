"""A workspace's own secrets: its keys at vendors, and what its agents' tools send as `${NAME}`."""

import re
from typing import Annotated
from uuid import UUID

from pydantic import Field

from control.api.client.agents import load
from control.api.stored_secrets import (
    MOST_SECRETS,
    NO_SECRET_KEYS,
    NewSecret,
    OneStoredSecret,
    StoredSecrets,
    secret_of,
    store,
)
from control.db import routing, secrets, workspaces
from control.http.access import MEMBER_ADMINISTERS, MEMBER_MANAGES
from control.http.context import Context
from control.http.endpoint import Answer, endpoint
from control.http.errors import Invalid, Refusal, Refused
from control.http.refusals import CONFLICT, RESOURCE_NOT_FOUND, VALIDATION_ERROR
from control.tenant_agents import secret_names

TOO_MANY_SECRETS = Refusal(
    CONFLICT.status, CONFLICT.code, f"A workspace has at most {MOST_SECRETS} secrets"
)
SECRET_IN_USE = Refusal(CONFLICT.status, "SECRET_IN_USE", "Agents refer to this secret")

WRONG_NAME = Invalid(
    "name", "must be capital letters, digits and underscores, 64 at most, not VOICECORE_..."
)
_NAME = re.compile(r"(?!VOICECORE_)[A-Z][A-Z0-9_]{0,63}")

SecretName = Annotated[
    str,
    Field(
        max_length=200,
        description="Capital letters, digits and underscores, at most 64: as in `${NAME}`. "
        "`DEEPGRAM_API_KEY`, `OPENAI_API_KEY` and `ELEVENLABS_API_KEY` are used in place of the "
        "platform's keys.",
    ),
]
_SECRETS = "/workspaces/{workspace_id}/secrets"
_SECRET = _SECRETS + "/{name}"


@endpoint("GET", _SECRETS, MEMBER_MANAGES, StoredSecrets)
async def list_secrets(context: Context, workspace_id: UUID) -> Answer:
    """List the workspace's secrets by name. Nobody is shown their values."""
    return {"secrets": [secret_of(row) for row in await secrets.find(context.db, workspace_id)]}


@endpoint(
    "PUT",
    _SECRET,
    MEMBER_ADMINISTERS,
    OneStoredSecret,
    refusals=(TOO_MANY_SECRETS, NO_SECRET_KEYS),
)
async def put_secret(
    context: Context, workspace_id: UUID, name: SecretName, body: NewSecret
) -> Answer:
    """Store a secret, in place of the one that has its name. Agents that are live use it from
    their next call on."""
    if not _NAME.fullmatch(name):
        raise Refused(VALIDATION_ERROR, details=[WRONG_NAME])
    await workspaces.lock(context.db, workspace_id)  # which counts what is there
    stored = {row["name"] for row in await secrets.find(context.db, workspace_id)}
    if len(stored | {name}) > MOST_SECRETS:
        raise Refused(TOO_MANY_SECRETS)
    row = await store(context, workspace_id, name, body.value)
    await _load_live(context, workspace_id, name)
    return {"secret": secret_of(row)}


@endpoint("DELETE", _SECRET, MEMBER_ADMINISTERS, None, refusals=(SECRET_IN_USE,))
async def delete_secret(context: Context, workspace_id: UUID, name: SecretName) -> Answer:
    """Delete a secret that no agent refers to."""
    if agents := await secrets.referring(context.db, workspace_id, name):
        details = [Invalid("name", f"agent {agent!r} refers to it") for agent in agents]
        raise Refused(SECRET_IN_USE, details=details)
    if await secrets.delete(context.db, workspace_id, name) is None:
        raise Refused(RESOURCE_NOT_FOUND)
    await context.write_down("secret.deleted", "secret", name, workspace_id=workspace_id)
    await _load_live(context, workspace_id, name)
    return None


async def _load_live(context: Context, workspace_id: UUID, name: str) -> None:
    """Those that answer numbers and are made with this secret: no caller waits for them."""
    for row in await routing.live(context.db, MOST_SECRETS, workspace_id):
        if name in secret_names(row["config"]):
            await load(context, workspace_id, row["agent_id"])


ENDPOINTS = (list_secrets, put_secret, delete_secret)

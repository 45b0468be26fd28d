"""A workspace with one of everything in it."""

from typing import Any
from uuid import UUID, uuid4

import msgspec

from control.auth import tokens
from tests.support.api import Api

Place = tuple[Any, Any]
"""A thing's UUID and its number, by which one of the APIs names it; None: it has none."""

OF_NOBODY = frozenset({"template_id", "provider", "tier_name", "version", "type", "period", "name"})
"""What paths and bodies name that is no tenant's; secrets' names are each tenant's own choice."""

NO_IDS = frozenset({"caller_id"})
"""Fields that are called as if they named a thing."""

SAME = {
    "customer_id": "workspace_id",
    "member_id": "user_id",
    "phone_number_id": "number_id",
    "key_id": "api_key_id",
    "client_id": "oauth_client_id",
    "audio_file_id": "audio_id",
    "file_id": "audio_id",
}
"""Other names of the same things."""


class Tenant(msgspec.Struct):
    """A workspace, and what is in it by the names that paths have for it."""

    workspace_id: UUID
    owner: UUID
    mark: str
    """In the name of everything that is the workspace's: whoever reads it sees something of it."""
    places: dict[str, Place]

    def place(self, name: str) -> Place:
        """:raises AssertionError: this file has nothing of the name."""
        found = self.places.get(SAME.get(name, name))
        assert found is not None, f"say in tests/support/tenants.py what a tenant's {name} is"
        return found


NOWHERE: Place = (UUID("00000000-0000-4000-8000-000000000001"), 999_999_999)
"""What no tenant has."""


async def make_tenant(api: Api) -> Tenant:
    """A workspace of a new person, with one of everything."""
    mark = f"mark{uuid4().hex[:12]}"
    owner, _ = await api.person(f"{mark}@example.com")
    workspace_id = await api.workspace(owner, name=mark, email=f"{mark}@example.com")
    await api.run("UPDATE users SET name = $2 WHERE id = $1", owner, mark)
    numbers = await api.run(
        "SELECT workspaces.number, members.number AS member FROM workspaces JOIN members "
        "ON members.workspace_id = workspaces.id WHERE workspaces.id = $1",
        workspace_id,
    )
    places: dict[str, Place] = {
        "workspace_id": (workspace_id, numbers[0]["number"]),
        "user_id": (owner, numbers[0]["member"]),
    }
    for name, statement, values in _things(mark, owner):
        row = (await api.run(statement, workspace_id, *values))[0]
        places[name] = (row["id"], row["number"])
    await api.admin()
    admin = (await api.run("SELECT id FROM admins ORDER BY created_at DESC LIMIT 1"))[0]["id"]
    places["admin_id"] = (admin, None)
    tenant = Tenant(workspace_id, owner, mark, places)
    await _finish(api, tenant)
    return tenant


def _things(mark: str, owner: UUID) -> list[tuple[str, str, tuple[Any, ...]]]:
    digits = f"{int(uuid4().hex[:12], 16) % 10**9:09d}"
    return [
        (
            "invitation_id",
            "INSERT INTO invitations (workspace_id, email, role, token_hash, expires_at) VALUES "
            "($1, $2, 'member', $3, now() + interval '1 day') RETURNING id, NULL AS number",
            (f"invited-{mark}@example.com", tokens.digest(mark)),
        ),
        (
            "extension_id",
            "INSERT INTO extensions (workspace_id, extension, name, type, user_id) VALUES "
            "($1, '101', $2, 'user', $3) RETURNING NULL AS id, id AS number",
            (mark, owner),
        ),
        (
            "api_key_id",
            "INSERT INTO api_keys (workspace_id, name, prefix, key_hash, role) VALUES "
            "($1, $2, 'vc', $3, 'admin') RETURNING id, NULL AS number",
            (mark, tokens.digest("key" + mark)),
        ),
        (
            "oauth_client_id",
            "INSERT INTO oauth_clients (workspace_id, name, client_id, secret_hash, scopes) VALUES "
            "($1, $2, $2, '', '{read}') RETURNING id, NULL AS number",
            (mark,),
        ),
        (
            "agent_id",
            "INSERT INTO agents (workspace_id, name, voice_provider) VALUES "
            "($1, $2, 'elevenlabs') RETURNING id, NULL AS number",
            (mark,),
        ),
        (
            "number_id",
            "INSERT INTO phone_numbers (workspace_id, phone_number, friendly_name, carrier) VALUES "
            "($1, $2, $3, 'twilio') RETURNING id, NULL AS number",
            (f"+44{digits}", mark),
        ),
        (
            "audio_id",
            # Made fit already: the audio worker, which looks every half a minute, leaves it be.
            "INSERT INTO audio_files (workspace_id, name, type, format, duration_ms, size_bytes, "
            "object_key, status) VALUES ($1, $2, 'prompt', 'wav', 1, 1, $2, 'available') "
            "RETURNING uuid AS id, id AS number",
            (mark,),
        ),
        (
            "call_id",
            "INSERT INTO calls (id, workspace_id, agent_name, carrier, direction, status, "
            "started_at) VALUES (gen_random_uuid(), $1, $2, 'twilio', 'inbound', 'completed', "
            "now()) RETURNING id, number",
            (mark,),
        ),
    ]


async def _finish(api: Api, tenant: Tenant) -> None:
    """What hangs on things."""
    workspace_id, mark = tenant.workspace_id, tenant.mark
    await api.run(
        "INSERT INTO agent_versions (workspace_id, agent_id, version, name, config) "
        "VALUES ($1, $2, 1, $3, '{}')",
        workspace_id,
        tenant.place("agent_id")[0],
        mark,
    )
    call = tenant.place("call_id")[0]
    await api.run(
        "INSERT INTO coming_calls (workspace_id, asked_by, call_id, expires_at) "
        "VALUES ($1, $2, $3, now())",
        workspace_id,
        f"twilio/{mark}",
        call,
    )
    await api.run(
        "INSERT INTO call_events (workspace_id, call_id, sequence, type, at_ms, data, occurred_at) "
        "VALUES ($1, $2, 1, $3, 0, '{}', now())",
        workspace_id,
        call,
        mark,
    )
    await api.run(
        "INSERT INTO secrets (workspace_id, name, key_id, wrapped_key, sealed, updated_by, "
        "created_at, updated_at) VALUES ($1, 'TOKEN', 'k', '', '', $2, now(), now())",
        workspace_id,
        mark,
    )
    await api.run(
        "INSERT INTO call_turns (workspace_id, call_id, sequence, speaker, start_ms, end_ms, text, "
        "words) VALUES ($1, $2, 1, 'caller', 0, 1, $3, '[]')",
        workspace_id,
        call,
        mark,
    )


_TABLES = """
SELECT pg_class.relname AS name FROM pg_class JOIN pg_attribute
  ON pg_attribute.attrelid = pg_class.oid AND pg_attribute.attname = 'workspace_id'
WHERE pg_class.relnamespace = 'public'::regnamespace AND pg_class.relkind IN ('r', 'p')
ORDER BY 1"""
_WHEN = "'{last_used_at,last_login_at}'::text[]"


async def tenant_tables(api: Api) -> list[str]:
    """Those whose rows are some workspace's."""
    return [row["name"] for row in await api.run(_TABLES)]


async def contents(api: Api, tenant: Tenant) -> dict[str, list[Any]]:
    """All that is the tenant's, to be compared with later."""
    found = {}
    sources = {name: "workspace_id = $1" for name in await tenant_tables(api)}
    sources["workspaces"] = "id = $1"
    sources["users"] = "id IN (SELECT user_id FROM members WHERE workspace_id = $1)"
    for table, condition in sources.items():
        rows = await api.run(
            f"SELECT to_jsonb(t) - {_WHEN} AS row FROM {table} t WHERE {condition} "
            "ORDER BY to_jsonb(t)::text",
            tenant.workspace_id,
        )
        found[table] = [row["row"] for row in rows]
    return found

"""Templates of agents. They are the platform's, and no workspace's."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from control.db.database import PLATFORM, Connection, Database, Row
from control.templates import shipped

_AGENTS = """
agents JOIN workspaces ON workspaces.id = agents.workspace_id AND workspaces.deleted_at IS NULL"""
_ALL = f"""
SELECT templates.*, coalesce(used.agents, 0) AS usage_count
FROM templates LEFT JOIN (
    SELECT template_id, count(*) AS agents FROM {_AGENTS} GROUP BY template_id
) AS used ON used.template_id = templates.id
WHERE templates.deleted_at IS NULL
ORDER BY templates.name, templates.id"""
_ONE = f"""
SELECT templates.*, (
    SELECT count(*) FROM {_AGENTS} WHERE agents.template_id = templates.id
) AS usage_count
FROM templates WHERE id = $1 AND deleted_at IS NULL"""
_PUBLIC = """
SELECT * FROM templates
WHERE deleted_at IS NULL AND is_public AND ($1::text IS NULL OR industry = $1)
ORDER BY name, id"""
_ONE_PUBLIC = "SELECT * FROM templates WHERE id = $1 AND deleted_at IS NULL AND is_public"
_INSERT = """
INSERT INTO templates (name, industry, description, default_config, is_public,
                       created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $6)
RETURNING *, 0 AS usage_count"""
_UPDATE = f"""
UPDATE templates SET
    name = CASE WHEN $2 ? 'name' THEN $2 ->> 'name' ELSE name END,
    industry = CASE WHEN $2 ? 'industry' THEN $2 ->> 'industry' ELSE industry END,
    description = CASE WHEN $2 ? 'description' THEN $2 ->> 'description' ELSE description END,
    default_config = CASE WHEN $2 ? 'default_config'
        THEN $2 -> 'default_config' ELSE default_config END,
    is_public = CASE WHEN $2 ? 'is_public' THEN ($2 -> 'is_public')::boolean ELSE is_public END,
    is_edited = true,
    updated_at = $3
WHERE id = $1 AND deleted_at IS NULL
RETURNING *, (
    SELECT count(*) FROM {_AGENTS} WHERE agents.template_id = templates.id
) AS usage_count"""
# Its row is kept: agents have it in their history, and one that ships must not come back.
_DELETE = """
UPDATE templates SET deleted_at = $2, updated_at = $2
WHERE id = $1 AND deleted_at IS NULL RETURNING id"""
_SHIP = """
INSERT INTO templates (slug, name, industry, description, default_config)
SELECT slug, name, industry, description, default_config
FROM jsonb_to_recordset($1) AS new
    (slug text, name text, industry text, description text, default_config jsonb)
ON CONFLICT (slug) DO UPDATE SET
    name = excluded.name, industry = excluded.industry, description = excluded.description,
    default_config = excluded.default_config, updated_at = now()
WHERE NOT templates.is_edited AND templates.deleted_at IS NULL
  AND (templates.name, templates.industry, templates.description, templates.default_config)
      IS DISTINCT FROM
      (excluded.name, excluded.industry, excluded.description, excluded.default_config)"""


async def find_all(db: Connection) -> Sequence[Row]:
    """Every template, with ``usage_count``, the agents made of it that the caller sees,
    but for those of workspaces that are deleted."""
    return await db.fetch(_ALL)


async def by_id(db: Connection, template_id: UUID) -> Row | None:
    return await db.fetchrow(_ONE, template_id)


async def find_public(db: Connection, industry: str | None) -> Sequence[Row]:
    return await db.fetch(_PUBLIC, industry)


async def public_by_id(db: Connection, template_id: UUID) -> Row | None:
    return await db.fetchrow(_ONE_PUBLIC, template_id)


async def insert(db: Connection, now: datetime, fields: Mapping[str, Any]) -> Row:
    row = await db.fetchrow(
        _INSERT,
        fields["name"],
        fields["industry"],
        fields["description"],
        fields["default_config"],
        fields["is_public"],
        now,
    )
    assert row is not None
    return row


async def update(
    db: Connection, template_id: UUID, now: datetime, fields: Mapping[str, Any]
) -> Row | None:
    """Change what ``fields`` names; from then on it is not replaced by what ships."""
    return await db.fetchrow(_UPDATE, template_id, dict(fields), now)


async def delete(db: Connection, template_id: UUID, now: datetime) -> bool:
    return await db.fetchval(_DELETE, template_id, now) is not None


async def ship(database: Database) -> None:
    """Put the templates that ship into the table: new ones, and new versions of those that no
    admin has changed or deleted. Nothing happens the second time."""
    rows = [{"slug": slug, **template.model_dump()} for slug, template in shipped()]
    async with database.transaction(PLATFORM) as db:
        await db.execute(_SHIP, rows)

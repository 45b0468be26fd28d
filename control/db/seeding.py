"""First rows: an admin, and a workspace to try things with."""

import secrets
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import yaml

from control.auth.passwords import Passwords
from control.db import accounts, agents, workspaces
from control.db.database import PLATFORM, Connection, Database
from control.db.migrate import migrate

DEMO_EMAIL = "demo@example.com"
DEMO_NUMBER = "+14155550100"
DEMO_TIER = "professional"
"""Of those that a new database has: a new workspace's may have no room for a second agent."""
DEMO_AGENT = Path(__file__).parent.parent / "demo" / "agent.yaml"

_MEMBER = """
INSERT INTO members (workspace_id, user_id, role) VALUES ($1, $2, 'owner') ON CONFLICT DO NOTHING"""
_NUMBER = """
INSERT INTO phone_numbers (workspace_id, phone_number, friendly_name, carrier, agent_id)
VALUES ($1, $2, 'The demo', 'twilio', $3)
ON CONFLICT (phone_number) DO UPDATE SET agent_id = excluded.agent_id
RETURNING id"""
_DEMO_WORKSPACE = """
SELECT workspaces.id FROM workspaces JOIN members ON members.workspace_id = workspaces.id
WHERE members.user_id = $1 AND workspaces.deleted_at IS NULL LIMIT 1"""


async def create_admin(url: str, email: str, name: str, role: str, password: str) -> int:
    """Make an admin and say so; returns the exit status."""
    await migrate(url)
    database = await Database.open(url, connections=1)
    hashed = await Passwords().hash(password)
    try:
        async with database.transaction(PLATFORM) as db:
            shown = name or email.partition("@")[0]
            row = await accounts.insert_admin(db, email, shown, role, hashed)
    except asyncpg.UniqueViolationError:
        print(f"there is an admin with the e-mail {email} already")
        return 1
    finally:
        await database.close()
    print(f"made {role} {email} ({row['id']})")
    return 0


async def seed_demo(url: str) -> int:
    """Make the demo's rows, or give them a new password; returns the exit status."""
    await migrate(url)
    database = await Database.open(url, connections=1)
    password = f"Demo-{secrets.token_urlsafe(9)}"
    hashed = await Passwords().hash(password)
    try:
        async with database.transaction(PLATFORM) as db:
            user_id = await _person(db, hashed)
            workspace_id = await _workspace(db, user_id)
            agent_id = await _agent(db, workspace_id)
            await db.execute(_NUMBER, workspace_id, DEMO_NUMBER, agent_id)
    finally:
        await database.close()
    print(f"workspace  {workspace_id}")
    print(f"agent      {agent_id}, live on {DEMO_NUMBER}")
    print(f"log in     POST /auth/login  {DEMO_EMAIL}  {password}")
    return 0


async def _person(db: Connection, hashed: str) -> UUID:
    row = await accounts.user_by_email(db, DEMO_EMAIL)
    now = await db.fetchval("SELECT now()")
    if row is None:
        row = await accounts.insert_user(
            db, DEMO_EMAIL, "Demo Person", hashed, now, verified_at=now
        )
    else:
        await accounts.set_password(db, row["id"], hashed, now)
    return UUID(str(row["id"]))


async def _workspace(db: Connection, user_id: UUID) -> UUID:
    found = await db.fetchval(_DEMO_WORKSPACE, user_id)
    if found is not None:
        return UUID(str(found))
    now = await db.fetchval("SELECT now()")
    fields = {
        "name": "Bright Smile Dental",
        "industry": "dental",
        "email": DEMO_EMAIL,
        "subscription_tier": DEMO_TIER,
    }
    row = await workspaces.insert(db, uuid4(), now, fields)
    await db.execute(_MEMBER, row["id"], user_id)
    return UUID(str(row["id"]))


async def _agent(db: Connection, workspace_id: UUID) -> UUID:
    existing = await agents.find(db, workspace_id)
    if existing:
        return UUID(str(existing[0]["id"]))
    now = await db.fetchval("SELECT now()")
    config: dict[str, Any] = yaml.safe_load(DEMO_AGENT.read_text())
    agent_id = await agents.insert(
        db,
        workspace_id,
        now,
        name=config["name"],
        config=config,
        template_id=None,
        changed_by="voicecore seed demo",
    )
    await agents.set_status(db, workspace_id, agent_id, "live", now)
    return UUID(str(agent_id))

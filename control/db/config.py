"""What admins set: settings of the platform, and tiers."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from control.db.database import Connection, Row

_SETTINGS = "SELECT key, value, description, updated_at FROM settings ORDER BY key"
_LOCK_SETTINGS = "SELECT key, value FROM settings ORDER BY key FOR UPDATE"
_SETTING = "SELECT value FROM settings WHERE key = $1"
_SET = "UPDATE settings SET value = $2, updated_at = $3 WHERE key = $1"
_TIERS = "SELECT * FROM tiers ORDER BY monthly_fee_micros, tier_name"
_LOCK_TIER = "SELECT * FROM tiers WHERE tier_name = $1 FOR UPDATE"
_INSERT_TIER = """
INSERT INTO tiers (tier_name, display_name, monthly_fee_micros, included_minutes,
                   price_per_minute_micros, max_agents, max_minutes, max_concurrent_calls,
                   rate_limit_tier, features, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)
RETURNING *"""
_UPDATE_TIER = """
UPDATE tiers SET
    display_name = $2, monthly_fee_micros = $3, included_minutes = $4,
    price_per_minute_micros = $5, max_agents = $6, max_minutes = $7, max_concurrent_calls = $8,
    rate_limit_tier = $9, features = $10, updated_at = $11
WHERE tier_name = $1
RETURNING *"""

TIER_COLUMNS = (
    "display_name",
    "monthly_fee_micros",
    "included_minutes",
    "price_per_minute_micros",
    "max_agents",
    "max_minutes",
    "max_concurrent_calls",
    "rate_limit_tier",
    "features",
)


async def settings(db: Connection) -> Sequence[Row]:
    return await db.fetch(_SETTINGS)


async def lock_settings(db: Connection) -> dict[str, Any]:
    """Their values, which nobody else changes until the transaction ends."""
    return {row["key"]: row["value"] for row in await db.fetch(_LOCK_SETTINGS)}


async def setting(db: Connection, key: str) -> Any:
    """One setting's value; None where there is none."""
    return await db.fetchval(_SETTING, key)


async def set_value(db: Connection, key: str, value: Any, now: datetime) -> None:
    await db.execute(_SET, key, value, now)


async def tiers(db: Connection) -> Sequence[Row]:
    """The cheapest first."""
    return await db.fetch(_TIERS)


async def lock_tier(db: Connection, tier_name: str) -> Row | None:
    return await db.fetchrow(_LOCK_TIER, tier_name)


async def insert_tier(
    db: Connection, tier_name: str, columns: Mapping[str, Any], now: datetime
) -> Row:
    """:raises asyncpg.UniqueViolationError: there is one of this name."""
    values = [columns[name] for name in TIER_COLUMNS]
    row = await db.fetchrow(_INSERT_TIER, tier_name, *values, now)
    assert row is not None
    return row


async def update_tier(
    db: Connection, tier_name: str, columns: Mapping[str, Any], now: datetime
) -> Row:
    """All columns, of a tier that is locked."""
    values = [columns[name] for name in TIER_COLUMNS]
    row = await db.fetchrow(_UPDATE_TIER, tier_name, *values, now)
    assert row is not None
    return row

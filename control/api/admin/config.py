"""The platform's settings and tiers."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import asyncpg
from pydantic import BeforeValidator, Field, JsonValue, TypeAdapter, ValidationError

from control.api.admin.workspaces import MICROS, TierName, no_tier
from control.api.shapes import Body, Name, Number, Shape, filled
from control.db import config
from control.db.database import Row
from control.http.access import ADMIN_BILLS, ADMIN_OWNS, ADMIN_READS
from control.http.context import Context
from control.http.endpoint import Answer, endpoint
from control.http.errors import Invalid, Refused
from control.http.refusals import DUPLICATE_RESOURCE, RESOURCE_NOT_FOUND, VALIDATION_ERROR
from control.sentences import sentence_of

MOST = 2_000_000_000
_OTHER_NAME = Invalid("tier_name", "must be that of the path: a tier keeps its name")

_VALUES: Mapping[str, TypeAdapter[Any]] = {
    "default_tier": TypeAdapter(TierName),
    "invitation_days": TypeAdapter(Annotated[int, Field(ge=1, le=365, strict=True)]),
    "signup_enabled": TypeAdapter(Annotated[bool, Field(strict=True)]),
}
"""What the settings may be; of others the kind of value stays what it is."""


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


Money = Annotated[
    Decimal, BeforeValidator(_no_bool), Field(ge=0, le=1_000_000, max_digits=13, decimal_places=6)
]
Count = Annotated[Number, Field(ge=0, le=MOST)]
Feature = Annotated[str, Field(min_length=1, max_length=100)]
Features = Annotated[list[Feature], Field(max_length=100)]
RateLimitTier = Literal["standard", "premium", "enterprise"]


_HOW_OFTEN = "How often its OAuth clients and API keys may ask; no subscription tier's name."
_AS_LISTED = "As it is listed; it is not changed."


class NewSettingValue(Body):
    key: Annotated[str, Field(min_length=1, max_length=100)]
    value: JsonValue
    description: JsonValue = Field(None, description=_AS_LISTED)
    updated_at: JsonValue = Field(None, description=_AS_LISTED)


class SettingsChange(Body):
    settings: Annotated[list[NewSettingValue], Field(max_length=100)]


class NewTier(Body):
    """A limit of null is none."""

    tier_name: TierName
    display_name: Name
    monthly_fee: Money
    included_minutes: Count
    price_per_minute: Money
    max_agents: Count | None = None
    max_minutes: Count | None = None
    max_concurrent_calls: Count | None = None
    rate_limit_tier: RateLimitTier | None = Field("standard", description=_HOW_OFTEN)
    features: Features | None = Field(default_factory=list)


class TierChange(Body):
    tier_name: TierName | None = Field(None, description="If it is named, that of the path.")
    display_name: Name | None = None
    monthly_fee: Money | None = None
    included_minutes: Count | None = None
    price_per_minute: Money | None = None
    max_agents: Count | None = None
    max_minutes: Count | None = None
    max_concurrent_calls: Count | None = None
    rate_limit_tier: RateLimitTier | None = Field(None, description=_HOW_OFTEN)
    features: Features | None = None


class Setting(Shape):
    key: str
    value: JsonValue
    description: str
    updated_at: datetime


class Tier(Shape):
    tier_name: str
    display_name: str
    monthly_fee: float
    included_minutes: int
    price_per_minute: float
    max_agents: int | None
    max_minutes: int | None
    max_concurrent_calls: int | None
    rate_limit_tier: RateLimitTier = Field(description=_HOW_OFTEN)
    features: list[str]


class SettingsList(Shape):
    settings: list[Setting]


class Tiers(Shape):
    tiers: list[Tier]


class OneTier(Shape):
    tier: Tier


@endpoint("GET", "/admin/config/settings", ADMIN_READS, SettingsList)
async def list_settings(context: Context) -> Answer:
    """List the platform's settings."""
    return {"settings": [dict(row) for row in await config.settings(context.db)]}


@endpoint("PUT", "/admin/config/settings", ADMIN_OWNS, SettingsList)
async def update_settings(context: Context, body: SettingsChange) -> Answer:
    """Change settings: all that are named, or none."""
    before = await config.lock_settings(context.db)
    wrong = [
        Invalid(f"settings.{place}.{field}", message)
        for place, new in enumerate(body.settings)
        for field, message in await _wrongs(context, before, new)
    ]
    if wrong:
        raise Refused(VALIDATION_ERROR, details=wrong)
    changes = {new.key: new.value for new in body.settings}
    for key, value in changes.items():
        await config.set_value(context.db, key, value, context.now)
    await context.write_down(
        "settings.updated",
        "settings",
        "platform",
        before={key: before[key] for key in changes},
        after=changes,
    )
    return {"settings": [dict(row) for row in await config.settings(context.db)]}


@endpoint("GET", "/admin/config/tiers", ADMIN_READS, Tiers)
async def list_tiers(context: Context) -> Answer:
    """List the subscription tiers, the cheapest first. Each workspace has one of them.

    How often its OAuth clients and API keys may ask is called after a tier's `rate_limit_tier`."""
    return {"tiers": [_tier_of(row) for row in await config.tiers(context.db)]}


@endpoint(
    "POST",
    "/admin/config/tiers",
    ADMIN_BILLS,
    OneTier,
    status=201,
    refusals=(DUPLICATE_RESOURCE,),
)
async def create_tier(context: Context, body: NewTier) -> Answer:
    """Create a subscription tier."""
    fields = filled(body)
    columns = _columns({name: fields[name] for name in fields if name != "tier_name"})
    try:
        row = await config.insert_tier(context.db, body.tier_name, columns, context.now)
    except asyncpg.UniqueViolationError:
        details = [Invalid("tier_name", "is another tier's")]
        raise Refused(DUPLICATE_RESOURCE, details=details) from None
    await context.write_down("tier.created", "tier", body.tier_name, after=_tier_of(row))
    return {"tier": _tier_of(row)}


@endpoint("PUT", "/admin/config/tiers/{tier_name}", ADMIN_BILLS, OneTier)
async def update_tier(context: Context, tier_name: TierName, body: TierChange) -> Answer:
    """Change a subscription tier: the fields that are given. A limit of null is taken away."""
    before = await config.lock_tier(context.db, tier_name)
    if before is None:
        raise Refused(RESOURCE_NOT_FOUND)
    if body.tier_name not in (None, tier_name):
        raise Refused(VALIDATION_ERROR, details=[_OTHER_NAME])
    named = _columns(body.model_dump(exclude_unset=True, exclude={"tier_name"}))
    fields = {
        name: value for name, value in named.items() if value is not None or name.startswith("max_")
    }
    columns = {**{name: before[name] for name in config.TIER_COLUMNS}, **fields}
    row = await config.update_tier(context.db, tier_name, columns, context.now)
    await context.write_down(
        "tier.updated", "tier", tier_name, before=_tier_of(before), after=_tier_of(row)
    )
    return {"tier": _tier_of(row)}


async def _wrongs(
    context: Context, before: Mapping[str, Any], new: NewSettingValue
) -> list[tuple[str, str]]:
    """What is wrong with a setting: the field, and how."""
    if new.key not in before:
        return [("key", "is no setting's")]
    adapter = _VALUES.get(new.key)
    if adapter is None:
        same = type(new.value) is type(before[new.key])
        return [] if same else [("value", "must be of the same kind as before")]
    try:
        adapter.validate_python(new.value)
    except ValidationError as error:
        return [("value", sentence_of(error.errors()[0]))]
    if new.key == "default_tier" and (wrong := await no_tier(context, str(new.value))):
        return [("value", wrong)]
    return []


def _columns(fields: Mapping[str, Any]) -> dict[str, Any]:
    """As the table has them: money in micros."""
    money = ("monthly_fee", "price_per_minute")
    plain = {name: value for name, value in fields.items() if name not in money}
    micros = {
        f"{name}_micros": None if fields[name] is None else int(fields[name] * MICROS)
        for name in money
        if name in fields
    }
    return {**plain, **micros}


def _tier_of(row: Row) -> dict[str, Any]:
    money = ("monthly_fee", "price_per_minute")
    plain = {name: row[name] for name in Tier.model_fields if name not in money}
    return {**plain, **{name: row[f"{name}_micros"] / MICROS for name in money}}


ENDPOINTS = (list_settings, update_settings, list_tiers, create_tier, update_tier)

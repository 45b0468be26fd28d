"""Stored secrets, as `voicecore doctor` looks at them: whether they open, and what they are."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import asyncpg
import msgspec
import structlog

from control.auth.envelopes import Keyring, SealError
from control.db import secrets
from control.db.database import AWAY, PLATFORM, Database, Row
from control.findings import Finding
from control.secret_keys import SecretKeys, SecretKeysError
from control.settings import Settings
from control.vault import secret_keys

_WHAT = "secrets"

log = structlog.get_logger("control.secrets")


class Stored(msgspec.Struct, frozen=True):
    """What is stored, as far as it can be told."""

    finding: Finding
    platforms: Mapping[str, str] = {}
    """Those of the platform that open, in clear."""
    shut: frozenset[str] = frozenset()
    """The names of the platform's others."""

    def __repr__(self) -> str:
        return f"Stored({self.finding}, {sorted(self.platforms)}, {sorted(self.shut)})"


async def stored(settings: Settings, url: str, data_dir: Path) -> Stored:
    """What is to be said of them.

    :param url: of a migrated database; empty where there is none to ask."""
    try:
        rows = await _rows(url) if url else []
    except (asyncpg.PostgresError, *AWAY) as error:
        return Stored(Finding(_WHAT, "wrong", str(error) or type(error).__name__))
    return _judged(secret_keys(settings, data_dir), rows)


async def warn_of_shut(settings: Settings, data_dir: Path, database: Database) -> None:
    """Have the log say, once for all secrets, that some do not open and which keys would."""
    try:
        async with database.reading(PLATFORM) as db:
            rows = list(await secrets.every(db))
    except (asyncpg.PostgresError, *AWAY):
        return  # whoever needs the database tells of it
    judged = await asyncio.to_thread(_judged, secret_keys(settings, data_dir), rows)
    found = judged.finding
    if found.standing == "wrong":
        log.warning(
            "stored secrets do not open", code="secrets_shut", detail=found.detail,
            hint=found.advice,
        )  # fmt: skip


def _judged(keys: SecretKeys, rows: list[Row]) -> Stored:
    platforms = frozenset(row["name"] for row in rows if row["workspace_id"] is None)
    try:
        keyring = keys.keyring()
    except SecretKeysError as error:
        advice = "Bring the file back from a copy: without it no stored secret opens"
        return Stored(Finding(_WHAT, "wrong", str(error), advice), shut=platforms)
    if keyring is None:
        finding = _without_keys(len(rows), made_later=keys.file is not None)
        return Stored(finding, shut=platforms)
    opened, needed = _opened(keyring, rows)
    shut = platforms - opened.keys()
    if needed:
        ids = ", ".join(sorted(needed))
        advice = f"Bring the keys back that they were encrypted with: {ids}"
        finding = Finding(_WHAT, "wrong", f"some of {len(rows)} stored do not open", advice)
        return Stored(finding, opened, shut)
    where = keys.file or "VOICECORE_SECRET_KEYS"
    detail = f"{len(rows)} stored, encrypted with the keys in {where}"
    return Stored(Finding(_WHAT, "ok", detail), opened)


def _without_keys(count: int, *, made_later: bool) -> Finding:
    if count:
        advice = "Bring the keys back: VOICECORE_SECRET_KEYS, or the data directory's secret.keys"
        return Finding(_WHAT, "wrong", f"{count} are stored, and there is no key to them", advice)
    if made_later:
        return Finding(_WHAT, "ok", "their key will be made when the server starts")
    advice = "Set VOICECORE_SECRET_KEYS: voicecore secrets new-key prints one"
    return Finding(_WHAT, "warning", "there is no key to store any with", advice)


async def _rows(url: str) -> list[Row]:
    database = await Database.open(url, connections=1)
    try:
        async with database.reading(PLATFORM) as db:
            return list(await secrets.every(db))
    finally:
        await database.close()


def _opened(keyring: Keyring, rows: list[Row]) -> tuple[dict[str, str], set[str]]:
    """The platform's, and the ids of keys that others need."""
    opened: dict[str, str] = {}
    needed: set[str] = set()
    for row in rows:
        place = secrets.place_of(row["workspace_id"], row["name"])
        try:
            value = keyring.open(secrets.sealed_of(row), place)
        except SealError:
            needed.add(row["key_id"])
        else:
            if row["workspace_id"] is None:
                opened[row["name"]] = value
    return opened, needed

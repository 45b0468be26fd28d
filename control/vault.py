"""Secrets that the API stored, opened for those who work with them.

What is stored for the platform goes before the environment's variable of that name, and what a
workspace stored goes before both, for its own agents.
"""

import asyncio
import itertools
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from uuid import UUID

import asyncpg
import msgspec
import structlog

from control.auth.envelopes import Keyring, SealError
from control.db import secrets
from control.db.database import AWAY, PLATFORM, Connection, Database, Row
from control.secret_keys import SecretKeys, SecretKeysError
from control.settings import PLATFORM_KEYS, Settings, read_agent_secrets

STORABLE = (*PLATFORM_KEYS, "TWILIO_AUTH_TOKEN", "TELNYX_PUBLIC_KEY", "TELNYX_API_KEY")
"""What is stored for the platform."""
SIGNING_KEYS = {"twilio": "TWILIO_AUTH_TOKEN", "telnyx": "TELNYX_PUBLIC_KEY"}
"""What carriers sign with, by their names."""
REFRESH_EVERY_S = 15.0
"""So long another process may work with a key of the platform's that was replaced."""

_SIGNING_SHUT = {
    "code": "carrier_key_shut",
    "hint": "its carrier's calls are refused: bring the key back that it was encrypted with, or "
    "store it anew at PUT /admin/secrets",
}

log = structlog.get_logger("control.vault")


class KeyShut(Exception):
    """A key is stored, and does not open: nothing else may be taken for it."""


class Lent(msgspec.Struct, frozen=True):
    """What an agent of a workspace is made with."""

    secrets: Mapping[str, str]
    own: frozenset[str] = frozenset()
    """The names of the workspace's own, which its tools may send to whom it likes."""

    def __repr__(self) -> str:
        return f"Lent({sorted(self.secrets)})"


class Platform(msgspec.Struct, frozen=True):
    """The platform's stored secrets, opened."""

    secrets: Mapping[str, str]
    revisions: Mapping[str, str]
    """By the secrets' names."""
    shut: frozenset[str] = frozenset()
    """The names of those that do not open."""
    number: int = 0
    """The higher, the later it was seen by this process."""

    def __repr__(self) -> str:
        return f"Platform({sorted(self.secrets)})"


class Vault:
    """Those of one process."""

    def __init__(self, settings: Settings, keys: SecretKeys) -> None:
        self._settings = settings
        self._keys = keys
        self._platform: Mapping[str, str] = {}
        self._shut: frozenset[str] = frozenset()
        self._revisions: Mapping[str, str] = {}
        self._numbers = itertools.count(1)
        self._taken = 0
        self._told: dict[str, str] = {}
        """What the log said of those that do not open, by their places."""

    def signing_key(self, carrier: str) -> str:
        """What a carrier signs with; empty where there is no key.

        :raises KeyShut: it is stored, and does not open. The environment's may be one that it
            replaced because others know it, and no key would mean no check."""
        name = SIGNING_KEYS.get(carrier)
        if name is None:
            return ""
        if name in self._shut:
            raise KeyShut(name)
        settings = self._settings
        configured = {
            "TWILIO_AUTH_TOKEN": settings.twilio_auth_token.get_secret_value(),
            "TELNYX_PUBLIC_KEY": settings.telnyx_public_key,
        }
        return self._platform.get(name, configured[name])

    @property
    def telnyx_api_key(self) -> str:
        """Empty where there is none."""
        configured = self._settings.telnyx_api_key.get_secret_value()
        return self._platform.get("TELNYX_API_KEY", configured)

    async def put(
        self,
        db: Connection,
        workspace_id: UUID | None,
        name: str,
        value: str,
        now: datetime,
        *,
        updated_by: str,
    ) -> Row:
        """Seal a secret and store it.

        :raises LookupError: there are no keys to seal it with.
        :raises SecretKeysError: the file of keys cannot be used."""
        await secrets.wait_for_rotation(db)
        sealed = self._keyring().seal(value, secrets.place_of(workspace_id, name))
        return await secrets.put(db, workspace_id, name, sealed, now, updated_by=updated_by)

    async def lend(self, db: Connection, workspace_id: UUID | None) -> Lent:
        """What an agent of this workspace is made with; of nobody's: the platform's.

        :param db: it sees the workspace's rows."""
        shared = {**read_agent_secrets(self._settings), **self._vendor_keys()}
        if workspace_id is None:
            return Lent(shared)
        _, own = await self._read(db, workspace_id)
        return Lent({**shared, **own}, frozenset(own))

    async def look(self, db: Connection) -> Platform:
        """The platform's secrets as they are now.

        :param db: it sees everything. In a transaction the next one who looks, wherever he is,
            waits for its end: he sees what was changed here, or it was undone."""
        await secrets.wait_for_changes(db)
        number = next(self._numbers)
        rows, opened = await self._read(db, None)
        revisions = {row["name"]: row["updated_at"].isoformat() for row in rows}
        shut = frozenset(revisions) - opened.keys()
        return Platform(opened, revisions, shut, number)

    def take(self, platform: Platform) -> None:
        """Use these from now on, unless what was seen later is used already."""
        if platform.number < self._taken:
            return
        self._taken = platform.number
        self._platform, self._shut = platform.secrets, platform.shut
        self._revisions = platform.revisions

    def revision_of(self, name: str) -> str:
        """Another one whenever what is stored for the platform by this name is another; empty
        where nothing is, and for what is lent to no agent."""
        return self._revisions.get(name, "") if name in PLATFORM_KEYS else ""

    async def refresh(self, database: Database) -> None:
        """Use what is stored now."""
        async with database.transaction(PLATFORM) as db:
            self.take(await self.look(db))

    async def refresh_always(self, database: Database) -> None:
        """What another process stores is known here soon after."""
        while True:
            await asyncio.sleep(REFRESH_EVERY_S)
            try:
                await self.refresh(database)
            except (*AWAY, asyncpg.PostgresError) as error:
                log.warning("the platform's secrets are not refreshed", error=str(error))

    def _vendor_keys(self) -> dict[str, str]:
        return {name: key for name, key in self._platform.items() if name in PLATFORM_KEYS}

    def _keyring(self) -> Keyring:
        keyring = self._keys.keyring()
        if keyring is None:
            raise LookupError("there are no keys to seal secrets with")
        return keyring

    async def _read(
        self, db: Connection, workspace_id: UUID | None
    ) -> tuple[Sequence[Row], Mapping[str, str]]:
        """All that are stored here, and in clear those that open. Of the others the log says so
        once: whoever needs one is told that it is missing."""
        rows = await secrets.sealed(db, workspace_id)
        opened, shut = self._opened(rows, workspace_id)
        if shut:  # a rotation may have come between the rows and the keys
            rows = await secrets.sealed(db, workspace_id)
            opened, shut = self._opened(rows, workspace_id)
        for name in opened:
            self._told.pop(secrets.place_of(workspace_id, name), None)
        for name, why in shut.items():
            place = secrets.place_of(workspace_id, name)
            if self._told.get(place) != why:
                signs = workspace_id is None and name in SIGNING_KEYS.values()
                facts = _SIGNING_SHUT if signs else {"code": "secret_shut"}
                log.error("a secret does not open", secret=place, error=why, **facts)
            self._told[place] = why
        return rows, opened

    def _opened(
        self, rows: Iterable[Row], workspace_id: UUID | None
    ) -> tuple[dict[str, str], dict[str, str]]:
        """In clear those that open, and of the others why they do not."""
        opened: dict[str, str] = {}
        shut: dict[str, str] = {}
        for row in rows:
            place = secrets.place_of(workspace_id, row["name"])
            try:
                opened[row["name"]] = self._keyring().open(secrets.sealed_of(row), place)
            except (SealError, SecretKeysError, LookupError) as error:
                shut[row["name"]] = str(error)
        return opened, shut


def secret_keys(settings: Settings, data_dir: Path) -> SecretKeys:
    """Where this server's keys come from. A database that others may share has no keys in one
    machine's data directory."""
    shared = bool(settings.database_url.get_secret_value())
    return SecretKeys(settings.secret_keys.get_secret_value(), None if shared else data_dir)


async def rotate(db: Connection, keyring: Keyring) -> tuple[int, int]:
    """Have every secret's own key wrapped by the keyring's current one: how many were, and how
    many had been before.

    :param db: a transaction that sees everything.
    :raises SealError: one does not open; nothing is changed then."""
    changed = 0
    rows = await secrets.begin_rotation(db)
    for row in rows:
        if row["key_id"] == keyring.current:
            continue
        place = secrets.place_of(row["workspace_id"], row["name"])
        try:
            sealed = keyring.rewrap(secrets.sealed_of(row), place)
        except SealError as error:
            raise SealError(f"{place}: {error}") from error
        await secrets.rewrap(db, row["id"], sealed)
        changed += 1
    return changed, len(rows) - changed

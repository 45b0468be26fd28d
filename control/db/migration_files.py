"""The files of migrations: which there are, and the newest that this process knows."""

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import msgspec

DIRECTORY = Path(__file__).parent / "migrations"
_NAME = re.compile(r"(\d{4})_\w+?(\.after)?\.sql")
_AFTER = ".after.sql"


class Migration(msgspec.Struct, frozen=True, order=True):
    """One half of a migration."""

    number: int
    finishes: bool
    """It takes away what the version before used."""
    name: str
    path: Path


class MigrationError(Exception):
    """A migration failed; the database is as it was before it."""


def migrations(directory: Path = DIRECTORY) -> Sequence[Migration]:
    """All of them, in their order.

    :raises MigrationError: a file's name is wrong, a number is missing or there twice, or a second
        half has no first one."""
    found = []
    for path in sorted(directory.glob("*.sql")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise MigrationError(f"{path.name} is no name of a migration: 0001_name.sql")
        found.append(Migration(int(match[1]), match[2] is not None, path.name, path))
    firsts = {one.name: one.number for one in found if not one.finishes}
    if list(firsts.values()) != list(range(1, len(firsts) + 1)):
        numbers = list(firsts.values())
        raise MigrationError(f"migrations are not numbered from 1, each once: {numbers}")
    for one in found:
        if one.finishes and one.name.removesuffix(_AFTER) + ".sql" not in firsts:
            raise MigrationError(f"{one.name} has no first half of its name")
    return sorted(found)


@lru_cache(1)
def application_name() -> str:
    """What PostgreSQL shows this process's sessions as, as ``voicecore/0009``: with the newest
    migration that it knows, so that whoever finishes one sees who still needs what it takes away.

    :raises MigrationError: see ``migrations``."""
    return f"voicecore/{migrations()[-1].number:04}"

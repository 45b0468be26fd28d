"""Every statement of SQL is one that the migrated database understands, and the API's role may."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from itertools import product
from types import ModuleType
from typing import Any

import asyncpg

import control
from control.db.database import API_ROLE
from tests.support.postgres import fresh_database

NOT_THE_APIS = frozenset({"control.db.migrate"})
"""Modules whose statements run as the database's owner."""

_BEGINS = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\s")
_PLACES = re.compile(r"(?<!{){(\w+)}")
CONDITIONS = {
    "control.db.calls._COUNT_DAYS": [
        "workspace_id = {}",
        "agent_id = {}",
        "status = {}",
        "direction = {}",
        "day >= {}",
        "day < {}",
    ],
}
"""Of templates that have other conditions than their module's ``_CONDITIONS``."""

WAYS = ("", " DESC")
_PARAMETER = re.compile(r"\$(\d+)")


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(control.__path__, "control."):
        if found.name not in NOT_THE_APIS:
            yield importlib.import_module(found.name)


def statements(module: ModuleType) -> Iterator[tuple[str, str]]:
    """The module's constants, each with its name; a template in each of its forms."""
    for name, value in vars(module).items():
        if isinstance(value, str) and _BEGINS.match(value):
            for form in forms(module, name, value):
                yield f"{module.__name__}.{name}", form


def forms(module: ModuleType, name: str, template: str) -> list[str]:
    places = set(_PLACES.findall(template))
    if not places:
        return [template]
    unknown = places - {"order", "conditions", "limit", "offset"}
    assert not unknown, f"{module.__name__}: say here what {unknown} may be"
    sorts = {f"{sort}{way}" for sort in getattr(module, "SORTS", {}).values() for way in WAYS}
    of_module = [*getattr(module, "_CONDITIONS", {}).values()]
    every = CONDITIONS.get(f"{module.__name__}.{name}", of_module)
    found = []
    for sort, conditions in product(sorts or {""}, ([], every)):
        parts = [one.format(f"${number}") for number, one in enumerate(conditions, 1)]
        number = len(parts)
        found.append(
            template.format(
                order=sort,
                conditions=" AND ".join(parts) or "true",
                limit=f"${number + 1}",
                offset=f"${number + 2}",
            )
        )
    return found


async def test_every_statement_is_understood() -> None:
    found = [statement for module in modules() for statement in statements(module)]
    assert len(found) > 40
    failures: list[str] = []
    async with fresh_database() as url:
        connection = await asyncpg.connect(url, server_settings={"role": API_ROLE})
        try:
            for name, statement in found:
                if (failure := await tried(connection, statement)) is not None:
                    failures.append(f"{name}: {failure}")
        finally:
            await connection.close()
    assert not failures, "\n".join(failures)


async def tried(connection: Any, statement: str) -> str | None:
    """What PostgreSQL says against it. Planning it also checks what the role may."""
    parameters = max((int(number) for number in _PARAMETER.findall(statement)), default=0)
    try:
        prepared = await connection.prepare(statement)
        assert len(prepared.get_parameters()) == parameters
        await prepared.explain(*[None] * parameters)
    except asyncpg.PostgresError as error:
        return str(error)
    return None

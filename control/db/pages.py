"""Lists with filters, by page or behind a place.

Each filter that is set is a condition of its own: of "$1 IS NULL OR ..." the planner makes a scan
of everything. Conditions and statements are constants; only their placeholders are put in here.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from control.db.database import Connection, Row

After = tuple[datetime, int]
"""The time and the number of the entry behind which a page begins."""


def filters_of(conditions: Mapping[str, str], wanted: object) -> tuple[list[str], list[Any]]:
    """The conditions of those attributes of ``wanted`` that are not None, and their values.

    :param conditions: by attribute, with ``{}`` for the placeholder."""
    found, values = ["true"], list[Any]()
    for name, condition in conditions.items():
        if (value := getattr(wanted, name)) is not None:
            values.append(value)
            found.append(condition.format(f"${len(values)}"))
    return found, values


async def page(
    db: Connection,
    statement: str,
    filters: tuple[list[str], list[Any]],
    *,
    behind: str,
    after: After | None,
    limit: int,
    offset: int,
) -> Sequence[Row]:
    """A page of a list.

    :param statement: with ``{conditions}``, ``{limit}`` and ``{offset}``.
    :param behind: the condition for entries behind a place, with two ``{}``."""
    conditions, values = filters
    if after is not None:
        values = [*values, *after]
        conditions = [*conditions, behind.format(f"${len(values) - 1}", f"${len(values)}")]
    values = [*values, limit, offset]
    whole = statement.format(
        conditions=" AND ".join(conditions),
        limit=f"${len(values) - 1}",
        offset=f"${len(values)}",
    )
    return await db.fetch(whole, *values)


async def total(db: Connection, statement: str, filters: tuple[list[str], list[Any]]) -> int:
    """How many there are, by a statement with ``{conditions}``."""
    conditions, values = filters
    return int(await db.fetchval(statement.format(conditions=" AND ".join(conditions)), *values))

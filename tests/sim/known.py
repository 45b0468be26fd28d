"""Findings that are known and not mended yet. They are counted, and do not fail a run.

Take an entry out when it is mended: its seeds are in ``seeds.txt`` and then show it.
"""

from collections.abc import Callable

import msgspec

from tests.sim.plan import Plan


class KnownFinding(msgspec.Struct, frozen=True):
    """``matches(plan, what)`` tells whether a finding is this one."""

    name: str
    matches: Callable[[Plan, str], bool]


KNOWN: tuple[KnownFinding, ...] = ()


def known_finding(plan: Plan, what: str) -> str | None:
    """The name of the known finding that a finding is, if it is one."""
    return next((finding.name for finding in KNOWN if finding.matches(plan, what)), None)

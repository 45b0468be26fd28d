"""How often whom may call: declared here, for every endpoint."""

import msgspec

from control.auth.rate_limits import TIERS, Limit
from control.http.access import Bearer
from control.http.refusals import too_often
from control.http.remote import network_of
from control.plane import Plane
from control.settings import Settings

NAMES = LIMIT, REMAINING, RESET = (
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
)


class Allowance(msgspec.Struct, frozen=True):
    """Who is counted together, and how often they may ask."""

    key: str
    limit: Limit


def allowance_of(settings: Settings, bearer: Bearer | None, remote: str) -> Allowance | None:
    """Of an OAuth client; of a workspace's API keys together, since more keys must not be more
    requests; of a person or admin; or of a network, where anybody may call. None: no limit."""
    if bearer is None:
        return _own(f"public:{network_of(remote)}", settings.public_requests_per_min)
    if bearer.kind == "oauth":
        return Allowance(f"client:{bearer.client}", TIERS[bearer.tier or "standard"])
    if bearer.kind == "api_key":
        (workspace,) = bearer.roles
        return Allowance(f"keys:{workspace}", TIERS[bearer.tier or "standard"])
    return _own(f"{bearer.kind}:{bearer.id}", settings.person_requests_per_min)


def _own(key: str, per_min: int) -> Allowance | None:
    return Allowance(key, Limit(per_min)) if per_min else None


async def count(plane: Plane, bearer: Bearer | None, remote: str) -> dict[str, str]:
    """Count a request; the headers that tell how the caller stands.

    :raises Refused: it is one too many."""
    return await _take(plane, allowance_of(plane.settings, bearer, remote))


async def count_failure(plane: Plane, remote: str) -> None:
    """Count a token that is none, by network: as often as anybody may call what needs none, but
    not together with that, so that a program whose token has expired keeps nobody from logging in.
    Good tokens of the same network go on.

    :raises Refused: it is one too many."""
    key = f"bad-tokens:{network_of(remote)}"
    await _take(plane, _own(key, plane.settings.public_requests_per_min))


async def _take(plane: Plane, allowance: Allowance | None) -> dict[str, str]:
    """:raises Refused: it is one too many."""
    if allowance is None:
        return {}
    now_s = plane.now().timestamp()
    standing = await plane.limits.take(allowance.key, allowance.limit, now_s)
    headers = {
        LIMIT: str(standing.limit),
        REMAINING: str(standing.remaining),
        RESET: str(standing.reset_at_s),
    }
    if not standing.allowed:
        refused = too_often(max(standing.reset_at_s - int(now_s), 1))
        refused.headers.update(headers)
        raise refused
    return headers

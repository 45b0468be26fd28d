"""The API's refusals, with the codes of its document."""

from collections.abc import Sequence

from control.http.errors import Refusal, Refused

INVALID_JSON = Refusal(400, "INVALID_JSON", "The body is not JSON")
INVALID_TOKEN = Refusal(401, "INVALID_TOKEN", "The token is unknown, expired or revoked")
INVALID_CREDENTIALS = Refusal(401, "INVALID_CREDENTIALS", "The e-mail or the password is wrong")
INSUFFICIENT_SCOPE = Refusal(403, "INSUFFICIENT_SCOPE", "The token lacks a scope this needs")
PERMISSION_DENIED = Refusal(403, "PERMISSION_DENIED", "Your role does not allow this")
RESOURCE_NOT_FOUND = Refusal(404, "RESOURCE_NOT_FOUND", "The requested resource was not found")
DUPLICATE_RESOURCE = Refusal(409, "DUPLICATE_RESOURCE", "The resource exists already")
CONFLICT = Refusal(409, "CONFLICT", "The resource's state does not allow this")
PRECONDITION_FAILED = Refusal(412, "PRECONDITION_FAILED", "It was changed by somebody else")
UNSUPPORTED_MEDIA_TYPE = Refusal(
    415, "UNSUPPORTED_MEDIA_TYPE", "The body must be multipart/form-data"
)
VALIDATION_ERROR = Refusal(422, "VALIDATION_ERROR", "The request contains invalid parameters")
TIER_LIMIT_REACHED = Refusal(403, "TIER_LIMIT_REACHED", "The subscription's limit is reached")
WORKSPACE_SUSPENDED = Refusal(
    403, "WORKSPACE_SUSPENDED", "The workspace is suspended: it can be read, but not changed"
)
RATE_LIMIT_EXCEEDED = Refusal(429, "RATE_LIMIT_EXCEEDED", "Too many requests")
TOO_MANY_AT_ONCE = Refusal(
    RATE_LIMIT_EXCEEDED.status,
    RATE_LIMIT_EXCEEDED.code,
    "Too many requests at once: wait for those before to be answered",
)
IDEMPOTENCY_KEY_WRONG = Refusal(
    400, "IDEMPOTENCY_KEY_WRONG", "An Idempotency-Key has 1 to 255 printable characters"
)
IDEMPOTENCY_KEY_REUSED = Refusal(
    409, "IDEMPOTENCY_KEY_REUSED", "The Idempotency-Key was another request's"
)
IDEMPOTENCY_ANSWER_NOT_KEPT = Refusal(
    409, "IDEMPOTENCY_ANSWER_NOT_KEPT", "The request was done; its answer is not kept"
)
SERVICE_UNAVAILABLE = Refusal(503, "SERVICE_UNAVAILABLE", "The database is not reachable now")
TOO_BUSY = Refusal(
    SERVICE_UNAVAILABLE.status, SERVICE_UNAVAILABLE.code, "The server has too much to do just now"
)


def denied(why: str) -> Refusal:
    """``PERMISSION_DENIED`` with its reason."""
    return Refusal(PERMISSION_DENIED.status, PERMISSION_DENIED.code, why)


PEOPLE_ONLY = denied("People do this, API keys do not: log in, and send your own token")


def role_too_low(needed: Sequence[str], own: str | None, who: str = "you are") -> Refusal:
    """:param needed: roles of which one would do."""
    return denied(f"{PERMISSION_DENIED.message}: it needs {' or '.join(needed)}; {who} {own}")


def role_above(own: str) -> Refusal:
    """Of who would give or take a role that is more than his."""
    return denied(f"Nobody gives or takes a role above his own; you are {own}")


def too_often(wait_s: int) -> Refused:
    """``RATE_LIMIT_EXCEEDED``, with how long to wait."""
    message = f"{RATE_LIMIT_EXCEEDED.message}: ask again in {wait_s} s"
    refusal = Refusal(RATE_LIMIT_EXCEEDED.status, RATE_LIMIT_EXCEEDED.code, message)
    return Refused(refusal, headers={"Retry-After": str(wait_s)})


def limit_reached(of_what: str, whose: str, who_raises_it: str) -> Refusal:
    """``TIER_LIMIT_REACHED`` in clear words.

    :param of_what: agents, or whatever there are enough of.
    :param whose: how many there are of how many, and where that is so."""
    message = f"The limit of {of_what} is reached: {whose}; {who_raises_it}"
    return Refusal(TIER_LIMIT_REACHED.status, TIER_LIMIT_REACHED.code, message)


def idempotency_answer_not_kept(status: int, made: str | None) -> Refusal:
    """``IDEMPOTENCY_ANSWER_NOT_KEPT`` with what is known of the answer."""
    about = "" if made is None else f", about the id {made}"
    refused = IDEMPOTENCY_ANSWER_NOT_KEPT
    message = f"The request was done before, with status {status}{about}; its answer is not kept"
    return Refusal(refused.status, refused.code, message)


def tier_limit_reached(of_what: str, used: int, most: int, tier: str) -> Refusal:
    """Of a workspace on a tier that allows ``most``."""
    return limit_reached(
        of_what,
        f"{used} of {most} on the tier {tier}",
        "an admin changes the tier (POST /admin/workspaces/{id}/change-tier)",
    )

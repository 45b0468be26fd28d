"""What a newcomer reads first. Pure."""

from collections.abc import Sequence

from control.auth.passwords import MAX_LENGTH, MIN_LENGTH
from control.auth.rate_limits import TIERS
from control.http.access import SCOPES
from control.http.docs.examples import ORIGIN
from control.http.docs.markup import Html, code, element, joined, prose, separated, table

_CALLERS = (
    (
        "Client portal",
        "Sign up (`POST /auth/signup`), follow the link in the e-mail (`POST /auth/verify-email`), "
        "log in (`POST /auth/login`): `Authorization: Bearer` and the answer's `token`. Programs: "
        "an API key of a workspace (`POST /workspaces/{workspace_id}/api-keys`) in its place.",
    ),
    (
        "Admin portal",
        "`voicecore admin create` makes the first admin; `POST /admin/auth/login` gives his token.",
    ),
    (
        "Platform Sapien API",
        "An OAuth client, made under `/admin/oauth-clients` or "
        "`/workspaces/{workspace_id}/oauth-clients`, gets a token at `POST /oauth/v2/token` with "
        "its id and secret, for itself or for a person.",
    ),
    ("Carriers", "Their own signatures; see below."),
)
MEMBERS = (
    ("owner", "admin", "everything: OAuth clients, and deleting the workspace, too"),
    (
        "admin",
        "admin",
        "members, secrets, new numbers, the workspace; and what managers may",
    ),
    (
        "manager",
        "manager",
        "agents, test calls, API keys; and what members may",
    ),
    ("member", "user", "reads"),
)
"""Of a workspace; what the Sapien API calls them; what they may."""
ADMINS = (
    ("owner", "everything: admins, secrets, settings, OAuth clients, and deleting, too"),
    ("support", "workspaces, people, templates, numbers"),
    ("finance", "subscription tiers, and which one a workspace has"),
    ("read-only", "reads"),
)
_ERRORS = (
    'An error is `{"error": {"code", "message", "request_id", "details"?}}` in every API but '
    "`/oauth/v2/token`. `code` stays the same; `details` names the fields that are wrong, each "
    "with `field` and `message`. `request_id` is in the header `X-Request-Id` of every answer: the "
    "server's log calls the request so. Another workspace's thing is answered like one "
    "that does not exist (404)."
)
_LISTS = (
    "Lists come in pages: `page` from 1 and `limit`, at most 100. The portals answer with the list "
    "by its name and `total`, `page`, `limit`; the Sapien API with `data` and `meta` "
    "(`current_page`, `per_page`, `total`, `total_pages`). A parameter that an endpoint does not "
    "know is refused (422)."
)
_PASSWORDS = (
    f"{MIN_LENGTH} to {MAX_LENGTH} characters, with three of: small letters, capital letters, "
    "digits, other characters."
)
_TIMES = (
    "A `POST` that may come twice brings an `Idempotency-Key`. A change of an agent that must not "
    "overwrite another's brings the agent's `ETag` in `If-Match`. Times are ISO 8601 in UTC."
)
STEPS = (
    (
        "Sign up, and follow the link in the e-mail (without VOICECORE_SMTP_HOST it is a file in "
        "the data directory's `outbox`), or have `voicecore seed demo` make a login.",
        f"""curl {ORIGIN}/auth/signup -H 'Content-Type: application/json' \\
  -d '{{"email": "jane@example.com", "password": "Correct-Horse-7", "name": "Jane Doe"}}'
curl {ORIGIN}/auth/verify-email -H 'Content-Type: application/json' \\
  -d '{{"token": "TOKEN_OF_THE_MAIL"}}'""",
    ),
    (
        "Log in. Below, `TOKEN` is the answer's `token`.",
        f"""curl {ORIGIN}/auth/login -H 'Content-Type: application/json' \\
  -d '{{"email": "jane@example.com", "password": "Correct-Horse-7"}}'""",
    ),
    (
        "Make a workspace: its `id` is `WORKSPACE`.",
        f"""curl {ORIGIN}/workspaces -H 'Authorization: Bearer TOKEN' \\
  -H 'Content-Type: application/json' -d '{{"name": "Acme Dental"}}'""",
    ),
    (
        "Make an agent, here on local models, which need no key: its `id` is `AGENT`.",
        f"""curl {ORIGIN}/workspaces/WORKSPACE/agents -H 'Authorization: Bearer TOKEN' \\
  -H 'Content-Type: application/json' -d '{{"name": "Front desk", "config": {{
    "instructions": "You answer the telephone of Acme Dental. Keep every answer short.",
    "greeting": "Acme Dental, how can I help you?",
    "stt": {{"vendor": "moonshine"}}, "llm": {{"vendor": "llama"}},
    "tts": {{"vendor": "piper", "voice": "joe"}}}}}}'""",
    ),
    (
        "Call it: the answer has a `stream_url` and a `token`, good for one call (while the agent "
        "is being loaded it is 503 `AGENT_LOADING`, and `--retry` asks again). A script of a "
        "caller is in docs/calling.md. For real calls, activate the agent and give it a number "
        "whose webhook is `/webhooks/calls/inbound`.",
        f"""curl {ORIGIN}/workspaces/WORKSPACE/agents/AGENT/test-stream \\
  -H 'Authorization: Bearer TOKEN' -H 'Content-Type: application/json' --retry 9 \\
  -d '{{"carrier": "telnyx"}}'
voicecore call STREAM_URL --token TOKEN_OF_THE_STREAM --script caller.yaml""",
    ),
)


def first_steps() -> list[Html]:
    """The parts of the section."""
    callers = [(title, prose(about)) for title, about in _CALLERS]
    members = [(code(role), code(sapien), what) for role, sapien, what in MEMBERS]
    admins = [(code(role), what) for role, what in ADMINS]
    return [
        element("h2", "First steps", class_="group"),
        *(
            part
            for about, command in STEPS
            for part in (
                element("p", prose(about)),
                element("pre", code(command, class_="curl")),
            )
        ),
        *_part("Who calls", table(("API", "how one says who one is"), callers)),
        *_part("The password rule", element("p", _PASSWORDS)),
        *_part("Roles in a workspace", table(("role", "in the Sapien API", "may"), members)),
        *_part("Roles of admins", table(("role", "may"), admins)),
        *_part("Scopes of OAuth tokens", element("p", _scopes())),
        *_part("Errors", element("p", prose(_ERRORS))),
        *_part("Lists", element("p", prose(_LISTS))),
        *_part("Twice, and at the same time", element("p", prose(_TIMES))),
        *_part("How often", *_rates()),
    ]


def _part(title: str, *inside: Html) -> Sequence[Html]:
    return (element("h3", title), *inside)


def _scopes() -> Html:
    scopes = separated(", ", [code(scope) for scope in SCOPES])
    return joined([scopes, ": each includes those before it."])


def _rates() -> tuple[Html, Html]:
    rows = [
        (code(tier), f"{limit.per_minute:,}", f"{limit.per_hour:,}")
        for tier, limit in TIERS.items()
    ]
    about = (
        "A request too many is answered with 429 `RATE_LIMIT_EXCEEDED` and `Retry-After`; every "
        "answer says in `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset` how "
        "one stands. An OAuth client, and a workspace's API keys together, may as often as their "
        "rate-limit tier says: the client's own, or that of the workspace's subscription tier "
        "(`free`, `professional` and so on, at `/admin/config/tiers`). A person, and where no "
        "token is needed a network, may as often as the server is set up for "
        "(VOICECORE_PERSON_REQUESTS_PER_MIN, VOICECORE_PUBLIC_REQUESTS_PER_MIN). Logins that fail "
        "are counted besides."
    )
    return element("p", prose(about)), table(("rate-limit tier", "in a minute", "in an hour"), rows)

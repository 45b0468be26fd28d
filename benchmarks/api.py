"""What the management API carries: simple reads, lists over a million calls, and live calls beside.

The server is alone on its core; PostgreSQL and whoever asks share the other one, so the server's
figures are not those of the whole machine.
"""

import asyncio
import json
import secrets
import time
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import msgspec

from benchmarks.api_calls import AGENT, NUMBER, lags, live_calls, p99_ms
from benchmarks.bars import at_least, at_most
from benchmarks.figures import spread
from benchmarks.http_load import Load, as_fast_as_possible, paced, request
from benchmarks.processes import Child, ProcessFailed, child
from benchmarks.setting import Outcome, Setting, say
from control.auth import tokens
from control.db import accounts, workspaces
from control.db.database import PLATFORM, Database
from control.db.embedded import EmbeddedPostgres
from control.db.migrate import migrate

READS_PER_S, HALF_P99_MS = 1500, 50.0
CALLS, LIST_P99_MS = 1_000_000, 50.0
LIVE_CALLS, LATE_P99_MS = 50, 10.0
CONNECTIONS = 16
READY_TIMEOUT_S = 60.0

_CALLS = """
INSERT INTO calls (id, workspace_id, agent_name, carrier, direction, caller_number, called_number,
                   status, started_at, ended_at, duration_ms)
SELECT gen_random_uuid(), $1, 'Desk', 'twilio',
       CASE WHEN n % 5 = 0 THEN 'outbound' ELSE 'inbound' END,
       '+1415555' || lpad((n % 10000)::text, 4, '0'), '+14155550100',
       CASE WHEN n % 50 = 0 THEN 'failed' ELSE 'completed' END,
       now() - n * interval '20 seconds', now() - n * interval '20 seconds' + interval '1 minute',
       60000
FROM generate_series(1, $2::bigint) AS n"""
_AGENT = "INSERT INTO agents (workspace_id, name, status) VALUES ($1, 'Bench', 'live') RETURNING id"
_VERSION = """
INSERT INTO agent_versions (workspace_id, agent_id, version, name, config)
VALUES ($1, $2, 1, 'Bench', $3)"""
_NUMBER = """
INSERT INTO phone_numbers (workspace_id, agent_id, carrier, phone_number)
VALUES ($1, $2, 'twilio', $3)"""
_JOIN = "INSERT INTO members (workspace_id, user_id, role) VALUES ($1, $2, 'owner')"


def measure(setting: Setting) -> Outcome:
    """Start PostgreSQL and the server, fill them, and ask.

    :raises ProcessFailed: the server does not work."""
    rows = CALLS // 20 if setting.quick else CALLS
    seconds = 3.0 if setting.quick else 15.0
    with ExitStack() as stack:
        postgres = EmbeddedPostgres(setting.folder / "postgres")
        stack.callback(postgres.stop)
        say(f"  filling the database with {rows:,} calls")
        filled = asyncio.run(_fill(postgres.url, rows))
        environment = {
            "VOICECORE_DATABASE_URL": postgres.url,
            "VOICECORE_DRAIN_TIMEOUT_S": "0",
            "VOICECORE_AGENT_VENDORS": "scripted",
            "VOICECORE_TWILIO_AUTH_TOKEN": "",
            "VOICECORE_ALLOW_UNSIGNED_WEBHOOKS": "true",
            # One person asks for everything: counted as ever, but never refused.
            "VOICECORE_PERSON_REQUESTS_PER_MIN": "1000000000",
        }
        arguments = ["-m", "control.cli", "serve", "--port", "0", "--json"]
        arguments += ["--data-dir", str(setting.folder / "data")]
        server = stack.enter_context(
            child(
                "server",
                arguments,
                folder=setting.folder,
                core=setting.cores.server,
                environment=environment,
            )
        )
        return asyncio.run(_measure(_port_of(server), filled, seconds))


class Filled(msgspec.Struct, frozen=True):
    """A workspace with calls and an agent that answers a number, and a token of its owner."""

    workspace_id: UUID
    token: str


async def _fill(url: str, rows: int) -> Filled:
    await migrate(url)
    database = await Database.open(url, connections=1)
    try:
        async with database.transaction(PLATFORM) as db:
            now = await db.fetchval("SELECT now()")
            email = f"{secrets.token_hex(4)}@example.com"
            user = await accounts.insert_user(db, email, "Some One", None, now, verified_at=now)
            workspace = await workspaces.insert(
                db, uuid4(), now, {"name": "Bench", "subscription_tier": "enterprise"}
            )
            await db.execute(_JOIN, workspace["id"], user["id"])
            await db.execute(_CALLS, workspace["id"], rows, timeout=600)
            agent_id = await db.fetchval(_AGENT, workspace["id"])
            await db.execute(_VERSION, workspace["id"], agent_id, AGENT)
            await db.execute(_NUMBER, workspace["id"], agent_id, NUMBER)
            pair = await tokens.issue(db, tokens.Holder(user_id=user["id"]), now)
    finally:
        await database.close()
    # What PostgreSQL would do by itself, in the middle of the measurement, after so large a load.
    connection = await asyncpg.connect(url)
    await connection.execute("VACUUM (ANALYZE) calls")
    await connection.execute("CHECKPOINT")
    await connection.close()
    return Filled(workspace["id"], pair.access)


async def _measure(port: int, filled: Filled, seconds: float) -> Outcome:
    workspace_id, token = filled.workspace_id, filled.token
    base = f"/workspaces/{workspace_id}"
    reads = [request("/auth/me", token), request(f"{base}/agents", token)]
    lists = [
        request(f"{base}/calls{query}", token)
        for query in (
            "",
            "?status=failed",
            "?direction=outbound&status=completed",
            "?status=completed&page=200",
            "?from=2026-01-01T00:00:00Z&limit=100",
        )
    ]
    await as_fast_as_possible(port, reads, connections=CONNECTIONS, seconds=1.0)  # warm
    say("  simple reads, as fast as possible")
    most = await as_fast_as_possible(port, reads, connections=CONNECTIONS, seconds=seconds)
    say(f"  {most.per_s:.0f} a second; now half as many")
    half = await paced(port, reads, connections=CONNECTIONS, seconds=seconds, per_s=most.per_s / 2)
    say("  lists of calls, one after another")
    listed = await as_fast_as_possible(port, lists, connections=1, seconds=seconds)
    say(f"  {LIVE_CALLS} live calls, and half as many reads as possible beside them")
    async with live_calls(port, LIVE_CALLS):
        began = await lags(port)
        await asyncio.sleep(seconds)
        alone = await lags(port)
        beside_calls = await paced(
            port, reads, connections=CONNECTIONS, seconds=seconds, per_s=most.per_s / 2
        )
        loaded = await lags(port)
    calm_ms, late_ms = p99_ms(began, alone), p99_ms(alone, loaded)
    half_p99, list_p99 = spread(half.latencies_ms).p99, spread(listed.latencies_ms).p99
    beside = f"{most.failed + half.failed} of {len(most.latencies_ms)} refused"
    bars = (
        at_least("api: simple reads", most.per_s, READS_PER_S, "/s", baseline=beside),
        at_most("api: at half load, p99", half_p99, HALF_P99_MS, "ms"),
        at_most("api: list of calls, p99", list_p99, LIST_P99_MS, "ms"),
        at_most(
            f"api: {LIVE_CALLS} calls beside it, lateness p99, at most",
            late_ms,
            LATE_P99_MS,
            "ms",
            baseline=f"without the API's load {calm_ms:.0f} ms",
        ),
    )
    figures = {"most": _shown(most), "half": _shown(half), "listed": _shown(listed)}
    figures["beside_calls"] = _shown(beside_calls)
    return Outcome(bars, figures)


def _shown(load: Load) -> dict[str, object]:
    latency_ms = msgspec.to_builtins(spread(load.latencies_ms))
    return {"per_s": load.per_s, "latency_ms": latency_ms, "failed": load.failed}


def _port_of(server: Child) -> int:
    until_s = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < until_s:
        for line in Path(server.log).read_text(errors="replace").splitlines():
            if '"ready"' in line:
                return int(str(json.loads(line)["url"]).rpartition(":")[2])
        if (status := server.exit_status()) is not None:
            raise server.failed(f"ended with status {status} before it was ready")
        time.sleep(0.05)
    raise ProcessFailed(f"the server was not ready within {READY_TIMEOUT_S:.0f} s")

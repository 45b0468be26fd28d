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

import msgspec

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
        workspace_id, token = asyncio.run(_fill(postgres.url, rows))
        environment = {"VOICECORE_DATABASE_URL": postgres.url, "VOICECORE_DRAIN_TIMEOUT_S": "0"}
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
        return asyncio.run(_measure(_port_of(server), workspace_id, token, seconds))


async def _fill(url: str, rows: int) -> tuple[UUID, str]:
    """A workspace with calls, and a token of its owner."""
    await migrate(url)
    database = await Database.open(url, connections=1)
    try:
        async with database.transaction(PLATFORM) as db:
            now = await db.fetchval("SELECT now()")
            email = f"{secrets.token_hex(4)}@example.com"
            user = await accounts.insert_user(db, email, "Some One", None, now, verified_at=now)
            workspace = await workspaces.insert(db, uuid4(), now, {"name": "Bench"})
            await db.execute(_JOIN, workspace["id"], user["id"])
            await db.execute(_CALLS, workspace["id"], rows, timeout=600)
            pair = await tokens.issue(db, tokens.Holder(user_id=user["id"]), now)
    finally:
        await database.close()
    return workspace["id"], pair.access


async def _measure(port: int, workspace_id: UUID, token: str, seconds: float) -> Outcome:
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
    half_p99, list_p99 = spread(half.latencies_ms).p99, spread(listed.latencies_ms).p99
    beside = f"{most.failed + half.failed} of {len(most.latencies_ms)} refused"
    bars = (
        at_least("api: simple reads", most.per_s, READS_PER_S, "/s", baseline=beside),
        at_most("api: at half load, p99", half_p99, HALF_P99_MS, "ms"),
        at_most("api: list of calls, p99", list_p99, LIST_P99_MS, "ms"),
    )
    figures = {"most": _shown(most), "half": _shown(half), "listed": _shown(listed)}
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

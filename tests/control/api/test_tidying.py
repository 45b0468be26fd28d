"""What is too old is forgotten, and nothing else."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from structlog.testing import capture_logs

from control.db import tidying
from control.db.database import PLATFORM, Database
from control.db.tidying import KEYS_KEPT, TOKENS_KEPT, tidy_all
from tests.support.api import Api
from tests.support.identity import frozen
from tests.support.postgres import fresh_database


async def test_old_keys_and_tokens_go(api: Api) -> None:
    frozen(api)
    _, token = await api.person()
    made = await api.post("/workspaces", {"name": "A"}, token, headers={"Idempotency-Key": "k"})
    assert made.status == 201
    now, soon = api.plane.now(), timedelta(seconds=5)

    async def left(at: timedelta) -> tuple[int, int]:
        await tidy_all(api.plane.db, now + at)
        async with api.plane.db.transaction(PLATFORM) as db:
            keys = await db.fetchval("SELECT count(*) FROM idempotency_keys")
            return keys, await db.fetchval("SELECT count(*) FROM tokens")

    assert await left(KEYS_KEPT - soon) == (1, 2)
    assert await left(KEYS_KEPT + soon) == (0, 2)
    assert await left(TOKENS_KEPT + timedelta(hours=1) + soon) == (0, 1)  # the access token
    assert await left(TOKENS_KEPT + timedelta(days=31)) == (0, 0)


_OLD = """
INSERT INTO idempotency_keys (principal, key, fingerprint, created_at)
SELECT 'user:x', i::text, '', now() - interval '2 days' FROM generate_series(1, 7) AS i"""
_AT_MOST_3 = """
CREATE FUNCTION few() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM gone) > 3 THEN RAISE 'too many at once'; END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER few AFTER DELETE ON idempotency_keys REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION few()"""


async def test_however_much_there_is_goes_a_little_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One statement for everything would never end within its deadline once it was too much."""
    monkeypatch.setattr(tidying, "BATCH", 3)
    async with fresh_database() as url:
        owner, database = await asyncpg.connect(url), await Database.open(url, connections=1)
        await owner.execute(f"{_OLD}; {_AT_MOST_3}")
        await tidy_all(database, datetime.now(UTC))
        left = await owner.fetchval("SELECT count(*) FROM idempotency_keys")
        await database.close()
        await owner.close()
    assert left == 0


async def test_a_table_that_fails_leaves_the_others_tidied() -> None:
    async with fresh_database() as url:
        owner, database = await asyncpg.connect(url), await Database.open(url, connections=1)
        await owner.execute(f"{_OLD}; {_AT_MOST_3}")
        await owner.execute(
            "WITH client AS (INSERT INTO oauth_clients (client_id, secret_hash, name, scopes)"
            " VALUES ('c', 'x', 'c', '{read}') RETURNING id) "
            "INSERT INTO tokens (hash, kind, family, client_id, expires_at) SELECT 'x', 'access',"
            " gen_random_uuid(), client.id, now() - interval '8 days' FROM client"
        )
        with capture_logs() as logs:
            await tidy_all(database, datetime.now(UTC))
        left = await owner.fetchval("SELECT count(*) FROM tokens")
        await database.close()
        await owner.close()
    assert left == 0
    assert [(line["code"], line["table"]) for line in logs] == [("not_tidied", "idempotency_keys")]

"""What is too old is forgotten, and nothing else."""

from datetime import timedelta

from control.db.database import PLATFORM
from control.db.tidying import KEYS_KEPT, TOKENS_KEPT, tidy
from tests.support.api import Api


async def test_old_keys_and_tokens_go(api: Api) -> None:
    _, token = await api.person()
    made = await api.post("/workspaces", {"name": "A"}, token, headers={"Idempotency-Key": "k"})
    assert made.status == 201
    now, soon = api.plane.now(), timedelta(seconds=5)

    async def left(at: timedelta) -> tuple[int, int]:
        async with api.plane.db.transaction(PLATFORM) as db:
            await tidy(db, now + at)
            keys = await db.fetchval("SELECT count(*) FROM idempotency_keys")
            return keys, await db.fetchval("SELECT count(*) FROM tokens")

    assert await left(KEYS_KEPT - soon) == (1, 2)
    assert await left(KEYS_KEPT + soon) == (0, 2)
    assert await left(TOKENS_KEPT + timedelta(hours=1) + soon) == (0, 1)  # the access token
    assert await left(TOKENS_KEPT + timedelta(days=31)) == (0, 0)

"""Whose rows a reader sees is said twice: by the server for each WHERE, and by the database as it
finds the bearer of a token. Both must say the same."""

from uuid import UUID

from control.api import ENDPOINTS
from control.auth import tokens
from control.auth.bearers import bearer_of
from control.db.database import NOBODY, PLATFORM, Connection, Sight, look
from control.http.access import ADMIN_READS, MEMBER_READS, OAUTH_READS, PERSON, Bearer
from control.http.sights import sight_of
from tests.support.api import Api
from tests.support.strangers import STRANGERS
from tests.support.tenants import Tenant, make_tenant


async def admin(api: Api, theirs: Tenant, mine: Tenant) -> str:
    return await api.admin()


async def platforms_client(api: Api, theirs: Tenant, mine: Tenant) -> str:
    return await api.oauth()


async def member_of_both(api: Api, theirs: Tenant, mine: Tenant) -> str:
    person, token = await api.member(theirs.workspace_id, "owner")
    await api.run(
        "INSERT INTO members (workspace_id, user_id, role) VALUES ($1, $2, 'member')",
        mine.workspace_id,
        person,
    )
    return token


_READS = {
    one.access.kind: one
    for one in ENDPOINTS
    if one.access in (ADMIN_READS, MEMBER_READS, OAUTH_READS, PERSON)
}
READS_OF = {**_READS, "user": _READS["person"], "api_key": _READS["person"]}


class TestWhoseRowsAreSeen:
    """The database says it by itself as it finds the bearer; the server says it for each WHERE."""

    async def test_both_say_the_same(self, api: Api) -> None:
        theirs, mine = await make_tenant(api), await make_tenant(api)
        more = {"admin": admin, "platform's client": platforms_client, "of both": member_of_both}
        seen = set()
        for name, make in (STRANGERS | more).items():
            token = await make(api, theirs, mine)
            for place in (None, mine.workspace_id, theirs.workspace_id):
                by_database, bearer = await self._of_connection(api, token, place)
                if place is not None and bearer.kind in ("admin", "oauth"):
                    continue  # they are asked for no place
                expected = self._by_server(bearer, place)
                if expected is not None:
                    assert by_database == expected, f"{name} at {place}"
                    seen.add(expected)
                else:
                    assert not by_database.platform, name
                    assert not by_database.workspaces, name
        assert len(seen) >= 8, "of everybody's rows down to nobody's"

    async def test_a_token_that_is_none_sees_nothing(self, api: Api) -> None:
        async with api.plane.db.connection() as db:
            await look(db, PLATFORM)
            assert await bearer_of(db, tokens.new_secret(), None) is None
            assert await self._seen(db) == NOBODY

    async def test_a_path_of_no_workspace_is_told_only_to_who_may_ask(self, api: Api) -> None:
        _, token = await api.person()
        assert (await api.get("/workspaces/none/agents", token)).status == 404
        assert (await api.get("/workspaces/none/agents", tokens.new_secret())).status == 401

    async def _of_connection(
        self, api: Api, token: str, place: UUID | None
    ) -> tuple[Sight, Bearer]:
        async with api.plane.db.connection() as db:
            await look(db, PLATFORM)  # what somebody else saw before
            bearer = await bearer_of(db, token, place)
            assert bearer is not None
            return await self._seen(db), bearer

    @staticmethod
    async def _seen(db: Connection) -> Sight:
        row = await db.fetchrow("SELECT sees_all(), seen_workspaces(), this_person()")
        assert row is not None
        return Sight(row["sees_all"], frozenset(row["seen_workspaces"]), row["this_person"])

    @staticmethod
    def _by_server(bearer: Bearer, place: UUID | None) -> Sight | None:
        """None: he is no member there, of which he is told before anything is read."""
        if place is None:
            return sight_of(READS_OF[bearer.kind], bearer, {})
        if place not in bearer.roles:
            return None
        return sight_of(READS_OF["member"], bearer, {"workspace_id": place})

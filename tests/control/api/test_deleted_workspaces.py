"""Whom a workspace has made and who is in no other goes with it, whichever API deletes it."""

from uuid import UUID

import pytest

from control.auth import tokens
from control.db.database import PLATFORM
from tests.support.api import Api
from tests.support.locks import first
from tests.support.sapien_users import new_user, number_of

JANE, JOHN = "jane.doe@example.com", "john.doe@example.com"
APIS = ("client", "admin", "sapien")


async def deleting(api: Api, by: str, owner: str, workspace: UUID) -> tuple[str, str]:
    """The place of the workspace in this API, and a token of somebody who may delete it."""
    if by == "client":
        return f"/workspaces/{workspace}", owner
    if by == "admin":
        return f"/admin/workspaces/{workspace}", await api.admin()
    return f"/api/v1/customers/{await number_of(api, workspace)}", await api.oauth()


async def made_users(api: Api, workspace: UUID, *emails: str) -> list[UUID]:
    """People whom the workspace has made, each logged in."""
    made, client, number = [], await api.oauth(), await number_of(api, workspace)
    for email in emails:
        body = new_user(number, email=email)
        answer = await api.post("/api/v1/users", body, client)
        made.append(UUID(answer.json["data"]["uuid"]))
        async with api.plane.db.transaction(PLATFORM) as db:
            await tokens.issue(db, tokens.Holder(user_id=made[-1]), api.plane.now())
    return made


@pytest.mark.parametrize("by", APIS)
async def test_whom_it_made_goes_with_it(api: Api, by: str) -> None:
    owner, token = await api.person()
    workspace, other = await api.workspace(owner), await api.workspace()
    jane, john = await made_users(api, workspace, JANE, JOHN)
    await api.run(
        "INSERT INTO members (workspace_id, user_id, role) VALUES ($1, $2, 'member')", other, john
    )
    place, deleter = await deleting(api, by, token, workspace)
    assert (await api.delete(place, deleter)).status == 204
    people = {row["id"] for row in await api.run("SELECT id FROM users")}
    assert people == {owner, john}
    holders = {row["user_id"] for row in await api.run("SELECT user_id FROM tokens")}
    assert (jane in holders, john in holders) == (False, True)
    again = new_user(await number_of(api, other), email=JANE)
    assert (await api.post("/api/v1/users", again, await api.oauth())).status == 201


@pytest.mark.parametrize("by", APIS)
async def test_it_is_written_down(api: Api, by: str) -> None:
    owner, token = await api.person()
    workspace = await api.workspace(owner)
    (jane,) = await made_users(api, workspace, JANE)
    place, token = await deleting(api, by, token, workspace)
    await api.delete(place, token)
    log = await api.run(
        "SELECT resource_id, workspace_id, details FROM audit_log WHERE action = 'user.deleted'"
    )
    assert [(row["resource_id"], row["workspace_id"]) for row in log] == [(str(jane), workspace)]
    assert log[0]["details"]["before"]["email"] == JANE


@pytest.mark.parametrize("leaves", [True, False])
async def test_who_is_no_member_any_more_goes_as_well(api: Api, leaves: bool) -> None:
    owner, token = await api.person()
    workspace, other = await api.workspace(owner), await api.workspace()
    jane, john = await made_users(api, workspace, JANE, JOHN)
    await api.run(
        "INSERT INTO members (workspace_id, user_id, role) VALUES ($1, $2, 'member')", other, john
    )
    for person in (jane, john):
        if leaves:
            async with api.plane.db.transaction(PLATFORM) as db:
                holder = tokens.Holder(user_id=person)
                token = (await tokens.issue(db, holder, api.plane.now())).access
        place = f"/workspaces/{workspace}/members/{person}"
        assert (await api.delete(place, token)).status == 204
    people = {row["id"] for row in await api.run("SELECT id FROM users")}
    assert people == {owner, john}


@pytest.mark.parametrize("by", APIS)
async def test_whose_account_becomes_his_own_meanwhile_stays(api: Api, by: str) -> None:
    owner, token = await api.person()
    workspace = await api.workspace(owner)
    (jane,) = await made_users(api, workspace, JANE)
    place, deleter = await deleting(api, by, token, workspace)
    async with first(api) as held:
        await held.db.execute("UPDATE users SET managed_by = NULL WHERE id = $1", jane)
        await held.ask(api.delete(place, deleter))
    assert (await held.answer()).status == 204
    assert held.waited
    assert len(await api.run("SELECT FROM users WHERE id = $1", jane)) == 1


@pytest.mark.parametrize("by", APIS)
async def test_who_joins_another_meanwhile_stays(api: Api, by: str) -> None:
    owner, token = await api.person()
    workspace, other = await api.workspace(owner), await api.workspace()
    (jane,) = await made_users(api, workspace, JANE)
    place, deleter = await deleting(api, by, token, workspace)
    async with first(api) as held:
        await held.db.execute(
            "INSERT INTO members (workspace_id, user_id, role) VALUES ($1, $2, 'member')",
            other,
            jane,
        )
        await held.ask(api.delete(place, deleter))
    assert (await held.answer()).status == 204
    left = await api.run("SELECT workspace_id FROM members WHERE user_id = $1", jane)
    assert other in {row["workspace_id"] for row in left}


@pytest.mark.parametrize("by", ["client", "sapien"])
async def test_who_joins_another_while_he_is_removed_stays(api: Api, by: str) -> None:
    owner, token = await api.person()
    workspace, other = await api.workspace(owner), await api.workspace()
    (jane,) = await made_users(api, workspace, JANE)
    place = f"/workspaces/{workspace}/members/{jane}"
    if by == "sapien":
        (row,) = await api.run("SELECT number FROM members WHERE user_id = $1", jane)
        place, token = f"/api/v1/users/{row['number']}", await api.oauth()
    async with first(api) as held:
        await held.db.execute("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE", jane)
        await held.db.execute("UPDATE users SET managed_by = NULL WHERE id = $1", jane)
        await held.db.execute(
            "INSERT INTO members (workspace_id, user_id, role) VALUES ($1, $2, 'member')",
            other,
            jane,
        )
        await held.ask(api.delete(place, token))
    assert (await held.answer()).status == 204
    assert held.waited
    left = await api.run("SELECT workspace_id FROM members WHERE user_id = $1", jane)
    assert [row["workspace_id"] for row in left] == [other]


async def test_a_workspace_that_is_deleted_keeps_nobody(api: Api) -> None:
    owner, token = await api.person()
    workspace, other = await api.workspace(owner), await api.workspace()
    (jane,) = await made_users(api, workspace, JANE)
    await api.run(
        "INSERT INTO members (workspace_id, user_id, role) VALUES ($1, $2, 'member')", other, jane
    )
    assert (await api.delete(f"/admin/workspaces/{other}", await api.admin())).status == 204
    assert (await api.delete(f"/workspaces/{workspace}", token)).status == 204
    assert await api.run("SELECT FROM users WHERE id = $1", jane) == []


async def test_nobody_is_made_in_one_that_is_being_deleted(api: Api) -> None:
    workspace = await api.workspace()
    number, token = await number_of(api, workspace), await api.oauth()
    async with first(api) as held:
        await held.db.execute("UPDATE workspaces SET deleted_at = now() WHERE id = $1", workspace)
        await held.ask(api.post("/api/v1/users", new_user(number), token))
    refused = await held.answer()
    assert (refused.status, refused.fields) == (422, {"customer_id"})
    assert await api.run("SELECT FROM users") == []

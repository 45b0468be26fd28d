"""Whoever may not do something is told what it takes and what he has."""

import pytest

from control.api import ENDPOINTS
from control.http.docs.operation import caller_of
from tests.support.api import Api, Reply


def told(answer: Reply) -> str:
    assert answer.status == 403, answer
    return str(answer.json["error"]["message"])


async def key_of(api: Api, path: str, owner: str, role: str) -> str:
    made = await api.post(f"{path}/api-keys", {"name": role, "role": role}, owner)
    return str(made.json["key"])


async def test_a_members_role(api: Api) -> None:
    workspace = await api.workspace()
    path = f"/workspaces/{workspace}"
    _, member = await api.member(workspace, "member")
    _, owner = await api.member(workspace, "owner")
    key = await key_of(api, path, owner, "manager")
    needs = "Your role does not allow this: it needs owner or admin; "
    assert told(await api.put(path, {"name": "x"}, member)) == f"{needs}you are member"
    assert told(await api.put(path, {"name": "x"}, key)) == f"{needs}the API key is manager"


async def test_a_role_above_ones_own(api: Api) -> None:
    workspace = await api.workspace()
    path = f"/workspaces/{workspace}"
    owner, _ = await api.member(workspace, "owner")
    _, admin = await api.member(workspace, "admin")
    changed = await api.put(f"{path}/members/{owner}", {"role": "member"}, admin)
    assert told(changed) == "Nobody gives or takes a role above his own; you are admin"
    _, manager = await api.member(workspace, "manager")
    made = await api.post(f"{path}/api-keys", {"name": "x", "role": "admin"}, manager)
    assert told(made) == "Nobody gives or takes a role above his own; you are manager"


async def test_what_people_do_and_keys_do_not(api: Api) -> None:
    workspace = await api.workspace()
    path = f"/workspaces/{workspace}"
    person, owner = await api.member(workspace, "owner")
    key = await key_of(api, path, owner, "admin")
    answers = [
        await api.post(f"{path}/members", {"email": "a@example.com", "role": "member"}, key),
        await api.put(f"{path}/members/{person}", {"role": "admin"}, key),
        await api.delete(f"{path}/members/{person}", key),
        await api.delete(f"{path}/invitations/{workspace}", key),
        await api.post(f"{path}/api-keys", {"name": "another"}, key),
        await api.delete(f"{path}/api-keys/{workspace}", key),
        await api.get(f"{path}/oauth-clients", key),
        await api.delete(path, key),
    ]
    assert {told(one) for one in answers} == {
        "People do this, API keys do not: log in, and send your own token"
    }


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("invite_member", False),
        ("remove_member", False),
        ("create_api_key", False),
        ("create_oauth_client", False),
        ("list_members", True),
        ("create_agent", True),
    ],
)
def test_the_documentation_says_whether_a_key_may(name: str, keys: bool) -> None:
    (one,) = [one for one in ENDPOINTS if one.name == name]
    assert ("or an API key" in caller_of(one.access)) is keys
    assert ("no API key may" in caller_of(one.access)) is not keys


async def test_an_admins_role(api: Api) -> None:
    workspace = await api.workspace()
    path = f"/admin/workspaces/{workspace}"
    needs = "Your role does not allow this: it needs "
    support = await api.admin("support")
    assert told(await api.delete(path, support)) == f"{needs}owner; you are support"
    tier = await api.put(path, {"subscription_tier": "free"}, support)
    assert told(tier) == f"{needs}owner; you are support"
    change = await api.post(f"{path}/change-tier", {"tier_name": "free"}, support)
    assert told(change) == f"{needs}owner or finance; you are support"


async def test_a_tokens_scope(api: Api) -> None:
    lacks = "The token lacks a scope this needs: "
    path = "/api/v1/customers"
    for scopes, has in ((("read",), "read"), (("read", "write"), "read and write")):
        token = await api.oauth(scopes)
        assert told(await api.delete(f"{path}/1", token)) == f"{lacks}admin; it has {has}"
    own = await api.oauth(("read", "write"), workspace_id=await api.workspace())
    body = {"name": "x", "email": "x@example.com"}
    assert "Only an OAuth client of the platform's" in told(await api.post(path, body, own))

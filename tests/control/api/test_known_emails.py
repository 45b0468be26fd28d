"""Nobody walks through addresses to learn which are registered."""

import pytest

from control.api.sapien import known_emails
from control.auth.rate_limits import Limit
from tests.support.api import Api, Reply
from tests.support.identity import frozen
from tests.support.sapien_users import new_user, number_of, token_of, user_number

KNOWN = "known@example.com"


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_emails, "MOST", Limit(2, 2))


async def make(api: Api, customer: int, token: str | None, email: str = KNOWN) -> Reply:
    return await api.post("/api/v1/users", new_user(customer, email=email), token)


async def test_all_clients_of_a_workspace_are_told_of_so_many(api: Api) -> None:
    frozen(api)
    workspace_id = await api.workspace()
    await api.person(KNOWN)
    customer = await number_of(api, workspace_id)
    clients = [await api.oauth(workspace_id=workspace_id) for _ in range(2)]
    for client in clients:
        assert (await make(api, customer, client, f"{client[:8]}@example.com")).status == 201
        assert (await make(api, customer, client)).fields == {"email"}
    for email in (KNOWN, "unknown@example.com"):
        answer = await make(api, customer, clients[0], email)
        assert (answer.status, answer.code) == (429, "RATE_LIMIT_EXCEEDED")
        assert 0 < int(answer.headers["Retry-After"]) <= 3600
    other = await api.workspace()
    answer = await make(api, await number_of(api, other), await api.oauth(workspace_id=other))
    assert answer.fields == {"email"}


async def test_whoever_changes_an_email_is_counted_too(api: Api) -> None:
    frozen(api)
    workspace_id = await api.workspace()
    await api.person(KNOWN)
    client = await api.oauth(workspace_id=workspace_id)
    customer = await number_of(api, workspace_id)
    number = (await make(api, customer, client, "his@example.com")).json["data"]["id"]
    path = f"/api/v1/users/{number}"
    answers = [await api.put(path, {"email": KNOWN}, client) for _ in range(3)]
    assert [answer.status for answer in answers] == [422, 422, 429]
    assert (await api.put(path, {"email": "free@example.com"}, client)).status == 429
    assert (await api.put(path, {"first_name": "New"}, client)).status == 200


async def test_a_person_is_counted_by_himself(api: Api) -> None:
    """Whoever else uses the same client is not kept waiting."""
    frozen(api)
    await api.person(KNOWN)
    for email, statuses in (("one@example.com", [422, 422, 429]), ("two@example.com", [422])):
        user_id, _ = await api.person(email)
        customer = await number_of(api, await api.workspace(user_id))
        token = await token_of(api, email)
        assert [(await make(api, customer, token)).status for _ in statuses] == statuses


async def test_the_platforms_clients_are_not_counted(api: Api) -> None:
    """They see everybody's."""
    user_id, _ = await api.person(KNOWN)
    customer, client = await number_of(api, await api.workspace(user_id)), await api.oauth()
    answers = [await make(api, customer, client) for _ in range(4)]
    assert [answer.status for answer in answers] == [422] * 4
    number = await user_number(api, user_id)
    assert (await api.put(f"/api/v1/users/{number}", {"email": KNOWN}, client)).status == 200

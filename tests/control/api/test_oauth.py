"""`/oauth/v2/token`, by Authlib's client and by hand."""

import asyncio
import base64
import inspect
import re
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from uuid import UUID, uuid4

import pytest
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client

from control.api import oauth, throttle
from control.auth import tokens
from control.db import accounts
from control.db.database import PLATFORM
from control.http.heavy import Gate
from tests.support.api import PASSWORD, Api, Reply, served_api
from tests.support.identity import frozen

SECRET = "s:ecret %41+ü"
"""What RFC 6749 2.3.1 says of Basic is needed to bring this over."""
PATH = "/oauth/v2/token"


async def client(
    api: Api,
    scopes: tuple[str, ...] = ("read", "write"),
    *,
    password_grant: bool = True,
    workspace_id: UUID | None = None,
) -> str:
    """The id of a new client, whose secret is ``SECRET``."""
    async with api.plane.db.transaction(PLATFORM) as db:
        row = await accounts.insert_client(
            db,
            uuid4().hex,
            tokens.digest(SECRET),
            "A client",
            workspace_id=workspace_id,
            scopes=scopes,
            password_grant=password_grant,
            tier=None,
        )
    return str(row["client_id"])


def authlib(
    api: Api, client_id: str, secret: str = SECRET, *, by: str = "client_secret_post"
) -> AsyncOAuth2Client:
    return AsyncOAuth2Client(
        client_id, secret, token_endpoint_auth_method=by, token_endpoint=api.url + PATH
    )


async def ask(api: Api, client_id: str, **fields: str) -> Reply:
    """Make a request by hand, authenticated in its body."""
    form = {"client_id": client_id, "client_secret": SECRET, **fields}
    return await api.post(PATH, data=form)


async def pair(api: Api, client_id: str, email: str, **more: str) -> dict[str, Any]:
    """Tokens by the password grant."""
    found = await ask(
        api, client_id, grant_type="password", username=email, password=PASSWORD, **more
    )
    return dict(found.json)


def error(reply: Reply) -> tuple[int, str]:
    assert set(reply.json) == {"error", "error_description"}
    return reply.status, str(reply.json["error"])


class TestAuthlib:
    async def test_client_credentials_in_the_body(self, api: Api) -> None:
        await api.workspace()
        async with authlib(api, await client(api)) as found:
            token = await found.fetch_token(grant_type="client_credentials")
            assert token["token_type"] == "bearer"
            assert (token["expires_in"], token["scope"]) == (3600, "read write")
            assert "refresh_token" not in token
            customers = await found.get(api.url + "/api/v1/customers")
        assert customers.json()["meta"]["total"] == 1

    async def test_client_credentials_by_basic(self, api: Api) -> None:
        client_id = await client(api)
        header = base64.b64encode(f"{client_id}:s%3Aecret+%2541%2B%C3%BC".encode()).decode()
        answer = await api.post(
            PATH,
            data={"grant_type": "client_credentials"},
            headers={"Authorization": f"Basic {header}"},
        )
        assert answer.status == 200
        plain = await client(api)
        await api.run(
            "UPDATE oauth_clients SET secret_hash = $2 WHERE client_id = $1",
            plain,
            tokens.digest("a_plain-secret"),
        )
        async with authlib(api, plain, "a_plain-secret", by="client_secret_basic") as found:
            token = await found.fetch_token(grant_type="client_credentials", scope="read")
        assert token["scope"] == "read"

    async def test_password_and_refresh(self, api: Api) -> None:
        user_id, _ = await api.person("me@example.com")
        mine = await api.workspace(user_id)
        await api.workspace()
        async with authlib(api, await client(api)) as found:
            first = await found.fetch_token(username="Me@Example.com", password=PASSWORD)
            customers = await found.get(api.url + "/api/v1/customers")
            assert [one["uuid"] for one in customers.json()["data"]] == [str(mine)]
            second = await found.refresh_token()
            assert second["refresh_token"] != first["refresh_token"]
            assert second["scope"] == first["scope"] == "read write"
            assert (await found.get(api.url + "/api/v1/customers")).status_code == 200
        assert (await api.get("/api/v1/customers", first["access_token"])).status == 401

    async def test_a_token_that_ran_out_is_renewed(self, api: Api) -> None:
        await api.person("me@example.com")
        async with authlib(api, await client(api)) as found:
            await found.fetch_token(username="me@example.com", password=PASSWORD)
            found.token = {**found.token, "expires_at": 1}
            assert (await found.get(api.url + "/api/v1/customers")).status_code == 200

    async def test_errors_are_what_it_knows(self, api: Api) -> None:
        async with authlib(api, await client(api), "wrong") as found:
            with pytest.raises(OAuthError, match="invalid_client"):
                await found.fetch_token(grant_type="client_credentials")
        async with authlib(api, await client(api)) as found:
            with pytest.raises(OAuthError, match="invalid_scope"):
                await found.fetch_token(grant_type="client_credentials", scope="admin")
            with pytest.raises(OAuthError, match="invalid_grant"):
                await found.fetch_token(username="me@example.com", password="Wrong-Word-1")


class TestErrors:
    async def test_who_asks_must_be_known(self, api: Api) -> None:
        known = await client(api)
        for client_id, secret in (
            (known, "wrong"),
            (known, ""),
            ("nobody", SECRET),
            ("", SECRET),
            ("x" * 100_000, SECRET),
        ):
            answer = await ask(
                api, client_id, grant_type="client_credentials", client_secret=secret
            )
            assert error(answer) == (401, "invalid_client")
            assert answer.headers["WWW-Authenticate"].startswith("Basic")
            assert answer.headers["Cache-Control"] == "no-store"

    @pytest.mark.parametrize(
        "credentials", [b"no colon", b"\xff:x", b"a\0b:x", b"a%00b:x", b":", b"%:%", b"%ff:%fe"]
    )
    async def test_a_header_that_is_wrong(self, api: Api, credentials: bytes) -> None:
        for header in (base64.b64encode(credentials).decode(), "%%%", ""):
            answer = await api.post(
                PATH,
                data={"grant_type": "client_credentials"},
                headers={"Authorization": f"Basic {header}"},
            )
            assert error(answer) == (401, "invalid_client")

    async def test_one_way_only(self, api: Api) -> None:
        header = base64.b64encode(b"a:b").decode()
        headers = {"Authorization": f"Basic {header}"}
        form = {"grant_type": "client_credentials", "client_id": "a", "client_secret": "b"}
        answer = await api.post(PATH, data=form, headers=headers)
        assert error(answer) == (400, "invalid_request")

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"grant_type=",
            b"{}",
            b"grant_type=password&grant_type=password",
            b"grant_type=a%00b",
            b"grant_type=%ff",
            b"&".join(b"a%d=1" % number for number in range(100)),
        ],
    )
    async def test_a_body_that_is_wrong(self, api: Api, body: bytes) -> None:
        assert error(await api.post(PATH, data=body)) == (400, "invalid_request")

    async def test_grants(self, api: Api) -> None:
        client_id = await client(api, password_grant=False)
        for fields, expected in (
            ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
            ({"grant_type": "password"}, "unauthorized_client"),
            ({"grant_type": "refresh_token"}, "invalid_request"),
            ({"grant_type": "refresh_token", "refresh_token": "nonsense"}, "invalid_grant"),
            ({"grant_type": "client_credentials", "scope": "read root"}, "invalid_scope"),
        ):
            assert error(await ask(api, client_id, **fields)) == (400, expected)
        allowed = await client(api)
        missing = await ask(api, allowed, grant_type="password", username="me@example.com")
        assert error(missing) == (400, "invalid_request")

    async def test_whatever_is_wrong_with_a_login_is_told_alike(self, api: Api) -> None:
        client_id = await client(api)
        await api.person("me@example.com")
        user_id, _ = await api.person("gone@example.com")
        await api.run("UPDATE users SET status = 'inactive' WHERE id = $1", user_id)
        answers = [
            await ask(api, client_id, grant_type="password", username=name, password=word)
            for name, word in (
                ("me@example.com", "Wrong-Word-1"),
                ("gone@example.com", PASSWORD),
                ("nobody@example.com", PASSWORD),
                ("x" * 10_000, PASSWORD),
            )
        ]
        assert {one.body for one in answers} == {
            b'{"error":"invalid_grant",'
            b'"error_description":"Invalid username and password combination"}'
        }
        assert {one.status for one in answers} == {400}

    async def test_after_ten_failures_nothing_is_tried(self, api: Api) -> None:
        frozen(api)
        client_id = await client(api)
        await api.person("me@example.com")
        fields = {"grant_type": "password", "username": "me@example.com"}
        for _ in range(throttle.FAILURES.per_minute):
            await ask(api, client_id, **fields, password="Wrong-Word-1")
        answer = await ask(api, client_id, **fields, password=PASSWORD)
        assert error(answer) == (429, "slow_down")
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
        login = {"email": "me@example.com", "password": PASSWORD}
        assert (await api.post("/auth/login", login)).status == 429


class TestRefusedBeforeItIsAsked:
    """What the server says of every request has this endpoint's form here."""

    async def test_too_many_requests(self, tmp_path: Path) -> None:
        async with served_api(tmp_path, public_requests_per_min=1) as api:
            frozen(api)
            await api.post(PATH, data={})
            answer = await api.post(PATH, data={})
            assert error(answer) == (429, "slow_down")
            assert 1 <= int(answer.headers["Retry-After"]) <= 60
            assert answer.headers["X-RateLimit-Remaining"] == "0"
            async with authlib(api, "a client") as found:
                with pytest.raises(OAuthError, match="slow_down"):
                    await found.fetch_token(grant_type="client_credentials")

    async def test_too_many_at_once(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        for room, expected in (
            (Gate(1, most_of_one=0), (429, "slow_down")),
            (Gate(1, most_waiting=0), (503, "temporarily_unavailable")),
        ):
            monkeypatch.setitem(api.plane.heavy.of, "passwords", room)
            async with room.entered():
                answer = await api.post(PATH, data={})
            assert error(answer) == expected
            assert int(answer.headers["Retry-After"]) >= 1

    async def test_bodies(self, api: Api) -> None:
        large = await api.post(PATH, data=b"a" * 300_000)
        assert error(large) == (413, "invalid_request")
        packed = await api.post(PATH, data=b"a=b", headers={"Content-Encoding": "br"})
        assert error(packed) == (415, "invalid_request")
        assert packed.headers["X-Request-Id"]
        assert packed.headers["Cache-Control"] == "no-store"

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
    async def test_other_methods(self, api: Api, method: str) -> None:
        answer = await api.send(method, PATH)
        assert error(answer) == (405, "invalid_request")
        assert answer.headers["Allow"] == "POST"

    async def test_a_database_that_is_away(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(api.plane.db, "transaction", Mock(side_effect=OSError("gone")))
        answer = await ask(api, "x", grant_type="client_credentials")
        assert error(answer) == (503, "temporarily_unavailable")
        assert answer.headers["Retry-After"]

    async def test_a_bug(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(api.plane.db, "transaction", Mock(side_effect=LookupError("a bug")))
        answer = await ask(api, "x", grant_type="client_credentials")
        assert error(answer) == (500, "server_error")
        assert "bug" not in answer.body.decode()


class TestScopes:
    async def test_what_is_asked_for_is_given_in_order_and_no_more(self, api: Api) -> None:
        client_id = await client(api, ("read", "write", "admin"))
        for asked, given in (
            ("", "read write"),
            ("read", "read"),
            ("admin write write", "write admin"),
        ):
            answer = await ask(api, client_id, grant_type="client_credentials", scope=asked)
            assert answer.json["scope"] == given

    async def test_a_client_that_has_but_admin(self, api: Api) -> None:
        answer = await ask(api, await client(api, ("admin",)), grant_type="client_credentials")
        assert answer.json["scope"] == "admin"

    async def test_a_refresh_may_ask_for_less_but_not_for_more(self, api: Api) -> None:
        client_id = await client(api, ("read", "write", "admin"))
        await api.person("me@example.com")
        first = await pair(api, client_id, "me@example.com")
        fields = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
        wider = await ask(api, client_id, **fields, scope="read admin")
        assert error(wider) == (400, "invalid_scope")
        less = (await ask(api, client_id, **fields, scope="read")).json
        assert less["scope"] == "read"
        refused = await api.post("/api/v1/customers", {}, less["access_token"])
        assert refused.code == "INSUFFICIENT_SCOPE"
        fields["refresh_token"] = less["refresh_token"]
        assert (await ask(api, client_id, **fields)).json["scope"] == "read write"


class TestRefreshing:
    async def test_a_token_that_comes_again_ends_the_family(self, api: Api) -> None:
        client_id = await client(api)
        await api.person("me@example.com")
        other = await pair(api, client_id, "me@example.com")
        first = await pair(api, client_id, "me@example.com")
        fields = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
        second = (await ask(api, client_id, **fields)).json
        assert (await api.get("/api/v1/customers", second["access_token"])).status == 200
        assert error(await ask(api, client_id, **fields)) == (400, "invalid_grant")
        assert (await api.get("/api/v1/customers", second["access_token"])).status == 401
        fields["refresh_token"] = second["refresh_token"]
        assert error(await ask(api, client_id, **fields)) == (400, "invalid_grant")
        assert (await api.get("/api/v1/customers", other["access_token"])).status == 200

    async def test_of_two_at_once_one_has_it(self, api: Api) -> None:
        client_id = await client(api)
        await api.person("me@example.com")
        kept = (await pair(api, client_id, "me@example.com"))["refresh_token"]
        fields = {"grant_type": "refresh_token", "refresh_token": kept}
        answers = await asyncio.gather(*[ask(api, client_id, **fields) for _ in range(2)])
        assert sorted(one.status for one in answers) == [200, 400]

    async def test_another_client_that_brings_it_ends_it(self, api: Api) -> None:
        client_id, thief = await client(api), await client(api)
        await api.person("me@example.com")
        found = await pair(api, client_id, "me@example.com")
        fields = {"grant_type": "refresh_token", "refresh_token": found["refresh_token"]}
        assert error(await ask(api, thief, **fields)) == (400, "invalid_grant")
        assert (await api.get("/api/v1/customers", found["access_token"])).status == 401
        assert error(await ask(api, client_id, **fields)) == (400, "invalid_grant")

    async def test_a_portals_login_is_no_clients(self, api: Api) -> None:
        await api.person("me@example.com")
        login = {"email": "me@example.com", "password": PASSWORD}
        kept = (await api.post("/auth/login", login)).json["refresh_token"]
        fields = {"grant_type": "refresh_token", "refresh_token": kept}
        assert error(await ask(api, await client(api), **fields)) == (400, "invalid_grant")

    async def test_who_is_inactive_refreshes_nothing(self, api: Api) -> None:
        client_id = await client(api)
        user_id, _ = await api.person("me@example.com")
        kept = (await pair(api, client_id, "me@example.com"))["refresh_token"]
        await api.run("UPDATE users SET status = 'suspended' WHERE id = $1", user_id)
        fields = {"grant_type": "refresh_token", "refresh_token": kept}
        assert error(await ask(api, client_id, **fields)) == (400, "invalid_grant")

    async def test_a_revoked_client_has_nothing_any_more(self, api: Api) -> None:
        client_id = await client(api)
        await api.person("me@example.com")
        found = await pair(api, client_id, "me@example.com")
        await api.run("UPDATE oauth_clients SET revoked_at = now() WHERE client_id = $1", client_id)
        assert (await api.get("/api/v1/customers", found["access_token"])).status == 401
        fields = {"grant_type": "refresh_token", "refresh_token": found["refresh_token"]}
        assert error(await ask(api, client_id, **fields)) == (401, "invalid_client")

    async def test_a_workspaces_client_shows_a_person_that_workspace(self, api: Api) -> None:
        user_id, _ = await api.person("me@example.com")
        mine, _also = await api.workspace(user_id), await api.workspace(user_id)
        client_id = await client(api, workspace_id=mine)
        found = await pair(api, client_id, "me@example.com")
        seen = await api.get("/api/v1/customers", found["access_token"])
        assert [one["uuid"] for one in seen.json["data"]] == [str(mine)]


class TestForm:
    @pytest.mark.parametrize(
        "kind", ["application/json", "application/problem+json; charset=utf-8"]
    )
    async def test_json_is_told_that_a_form_is_wanted(self, api: Api, kind: str) -> None:
        body = b'{"grant_type": "client_credentials"}'
        answer = await api.post(PATH, data=body, headers={"Content-Type": kind})
        assert error(answer) == (400, "invalid_request")
        assert "application/x-www-form-urlencoded" in answer.json["error_description"]
        assert kind.partition(";")[0] in answer.json["error_description"]

    async def test_json_that_says_it_is_a_form_is_told_so_too(self, api: Api) -> None:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = await api.post(PATH, data=b'{"grant_type": "x"}', headers=form)
        assert error(answer) == (400, "invalid_request")
        assert "application/x-www-form-urlencoded" in answer.json["error_description"]

    async def test_every_error_is_one_of_those_that_are_documented(self) -> None:
        source = inspect.getsource(oauth)
        raised = set(re.findall(r'OAuthError\(\s*"(\w+)"', source))
        assert raised == {one.code for one in oauth.ERRORS}

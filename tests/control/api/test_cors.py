"""Pages of other origins call the API, where they may."""

from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from control.http.api_server import api_app
from control.http.cors import MAX_AGE_S, RESPONSE_HEADERS, headers_of, preflight_of
from control.server import Server
from control.settings import Settings
from tests.support.api import Api, Reply, served_api
from tests.support.audio_uploads import customer, sound, upload
from tests.support.identity import frozen
from tests.support.postgres import fresh_database
from tests.support.tenants import make_tenant

PORTAL, ADMIN, STRANGER = (
    f"https://{name}" for name in ("app.example.com", "admin.example.com", "evil.example.com")
)
ORIGINS = (PORTAL, ADMIN)
ASKING = {
    "Access-Control-Request-Method": "PUT",
    "Access-Control-Request-Headers": "authorization,content-type,if-match",
}
ALLOWED = "Access-Control-Allow-Origin"


def cors(reply: Reply) -> dict[str, str]:
    names = [name for name in reply.headers if name.lower().startswith("access-control-")]
    return {name.lower(): reply.headers[name] for name in names}


def words(text: str) -> set[str]:
    return {word.strip().lower() for word in text.split(",")}


class TestPreflight:
    async def test_a_portal_may(self, tmp_path: Path) -> None:
        async with served_api(tmp_path, cors_origins=ORIGINS) as api:
            for path in (
                "/workspaces",
                "/admin/users",
                "/v1/customers",
                "/oauth/v2/token",
                "/auth",
            ):
                for origin in ORIGINS:
                    answer = await api.send("OPTIONS", path, headers={"Origin": origin, **ASKING})
                    assert (answer.status, answer.body) == (204, b""), path
                    found = cors(answer)
                    assert found["access-control-allow-origin"] == origin
                    assert found["access-control-max-age"] == str(MAX_AGE_S)
                    methods = words(found["access-control-allow-methods"])
                    assert methods == {"get", "head", "post", "put", "delete"}
                    assert words(found["access-control-allow-headers"]) >= {
                        *words(ASKING["Access-Control-Request-Headers"]),
                        "idempotency-key",
                    }
                    assert "access-control-allow-credentials" not in found
                    assert answer.headers["Vary"] == "Origin"
                    assert answer.headers["X-Request-Id"]

    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": STRANGER, **ASKING},
            {"Origin": "null", **ASKING},
            {"Origin": PORTAL + ".evil.example.com", **ASKING},
            {"Origin": PORTAL.upper(), **ASKING},
            {"Origin": PORTAL + "/", **ASKING},
            {"Origin": "", **ASKING},
            ASKING,
        ],
    )
    async def test_others_may_not(self, tmp_path: Path, headers: dict[str, str]) -> None:
        async with served_api(tmp_path, cors_origins=ORIGINS) as api:
            answer = await api.send("OPTIONS", "/workspaces", headers=headers)
        assert (answer.status, answer.code) == (405, "METHOD_NOT_ALLOWED")
        assert cors(answer) == {}
        assert answer.headers["Vary"] == "Origin"

    async def test_who_does_not_ask_is_told_nothing(self, tmp_path: Path) -> None:
        async with served_api(tmp_path, cors_origins=ORIGINS) as api:
            answer = await api.send("OPTIONS", "/workspaces", headers={"Origin": PORTAL})
        assert answer.status == 405


class TestAnswers:
    async def test_good_ones_and_errors(self, tmp_path: Path) -> None:
        async with served_api(tmp_path, cors_origins=ORIGINS, public_requests_per_min=1) as api:
            frozen(api)
            _, token = await api.person()
            here = {"Origin": PORTAL}
            answers = [
                await api.get("/workspaces", token, headers=here),
                await api.post("/workspaces", {"name": ""}, token, headers=here),
                await api.get("/workspaces/1", token, headers=here),
                await api.get("/auth/nothing", headers=here),
                await api.get("/workspaces", headers=here),
                await api.get("/workspaces", headers=here),
                await api.send("OPTIONS", "/auth/login", headers=here),
                await api.post("/oauth/v2/token", headers=here),
                await api.get("/admin/users/%00", await api.admin(), headers=here),
            ]
        assert [one.status for one in answers] == [200, 422, 404, 404, 401, 429, 405, 400, 404]
        for answer in answers:
            assert answer.headers[ALLOWED] == PORTAL
            assert answer.headers["Vary"] == "Origin"
            assert words(cors(answer)["access-control-expose-headers"]) == {
                name.lower() for name in RESPONSE_HEADERS
            }

    async def test_a_file(self, tmp_path: Path) -> None:
        async with served_api(tmp_path, cors_origins=ORIGINS) as api:
            tenant = await make_tenant(api)
            _, token = await api.member(tenant.workspace_id, "member")
            await api.run("UPDATE calls SET has_recording = true, files = 'a-call'")
            file = api.plane.data_dir / "calls" / "a-call" / "recording.wav"
            file.parent.mkdir(parents=True)
            file.write_bytes(b"RIFF")
            call = tenant.place("call_id")[0]
            path = f"/workspaces/{tenant.workspace_id}/calls/{call}/recording"
            part = {"Origin": PORTAL, "Range": "bytes=0-1"}
            answer = await api.get(path, token, headers=part)
        assert (answer.status, answer.body, answer.headers[ALLOWED]) == (206, b"RI", PORTAL)
        assert "content-range" in words(cors(answer)["access-control-expose-headers"])

    async def test_a_stream(self, tmp_path: Path) -> None:
        async with served_api(tmp_path, cors_origins=ORIGINS) as api:
            _, number = await customer(api)
            token = await api.oauth(("read", "write"))
            made = (await upload(api, number, sound(), token)).json["data"]
            path = f"/api/v1/audio/{made['id']}/download"
            answer = await api.get(path, token, headers={"Origin": ADMIN})
        assert (answer.status, answer.headers[ALLOWED]) == (200, ADMIN)
        assert "content-disposition" in words(cors(answer)["access-control-expose-headers"])

    async def test_of_others_there_is_nothing(self, tmp_path: Path) -> None:
        async with served_api(tmp_path, cors_origins=ORIGINS) as api:
            _, token = await api.person()
            for headers in ({}, {"Origin": STRANGER}, {"Origin": "null"}):
                answer = await api.get("/workspaces", token, headers=headers)
                assert (answer.status, cors(answer)) == (200, {})
                assert answer.headers["Vary"] == "Origin"

    async def test_of_every_origin(self, tmp_path: Path) -> None:
        async with served_api(tmp_path, cors_origins=("*",)) as api:
            _, token = await api.person()
            asked = {"Origin": STRANGER, **ASKING}
            assert (await api.send("OPTIONS", "/workspaces", headers=asked)).status == 204
            for headers in ({}, {"Origin": STRANGER}):
                answer = await api.get("/workspaces", token, headers=headers)
                assert (answer.headers[ALLOWED], answer.headers.get("Vary")) == ("*", None)


async def test_where_none_is_configured_nothing_is_done(api: Api) -> None:
    answer = await api.send("OPTIONS", "/workspaces", headers={"Origin": PORTAL, **ASKING})
    assert (answer.status, cors(answer)) == (405, {})
    answer = await api.get("/workspaces", headers={"Origin": PORTAL})
    assert (cors(answer), answer.headers.get("Vary")) == ({}, None)
    app = api_app(api.plane)
    assert (len(app.middlewares), len(app.on_response_prepare)) == (1, 0)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/media/twilio"),
        ("POST", "/webhooks/calls/inbound"),
        ("OPTIONS", "/webhooks/calls/inbound"),
        ("GET", "/healthz"),
        ("GET", "/metrics"),
        ("GET", "/nothing"),
        ("GET", "//workspaces"),
    ],
)
async def test_what_is_no_api_is_as_before(tmp_path: Path, method: str, path: str) -> None:
    async with fresh_database() as url, AsyncExitStack() as stack:
        settings = Settings(database_url=url, cors_origins=ORIGINS)
        server = await Server.open(settings, tmp_path, stack)
        port = await server.listen("127.0.0.1", 0)
        stack.push_async_callback(server.stop, 0)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        headers = {"Origin": PORTAL, **ASKING}
        async with session.request(
            method, f"http://127.0.0.1:{port}{path}", headers=headers
        ) as response:
            assert response.status != 204
            assert not [name for name in response.headers if name.startswith("Access-Control")]
            assert "Vary" not in response.headers


def test_the_headers() -> None:
    assert headers_of(ORIGINS, STRANGER) == headers_of(ORIGINS, "") == {"Vary": "Origin"}
    assert headers_of(ORIGINS, ADMIN)[ALLOWED] == ADMIN
    assert headers_of((*ORIGINS, "*"), STRANGER)[ALLOWED] == "*"
    assert preflight_of(ORIGINS, ["GET"], {"Origin": PORTAL}) is None
    assert preflight_of((), ["GET"], {"Origin": PORTAL, **ASKING}) is None

"""Requests that are made to cost much, or to break something."""

import asyncio
import gzip
import zlib
from typing import Any

import asyncpg
import orjson
import pytest

from control.db import workspaces
from control.http import uploads
from control.http.errors import Refused
from control.http.reading import parsed
from control.http.uploads import FORM_LIMIT_BYTES, MOST_FIELDS
from tests.support.api import Api, Reply
from voicecore.yaml_lines import MAX_DEPTH

BOUNDARY = "abc"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
JSON = {"Content-Type": "application/json"}
MB = 1024 * 1024


async def sent(api: Api, head: bytes, body: bytes = b"") -> bytes:
    """The status line of the answer to a request as it is written here."""
    host, port = api.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        length = b"Content-Length: %d\r\n" % len(body)
        writer.write(head + b"\r\nHost: x\r\nConnection: close\r\n" + length + b"\r\n" + body)
        await writer.drain()
        return (await reader.read()).split(b"\r\n")[0]
    finally:
        writer.close()
        await writer.wait_closed()


class TestAuthorization:
    @pytest.mark.parametrize("token", [b"\xff\xfe", b"\xc3\xa9", b"a b", b"\xff" * 43, b"x" * 9000])
    @pytest.mark.parametrize("method_and_path", [b"GET /auth/me", b"GET /api/v1/customers"])
    async def test_what_is_no_token(self, api: Api, token: bytes, method_and_path: bytes) -> None:
        head = method_and_path + b" HTTP/1.1\r\nAuthorization: Bearer " + token
        assert (await sent(api, head)).split()[1] in (b"401", b"400")

    @pytest.mark.parametrize("word", [b"\xc3\xa9", b"\xff", b"=", b"e30", b"/w==", b""])
    async def test_what_is_no_basic(self, api: Api, word: bytes) -> None:
        head = b"POST /oauth/v2/token HTTP/1.1\r\nAuthorization: Basic " + word
        body = b"grant_type=client_credentials"
        assert (await sent(api, head, body)).split()[1] == b"401"

    async def test_without_a_token_no_connection_is_taken(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(api.plane.db, "connection", None)
        for header in ("", "Bearer", "Bearer x", "Basic eDp5"):
            headers = {"Authorization": header} if header else {}
            assert (await api.get("/auth/me", headers=headers)).status == 401


class TestPackedBodies:
    BODY = orjson.dumps({"email": "a@example.com", "password": "Wrong-Word-1"})

    async def log_in(self, api: Api, encoding: str, body: bytes) -> Reply:
        headers = {**JSON, "Content-Encoding": encoding}
        return await api.post("/auth/login", headers=headers, data=body)

    async def test_what_is_packed_well(self, api: Api) -> None:
        raw = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        for encoding, body in {
            "gzip": gzip.compress(self.BODY),
            "GZIP": gzip.compress(self.BODY),
            "deflate": zlib.compress(self.BODY),
            "identity": self.BODY,
            "Deflate": raw.compress(self.BODY) + raw.flush(),
        }.items():
            assert (await self.log_in(api, encoding, body)).code == "INVALID_CREDENTIALS"

    @pytest.mark.parametrize("encoding", ["gzip", "deflate"])
    async def test_what_is_packed_badly(
        self, api: Api, encoding: str, capfd: pytest.CaptureFixture[str]
    ) -> None:
        good = gzip.compress(self.BODY) if encoding == "gzip" else zlib.compress(self.BODY)
        for body in (self.BODY, good[:-3], good + b"more", good[:12] + b"\xff" * 9, b""):
            answer = await self.log_in(api, encoding, body)
            assert (answer.status, answer.code) == (400, "INVALID_BODY")
        assert "Traceback" not in capfd.readouterr().err

    async def test_what_unfolds_to_too_much(self, api: Api) -> None:
        for encoding, body in {
            "gzip": gzip.compress(bytes(50 * MB)),
            "deflate": zlib.compress(bytes(50 * MB)),
        }.items():
            assert (await self.log_in(api, encoding, body)).code == "BODY_TOO_LARGE"

    @pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, gzip", "nonsense"])
    async def test_what_is_packed_otherwise(self, api: Api, encoding: str) -> None:
        assert (await self.log_in(api, encoding, self.BODY)).status == 415
        headers = {"Content-Encoding": encoding}
        answer = await api.post("/oauth/v2/token", headers=headers, data=b"a=b")
        assert answer.status == 415


def part(name: str, content: bytes = b"x", more: str = "") -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'
    return head.encode() + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


class TestForms:
    async def upload(self, api: Api, body: bytes, **headers: str) -> Reply:
        token = await api.oauth()
        return await api.post("/api/v1/audio", None, token, headers={**FORM, **headers}, data=body)

    @pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
    async def test_none_is_packed(self, api: Api, encoding: str) -> None:
        body = gzip.compress(part("file", bytes(50 * MB)) + END)
        answer = await self.upload(api, body, **{"Content-Encoding": encoding})
        assert (answer.status, answer.code) == (415, "UNSUPPORTED_MEDIA_TYPE")

    async def test_no_field_comes_twice(self, api: Api) -> None:
        for name in ("name", "colour"):
            answer = await self.upload(api, part(name) * 2 + END)
            assert (answer.status, answer.fields) == (422, {name})

    async def test_not_too_many_parts(self, api: Api) -> None:
        answer = await self.upload(api, b"".join(part(f"n{i}") for i in range(MOST_FIELDS)) + END)
        assert len(answer.fields) > MOST_FIELDS  # each, and those that are missing
        for body in (part("name") * 20_000, part("name") * 20_000 + END):
            answer = await self.upload(api, body)
            assert (answer.code, answer.fields) == ("VALIDATION_ERROR", set())

    async def test_nothing_is_before_it_and_it_ends(self, api: Api) -> None:
        for body in (b"\r\n" * 4 * MB + part("name") + END, b"\r\n" + END, part("name"), b""):
            answer = await self.upload(api, body)
            assert (answer.code, answer.fields) == ("VALIDATION_ERROR", set())

    async def test_what_is_not_asked_for_is_not_kept(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[dict[str, Any]] = []
        digest_of = uploads.digest_of

        def digested(fields: dict[str, Any]) -> bytes:
            seen.append(fields)
            return digest_of(fields)

        monkeypatch.setattr("control.http.reading.digest_of", digested)
        files = [part(f"file{i}", bytes(MB), '; filename="a"') for i in range(9)]
        answer = await self.upload(api, b"".join(files) + END)
        assert {f"file{i}" for i in range(9)} < answer.fields
        assert seen == [{f"file{i}": "" for i in range(9)}]

    async def test_all_of_it_is_bounded(self, api: Api) -> None:
        files = [part(f"file{i}", bytes(MB), '; filename="a"') for i in range(11)]
        assert (await self.upload(api, b"".join(files) + END)).code == "BODY_TOO_LARGE"
        field = part("name", b"x" * (FORM_LIMIT_BYTES + 1))
        assert (await self.upload(api, field + END)).code == "BODY_TOO_LARGE"

    @pytest.mark.parametrize(
        "name",
        [
            "\"; filename*=bogus''x; x=\"",
            "a" * 5000,
            '";' * 2000,
            "\\",
            "é",
            '"; name*0="x',
            "\udcff",
        ],
    )
    async def test_names_that_are_none(self, api: Api, name: str) -> None:
        body = part("{}").replace(b"{}", name.encode("utf-8", "surrogateescape"))
        assert (await self.upload(api, body + END)).code == "VALIDATION_ERROR"


class TestJson:
    @pytest.mark.parametrize(
        ("body", "where"),
        [
            (b'{"a": 1,\n "b": }', "line 2, column 7: unexpected character"),
            (b'{"a": 1', "line 1, column 8: unexpected end of data"),
            (b'"\xff"', "line 1, column 1: str is not valid UTF-8"),
        ],
    )
    def test_where_it_is_none_is_told(self, body: bytes, where: str) -> None:
        with pytest.raises(Refused) as raised:
            parsed(body)
        refusal = raised.value.refusal
        assert (refusal.status, refusal.code) == (400, "INVALID_JSON")
        assert refusal.message.startswith(f"The body is not JSON: {where}")

    async def test_not_all_that_is_wrong_is_told(self, api: Api) -> None:
        answer = await api.post("/auth/login", {f"{number:x}": 0 for number in range(20_000)})
        assert (answer.status, answer.fields) == (422, {"body"})
        assert len(answer.body) < 1_000
        answer = await api.post("/auth/login", {f"{number:x}": 0 for number in range(200)})
        assert answer.status == 422
        assert len(answer.json["error"]["details"]) == 100

    @pytest.mark.parametrize("levels", [MAX_DEPTH + 20, 260, 900])
    async def test_what_is_nested_deeply(self, api: Api, levels: int) -> None:
        admin = await api.admin()
        deep = b'{"a":' * levels + b"1" + b"}" * levels
        body = b'{"name":"x","industry":"dental","default_config":' + deep + b"}"
        answer = await api.post("/admin/templates", token=admin, headers=JSON, data=body)
        assert (answer.status, answer.fields) == (422, {"body"})
        listed = (await api.get("/admin/templates", admin)).json["templates"][0]["id"]
        changed = b'{"default_config":' + deep + b"}"
        path = f"/admin/templates/{listed}"
        answer = await api.put(path, token=admin, headers=JSON, data=changed)
        assert (answer.status, answer.fields) == (422, {"body"})

    async def test_not_too_many_things_are_in_it(self, api: Api) -> None:
        _, token = await api.person()
        for body in ({"name": [[]] * 60_000}, {"name": [[[[]]]] * 15_000}):
            answer = await api.post("/workspaces", body, token)
            (detail,) = answer.json["error"]["details"]
            assert "at most 20,000" in detail["message"]
        answer = await api.post("/workspaces", {"name": [[]] * 15_000}, token)
        assert answer.fields == {"name"}

    async def test_a_nul_is_one_only_when_it_is_decoded(self, api: Api) -> None:
        _, token = await api.person()
        answer = await api.post("/workspaces", {"name": r"not \u0000"}, token)
        assert answer.status == 201
        assert answer.json["workspace"]["name"] == r"not \u0000"
        for body in ({"name": "a\0b"}, {"na\0me": 1}, {"name": [["\0"]]}, {"name": r"\u0000" "\0"}):
            answer = await api.post("/workspaces", body, token)
            assert (answer.status, answer.fields) == (422, {"body"})


class TestClashes:
    """Of two transactions PostgreSQL ends one."""

    @pytest.mark.parametrize("kind", [asyncpg.DeadlockDetectedError, asyncpg.SerializationError])
    async def test_it_is_tried_once_more(
        self, api: Api, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
    ) -> None:
        insert, failures = workspaces.insert, [kind("clash")]

        async def clashing(*values: Any) -> Any:
            row = await insert(*values)
            if failures:
                raise failures.pop()
            return row

        monkeypatch.setattr(workspaces, "insert", clashing)
        _, token = await api.person()
        answer = await api.post("/workspaces", {"name": "Once"}, token)
        assert answer.status == 201
        assert len(await api.run("SELECT FROM workspaces WHERE name = 'Once'")) == 1
        failures += [kind("clash"), kind("clash")]
        answer = await api.post("/workspaces", {"name": "Never"}, token)
        assert (answer.status, answer.code) == (503, "SERVICE_UNAVAILABLE")
        assert int(answer.headers["Retry-After"]) >= 1
        assert not await api.run("SELECT FROM workspaces WHERE name = 'Never'")

    async def test_not_where_something_else_was_done(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tries = []

        async def clashing(*_: Any) -> bool:
            tries.append(1)
            raise asyncpg.DeadlockDetectedError("clash")

        monkeypatch.setattr(api.plane.passwords, "matches", clashing)
        body = {"email": "a@example.com", "password": "Wrong-Word-1"}
        answer = await api.post("/auth/login", body)
        assert (answer.status, len(tries)) == (503, 1)

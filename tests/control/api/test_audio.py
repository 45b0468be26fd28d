"""Sapien's audio files."""

import asyncio
import io
import struct
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import numpy as np
import pytest
import soundfile

from control.api.sapien.audio import MOST_BYTES
from tests.support.api import ANSWERED_IN_S, Api, served_api
from tests.support.audio_uploads import customer, settled, sound, upload
from tests.support.waiting import until

LISTED = {
    "id",
    "uuid",
    "name",
    "type",
    "format",
    "duration_seconds",
    "size_bytes",
    "customer_id",
    "url",
    "status",
    "created_at",
}
CREATED = LISTED - {"customer_id", "url"}


class TestUploading:
    @pytest.mark.parametrize("as_format", ["WAV", "MP3"])
    async def test_a_file_is_taken_and_made_fit_for_the_telephone(
        self, api: Api, tmp_path: Path, as_format: str
    ) -> None:
        _, number = await customer(api)
        content = sound(as_format=as_format, channels=2)
        made = await upload(api, number, content)
        assert made.status == 201
        data = made.json["data"]
        assert set(data) == CREATED
        assert (data["status"], data["format"]) == ("processing", as_format.lower())
        assert (data["duration_seconds"], data["size_bytes"]) == (2, len(content))
        found = await settled(api, data["id"])
        assert set(found) == {*LISTED, "failure"}
        listed = (await api.get("/api/v1/audio", await api.oauth())).json["data"]
        assert [one["status"] for one in listed] == ["available"]
        assert (found["status"], found["failure"]) == ("available", None)
        (key,) = await api.run("SELECT object_key FROM audio_files")
        folder = tmp_path / "objects" / key["object_key"]
        narrow = soundfile.info(folder / "narrow.wav")
        assert (narrow.samplerate, narrow.channels, narrow.subtype) == (8_000, 1, "ULAW")
        wide, rate_hz = soundfile.read(folder / "wide.wav")
        assert (rate_hz, wide.ndim) == (16_000, 1)
        assert abs(len(wide) / rate_hz - 2.0) < 0.1
        assert 0.08 < np.sqrt(np.mean(wide**2)) < 0.12  # -20 dBFS
        assert np.abs(wide).max() < 0.71

    async def test_it_comes_back_as_it_was(self, api: Api) -> None:
        _, number = await customer(api)
        content, token = sound(), await api.oauth(("read",))
        made = (await upload(api, number, content, filename='../"x;.exe')).json["data"]
        answer = await api.get(f"/api/v1/audio/{made['id']}/download", token)
        assert answer.body == content
        assert answer.headers["Content-Type"] == "audio/wav"
        assert answer.headers["Content-Length"] == str(len(content))
        expected = f'attachment; filename="audio-{made["id"]}.wav"'
        assert answer.headers["Content-Disposition"] == expected
        assert answer.headers["X-Content-Type-Options"] == "nosniff"

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"MZ\x90\x00 a program",
            b"RIFF\x00\x00\x00\x00WAVE",
            b"RIFF",
            b"ID3" + bytes(500),
            b"\xff\xfb" + bytes(500),
            b"\xff\xfb\x90\x00" * 100,
            sound()[:30],
            sound(as_format="FLAC"),
            sound(as_format="OGG"),
            b"<svg onload=alert(1)>",
        ],
    )
    async def test_what_is_no_audio(self, api: Api, content: bytes) -> None:
        _, number = await customer(api)
        answer = await upload(api, number, content)
        assert (answer.status, answer.code, answer.fields) == (422, "VALIDATION_ERROR", {"file"})
        assert await api.run("SELECT FROM audio_files") == []

    async def test_bombs(self, api: Api) -> None:
        """A little that says it is much, or unfolds to it."""
        _, number = await customer(api)
        good = bytearray(sound(0.5))
        many = good[:22] + struct.pack("<H", 60_000) + good[24:]
        quick = good[:24] + struct.pack("<I", 2**31 - 1) + good[28:]
        slow = good[:24] + struct.pack("<I", 1) + good[28:]
        for content in (many, quick, slow):
            answer = await upload(api, number, bytes(content))
            assert (answer.status, answer.fields) == (422, {"file"})

    async def test_what_is_too_long(self, api: Api) -> None:
        _, number = await customer(api)
        target = io.BytesIO()
        silence = np.zeros(31 * 60 * 8_000, np.int16)
        soundfile.write(target, silence, 8_000, format="WAV", subtype="MS_ADPCM")
        answer = await upload(api, number, target.getvalue())
        assert (answer.status, answer.fields) == (422, {"file"})

    async def test_what_is_too_large(self, api: Api) -> None:
        _, number = await customer(api)
        answer = await upload(api, number, bytes(MOST_BYTES + 1))
        assert (answer.status, answer.code) == (413, "BODY_TOO_LARGE")

    async def test_every_wrong_field_is_told_at_once(self, api: Api) -> None:
        answer = await upload(api, 0, None, name="", type="song", file="no file", colour="red")
        assert answer.status == 422
        assert answer.fields == {"file", "name", "type", "customer_id", "colour"}

    @pytest.mark.parametrize("name", ["a\0b", "\ud800"])
    async def test_a_name_that_is_no_text(self, api: Api, name: str) -> None:
        form = aiohttp.MultipartWriter("form-data")
        part = form.append(name.encode("utf-8", "surrogatepass"))
        part.set_content_disposition("form-data", name="name")
        answer = await api.post("/api/v1/audio", None, await api.oauth(), data=form)
        assert (answer.status, answer.fields) == (422, {"name"})

    @pytest.mark.parametrize(
        ("content_type", "status"),
        [
            ("application/json", 415),
            ("multipart/form-data", 422),
            ("multipart/form-data; boundary=", 422),
            ("multipart/form-data; boundary=" + "x" * 100, 422),
            ("multipart/form-data; boundary=abc", 422),
        ],
    )
    async def test_what_is_no_form(self, api: Api, content_type: str, status: int) -> None:
        headers = {"Content-Type": content_type}
        answer = await api.post(
            "/api/v1/audio", None, await api.oauth(), data=b"nonsense", headers=headers
        )
        assert answer.status == status

    @pytest.mark.parametrize(
        "part",
        [
            b"nonsense",
            b"no colon\r\n\r\nx",
            b"--abc\r\n\r\nx",
            b"Content-Disposition: form-data\r\n\r\nx",
            b"Content-Disposition: attachment; filename=x\r\n\r\nx",
            b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\n--x--",
            b"Content-Disposition: form-data; name=file; filename=a\r\n"
            b"Content-Transfer-Encoding: base64\r\n\r\n!!!",
            b"Content-Disposition: form-data; name=file; filename=a\r\n"
            b"Content-Encoding: gzip\r\n\r\n!!!",
            b"X: " + b"y" * 20_000 + b"\r\n\r\nx",
        ],
    )
    async def test_a_form_that_is_broken(self, api: Api, part: bytes) -> None:
        headers = {"Content-Type": "multipart/form-data; boundary=abc"}
        body = b"--abc\r\n" + part + b"\r\n--abc--\r\n"
        answer = await api.post(
            "/api/v1/audio", None, await api.oauth(), data=body, headers=headers
        )
        assert (answer.status, answer.code) == (422, "VALIDATION_ERROR")

    async def test_the_same_key_makes_one_file_and_another_file_is_another_request(
        self, api: Api
    ) -> None:
        _, number = await customer(api)
        token, headers = await api.oauth(), {"Idempotency-Key": "once"}
        first = await upload(api, number, sound(), token, headers=headers)
        second = await upload(api, number, sound(), token, headers=headers)
        assert (second.status, second.json) == (201, first.json)
        other = await upload(api, number, sound(1), token, headers=headers)
        assert (other.status, other.code) == (409, "IDEMPOTENCY_KEY_REUSED")


class TestListing:
    async def test_filters_and_pages(self, api: Api) -> None:
        (_, first), (_, second) = await customer(api), await customer(api)
        await upload(api, first, sound(0.2), type="moh")
        await upload(api, first, sound(0.2), type="prompt")
        await upload(api, second, sound(0.2), type="prompt")
        token = await api.oauth()
        for query, expected in {
            "": 3,
            "?type=prompt": 2,
            f"?customer_id={first}": 2,
            f"?customer_id={second}&type=moh": 0,
            "?customer_id=999999": 0,
        }.items():
            answer = await api.get(f"/api/v1/audio{query}", token)
            assert len(answer.json["data"]) == answer.json["meta"]["total"] == expected
        page = await api.get("/api/v1/audio?limit=2&page=2", token)
        assert [set(one) for one in page.json["data"]] == [LISTED]
        one = page.json["data"][0]
        assert one["url"] == f"{api.url}/api/v1/audio/{one['id']}/download"
        assert (await api.get(one["url"].removeprefix(api.url), token)).status == 200

    async def test_a_storage_that_takes_its_time_keeps_nobody_out(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _, number = await customer(api)
        one = (await upload(api, number, sound(0.2))).json["data"]["id"]
        token, go_on, asked = await api.oauth(), asyncio.Event(), 0

        async def slow(keys: Sequence[str]) -> list[str]:
            nonlocal asked
            asked += 1
            await go_on.wait()
            return [f"https://bucket.example/{key}" for key in keys]

        monkeypatch.setattr(api.plane.storage, "links", slow)
        reads = [
            asyncio.create_task(api.get(path, token))
            for path in ("/api/v1/audio", f"/api/v1/audio/{one}") * 10
        ]
        await until(lambda: asked == len(reads))
        async with asyncio.timeout(ANSWERED_IN_S):
            assert (await api.get("/api/v1/customers", await api.oauth())).status == 200
        go_on.set()
        assert {reply.status for reply in await asyncio.gather(*reads)} == {200}

    async def test_urls_are_under_the_public_one(self, tmp_path: Path) -> None:
        async with served_api(tmp_path, public_url="https://voice.example.com/") as api:
            _, number = await customer(api)
            await upload(api, number, sound(0.2))
            one = (await api.get("/api/v1/audio", await api.oauth())).json["data"][0]
            place = f"/api/v1/audio/{one['id']}/download"
            assert one["url"] == "https://voice.example.com" + place

    @pytest.mark.parametrize("query", ["type=song", "customer_id=0", "limit=101"])
    async def test_a_wrong_query_is_refused(self, api: Api, query: str) -> None:
        answer = await api.get(f"/api/v1/audio?{query}", await api.oauth())
        assert (answer.status, answer.fields) == (422, {query.partition("=")[0]})


class TestTenants:
    async def test_another_tenants_file_is_as_if_it_were_not_there(self, api: Api) -> None:
        (mine, _), (_, other) = await customer(api), await customer(api)
        theirs = (await upload(api, other, sound(0.2))).json["data"]["id"]
        token = await api.oauth(workspace_id=mine)
        for query in ("", f"?customer_id={other}"):
            assert (await api.get(f"/api/v1/audio{query}", token)).json["data"] == []
        for number in (theirs, 999_999):
            for answer in (
                await api.get(f"/api/v1/audio/{number}", token),
                await api.get(f"/api/v1/audio/{number}/download", token),
                await api.delete(f"/api/v1/audio/{number}", token),
            ):
                assert (answer.status, answer.code) == (404, "RESOURCE_NOT_FOUND")
        for number in (other, 999_999):
            answer = await upload(api, number, sound(0.2), token)
            assert (answer.status, answer.fields) == (422, {"customer_id"})

    async def test_scopes(self, api: Api) -> None:
        _, number = await customer(api)
        for answer in (
            await upload(api, number, sound(0.2), await api.oauth(("read",))),
            await api.delete("/api/v1/audio/1", await api.oauth(("write",))),
        ):
            assert (answer.status, answer.code) == (403, "INSUFFICIENT_SCOPE")

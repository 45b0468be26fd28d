"""Sapien's audio files."""

import asyncio
import io
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import soundfile

from control.api.sapien.audio import MOST_BYTES
from control.storage import StorageError
from tests.support.api import Api, Reply, served_api
from tests.support.waiting import PATIENCE_S

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
    "created_at",
}
CREATED = {*LISTED, "status"} - {"customer_id", "url"}


def sound(
    seconds: float = 2.0, *, rate_hz: int = 22_050, channels: int = 1, as_format: str = "WAV"
) -> bytes:
    """A tone."""
    times = np.arange(int(seconds * rate_hz)) / rate_hz
    tone = 0.1 * np.sin(2 * np.pi * 440 * times)
    target = io.BytesIO()
    soundfile.write(target, np.stack([tone] * channels, axis=1), rate_hz, format=as_format)
    return target.getvalue()


async def customer(api: Api) -> tuple[Any, int]:
    workspace = await api.workspace()
    rows = await api.run("SELECT number FROM workspaces WHERE id = $1", workspace)
    return workspace, rows[0]["number"]


async def upload(
    api: Api,
    customer_id: int,
    content: bytes | None,
    token: str | None = None,
    *,
    headers: dict[str, str] | None = None,
    filename: str = "hello.wav",
    **fields: str,
) -> Reply:
    form = aiohttp.FormData(default_to_multipart=True)
    given = {"name": "Welcome", "type": "greeting", "customer_id": str(customer_id), **fields}
    for name, value in given.items():
        form.add_field(name, value)
    if content is not None:
        form.add_field("file", content, filename=filename, content_type="audio/wav")
    return await api.post(
        "/api/v1/audio", None, token or await api.oauth(), data=form, headers=headers
    )


def objects_in(data_dir: Path) -> list[Path]:
    return [one for one in (data_dir / "objects").rglob("*") if one.is_file()]


async def until_true(holds: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again."""
    async with asyncio.timeout(PATIENCE_S):
        while not await holds():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


async def settled(api: Api, audio_id: int) -> dict[str, Any]:
    """When it is not being processed any more."""

    async def is_settled() -> bool:
        rows = await api.run("SELECT status FROM audio_files WHERE id = $1", audio_id)
        return bool(rows[0]["status"] != "processing")

    await until_true(is_settled)
    answer = await api.get(f"/api/v1/audio/{audio_id}", await api.oauth())
    found: dict[str, Any] = answer.json["data"]
    return found


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
        assert set(found) == {*LISTED, "status", "failure"}
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


class TestProcessing:
    async def test_what_breaks_later_fails_with_the_reason(self, api: Api) -> None:
        _, number = await customer(api)
        made = (await upload(api, number, sound())).json["data"]
        await settled(api, made["id"])
        await api.run("UPDATE audio_files SET status = 'processing'")
        key = (await api.run("SELECT object_key FROM audio_files"))[0]["object_key"]
        await api.plane.storage.put(f"{key}/original", b"RIFF....WAVE garbage", "audio/wav")
        api.plane.audio.wake()
        found = await settled(api, made["id"])
        assert (found["status"], found["failure"]) == ("failed", "It cannot be decoded")

    async def test_a_lost_file_fails(self, api: Api) -> None:
        _, number = await customer(api)
        made = (await upload(api, number, sound())).json["data"]
        await settled(api, made["id"])
        await api.run("UPDATE audio_files SET status = 'processing', object_key = 'audio/none'")
        api.plane.audio.wake()
        found = await settled(api, made["id"])
        assert (found["status"], found["failure"]) == ("failed", "The uploaded file is lost")
        answer = await api.get(f"/api/v1/audio/{made['id']}/download", await api.oauth())
        assert (answer.status, answer.code) == (404, "RESOURCE_NOT_FOUND")

    async def test_what_ends_the_process_each_time_is_given_up(self, api: Api) -> None:
        _, number = await customer(api)
        made = (await upload(api, number, sound())).json["data"]
        await settled(api, made["id"])
        await api.run("UPDATE audio_files SET status = 'processing', attempts = 3")
        api.plane.audio.wake()
        assert (await settled(api, made["id"]))["status"] == "failed"

    async def test_a_restart_takes_up_what_was_left(self, api: Api) -> None:
        _, number = await customer(api)
        await api.plane.audio.stop()  # as if the process had ended
        made = (await upload(api, number, sound())).json["data"]
        rows = await api.run("SELECT status FROM audio_files")
        assert [row["status"] for row in rows] == ["processing"]
        again = type(api.plane.audio)(api.plane.db, api.plane.storage, api.plane.now)
        again.start()
        try:
            assert (await settled(api, made["id"]))["status"] == "available"
        finally:
            await again.stop()

    async def test_two_processes_do_not_take_the_same(self, api: Api) -> None:
        _, number = await customer(api)
        await api.plane.audio.stop()
        for _ in range(3):
            await upload(api, number, sound(0.2))
        others = [
            type(api.plane.audio)(api.plane.db, api.plane.storage, api.plane.now) for _ in range(4)
        ]
        assert sorted(await asyncio.gather(*(one.do_next() for one in others))) == [
            False,
            True,
            True,
            True,
        ]
        rows = await api.run("SELECT status, attempts FROM audio_files")
        assert [tuple(row) for row in rows] == [("available", 1)] * 3


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
        assert one["url"] == f"/api/v1/audio/{one['id']}/download"

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


class TestStorage:
    async def test_what_is_not_stored_is_not_there(self, api: Api) -> None:
        _, number = await customer(api)

        async def put(*_: Any) -> None:
            raise StorageError("the bucket is away")

        api.plane.storage.put = put  # type: ignore[method-assign]
        answer = await upload(api, number, sound(0.2))
        assert (answer.status, answer.code) == (503, "STORAGE_UNAVAILABLE")
        assert await api.run("SELECT FROM audio_files") == []

    async def test_while_it_is_away_nothing_fails_for_good(self, api: Api) -> None:
        _, number = await customer(api)
        await api.plane.audio.stop()
        made = (await upload(api, number, sound(0.2))).json["data"]
        worker = type(api.plane.audio)(api.plane.db, api.plane.storage, api.plane.now)

        async def away(*_: Any) -> Any:
            raise StorageError("the bucket is away")

        api.plane.storage.open = away  # type: ignore[method-assign]
        assert await worker.do_next()
        assert not await worker.do_next()  # not at once
        rows = await api.run("SELECT status, attempts FROM audio_files")
        assert [tuple(row) for row in rows] == [("processing", 0)]
        place = f"/api/v1/audio/{made['id']}/download"
        answer = await api.get(place, await api.oauth())
        assert (answer.status, answer.code) == (503, "STORAGE_UNAVAILABLE")

    async def test_urls_are_the_storages_where_it_signs_them(self, api: Api) -> None:
        _, number = await customer(api)
        made = (await upload(api, number, sound(0.2))).json["data"]

        async def links(keys: list[str]) -> list[str]:
            return [f"https://bucket.example.com/{key}?signed" for key in keys]

        api.plane.storage.links = links  # type: ignore[method-assign,assignment]
        token = await api.oauth()
        listed = (await api.get("/api/v1/audio", token)).json["data"][0]
        one = (await api.get(f"/api/v1/audio/{made['id']}", token)).json["data"]
        assert listed["url"] == one["url"]
        assert one["url"].startswith("https://bucket.example.com/audio/")
        assert one["url"].endswith(f"{made['uuid']}/original?signed")


class TestDeleting:
    async def test_nothing_is_left(self, api: Api, tmp_path: Path) -> None:
        _, number = await customer(api)
        made = (await upload(api, number, sound())).json["data"]
        await settled(api, made["id"])
        token = await api.oauth()
        assert (await api.delete(f"/api/v1/audio/{made['id']}", token)).status == 204
        assert (await api.get(f"/api/v1/audio/{made['id']}", token)).status == 404

        async def is_gone() -> bool:
            return not objects_in(tmp_path)

        await until_true(is_gone)
        log = await api.run("SELECT action FROM audit_log ORDER BY id")
        assert [row["action"] for row in log] == ["audio.created", "audio.deleted"]

    async def test_what_is_deleted_while_it_is_made_leaves_nothing(
        self, api: Api, tmp_path: Path
    ) -> None:
        _, number = await customer(api)
        await api.plane.audio.stop()
        made = (await upload(api, number, sound())).json["data"]
        worker = type(api.plane.audio)(api.plane.db, api.plane.storage, api.plane.now)
        read = api.plane.storage.read

        async def delete_and_read(key: str) -> bytes:
            content = await read(key)
            await api.run("DELETE FROM audio_files WHERE id = $1", made["id"])
            return content

        api.plane.storage.read = delete_and_read  # type: ignore[method-assign]
        assert await worker.do_next()
        await worker.stop()
        assert not objects_in(tmp_path)


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

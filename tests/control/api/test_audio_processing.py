"""What becomes of uploaded audio behind the requests."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from control import audio_worker
from control.storage import StorageError
from tests.support.api import Api
from tests.support.audio_uploads import customer, objects_in, settled, sound, until_true, upload


class TestProcessing:
    async def test_what_breaks_later_fails_with_the_reason(self, api: Api) -> None:
        _, number = await customer(api)
        made = (await upload(api, number, sound())).json["data"]
        await settled(api, made["id"])
        key = (await api.run("SELECT object_key FROM audio_files"))[0]["object_key"]
        await api.plane.storage.put(f"{key}/original", b"RIFF....WAVE garbage", "audio/wav")
        # Last of all: the worker, which looks for more after each file, may be at it already.
        await api.run("UPDATE audio_files SET status = 'processing'")
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

    async def test_what_takes_too_long_fails(
        self, api: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(audio_worker, "DEADLINE_S", 0.0)
        _, number = await customer(api)
        made = (await upload(api, number, sound())).json["data"]
        found = await settled(api, made["id"])
        assert (found["status"], found["failure"]) == ("failed", "It takes too long to decode")

    async def test_who_stops_gives_back_what_he_has(self, api: Api) -> None:
        _, number = await customer(api)
        await api.plane.audio.stop()
        await upload(api, number, sound())
        assert await api.plane.audio.do_next()
        rows = await api.run(
            "SELECT status, attempts, claimed_until <= now() AS is_free FROM audio_files"
        )
        assert [tuple(row) for row in rows] == [("processing", 0, True)]

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

"""Where files are kept."""

import re
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web
from obstore.store import S3Store

from control.http.http_port import HttpPort
from control.settings import SettingsError, read_settings
from control.storage import CHUNK_BYTES, NotStored, Storage, StorageError, open_storage

KEY = "audio/0b1c/original"


class Bucket:
    """As much of S3 as is used."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, str]] = {}
        self.broken = False

    def app(self) -> web.Application:
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{key:.*}", self.answer)
        return app

    async def answer(self, request: web.Request) -> web.Response:
        key = request.match_info["key"]
        if self.broken:
            return web.Response(status=403)
        if request.method == "PUT":
            self.objects[key] = await request.read(), request.content_type
            return web.Response(headers={"ETag": '"1"'})
        if request.method == "POST":
            names = re.findall("<Key>(.*?)</Key>", await request.text())
            for name in names:
                self.objects.pop(f"voice/{name}", None)
            deleted = "".join(f"<Deleted><Key>{name}</Key></Deleted>" for name in names)
            return web.Response(text=f"<DeleteResult>{deleted}</DeleteResult>")
        if key not in self.objects:
            return web.Response(status=404, text="<Error><Code>NoSuchKey</Code></Error>")
        content, content_type = self.objects[key]
        headers = {"ETag": '"1"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
        return web.Response(body=content, content_type=content_type, headers=headers)


@asynccontextmanager
async def bucket() -> AsyncIterator[tuple[Bucket, Storage]]:
    served = Bucket()
    http_port = HttpPort(served.app())
    port = await http_port.open("127.0.0.1", 0)
    store = S3Store(
        "voice",
        endpoint=f"http://127.0.0.1:{port}",
        access_key_id="key",
        secret_access_key="secret",
        region="auto",
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )
    try:
        yield served, Storage(store)
    finally:
        await http_port.close()


class TestLocal:
    async def test_an_object_is_there_until_it_is_deleted(self, tmp_path: Path) -> None:
        storage = open_storage("", tmp_path)
        content = bytes(range(256)) * 1000
        await storage.put(KEY, content, "audio/wav")
        assert (tmp_path / "objects" / KEY).stat().st_size == len(content)
        opened = await storage.open(KEY)
        assert opened.size_bytes == len(content)
        chunks = [chunk async for chunk in opened.chunks()]
        assert b"".join(chunks) == content
        assert max(map(len, chunks)) <= 4 * CHUNK_BYTES
        await storage.delete(KEY)
        await storage.delete(KEY)
        with pytest.raises(NotStored):
            await storage.open(KEY)
        with pytest.raises(NotStored):
            await storage.read(KEY)

    async def test_nobody_else_may_read_them(self, tmp_path: Path) -> None:
        directory = tmp_path / "objects"
        for made_before in (False, True):
            if made_before:
                directory.chmod(0o755)
            open_storage("", tmp_path)
            assert stat.S_IMODE(directory.stat().st_mode) == 0o700

    async def test_a_file_is_taken_as_it_is(self, tmp_path: Path) -> None:
        storage = open_storage("", tmp_path)
        source = tmp_path / "source"
        source.write_bytes(b"sound")
        await storage.put(KEY, source, "audio/wav")
        assert await storage.read(KEY) == b"sound"

    @pytest.mark.parametrize(
        "key", ["", "original", "../etc/passwd", "/etc/passwd", "audio/../x", "a//b", "a/B c", "a/"]
    )
    async def test_no_key_of_ours(self, tmp_path: Path, key: str) -> None:
        storage = open_storage("", tmp_path)
        with pytest.raises(ValueError):
            await storage.put(key, b"x", "audio/wav")
        with pytest.raises(ValueError):
            await storage.open(key)

    async def test_it_has_no_links(self, tmp_path: Path) -> None:
        assert await open_storage("", tmp_path).links([KEY]) is None

    async def test_what_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "objects").mkdir()
        (tmp_path / "objects" / "audio").write_text("a file where a directory must be")
        with pytest.raises(StorageError):
            await open_storage("", tmp_path).put(KEY, b"x", "audio/wav")


class TestBucket:
    async def test_an_object_is_there_until_it_is_deleted(self) -> None:
        async with bucket() as (served, storage):
            await storage.put(KEY, b"sound", "audio/wav")
            ((content, content_type),) = served.objects.values()
            assert (content, content_type) == (b"sound", "audio/wav")
            assert await storage.read(KEY) == b"sound"
            await storage.delete(KEY)
            with pytest.raises(NotStored):
                await storage.read(KEY)

    async def test_links_are_signed(self) -> None:
        async with bucket() as (_, storage):
            links = await storage.links([KEY, KEY + "2"])
            assert links is not None
            assert [urlsplit(link).path.endswith(KEY) for link in links] == [True, False]
            asked = parse_qs(urlsplit(links[0]).query)
            assert asked["X-Amz-Expires"] == ["3600"]
            assert "X-Amz-Signature" in asked
            assert "secret" not in links[0]

    async def test_one_that_refuses(self) -> None:
        async with bucket() as (served, storage):
            served.broken = True
            with pytest.raises(StorageError):
                await storage.put(KEY, b"sound", "audio/wav")
            with pytest.raises(StorageError):
                await storage.read(KEY)


class TestUrl:
    @pytest.mark.parametrize("url", ["", "s3://bucket/path", "gs://bucket", "file:///var/voice"])
    def test_good_ones(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("VOICECORE_STORAGE_URL", url)
        assert read_settings().storage_url == url

    @pytest.mark.parametrize("url", ["bucket", "s3://", "http://example.com/x", "ftp://x", "s3:x"])
    def test_wrong_ones(self, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("VOICECORE_STORAGE_URL", url)
        with pytest.raises(SettingsError, match="VOICECORE_STORAGE_URL: must begin with"):
            read_settings()

    async def test_a_directory_by_its_url(self, tmp_path: Path) -> None:
        storage = open_storage(tmp_path.as_uri(), tmp_path / "elsewhere")
        await storage.put(KEY, b"sound", "audio/wav")
        assert (tmp_path / KEY).read_bytes() == b"sound"

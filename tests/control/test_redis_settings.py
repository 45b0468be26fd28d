"""A Redis that is set up: what the doctor says of it, and which URLs are ones."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from control.auth import shared_limits
from control.auth.shared_limits import SharedLimits
from control.doctor import examine
from control.settings import Settings, SettingsError, read_settings
from tests.support.postgres import fresh_database
from tests.support.redis import RedisServer, redis_server


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as started:
        yield started


class TestDoctor:
    async def redis_is(self, tmp_path: Path, url: str) -> tuple[str, str]:
        settings = Settings(redis_url=url)  # type: ignore[arg-type]
        async with fresh_database() as database_url:
            findings = await examine(settings, database_url, tmp_path, {}, ())
        (found,) = (one for one in findings if one.what == "redis")
        return found.standing, found.detail

    async def test_it_tells_whether_redis_answers(
        self, tmp_path: Path, server: RedisServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(shared_limits, "DEADLINE_S", 30.0)  # however busy the machine is
        assert (await self.redis_is(tmp_path, server.url))[0] == "ok"
        assert (await self.redis_is(tmp_path, ""))[0] == "warning"
        standing, detail = await self.redis_is(tmp_path, "redis://:secret-word@127.0.0.1:9/0")
        assert standing == "wrong"
        assert "secret-word" not in detail
        server.hang()
        monkeypatch.setattr(shared_limits, "DEADLINE_S", 0.25)
        standing, detail = await self.redis_is(tmp_path, server.url)
        assert standing == "wrong"
        assert detail


class TestSettings:
    @pytest.mark.parametrize(
        "url",
        [
            "",
            "redis://localhost",
            "redis://localhost/",
            "redis://localhost:6379/0",
            "redis://someone:p%40ss@redis.example.com:6379/3",
            "redis://[::1]:6379?db=2",
            "rediss://:word@redis.example.com?ssl_cert_reqs=required&ssl_ca_certs=/etc/ca.pem",
            "unix:///run/redis.sock",
            "unix://:word@/run/redis.sock?db=1",
        ],
    )
    async def test_urls_that_the_client_takes(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("VOICECORE_REDIS_URL", url)
        assert read_settings().redis_url.get_secret_value() == url
        if url:
            limits = SharedLimits(url)
            limits._redis.connection_pool.make_connection()
            await limits.close()

    @pytest.mark.parametrize(
        "url",
        [
            "localhost:6379",
            "http://localhost",
            "redis://",
            "redis:///0",
            "redis://:secret-word@",
            "redis://localhost:99999",
            "redis://localhost:0",
            "redis://localhost:port",
            "redis://localhost/zero",
            "redis://localhost?db=x",
            "redis://localhost?socket_timeout=100",
            "redis://localhost?ssl_ca_certs=/etc/ca.pem",
            "rediss://localhost?ssl_cert_reqs=perhaps",
            "redis://local host",
            "redis://[::1",
            "redis://localhost#0",
            "unix://",
            "unix:///",
            "unix:///run/redis.sock?ssl_ca_certs=/etc/ca.pem",
        ],
    )
    def test_a_wrong_url_is_told_in_words_and_not_shown(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("VOICECORE_REDIS_URL", url)
        with pytest.raises(SettingsError) as caught:
            read_settings()
        assert str(caught.value).startswith("VOICECORE_REDIS_URL: must be as redis://")
        assert "secret-word" not in str(caught.value)

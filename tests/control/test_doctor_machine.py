"""``voicecore doctor``: the machine, our own database, carriers, and what the command tells."""

import asyncio
import base64
import os
import resource
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web

from control import doctor, doctor_carriers, doctor_machine
from control.cli import main
from control.doctor import examine
from control.findings import Finding
from control.settings import Settings
from tests.support.postgres import postgres

DATE = "Tue, 20 Jan 2026 12:00:00 GMT"
DATE_S = 1_768_910_400.0


async def found(tmp_path: Path, url: str = "", **settings: Any) -> Mapping[str, Finding]:
    """What is said of a server that has these settings; nobody far away is asked."""
    findings = await examine(
        Settings.model_validate(settings), url, tmp_path, {}, (), address=("127.0.0.1", 0)
    )
    for one in findings:
        assert one.advice or one.standing == "ok", one
    return {one.what: one for one in findings}


class TestOwnDatabase:
    async def test_it_is_not_started_to_be_looked_at(self, tmp_path: Path) -> None:
        finding = (await found(tmp_path))["database"]
        assert finding.standing == "ok"
        assert f"made and started in {tmp_path / 'postgres'}" in finding.detail
        assert not (tmp_path / "postgres").exists()
        (tmp_path / "postgres").mkdir()
        (tmp_path / "postgres" / "PG_VERSION").write_text("18")
        assert "will be started in" in (await found(tmp_path))["database"].detail

    async def test_one_that_runs_is_asked(self, tmp_path: Path) -> None:
        server = postgres()
        fields = dict(part.split("=", 1) for part in server.url.partition("?")[2].split("&"))
        socket_dir = fields["host"].replace("%2F", "/")
        lines = [str(os.getpid()), "data", "1", fields.get("port", "5432"), socket_dir, ""]
        (tmp_path / "postgres").mkdir()
        (tmp_path / "postgres" / "postmaster.pid").write_text("\n".join(lines))
        finding = (await found(tmp_path))["database"]
        assert (finding.standing, finding.advice[:17]) == ("warning", "voicecore migrate")

    @pytest.mark.parametrize("pid", ["", "nonsense", "999999999", "1\n2"])
    def test_what_is_left_of_one_is_none(self, tmp_path: Path, pid: str) -> None:
        (tmp_path / "postmaster.pid").write_text(pid)
        assert doctor_machine._running(tmp_path) == ""

    async def test_without_the_package(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(doctor_machine, "_EMBEDDED", "no_such_package")
        finding = (await found(tmp_path))["database"]
        assert finding.standing == "wrong"
        assert "VOICECORE_DATABASE_URL" in finding.advice


class TestMachine:
    @pytest.mark.parametrize(("free_gib", "standing"), [(0.1, "wrong"), (1, "warning"), (50, "ok")])
    def test_the_disk(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_gib: float, standing: str
    ) -> None:
        free = SimpleNamespace(free=int(free_gib * doctor_machine.GIB))
        monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
        assert doctor_machine.disk(tmp_path).standing == standing

    @pytest.mark.parametrize(
        ("most", "standing"), [(1024, "warning"), (65536, "ok"), (resource.RLIM_INFINITY, "ok")]
    )
    def test_open_files(self, monkeypatch: pytest.MonkeyPatch, most: int, standing: str) -> None:
        monkeypatch.setattr(resource, "getrlimit", lambda _: (256, most))
        finding = doctor_machine.open_files(Settings(max_calls=500))
        assert finding.standing == standing
        assert "500 calls" in finding.detail

    async def test_the_port(self) -> None:
        server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
        async with server:
            number = server.sockets[0].getsockname()[1]
            assert (await doctor_machine.port("127.0.0.1", number)).standing == "warning"
        assert (await doctor_machine.port("127.0.0.1", number)).standing == "ok"

    @pytest.mark.parametrize(
        ("off_s", "standing"), [(0, "ok"), (-3, "ok"), (10, "warning"), (-90, "wrong")]
    )
    def test_the_clock(self, off_s: float, standing: str) -> None:
        finding = doctor_machine.clock({"odd": "no date", "vendor": DATE}, DATE_S + off_s)
        assert finding.standing == standing
        assert "vendor" in finding.detail

    def test_a_clock_that_nobody_was_asked_about(self) -> None:
        finding = doctor_machine.clock({}, DATE_S)
        assert (finding.standing, "2026-01-20 12:00:00" in finding.detail) == ("ok", True)

    def test_local_models(self, monkeypatch: pytest.MonkeyPatch) -> None:
        there = {"moonshine_voice", "piper"}
        monkeypatch.setattr(
            doctor_machine.importlib.util, "find_spec", lambda name: name if name in there else None
        )
        some = doctor_machine.local_models()
        assert some.standing == "warning"
        assert "piper" in some.detail.partition(";")[0], "its voice is not there"
        assert "moonshine" in some.detail.partition(";")[2]
        there.update(one for _, _, names in doctor_machine.LOCAL_MODELS for one in names)
        assert doctor_machine.local_models().standing == "ok"


@asynccontextmanager
async def telnyx(key: str) -> AsyncIterator[str]:
    """Telnyx' REST API, which knows one key."""

    async def balance(request: web.Request) -> web.Response:
        known = request.headers.get("Authorization") == f"Bearer {key}"
        return web.Response(status=200 if known else 401, headers={"Date": DATE})

    app = web.Application()
    app.router.add_get("/v2/balance", balance)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


class TestCarriers:
    @pytest.mark.parametrize(("key", "standing"), [("right", "ok"), ("other", "wrong")])
    async def test_telnyx_key_is_tried_where_its_api_is(
        self, tmp_path: Path, key: str, standing: str
    ) -> None:
        async with telnyx("right") as url:
            settings = {"telnyx_api_key": key, "telnyx_api_url": url}
            findings = await found(tmp_path, postgres().url, **settings)
        assert findings[doctor_carriers.TELNYX_KEY].standing == standing
        assert "127.0.0.1" in findings["clock"].detail, "it is held against Telnyx'"

    async def test_nothing_is_set(self, tmp_path: Path) -> None:
        findings = await found(tmp_path)
        names = ("PUBLIC_URL", "TWILIO_AUTH_TOKEN", "TELNYX_PUBLIC_KEY", "TELNYX_API_KEY")
        assert {findings[f"VOICECORE_{name}"].standing for name in names} == {"warning"}
        for name in names[1:]:
            assert f"the secret {name} " in findings[f"VOICECORE_{name}"].advice

    async def test_what_can_be_told_without_asking(self, tmp_path: Path) -> None:
        key = base64.b64encode(bytes(32)).decode()
        findings = await found(
            tmp_path,
            public_url="https://voice.example.com",
            twilio_auth_token="0123456789abcdef" * 2,
            telnyx_public_key=key,
        )
        twilio = findings["VOICECORE_TWILIO_AUTH_TOKEN"]
        assert (twilio.standing, "not tried" in twilio.detail) == ("ok", True)
        assert findings["VOICECORE_TELNYX_PUBLIC_KEY"].standing == "ok"
        assert findings["VOICECORE_PUBLIC_URL"].standing == "ok"
        odd = await found(tmp_path, twilio_auth_token="an SID?", telnyx_public_key=key[:-4])
        assert odd["VOICECORE_TWILIO_AUTH_TOKEN"].standing == "warning"
        assert odd["VOICECORE_TELNYX_PUBLIC_KEY"].standing == "wrong"
        assert "an SID?" not in str(odd.values())


class TestCommand:
    @pytest.mark.parametrize(("standing", "status"), [("ok", 0), ("warning", 0), ("wrong", 1)])
    def test_what_is_wrong_is_the_exit_status(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        standing: Any,
        status: int,
    ) -> None:
        asked: list[Any] = []

        async def examined(*values: Any, **more: Any) -> list[Finding]:
            asked.append((*values[1:3], more))
            return [Finding("the moon", standing, "is [red] here", "Look up")]

        monkeypatch.setattr(doctor, "examine", examined)
        monkeypatch.delenv("VOICECORE_DATABASE_URL", raising=False)
        assert run("doctor", "--data-dir", str(tmp_path), "--port", "8443") == status
        assert asked == [("", tmp_path.resolve(), {"address": ("127.0.0.1", 8443)})]
        told = capsys.readouterr().out
        for words in ("the moon", standing, "is [red] here", "Look up"):
            assert words in told

    def test_a_setting_that_is_wrong(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("VOICECORE_PUBLIC_URL", "http://voice.example.com")
        assert run("doctor") == 2
        assert "VOICECORE_PUBLIC_URL" in capsys.readouterr().err


def run(*arguments: str) -> int:
    """The command's exit status."""
    return main(list(arguments))

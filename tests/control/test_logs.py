"""What of a failure is logged, for people and as JSON: never what a request holds."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import asyncpg
import pydantic
import pytest
import structlog

from control import logs
from control.db import accounts
from control.http import dispatch, errors
from control.logs import NOT_TOLD, configure_logs, traceback_of
from tests.support.api import Api, served_api

PASSWORD, TOKEN = "My-Secret-Password-1", "My_secret_token_" + "x" * 40
BODY = {"email": "a@example.com", "password": PASSWORD}
MODES = pytest.mark.parametrize("json", [True, False])


@pytest.fixture
def logged() -> Iterator[StringIO]:
    """All that is logged once ``configured`` is called."""
    before = structlog.get_config()
    yield StringIO()
    structlog.configure(**before)


def configured(monkeypatch: pytest.MonkeyPatch, logged: StringIO, *, json: bool) -> None:
    """As by `voicecore serve`."""
    monkeypatch.setattr(sys, "stderr", logged)
    monkeypatch.setattr(logs.logging, "basicConfig", lambda **_: None)  # pytest's stays
    configure_logs(json=json)
    for module in (dispatch, errors):  # theirs may have been used before
        monkeypatch.setattr(module, "log", structlog.get_logger())


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with served_api(tmp_path) as served:
        yield served


async def requests(api: Api) -> set[int]:
    """Whose values must not be logged."""
    form = {"grant_type": "password", "client_id": "x", "client_secret": PASSWORD}
    answers = [
        await api.post("/auth/login", BODY),
        await api.get("/auth/me", TOKEN),
        await api.post("/oauth/v2/token", data=form),
    ]
    return {answer.status for answer in answers}


def assert_nothing_told(text: str) -> None:
    assert PASSWORD not in text
    assert TOKEN not in text


@MODES
async def test_the_database_is_away(
    api: Api, logged: StringIO, monkeypatch: pytest.MonkeyPatch, json: bool
) -> None:
    configured(monkeypatch, logged, json=json)

    def away(*_: Any, **__: Any) -> Any:
        raise ConnectionRefusedError(111, "nobody listens")

    monkeypatch.setattr(api.plane.db, "connection", away)
    monkeypatch.setattr(api.plane.db, "transaction", away)
    assert await requests(api) == {503}
    text = logged.getvalue()
    assert text.count("the database does not answer") == 3
    assert "nobody listens" in text
    assert "Traceback" not in text
    assert_nothing_told(text)


@MODES
async def test_a_handler_has_a_bug(
    api: Api, logged: StringIO, monkeypatch: pytest.MonkeyPatch, json: bool
) -> None:
    configured(monkeypatch, logged, json=json)

    async def buggy(db: Any, *_: Any) -> Any:
        raise LookupError("what a bug")

    monkeypatch.setattr("control.http.dispatch.bearer_of", buggy)
    monkeypatch.setattr(accounts, "user_by_email", buggy)
    monkeypatch.setattr(accounts, "client", buggy)
    assert await requests(api) == {500}
    text = logged.getvalue()
    assert text.count("LookupError: what a bug") == 3
    assert_nothing_told(text)


@MODES
async def test_a_value_that_cannot_be_sent(
    api: Api, logged: StringIO, monkeypatch: pytest.MonkeyPatch, json: bool
) -> None:
    configured(monkeypatch, logged, json=json)

    async def wrong(db: Any, *_: Any) -> Any:
        return await db.fetchrow("SELECT $1::int", PASSWORD)

    monkeypatch.setattr(accounts, "user_by_email", wrong)
    assert (await api.post("/auth/login", BODY)).status == 500
    assert NOT_TOLD in logged.getvalue()
    assert_nothing_told(logged.getvalue())


@MODES
async def test_a_row_that_is_there_already(
    api: Api, logged: StringIO, monkeypatch: pytest.MonkeyPatch, json: bool
) -> None:
    configured(monkeypatch, logged, json=json)

    async def twice(db: Any, *_: Any) -> Any:
        for _ in range(2):
            await db.execute("INSERT INTO settings VALUES ($1, '1')", PASSWORD)

    monkeypatch.setattr(accounts, "user_by_email", twice)
    assert (await api.post("/auth/login", BODY)).status == 500
    assert "UniqueViolationError: duplicate key" in logged.getvalue()
    assert_nothing_told(logged.getvalue())


class Number(pydantic.BaseModel):
    number: int


def test_texts_that_hold_values_are_not_told() -> None:
    def chained() -> None:
        try:
            Number.model_validate({"number": PASSWORD})
        except ValueError as error:
            raise ExceptionGroup("several", [LookupError("plain"), error]) from error

    with pytest.raises(ExceptionGroup) as raised:
        chained()
    text = traceback_of((raised.type, raised.value, raised.tb))
    assert "LookupError: plain" in text
    assert NOT_TOLD in text
    assert_nothing_told(text)


@MODES
async def test_many_errors_do_not_stop_the_loop(
    logged: StringIO, monkeypatch: pytest.MonkeyPatch, json: bool
) -> None:
    configured(monkeypatch, logged, json=json)
    many = list(range(1_000))

    def deep(levels: int) -> None:
        kept = many  # what a printer of variables would print
        if levels:
            deep(levels - 1)
        raise asyncpg.InterfaceError(str(len(kept)))

    with pytest.raises(asyncpg.InterfaceError) as raised:
        deep(20)
    began = time.process_time()
    for _ in range(20):
        structlog.get_logger().error("a bug", exc_info=raised.value)
    assert time.process_time() - began < 2.0
    assert "kept = [" not in logged.getvalue()
    await asyncio.sleep(0)

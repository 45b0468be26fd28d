"""A key's first answer comes again, or is told not to be kept; nothing is done twice."""

from typing import Any

import pytest

from control.http import idempotency
from tests.support.api import Api, Reply

CONFIG = {"stt": {"vendor": "moonshine"}, "llm": {"vendor": "llama"}, "tts": {"vendor": "piper"}}


async def post(api: Api, path: str, body: Any, token: str, key: str) -> Reply:
    return await api.post(path, body, token, headers={"Idempotency-Key": key})


async def test_a_long_answer_is_not_kept_but_nothing_is_done_again(api: Api) -> None:
    owner, token = await api.person()
    path = f"/workspaces/{await api.workspace(owner)}/agents"
    config = {**CONFIG, "instructions": "x" * idempotency.MAX_BODY_BYTES}
    new = {"name": "Front desk", "config": config}
    made = await post(api, path, new, token, "once")
    assert made.status == 201
    for _ in range(2):
        again = await post(api, path, new, token, "once")
        assert (again.status, again.code) == (409, "IDEMPOTENCY_ANSWER_NOT_KEPT")
        told = again.json["error"]["message"]
        assert f"status 201, about the id {made.json['agent']['id']};" in told
    assert len((await api.get(path, token)).json["agents"]) == 1
    other = await post(api, path, {**new, "name": "Other"}, token, "once")
    assert (other.status, other.code) == (409, "IDEMPOTENCY_KEY_REUSED")
    (row,) = await api.run("SELECT pg_column_size(idempotency_keys) AS size FROM idempotency_keys")
    assert row["size"] < 1000


async def test_of_one_caller_the_latest_answers_are_kept(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "MAX_ANSWERS", 2)
    (_, token), (_, other) = await api.person(), await api.person()
    await post(api, "/workspaces", {"name": "Theirs"}, other, "0")
    made = [await post(api, "/workspaces", {"name": key}, token, key) for key in "0123"]
    for key in "01":
        again = await post(api, "/workspaces", {"name": key}, token, key)
        assert (again.status, again.code) == (409, "IDEMPOTENCY_ANSWER_NOT_KEPT")
        assert made[int(key)].json["workspace"]["id"] in again.json["error"]["message"]
    for key in "23":
        again = await post(api, "/workspaces", {"name": key}, token, key)
        assert (again.status, again.body) == (201, made[int(key)].body)
    assert (await post(api, "/workspaces", {"name": "Theirs"}, other, "0")).status == 201
    rows = await api.run("SELECT count(*) AS workspaces FROM workspaces")
    assert rows[0]["workspaces"] == 5


@pytest.mark.parametrize(
    ("body", "made"),
    [
        (b"", None),
        (b"[1]", None),
        (b'{"agents": [{"id": 1}]}', None),
        (b'{"id": 7, "of": {"id": 8}}', "7"),
        (b'{"data": {"id": 7}}', "7"),
        (b"\xff", None),
    ],
)
def test_what_an_answer_is_about(body: bytes, made: str | None) -> None:
    assert idempotency._made(body) == made

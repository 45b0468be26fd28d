"""A workspace that makes voice agents through the client API."""

from typing import Any
from uuid import UUID

import pytest

from tests.support.api import Api, Reply

CONFIG = {
    "instructions": "Be brief.",
    "greeting": "Hello.",
    "stt": {"vendor": "moonshine"},
    "llm": {"vendor": "llama", "settings": {"temperature": 0.5}},
    "tts": {"vendor": "piper", "voice": "joe"},
    "turn_taking": {"vad": {"mode": 1}, "filler_after_ms": 1500},
    "tools": ["end_call"],
}
NEW = {"name": "Front desk", "config": CONFIG}


class Desk:
    """A workspace, its owner's token, and the path of its agents."""

    def __init__(self, api: Api, workspace_id: UUID, token: str) -> None:
        self.api = api
        self.workspace_id = workspace_id
        self.token = token
        self.path = f"/workspaces/{workspace_id}/agents"

    async def make(self, **fields: Any) -> Reply:
        return await self.api.post(self.path, {**NEW, **fields}, self.token)

    async def made(self, **fields: Any) -> str:
        """The path of a new agent."""
        reply = await self.make(**fields)
        assert reply.status == 201, reply.body
        return f"{self.path}/{reply.json['agent']['id']}"

    async def get(self, path: str) -> Reply:
        return await self.api.get(path, self.token)

    async def put(self, path: str, body: Any, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.api.put(path, body, self.token, headers=named)

    async def post(self, path: str, body: Any = None) -> Reply:
        return await self.api.post(path, body, self.token)


@pytest.fixture
async def desk(api: Api) -> Desk:
    owner, token = await api.person()
    return Desk(api, await api.workspace(owner, subscription_tier="professional"), token)


async def template(api: Api, slug: str = "dental") -> UUID:
    rows = await api.run("SELECT id FROM templates WHERE slug = $1", slug)
    return UUID(str(rows[0]["id"]))

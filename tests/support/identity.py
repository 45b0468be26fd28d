"""People who sign up and log in, for tests."""

import re
from collections.abc import Mapping
from typing import Any

from tests.support.api import Api, Reply

NEW = {"email": "new@example.com", "password": "New-Person-1", "name": "New van Person"}


async def signed_up(api: Api, **other: Any) -> dict[str, Any]:
    answer = await api.post("/auth/signup", {**NEW, **other})
    assert answer.status == 201
    return dict(answer.json)


async def link(api: Api, index: int = -1) -> str:
    """The token in a mail's link."""
    found = re.search(r"\?token=([\w-]+)", (await api.mails())[index].get_content())
    assert found is not None
    return found[1]


async def verified(api: Api, **other: Any) -> dict[str, Any]:
    """Somebody who has signed up and followed the link."""
    made = await signed_up(api, **other)
    assert (await api.post("/auth/verify-email", {"token": await link(api)})).status == 204
    return made


async def login(api: Api, email: str = NEW["email"], password: str = NEW["password"]) -> Reply:
    return await api.post("/auth/login", {"email": email, "password": password})


def unlike(headers: Mapping[str, str]) -> dict[str, str]:
    """Those that may tell two answers apart."""
    always = ("date", "x-request-id", "content-length", "x-ratelimit-remaining")
    return {name: value for name, value in headers.items() if name.lower() not in always}


def frozen(api: Api) -> None:
    """Stop the server's clock, so that no minute ends under a test."""
    now = api.plane.now()
    api.plane.now = lambda: now

"""Audio to upload, and what became of it."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import soundfile

from tests.support.api import Api, Reply
from tests.support.waiting import PATIENCE_S


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

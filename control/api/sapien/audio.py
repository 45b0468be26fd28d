"""Audio files: what callers hear while they wait, and before they are spoken to."""

import asyncio
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from aiohttp import web
from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from control.api.sapien.tenancy import (
    CHANGE_REFUSALS,
    MANAGERS,
    customer_named,
    may_change,
    wrong,
)
from control.api.shapes import Body, Id, Meta, Name, PageQuery, Shape, example
from control.audio_files import NoAudio, check
from control.audio_worker import CONTENT_TYPES, all_keys, original_key
from control.db import audio
from control.db.database import Connection, Row
from control.http.access import OAUTH_ADMINISTERS, OAUTH_READS, OAUTH_WRITES
from control.http.context import Context
from control.http.endpoint import Answer, endpoint
from control.http.errors import Refusal, Refused
from control.http.refusals import RESOURCE_NOT_FOUND
from control.storage import NotStored, StorageError

MOST_BYTES = 10 * 1024 * 1024
STORAGE_UNAVAILABLE = Refusal(503, "STORAGE_UNAVAILABLE", "The storage is not reachable now")

Type = Literal["prompt", "moh", "greeting"]
Format = Literal["wav", "mp3"]
Status = Literal["processing", "available", "failed"]


def _is_file(value: Any) -> Any:
    if not isinstance(value, bytes):
        raise PydanticCustomError("file", "must be a file")
    return value


class AudioUpload(Body):
    model_config = example(file="@greeting.wav", name="Greeting", type="greeting", customer_id=1)

    file: Annotated[bytes, BeforeValidator(_is_file), Field(description="WAV or MP3.")]
    name: Name
    type: Type
    customer_id: Id


class AudioQuery(PageQuery):
    type: Type | None = None
    customer_id: Id | None = None


class AudioBase(Shape):
    id: int
    uuid: UUID
    name: str
    type: Type
    format: Format
    duration_seconds: int
    size_bytes: int
    created_at: datetime


class Audio(AudioBase):
    customer_id: int
    url: str
    status: Status


class AudioDetail(Audio):
    failure: str | None


class CreatedAudioData(AudioBase):
    status: Status


class AudioFiles(Shape):
    data: list[Audio]
    meta: Meta


class OneAudio(Shape):
    data: AudioDetail


class CreatedAudio(Shape):
    data: CreatedAudioData


@endpoint(
    "GET",
    "/api/v1/audio",
    OAUTH_READS,
    AudioFiles,
    refusals=(STORAGE_UNAVAILABLE,),
    alone=True,  # a bucket's links may take their time
)
async def list_audio(context: Context, query: AudioQuery) -> Answer:
    """List audio files."""
    async with context.reading() as db:
        found = await audio.find(
            db,
            context.sight.seen,
            customer=query.customer_id,
            kind=query.type,
            limit=query.limit,
            offset=query.offset,
        )
    urls = await _urls(context, *found.rows)
    data = [{**_base(row), **_place(row, url)} for row, url in zip(found.rows, urls, strict=True)]
    return {"data": data, "meta": query.meta(found.total)}


@endpoint(
    "GET",
    "/api/v1/audio/{audio_id}",
    OAUTH_READS,
    OneAudio,
    refusals=(STORAGE_UNAVAILABLE,),
    alone=True,
)
async def get_audio(context: Context, audio_id: Id) -> Answer:
    """Get an audio file.

    It can be used when its `status` is `available`; `failure` says why it never will be."""
    row = await _read(context, audio_id)
    (url,) = await _urls(context, row)
    return {"data": {**_base(row), **_place(row, url), "failure": row["failure"]}}


@endpoint(
    "POST",
    "/api/v1/audio",
    OAUTH_WRITES,
    CreatedAudio,
    status=201,
    refusals=(*CHANGE_REFUSALS, STORAGE_UNAVAILABLE),
    body_limit_bytes=MOST_BYTES,
    heavy="audio",
)
async def upload_audio(context: Context, upload: AudioUpload) -> Answer:
    """Upload an audio file: WAV or MP3, at most 10 MB and 30 minutes.

    It is made fit for the telephone afterwards."""
    customer = await customer_named(context, upload.customer_id)
    workspace_id = customer["id"]
    may_change(context, workspace_id, customer["status"], MANAGERS)
    try:
        facts = await asyncio.to_thread(check, upload.file)
    except NoAudio as error:
        raise wrong("file", str(error)) from None
    uuid = uuid4()
    key = f"audio/{workspace_id}/{uuid}"
    made = await audio.insert(
        context.db,
        workspace_id,
        context.now,
        uuid=uuid,
        name=upload.name,
        kind=upload.type,
        file_format=facts.format,
        duration_ms=facts.duration_ms,
        size_bytes=len(upload.file),
        object_key=key,
    )
    row = await _audio(context.db, context, made)
    shown = {**_base(row), "status": row["status"]}
    await context.write_down("audio.created", "audio", made, workspace_id=workspace_id, after=shown)
    content_type = CONTENT_TYPES[facts.format]
    try:
        await context.plane.storage.put(original_key(key), upload.file, content_type)
    except StorageError as error:
        raise Refused(STORAGE_UNAVAILABLE) from error
    context.afterwards.append(context.plane.audio.wake)
    return {"data": shown}


@endpoint(
    "GET",
    "/api/v1/audio/{audio_id}/download",
    OAUTH_READS,
    "audio/*",
    refusals=(STORAGE_UNAVAILABLE,),
    alone=True,
)
async def download_audio(context: Context, audio_id: Id) -> Answer:
    """Download an audio file, as it was uploaded."""
    row = await _read(context, audio_id)
    try:
        opened = await context.plane.storage.open(original_key(row["object_key"]))
    except NotStored:
        raise Refused(RESOURCE_NOT_FOUND) from None
    except StorageError as error:
        raise Refused(STORAGE_UNAVAILABLE) from error
    # The name is the id: what the uploader called it goes into no header.
    headers = {
        "Content-Type": CONTENT_TYPES[row["format"]],
        "Content-Length": str(opened.size_bytes),
        "Content-Disposition": f'attachment; filename="audio-{row["id"]}.{row["format"]}"',
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-store",
    }
    return web.Response(body=opened.chunks(), headers=headers)


@endpoint(
    "DELETE",
    "/api/v1/audio/{audio_id}",
    OAUTH_ADMINISTERS,
    None,
    refusals=CHANGE_REFUSALS,
)
async def delete_audio(context: Context, audio_id: Id) -> Answer:
    """Delete an audio file."""
    row = await _audio(context.db, context, audio_id)
    workspace_id = row["workspace_id"]
    may_change(context, workspace_id, row["workspace_status"], MANAGERS)
    await audio.delete(context.db, workspace_id, audio_id)
    await context.write_down(
        "audio.deleted", "audio", audio_id, workspace_id=workspace_id, before=_base(row)
    )
    keys = all_keys(row["object_key"])
    context.afterwards.append(lambda: context.plane.audio.forget(keys))
    return None


async def _read(context: Context, audio_id: int) -> Row:
    """By itself: what comes next waits for the storage."""
    async with context.reading() as db:
        return await _audio(db, context, audio_id)


async def _audio(db: Connection, context: Context, audio_id: int) -> Row:
    row = await audio.by_id(db, context.sight.seen, audio_id)
    if row is None:
        raise Refused(RESOURCE_NOT_FOUND)
    return row


def _base(row: Row) -> dict[str, Any]:
    return {
        "id": row["id"],
        "uuid": row["uuid"],
        "name": row["name"],
        "type": row["type"],
        "format": row["format"],
        "duration_seconds": round(row["duration_ms"] / 1000),
        "size_bytes": row["size_bytes"],
        "created_at": row["created_at"],
    }


def _place(row: Row, url: str) -> dict[str, Any]:
    return {"customer_id": row["customer_id"], "url": url, "status": row["status"]}


async def _urls(context: Context, *rows: Row) -> list[str]:
    """Where each can be had: from the storage, or with a token from here.

    :raises Refused: the storage does not answer."""
    keys = [original_key(row["object_key"]) for row in rows]
    try:
        links = await context.plane.storage.links(keys)
    except StorageError as error:
        raise Refused(STORAGE_UNAVAILABLE) from error
    if links is not None:
        return links
    return [f"{context.plane.api_url}/api/v1/audio/{row['id']}/download" for row in rows]


ENDPOINTS = (list_audio, get_audio, upload_audio, download_audio, delete_audio)

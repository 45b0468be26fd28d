"""docs/architecture.md names every file of the packages, and no other."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from media.carriers import CARRIERS
from media.carriers.wire import MESSAGE_LIMIT_BYTES
from media.playout import QUEUE_LIMIT_MS
from media.recording_writer import QUEUE_LIMIT_BYTES
from media.transport import UNREAD_LIMIT_BYTES
from voicecore.adapters.live_socket import SocketOptions
from voicecore.session import INBOX_LIMIT
from voicecore.stream_tokens import REMEMBERED

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "architecture.md").read_text()
PACKAGES = ("media", "voicecore", "control")


def entries(tree: str) -> Iterator[str]:
    """Paths and patterns of a tree in which two spaces lead one level down."""
    folders: list[str] = []
    for line in tree.splitlines():
        if not line:
            continue
        level = (len(line) - len(line.lstrip())) // 2
        del folders[level:]
        names, name = [], re.match(r"\s*(\S+)", line)
        rest = line
        while name is not None:
            names.append(name[1].rstrip(","))
            rest = rest[name.end() :]
            name = re.match(r" (\S+)", rest) if name[1].endswith(",") else None
        for one in names:
            path = "/".join((*folders, one.rstrip("/")))
            yield path + "/" if one.endswith("/") else path
        if names[0].endswith("/"):
            folders.append(names[0].rstrip("/"))


TREE = tuple(entries(re.findall(r"```\n(media/\n.*?)```", TEXT, re.DOTALL)[0]))


def test_the_tree_is_read():
    assert {"media/", "media/carriers/", "media/carriers/telnyx.py"} <= set(TREE)
    assert "voicecore/local/*_worker.py" in TREE


@pytest.mark.parametrize("entry", TREE)
def test_what_the_tree_names_exists(entry):
    found = [path for path in ROOT.glob(entry.rstrip("/")) if path.is_dir() == entry.endswith("/")]
    assert found


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_is_in_the_tree(package):
    named = {path for entry in TREE for path in ROOT.glob(entry)}
    missing = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / package).rglob("*.py"))
        if path.name != "__init__.py" and path not in named
    ]
    assert not missing


def test_every_carrier_has_its_file_in_the_tree():
    assert {f"media/carriers/{kind.name}.py" for kind in CARRIERS} <= set(TREE)


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (r"inbox \| ([\d,]+) items", INBOX_LIMIT),
        (r"unsent audio of a reply .* \| (\d+) s", QUEUE_LIMIT_MS // 1000),
        (r"does not read \| (\d+) KiB", UNREAD_LIMIT_BYTES // 1024),
        (r"from a carrier \| (\d+) KiB", MESSAGE_LIMIT_BYTES // 1024),
        (r"to a vendor \| (\d+) KiB", SocketOptions("", "").max_control_bytes // 1024),
        (r"\| (\d+) MiB for all calls", QUEUE_LIMIT_BYTES // 2**20),
        (r"used tokens \| ([\d,]+)", REMEMBERED),
    ],
)
def test_the_bounds_are_those_of_the_code(words, value):
    found = re.search(words, TEXT)
    assert found is not None
    assert int(found[1].replace(",", "")) == value

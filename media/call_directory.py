"""Where a call's files lie. Carriers choose a call's id, so it is taken for hostile."""

import hashlib
import re
from pathlib import Path

_NAME_LIMIT = 64
_SAME_NAME_LIMIT = 1000
# Device names that Windows and its file shares reserve.
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])$")


def safe_call_directory(base: Path, call_id: str) -> Path:
    """The directory of a call below ``base``, whatever a peer calls it: never outside, never
    hidden, never too long, and never the same for two ids, also where case does not count."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", call_id)[:_NAME_LIMIT]
    if name != call_id or not name or name != name.lower() or _RESERVED.match(name):
        digest = hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        name = f"{name or 'call'}.{digest}"
    return base / name


class CallDirectory:
    """A directory made for one call when its first file is opened. When the name is taken (a
    carrier has repeated an id), a number is added: no call writes into another's files."""

    def __init__(self, base: Path, call_id: str) -> None:
        self._wanted = safe_call_directory(base, call_id)
        self._made: Path | None = None

    @property
    def name(self) -> str:
        """What it is called, unless the name is taken when it is made."""
        return self._wanted.name

    @property
    def path(self) -> Path | None:
        """None until it was made."""
        return self._made

    def make(self) -> Path:
        """:raises OSError: it cannot be made."""
        if self._made is None:
            self._wanted.parent.mkdir(parents=True, exist_ok=True)
            self._made = _make_new(self._wanted)
        return self._made


def _make_new(wanted: Path) -> Path:
    for number in range(1, _SAME_NAME_LIMIT):
        path = wanted if number == 1 else wanted.with_name(f"{wanted.name}.{number}")
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            continue
        return path
    raise FileExistsError(f"{_SAME_NAME_LIMIT} directories named {wanted.name}")

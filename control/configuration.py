"""``docs/configuration.md``, from the settings: ``python -m control.configuration FILE``."""

import sys
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from control.settings import Settings

_HEAD = """\
# Settings

Every setting is an environment variable. All of them are checked when a command starts, and every
wrong one is named; `voicecore serve` and `voicecore answer` also name variables that begin with
`VOICECORE_` and are no settings. `voicecore doctor` tells what is missing or does not work. For
`true` one may write `yes`, `on` or `1`, for `false` `no`, `off` or `0`, in capitals too.

| variable | what it is | default | meaning |
|---|---|---|---|
"""
_TAIL = """
Vendors' keys have the vendors' own names: `DEEPGRAM_API_KEY`, `OPENAI_API_KEY`,
`ELEVENLABS_API_KEY`.
"""


def reference() -> str:
    """The page."""
    rows = [_row(name, field) for name, field in Settings.model_fields.items()]
    return _HEAD + "".join(rows) + _TAIL


def _row(name: str, field: FieldInfo) -> str:
    default = getattr(field.default, "get_secret_value", lambda: field.default)()
    shown = ", ".join(default) if isinstance(default, tuple) else str(default)
    if isinstance(default, bool):
        shown = shown.lower()
    cell = f"`{shown}`" if shown else "none"
    meaning = (field.description or "").replace("|", "\\|")
    return f"| `VOICECORE_{name.upper()}` | {_kind(field.annotation)} | {cell} | {meaning} |\n"


def _kind(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return "one of " + ", ".join(f"`{one}`" for one in get_args(annotation))
    names = {bool: "`true` or `false`", int: "whole number", float: "number", str: "text"}
    if get_origin(annotation) is tuple:
        return "names"
    return names.get(annotation, "secret")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference())

"""Variables of the environment that are named as settings and are none: most likely misspelt."""

import re
from collections.abc import Mapping
from difflib import get_close_matches

import msgspec
import structlog

from control.settings import PLATFORM_KEYS, Settings

PREFIX = "VOICECORE_"
OTHERS = frozenset({"ADMIN_PASSWORD", "LOADGEN", "TEST_PROFILE", "TEST_OUTAGE_S"})
"""Variables of other commands, of the benchmarks and the tests."""
_OPTIONS = {"HOST": "--host", "PORT": "--port", "DATA_DIR": "--data-dir"}
_SERVICE = re.compile(r"(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")
"""What Kubernetes gives every container, where a service's name begins with ours."""
LIKENESS = 0.7

log = structlog.get_logger("control.settings")


class Stray(msgspec.Struct, frozen=True):
    """A variable that nobody reads."""

    variable: str
    hint: str
    """What was perhaps meant; empty where there is nothing like it."""


def stray_settings(environ: Mapping[str, str]) -> tuple[Stray, ...]:
    """All of them, by their names. Their values are told nowhere: one may be a secret."""
    known = {name.upper() for name in Settings.model_fields}
    return tuple(
        Stray(variable, _hint(name, known))
        for variable in sorted(environ)
        if variable.upper().startswith(PREFIX)
        and (name := variable.upper().removeprefix(PREFIX)) not in known | OTHERS
        and not _SERVICE.fullmatch(name)
        and not (name.endswith("PORT") and "://" in environ[variable])  # Kubernetes' too
    )


def warn_of_strays(environ: Mapping[str, str]) -> None:
    """Have the log name each."""
    for stray in stray_settings(environ):
        hint = {"hint": stray.hint} if stray.hint else {}
        log.warning(
            "there is no such setting", code="unknown_setting", variable=stray.variable, **hint
        )


def _hint(name: str, known: set[str]) -> str:
    if name in PLATFORM_KEYS:
        return f"did you mean {name}"
    if name in _OPTIONS:
        return f"that is the option {_OPTIONS[name]}"
    like = get_close_matches(name, sorted(known), n=1, cutoff=LIKENESS)
    return f"did you mean {PREFIX}{like[0]}" if like else ""

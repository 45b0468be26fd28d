"""Reads the steps of a caller script. ``docs/calling.md`` describes every one."""

import re
from pathlib import PurePath
from typing import Any, get_args

from voicecore.phone.script import (
    Drop,
    HangUp,
    PressKeys,
    Repeat,
    Silence,
    Step,
    Utter,
    Wait,
    WaitCondition,
)
from voicecore.phone.yaml_reader import Problems, Value

HOUR_MS = 3_600_000

_STEPS = (
    "wait", "say", "interrupt", "play", "murmur", "cough", "silence", "dtmf", "hang_up", "drop",
    "repeat", "loop_s",
)  # fmt: skip
_CONDITIONS: tuple[WaitCondition, ...] = get_args(WaitCondition)
_WAITS = ("agent_finished", "agent_speaking_ms", "call_ended")
_MAX_DEPTH = 8
_DTMF = re.compile(r"[0-9A-Da-d*#w]{1,100}")


class StepReader:
    """Makes steps of values. What is wrong goes to ``problems``, and the reading goes on.

    ``folder`` is what paths of sound files are relative to; ``quiet_ms`` and ``timeout_ms`` are
    those of waits that have none of their own."""

    def __init__(self, problems: Problems, *, folder: str, quiet_ms: int, timeout_ms: int) -> None:
        self._problems = problems
        self._keep = problems.keep
        self._folder = folder
        self._quiet_ms = quiet_ms
        self._timeout_ms = timeout_ms

    def steps(self, value: Value, depth: int = 0) -> tuple[Step, ...]:
        """Those steps that are right."""
        if depth > _MAX_DEPTH:
            raise value.error(f"steps are nested more than {_MAX_DEPTH} deep")
        items = value.items()
        if not items:
            raise value.error("must have at least one step")
        read = [(item, self._keep(None, self._step, item, depth)) for item in items]
        for item, step in read[:-1]:
            if isinstance(step, HangUp | Drop):
                error = item.error("the call is over after this step, but more steps follow")
                self._problems.add(error)
        return tuple(step for _, step in read if step is not None)

    def repetition(self, fields: dict[str, Value]) -> tuple[int | None, int | None]:
        """``repeat`` as a number of times, or ``loop_s`` as milliseconds."""
        if "repeat" in fields and "loop_s" in fields:
            raise fields["loop_s"].error("give repeat or loop_s, not both")
        if "repeat" in fields:
            return fields["repeat"].number(1, 1_000_000), None
        return None, fields["loop_s"].number(1, 86_400) * 1000

    def _step(self, value: Value, depth: int) -> Step | None:
        if not value.is_map:
            raise value.error("a step is a map such as `say: Hello`")
        fields = value.fields()
        names = [name for name in fields if name in _STEPS]
        if {"repeat", "loop_s"} & set(names):
            return self._repeat(value, depth)
        if len(names) != 1:
            raise value.error(f"a step has exactly one of: {', '.join(_STEPS)}")
        value.known_fields((names[0],), self._problems)
        return self._leaf(names[0], fields[names[0]])

    def _repeat(self, value: Value, depth: int) -> Repeat:
        fields = value.known_fields(("repeat", "loop_s", "steps"), self._problems)
        times, for_ms = self._keep((1, None), self.repetition, fields)
        if "steps" not in fields:
            raise value.error("steps is missing: what is to be repeated?")
        steps = self.steps(fields["steps"], depth + 1)
        if steps and isinstance(steps[-1], HangUp | Drop):
            raise fields["steps"].error("a call ends only once: put this after the repeated steps")
        return Repeat(value.line, steps, times, for_ms)

    def _leaf(self, name: str, value: Value) -> Step:
        match name:
            case "wait":
                return self._wait(value)
            case "say":
                return Utter(value.line, "say", text=value.text())
            case "murmur":
                return Utter(value.line, "murmur", text=value.text())
            case "play":
                return Utter(value.line, "play", path=self._path(value))
            case "interrupt":
                return self._interrupt(value)
            case "silence":
                return Silence(value.line, self._only_ms(value))
            case "dtmf":
                return _press(value)
            case "drop":
                fields = self._options(value, ("half_message",))
                half = "half_message" in fields and fields["half_message"].scalar(bool)
                return Drop(value.line, half)
        self._options(value, ())
        return HangUp(value.line) if name == "hang_up" else Utter(value.line, "cough")

    def _wait(self, value: Value) -> Wait:
        if not value.is_map:
            condition: Any = value.choice(_CONDITIONS)
            return Wait(value.line, condition, self._default_ms(condition), self._timeout_ms)
        fields = value.known_fields((*_WAITS, "quiet_ms", "timeout_ms"), self._problems)
        timeout_ms = self._timeout(fields)
        quiet_ms = self._quiet(fields)
        names = [name for name in _WAITS if name in fields]
        if len(names) != 1:
            raise value.error(f"a wait has exactly one of: {', '.join(_WAITS)}")
        (name,) = names
        if name == "agent_speaking_ms":
            ms = fields[name].number(0, HOUR_MS)
            return Wait(value.line, "agent_speaking", ms, timeout_ms)
        if fields[name].plain() not in (None, True, {}):
            raise fields[name].error("takes no value: write `true`")
        if name == "call_ended":
            return Wait(value.line, "call_ended", quiet_ms or 0, timeout_ms)
        return Wait(
            value.line,
            "agent_finished",
            self._quiet_ms if quiet_ms is None else quiet_ms,
            timeout_ms,
        )

    def _interrupt(self, value: Value) -> Utter:
        if not value.is_map:
            return Utter(value.line, "interrupt", text=value.text())
        fields = value.known_fields(("say", "play", "after_ms", "timeout_ms"), self._problems)
        timeout_ms = self._timeout(fields)
        after_ms = None
        if "after_ms" in fields:
            after_ms = self._keep(0, fields["after_ms"].number, 0, HOUR_MS)
        if ("say" in fields) == ("play" in fields):
            raise value.error("an interruption has exactly one of: say, play")
        return Utter(
            value.line,
            "interrupt",
            text=fields["say"].text() if "say" in fields else "",
            path=self._path(fields["play"]) if "play" in fields else "",
            after_ms=after_ms,
            timeout_ms=timeout_ms,
        )

    def _timeout(self, fields: dict[str, Value]) -> int:
        if "timeout_ms" in fields:
            return self._keep(self._timeout_ms, fields["timeout_ms"].number, 20, HOUR_MS)
        return self._timeout_ms

    def _quiet(self, fields: dict[str, Value]) -> int | None:
        if "quiet_ms" in fields:
            return self._keep(self._quiet_ms, fields["quiet_ms"].number, 20, 60_000)
        return None

    def _default_ms(self, condition: str) -> int:
        return self._quiet_ms if condition == "agent_finished" else 0

    def _path(self, value: Value) -> str:
        return str(PurePath(self._folder) / value.text())

    def _options(self, value: Value, known: tuple[str, ...]) -> dict[str, Value]:
        """The fields of a step that may also be empty: ``cough:``, ``cough: {}``."""
        if value.plain() in (None, True):
            return {}
        return value.known_fields(known, self._problems)

    def _only_ms(self, value: Value) -> int:
        if not value.is_map:
            return value.number(1, HOUR_MS)
        fields = value.known_fields(("ms",), self._problems)
        if "ms" not in fields:
            raise value.error("ms is missing")
        return fields["ms"].number(1, HOUR_MS)


def _press(value: Value) -> PressKeys:
    digits = value.written()
    if not _DTMF.fullmatch(digits):
        raise value.error("must be 1 to 100 of 0-9 A-D * # and w (half a second's wait)")
    return PressKeys(value.line, "".join(key if key == "w" else key.upper() for key in digits))

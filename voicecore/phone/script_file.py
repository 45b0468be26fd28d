"""Reads a caller script from YAML. ``docs/calling.md`` describes every field."""

import re
from pathlib import PurePath
from typing import Any, get_args

import msgspec

from media.phone.sides import carrier_kind, carrier_names
from voicecore.adapters.registry import VendorConfig
from voicecore.phone.script import (
    CODECS,
    DEFAULT_TIMEOUT_MS,
    Drop,
    HangUp,
    PressKeys,
    Repeat,
    Script,
    Silence,
    Step,
    Utter,
    Wait,
    WaitCondition,
    leaves,
)
from voicecore.phone.yaml_reader import ScriptError, Value, read_script

_FIELDS = (
    "carrier", "codec", "agent_codec", "byte_order", "voice", "parameters", "from", "to",
    "noise_dbfs", "audible_dbfs", "quiet_ms", "wait_timeout_ms", "timeout_s", "repeat", "loop_s",
    "steps",
)  # fmt: skip
_STEPS = (
    "wait", "say", "interrupt", "play", "murmur", "cough", "silence", "dtmf", "hang_up", "drop",
    "repeat", "loop_s",
)  # fmt: skip
_CONDITIONS: tuple[WaitCondition, ...] = get_args(WaitCondition)
_HOUR_MS = 3_600_000
_MAX_DEPTH = 8
_DTMF = re.compile(r"[0-9A-Da-d*#w]{1,100}")


def load_script(text: str, *, folder: str = ".", carrier: str | None = None) -> Script:
    """``folder`` is what paths of sound files are relative to; ``carrier`` overrides the
    script's.

    :raises ScriptError: with the field and the line of the first mistake."""
    root = read_script(text)
    return _Loader(folder).script(root, carrier)


class _Loader:
    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._quiet_ms = 700
        self._timeout_ms = 15_000

    def script(self, root: Value, carrier: str | None) -> Script:
        fields = root.fields(_FIELDS)
        if "quiet_ms" in fields:
            self._quiet_ms = fields["quiet_ms"].number(20, 60_000)
        if "wait_timeout_ms" in fields:
            self._timeout_ms = fields["wait_timeout_ms"].number(20, _HOUR_MS)
        if "steps" not in fields:
            raise root.error("steps is missing: a script needs at least one step")
        steps = self._whole(fields)
        settings: dict[str, Any] = {"steps": steps, **_carrier(fields, carrier)}
        settings |= _line(fields)
        if "voice" in fields:
            settings |= {"voice": _voice(fields["voice"]), "voice_line": fields["voice"].line}
        settings["timeout_ms"] = _timeout_ms(fields, steps)
        script = Script(**settings)
        _check_voice(script)
        return script

    def _whole(self, fields: dict[str, Value]) -> tuple[Step, ...]:
        """All steps; ``repeat`` and ``loop_s`` at the top repeat all but a last goodbye."""
        steps = self._steps(fields["steps"], 0)
        repeated = fields.get("repeat") or fields.get("loop_s")
        if repeated is None:
            return steps
        ends = isinstance(steps[-1], HangUp | Drop)
        body, end = (steps[:-1], steps[-1:]) if ends else (steps, ())
        if not body:
            raise repeated.error("there is nothing to repeat before the call ends")
        times, for_ms = _repetition(fields)
        return (Repeat(repeated.line, body, times, for_ms), *end)

    def _steps(self, value: Value, depth: int) -> tuple[Step, ...]:
        if depth > _MAX_DEPTH:
            raise value.error(f"steps are nested more than {_MAX_DEPTH} deep")
        steps = tuple(self._step(item, depth) for item in value.items())
        if not steps:
            raise value.error("must have at least one step")
        for step, item in zip(steps[:-1], value.items()[:-1], strict=True):
            if isinstance(step, HangUp | Drop):
                raise item.error("the call is over after this step, but more steps follow")
        return steps

    def _step(self, value: Value, depth: int) -> Step:
        if not value.is_map:
            raise value.error("a step is a map such as `say: Hello`")
        fields = value.fields()
        names = [name for name in fields if name in _STEPS]
        if len(names) != 1:
            raise value.error(f"a step has exactly one of: {', '.join(_STEPS)}")
        name = names[0]
        if name in ("repeat", "loop_s"):
            return self._repeat(value, depth)
        value.fields((name,))
        return self._leaf(name, fields[name])

    def _repeat(self, value: Value, depth: int) -> Repeat:
        fields = value.fields(("repeat", "loop_s", "steps"))
        if "steps" not in fields:
            raise value.error("steps is missing: what is to be repeated?")
        steps = self._steps(fields["steps"], depth + 1)
        if isinstance(steps[-1], HangUp | Drop):
            raise fields["steps"].error("a call ends only once: put this after the repeated steps")
        times, for_ms = _repetition(fields)
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
                return Silence(value.line, _only_ms(value))
            case "dtmf":
                return _press(value)
            case "drop":
                fields = _options(value, ("half_message",))
                half = "half_message" in fields and fields["half_message"].scalar(bool)
                return Drop(value.line, half)
        _options(value, ())
        return HangUp(value.line) if name == "hang_up" else Utter(value.line, "cough")

    def _wait(self, value: Value) -> Wait:
        if not value.is_map:
            condition: Any = value.choice(_CONDITIONS)
            return Wait(value.line, condition, self._default_ms(condition), self._timeout_ms)
        known = ("agent_finished", "agent_speaking_ms", "call_ended", "quiet_ms", "timeout_ms")
        fields = value.fields(known)
        names = [name for name in known[:3] if name in fields]
        if len(names) != 1:
            raise value.error(f"a wait has exactly one of: {', '.join(known[:3])}")
        timeout_ms = self._timeout(fields)
        if names == ["agent_speaking_ms"]:
            ms = fields["agent_speaking_ms"].number(0, _HOUR_MS)
            return Wait(value.line, "agent_speaking", ms, timeout_ms)
        if fields[names[0]].plain() not in (None, True, {}):
            raise fields[names[0]].error("takes no value: write `true`")
        condition = names[0]
        ms = self._default_ms(condition)
        if "quiet_ms" in fields:
            ms = fields["quiet_ms"].number(20, 60_000)
        return Wait(value.line, condition, ms, timeout_ms)

    def _interrupt(self, value: Value) -> Utter:
        if not value.is_map:
            return Utter(value.line, "interrupt", text=value.text())
        fields = value.fields(("say", "play", "after_ms", "timeout_ms"))
        if ("say" in fields) == ("play" in fields):
            raise value.error("an interruption has exactly one of: say, play")
        after_ms = fields["after_ms"].number(0, _HOUR_MS) if "after_ms" in fields else None
        return Utter(
            value.line,
            "interrupt",
            text=fields["say"].text() if "say" in fields else "",
            path=self._path(fields["play"]) if "play" in fields else "",
            after_ms=after_ms,
            timeout_ms=self._timeout(fields),
        )

    def _timeout(self, fields: dict[str, Value]) -> int:
        if "timeout_ms" in fields:
            return fields["timeout_ms"].number(20, _HOUR_MS)
        return self._timeout_ms

    def _default_ms(self, condition: str) -> int:
        return self._quiet_ms if condition == "agent_finished" else 0

    def _path(self, value: Value) -> str:
        return str(PurePath(self._folder) / value.text())


def _options(value: Value, known: tuple[str, ...]) -> dict[str, Value]:
    """The fields of a step that may also be empty: ``cough:``, ``cough: {}``."""
    return {} if value.plain() in (None, True) else value.fields(known)


def _only_ms(value: Value) -> int:
    if not value.is_map:
        return value.number(1, _HOUR_MS)
    fields = value.fields(("ms",))
    if "ms" not in fields:
        raise value.error("ms is missing")
    return fields["ms"].number(1, _HOUR_MS)


def _press(value: Value) -> PressKeys:
    digits = value.written()
    if not _DTMF.fullmatch(digits):
        raise value.error("must be 1 to 100 of 0-9 A-D * # and w (half a second's wait)")
    return PressKeys(value.line, "".join(key if key == "w" else key.upper() for key in digits))


def _repetition(fields: dict[str, Value]) -> tuple[int | None, int | None]:
    if "repeat" in fields and "loop_s" in fields:
        raise fields["loop_s"].error("give repeat or loop_s, not both")
    if "repeat" in fields:
        return fields["repeat"].number(1, 1_000_000), None
    return None, fields["loop_s"].number(1, 86_400) * 1000


def _carrier(fields: dict[str, Value], override: str | None) -> dict[str, Any]:
    name = override or "twilio"
    if "carrier" in fields and override is None:
        name = fields["carrier"].choice(carrier_names())
    kind = carrier_kind(name)
    allowed = tuple(codec for codec, audio in CODECS.items() if audio in kind.inbound)
    codec = fields["codec"].choice(tuple(CODECS)) if "codec" in fields else "mulaw"
    agent = fields["agent_codec"].choice(tuple(CODECS)) if "agent_codec" in fields else codec
    for field, chosen in (("codec", codec), ("agent_codec", agent)):
        if chosen not in allowed:
            where = fields.get(field, fields.get("codec", fields["steps"]))
            raise where.error(f"{name} does not stream {chosen}; it streams {', '.join(allowed)}")
    settings: dict[str, Any] = {
        "carrier": name,
        "codec": CODECS[codec],
        "agent_codec": CODECS[agent],
    }
    if "byte_order" in fields:
        settings["l16_big_endian"] = fields["byte_order"].choice(("big", "little")) == "big"
    if "parameters" in fields:
        settings["parameters"] = fields["parameters"].texts()
        for key, text in settings["parameters"].items():
            if 0 < kind.max_parameter_chars <= len(key) + len(text):
                raise fields["parameters"].error(
                    f"{key}: {name} takes names and values of less than "
                    f"{kind.max_parameter_chars} characters together"
                )
    return settings


def _line(fields: dict[str, Value]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for field, name in (("from", "from_number"), ("to", "to_number")):
        if field in fields:
            settings[name] = fields[field].text(max_chars=100)
    for field in ("noise_dbfs", "audible_dbfs"):
        if field in fields:
            level = fields[field].scalar(float)
            if not -90 <= level <= -10:
                raise fields[field].error(f"must be -90 to -10, not {level:g}")
            settings[field] = level
    return settings


def _voice(value: Value) -> VendorConfig:
    value.fields(tuple(field.name for field in msgspec.structs.fields(VendorConfig)))
    try:
        return msgspec.convert(value.plain(), VendorConfig)
    except msgspec.ValidationError as error:
        raise value.error(str(error)) from error


def _timeout_ms(fields: dict[str, Value], steps: tuple[Step, ...]) -> int:
    """The default is two minutes, and for each repetition two minutes or its own time."""
    if "timeout_s" in fields:
        return fields["timeout_s"].number(1, 86_400) * 1000
    return min(_default_timeout_ms(steps), 86_400_000)


def _default_timeout_ms(steps: tuple[Step, ...]) -> int:
    total = DEFAULT_TIMEOUT_MS
    for step in steps:
        if isinstance(step, Repeat):
            total += (step.for_ms or 0) + (step.times or 0) * _default_timeout_ms(step.steps)
    return total


def _check_voice(script: Script) -> None:
    if script.voice is not None:
        return
    for step in leaves(script.steps):
        if isinstance(step, Utter) and step.text:
            raise ScriptError(
                "voice",
                step.line,
                f"missing: `{step.kind}` needs a voice to speak with, such as "
                "`voice: {vendor: piper}`",
            )

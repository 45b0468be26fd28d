"""Reads a caller script from YAML. ``docs/calling.md`` describes every field."""

from typing import Any

import msgspec

from media.audio.format import MULAW_8K, AudioFormat
from media.phone.side import CarrierKind
from media.phone.sides import carrier_kind, carrier_names
from voicecore.adapters.registry import VendorConfig
from voicecore.phone.script import (
    CODECS,
    DEFAULT_TIMEOUT_MS,
    Drop,
    HangUp,
    Repeat,
    Script,
    Step,
    Utter,
    leaves,
)
from voicecore.phone.script_steps import HOUR_MS, StepReader
from voicecore.phone.yaml_reader import (
    Problems,
    ScriptError,
    ScriptProblem,
    Value,
    read_script,
)

_AGENT_FIELDS = frozenset({"name", "instructions", "greeting", "stt", "llm", "tts"})
_FIELDS = (
    "carrier", "codec", "agent_codec", "byte_order", "voice", "parameters", "from", "to",
    "noise_dbfs", "audible_dbfs", "quiet_ms", "wait_timeout_ms", "timeout_s", "repeat", "loop_s",
    "steps",
)  # fmt: skip


def load_script(
    text: str,
    *,
    folder: str = ".",
    carrier: str | None = None,
    unless_named: str = "twilio",
) -> Script:
    """``folder`` is what paths of sound files are relative to; ``carrier`` overrides the
    script's, and ``unless_named`` is the one of a script that names none.

    :raises ScriptError: with the field and the line of every mistake."""
    root = read_script(text)
    _check_kind(root)
    problems = Problems()
    fields = root.known_fields(_FIELDS, problems)
    loader = _Loader(fields, problems)
    steps = loader.steps(root, folder)
    settings = {
        **loader.carrier(carrier, unless_named),
        **loader.line(),
        **loader.voice(),
        "timeout_ms": loader.timeout_ms(steps),
    }
    problems.check()
    return Script(steps, **settings)


def _check_kind(root: Value) -> None:
    """:raises ScriptError: it is another kind of file, of which nothing else need be said."""
    names = set(root.fields()) if root.is_map else set()
    agents = _AGENT_FIELDS & names
    if len(agents) > 1 and "steps" not in names:
        shown = ", ".join(f"`{name}`" for name in sorted(agents))
        raise root.error(
            f"this looks like an agent file: it has {shown}; what a caller does is a list of "
            "`steps`"
        )


class _Loader:
    """Reads group after group of the fields; what is wrong goes to ``problems``."""

    def __init__(self, fields: dict[str, Value], problems: Problems) -> None:
        self._fields = fields
        self._problems = problems
        self._keep = problems.keep

    def steps(self, root: Value, folder: str) -> tuple[Step, ...]:
        """All steps; ``repeat`` and ``loop_s`` at the top repeat all but a last goodbye."""
        fields = self._fields
        reader = StepReader(
            self._problems,
            folder=folder,
            quiet_ms=self._number("quiet_ms", 20, 60_000, default=700),
            timeout_ms=self._number("wait_timeout_ms", 20, HOUR_MS, default=15_000),
        )
        repetition = None
        if repeated := fields.get("repeat") or fields.get("loop_s"):
            repetition = self._keep(None, reader.repetition, fields)
        if "steps" not in fields:
            self._problems.add(root.error("steps is missing: a script needs at least one step"))
            return ()
        steps = self._keep((), reader.steps, fields["steps"])
        self._check_voice(steps)
        if repeated is None or not steps:
            return steps
        ends = isinstance(steps[-1], HangUp | Drop)
        body, end = (steps[:-1], steps[-1:]) if ends else (steps, ())
        if not body:
            error = repeated.error("there is nothing to repeat before the call ends")
            self._problems.add(error)
        times, for_ms = repetition or (1, None)
        return (Repeat(repeated.line, body, times, for_ms), *end)

    def carrier(self, override: str | None, unless_named: str) -> dict[str, Any]:
        fields = self._fields
        name: str | None = override or unless_named
        if "carrier" in fields and override is None:
            name = self._keep(None, fields["carrier"].choice, carrier_names())
        kind = None if name is None else carrier_kind(name)
        settings: dict[str, Any] = {**self._codecs(kind), **self._parameters(kind)}
        if name is not None:
            settings["carrier"] = name
        if "byte_order" in fields:
            order = self._keep("big", fields["byte_order"].choice, ("big", "little"))
            settings["l16_big_endian"] = order == "big"
        return settings

    def line(self) -> dict[str, Any]:
        fields = self._fields
        settings: dict[str, Any] = {}
        for field, name in (("from", "from_number"), ("to", "to_number")):
            if field in fields:
                settings[name] = self._keep("", fields[field].text, max_chars=100)
        for field in ("noise_dbfs", "audible_dbfs"):
            if field in fields:
                settings[field] = self._keep(0.0, _level, fields[field])
        return settings

    def voice(self) -> dict[str, Any]:
        if "voice" not in self._fields:
            return {}
        value = self._fields["voice"]
        return {"voice": self._keep(None, self._voice, value), "voice_line": value.line}

    def timeout_ms(self, steps: tuple[Step, ...]) -> int:
        default_s = min(_default_timeout_ms(steps) // 1000, 86_400)
        return self._number("timeout_s", 1, 86_400, default=default_s) * 1000

    def _number(self, field: str, low: int, high: int, *, default: int) -> int:
        if field not in self._fields:
            return default
        return self._keep(default, self._fields[field].number, low, high)

    def _codecs(self, kind: CarrierKind | None) -> dict[str, AudioFormat]:
        codec = self._codec("codec", kind, MULAW_8K if kind is None else kind.inbound[0])
        return {"codec": codec, "agent_codec": self._codec("agent_codec", kind, codec)}

    def _codec(self, field: str, kind: CarrierKind | None, default: AudioFormat) -> AudioFormat:
        if field not in self._fields:
            return default
        return self._keep(default, _codec, self._fields[field], kind)

    def _parameters(self, kind: CarrierKind | None) -> dict[str, Any]:
        if "parameters" not in self._fields:
            return {}
        value = self._fields["parameters"]
        none: dict[str, str] = {}
        parameters = self._keep(none, value.texts)
        for key, text in parameters.items():
            if kind is not None and 0 < kind.max_parameter_chars <= len(key) + len(text):
                error = value.error(
                    f"{key}: {kind.name} takes names and values of less than "
                    f"{kind.max_parameter_chars} characters together"
                )
                self._problems.add(error)
        return {"parameters": parameters}

    def _voice(self, value: Value) -> VendorConfig | None:
        known = tuple(field.name for field in msgspec.structs.fields(VendorConfig))
        value.known_fields(known, self._problems)
        try:
            return msgspec.convert(value.plain(), VendorConfig)
        except msgspec.ValidationError as error:
            raise value.error(str(error)) from error

    def _check_voice(self, steps: tuple[Step, ...]) -> None:
        if "voice" in self._fields:
            return
        for step in leaves(steps):
            if isinstance(step, Utter) and step.text:
                detail = (
                    f"missing: `{step.kind}` needs a voice to speak with, such as "
                    "`voice: {vendor: piper}`"
                )
                self._problems.add(ScriptError([ScriptProblem("voice", step.line, detail)]))
                return


def _codec(value: Value, kind: CarrierKind | None) -> AudioFormat:
    name = value.choice(tuple(CODECS))
    if kind is not None and CODECS[name] not in kind.inbound:
        allowed = ", ".join(codec for codec, audio in CODECS.items() if audio in kind.inbound)
        raise value.error(f"{kind.name} does not stream {name}; it streams {allowed}")
    return CODECS[name]


def _level(value: Value) -> float:
    level = value.scalar(float)
    if not -90 <= level <= -10:
        raise value.error(f"must be -90 to -10, not {level:g}")
    return level


def _default_timeout_ms(steps: tuple[Step, ...]) -> int:
    """Two minutes, and for each repetition two minutes or its own time."""
    total = DEFAULT_TIMEOUT_MS
    for step in steps:
        if isinstance(step, Repeat):
            total += (step.for_ms or 0) + (step.times or 0) * _default_timeout_ms(step.steps)
    return total

"""The reference of all vendors' settings, written from the adapters' own models.

    python -m voicecore.adapters.reference docs/vendors.md

replaces what stands between the two markers of the document. A setting's description is the
text below it in its model."""

import ast
import importlib
import inspect
import json
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from pydantic import BaseModel

from media.audio.format import AudioFormat
from voicecore.adapters.registry import Kind

START = "<!-- settings: start (python -m voicecore.adapters.reference docs/vendors.md) -->\n"
END = "<!-- settings: end -->\n"

Model = type[BaseModel] | type[msgspec.Struct]
_Schema = Mapping[str, Any]
_KINDS: Mapping[Kind, str] = {
    "stt": "Speech-to-text (`stt`)",
    "llm": "Language models (`llm`)",
    "tts": "Text-to-speech (`tts`)",
}
_LOCAL = "none; it runs on this machine, see [local-models.md](local-models.md)"
_OPENAI_KEY = "`OPENAI_API_KEY`, or what `api_key_env` names; none is needed with `base_url`"


class Vendor(msgspec.Struct, frozen=True):
    """What stands above a table of settings. ``settings`` is ``module:class`` below
    ``voicecore.adapters``; ``part`` names one of several models of a vendor."""

    kind: Kind
    vendor: str
    settings: str
    key: str
    model: str
    language: str
    voice: str = ""
    part: str = ""


VENDORS = (
    Vendor(
        "stt",
        "deepgram",
        "deepgram_stt:NovaSettings",
        key="`DEEPGRAM_API_KEY`",
        model="`nova-3` unless set; every model whose name does not start with `flux`",
        language="sent as it is; `multi` where the model has it",
        part="Nova",
    ),
    Vendor(
        "stt",
        "deepgram",
        "deepgram_flux_stt:FluxSettings",
        key="`DEEPGRAM_API_KEY`",
        model="`flux` (which is `flux-general-en`), or any name that starts with it. Flux itself "
        "decides when a turn ends",
        language="English only, except for models that end in `-multi`: those take it as a hint",
        part="Flux",
    ),
    Vendor(
        "stt",
        "moonshine",
        "moonshine_stt:MoonshineSettings",
        key=_LOCAL,
        model="`tiny-en` unless set, or the path of a directory with a model",
        language="English only",
    ),
    Vendor(
        "stt",
        "scripted",
        "scripted_stt:SttSettings",
        key="none",
        model="not used",
        language="not used",
    ),
    Vendor(
        "llm",
        "openai",
        "openai_llm:OpenAiLlmSettings",
        key=_OPENAI_KEY,
        model="required, by the server's name",
        language="not used: say it in the instructions",
    ),
    Vendor(
        "llm",
        "llama",
        "llama_llm:LlamaSettings",
        key=_LOCAL,
        model="`gemma3-270m` unless set, `smollm2-135m`, or the path of a GGUF file",
        language="not used: the packaged models know English",
    ),
    Vendor(
        "llm",
        "scripted",
        "scripted_llm:LlmSettings",
        key="none",
        model="not used",
        language="not used",
    ),
    Vendor(
        "tts",
        "elevenlabs",
        "elevenlabs_tts:ElevenLabsTtsSettings",
        key="`ELEVENLABS_API_KEY`",
        model="required, such as `eleven_flash_v2_5`; v3 and v4 are not served on a live socket",
        language="sent to the v2.5 models; the others hear it from the text",
        voice="required: a voice's id, not its name",
    ),
    Vendor(
        "tts",
        "openai",
        "openai_tts:OpenAiTtsSettings",
        key=_OPENAI_KEY,
        model="required, by the server's name",
        language="not used: the model hears it from the text",
        voice="required, by the server's name",
    ),
    Vendor(
        "tts",
        "deepgram",
        "deepgram_tts:DeepgramTtsSettings",
        key="`DEEPGRAM_API_KEY`",
        model="`aura-2` unless set: a family (`aura-2`, or one that starts with `flux`), or a "
        "whole name such as `aura-2-thalia-en`",
        language="part of the voice's whole name, where `voice` is the middle of one",
        voice="a whole name (`aura-2-thalia-en`), or its middle (`thalia`, which is the default), "
        "completed from `model` and `language`",
    ),
    Vendor(
        "tts",
        "piper",
        "piper_tts:PiperSettings",
        key=_LOCAL,
        model="not used",
        language="that of the voice",
        voice="`joe` unless set, `heart`, or the path of a Piper `.onnx` file with its "
        "`.onnx.json` beside it",
    ),
    Vendor(
        "tts",
        "scripted",
        "scripted_tts:TtsSettings",
        key="none",
        model="not used",
        language="not used",
        voice="not used",
    ),
)


def reference(vendors: Sequence[Vendor] = VENDORS) -> str:
    """Markdown: a section for each vendor of each kind, with a table of its settings. A block
    that several vendors have is described once, at the end.

    :raises ValueError: a setting has no description."""
    loaded = [(vendor, load(vendor)) for vendor in vendors]
    shared = _shared([model for _, model in loaded])
    return "\n".join(
        [
            *(line for kind in _KINDS for line in _kind_section(kind, loaded, shared)),
            *(line for model in shared for line in _shared_section(model, shared)),
        ]
    )


def insert(document: str, settings: str) -> str:
    """The document with ``settings`` between its markers.

    :raises ValueError: it has no markers."""
    before, start, rest = document.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise ValueError("the document has no markers for its settings")
    return f"{before}{START}\n{settings}\n{END}{after}"


def load(vendor: Vendor) -> Model:
    module, _, name = vendor.settings.partition(":")
    model: Model = getattr(importlib.import_module(f"voicecore.adapters.{module}"), name)
    return model


def descriptions(model: Model) -> dict[str, str]:
    """The texts below a model's fields and those of its bases, in the fields' order.

    :raises ValueError: a field has none."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel | msgspec.Struct) and base not in (BaseModel, msgspec.Struct):
            found |= _written(base)
    names = tuple(_defaults(model))
    missing = [name for name in names if not found.get(name)]
    if missing:
        raise ValueError(f"{model.__name__}: no description of {', '.join(missing)}")
    return {name: found[name] for name in names}


def _written(model: type) -> dict[str, str]:
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for field, text in zip(definition.body, definition.body[1:], strict=False):
        match field, text:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(words))),
            ):
                found[name] = _flat(words).replace("``", "`")
    return found


def _defaults(model: Model) -> dict[str, Any]:
    """What each field is where it is not set; ``...`` for one that must be."""
    if issubclass(model, BaseModel):
        return {
            name: ... if field.is_required() else field.get_default(call_default_factory=True)
            for name, field in model.model_fields.items()
        }
    return {
        field.encode_name: ... if field.required else _struct_default(field)
        for field in msgspec.structs.fields(model)
    }


def _struct_default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()


def _schema(model: Model) -> tuple[_Schema, _Schema]:
    """A model's JSON schema, and the definitions that it refers to."""
    if issubclass(model, BaseModel):
        schema = model.model_json_schema()
        return schema, schema.get("$defs", {})
    (schema,), parts = msgspec.json.schema_components([model])
    return parts[schema["$ref"].rpartition("/")[2]], parts


def _blocks(model: Model) -> dict[str, Model]:
    """The models of a model's fields, by the field; an audio format is described in words."""
    fields = (
        {name: field.annotation for name, field in model.model_fields.items()}
        if issubclass(model, BaseModel)
        else {field.encode_name: field.type for field in msgspec.structs.fields(model)}
    )
    found = {name: _model_in(annotation) for name, annotation in fields.items()}
    return {name: block for name, block in found.items() if block not in (None, AudioFormat)}


def _model_in(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel | msgspec.Struct):
        return annotation
    inner = (_model_in(part) for part in getattr(annotation, "__args__", ()))
    return next((model for model in inner if model is not None), None)


def _shared(models: Sequence[Model]) -> list[Model]:
    seen = [block for model in models for block in _blocks(model).values()]
    return list(dict.fromkeys(block for block in seen if seen.count(block) > 1))


def _kind_section(
    kind: Kind, loaded: Sequence[tuple[Vendor, Model]], shared: Sequence[Model]
) -> Iterator[str]:
    yield f"## {_KINDS[kind]}\n"
    for vendor, model in loaded:
        if vendor.kind != kind:
            continue
        part = f" ({vendor.part})" if vendor.part else ""
        yield f"### `{kind}: {vendor.vendor}`{part}\n"
        for name in ("key", "model", "voice", "language"):
            if note := getattr(vendor, name):
                yield f"- {name if name == 'key' else f'`{name}`'}: {note}"
        yield ""
        yield from _tables(model, "settings", shared)


def _shared_section(model: Model, shared: Sequence[Model]) -> Iterator[str]:
    yield f"## {_title(model)}\n\n{_flat(model.__doc__ or '').replace('``', '`')}\n"
    yield from _tables(model, _title(model).lower(), shared)


def _title(model: Model) -> str:
    return model.__name__


def _tables(model: Model, path: str, shared: Sequence[Model]) -> Iterator[str]:
    """A table of the model's settings, and one for each block below it."""
    schema, parts = _schema(model)
    blocks, defaults = _blocks(model), _defaults(model)
    described: list[Model] = []
    yield f"| `{path}` | value | default | |\n|---|---|---|---|"
    for name, text in descriptions(model).items():
        value = _value(parts, schema["properties"][name])
        block = blocks.get(name)
        if block is not None and block in shared:
            text += f" See [{_title(block)}](#{_title(block).lower()})."
        cell = text.replace("|", "\\|")
        yield f"| `{name}` | {value} | {_default(defaults[name])} | {cell} |"
    yield ""
    for name, block in blocks.items():
        written = _flat(block.__doc__ or "").replace("``", "`")
        if block not in shared and block not in described:
            described.append(block)
            yield f"`{path}.{name}`: {written}\n"
            yield from _tables(block, f"{path}.{name}", shared)


def _value(parts: _Schema, field: _Schema) -> str:
    """What may be written, in words; empty goes without saying."""
    if "$ref" in field:
        return _value(parts, parts[field["$ref"].rpartition("/")[2]])
    options = [*field.get("anyOf", ()), *field.get("oneOf", ()), *field.get("allOf", ())]
    if options:
        words = [_value(parts, option) for option in options]
        return " or ".join(dict.fromkeys(word for word in words if word))
    if "const" in field or "enum" in field:
        values = field.get("enum", [field.get("const")])
        return ", ".join(f"`{json.dumps(value).strip(chr(34)) or '(empty)'}`" for value in values)
    return _plain(parts, field)


def _plain(parts: _Schema, field: _Schema) -> str:
    if "prefixItems" in field:
        return f"list of {len(field['prefixItems'])} {_value(parts, field['prefixItems'][0])}s"
    if field["type"] == "array":
        most = f", {field['maxItems']} at most" if "maxItems" in field else ""
        return f"list of {_value(parts, field['items'])}s{most}"
    if "properties" in field:
        return "block"
    names = {
        "integer": "whole number",
        "number": "number",
        "boolean": "`true` or `false`",
        "string": "text",
        "object": "named values",
        "null": "",
    }
    return f"{names[field['type']]}{_bounds(field)}"


def _bounds(field: _Schema) -> str:
    low, high = field.get("minimum"), field.get("maximum")
    above = field.get("exclusiveMinimum")
    if above is not None:
        return f", above {above:g}" + ("" if high is None else f", {high:.15g} at most")
    if low is not None and high is not None:
        return f", {low:.15g} to {high:.15g}"
    return f", at least {low:.15g}" if low is not None else ""


def _default(value: Any) -> str:
    if value is ...:
        return "required"
    if isinstance(value, BaseModel | msgspec.Struct):
        return "none"
    if value is None or value == "":
        return "empty"
    if isinstance(value, tuple | list):
        if not value:
            return "none"
        texts = ", ".join(str(item) for item in value)
        return texts if len(texts) <= 40 else "texts of its own"
    if isinstance(value, Mapping) and not value:
        return "none"
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"


def _flat(text: str) -> str:
    return " ".join(text.split())


def main() -> None:
    path = Path(sys.argv[1])
    path.write_text(insert(path.read_text(), reference()))


if __name__ == "__main__":
    main()

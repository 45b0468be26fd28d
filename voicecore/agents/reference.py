"""The reference of all fields of an agent file, written from the model itself.

    python -m voicecore.agents.reference docs/agent-file.md

replaces what stands between the two markers of the document."""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from voicecore.agents.model import Agent

START = "<!-- fields: start (python -m voicecore.agents.reference docs/agent-file.md) -->\n"
END = "<!-- fields: end -->\n"

_Schema = Mapping[str, Any]


def reference() -> str:
    """Markdown: a section for each block, with a table of its fields."""
    root = Agent.model_json_schema()
    return "\n".join(_sections(root, root, ""))


def insert(document: str, fields: str) -> str:
    """The document with ``fields`` between its markers.

    :raises ValueError: it has no markers."""
    before, start, rest = document.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise ValueError("the document has no markers for its fields")
    return f"{before}{START}\n{fields}\n{END}{after}"


def _sections(root: _Schema, block: _Schema, path: str) -> Iterator[str]:
    properties: _Schema = block["properties"]
    below: list[tuple[str, _Schema]] = []
    title = f"`{path}`" if path else "Top level"
    yield f"### {title}\n\n{_flat(block.get('description', ''))}\n"
    yield "| field | value | default | |\n|---|---|---|---|"
    for name, field in properties.items():
        blocks = _blocks(root, field)
        inner = f"{path}.{name}" if path else name
        for schema in blocks:
            tag = schema["properties"].get("type", {}).get("const")
            below.append((f"{inner}: {tag}" if tag else inner, schema))
        required = name in block.get("required", ())
        yield (
            f"| `{name}` | {_value(root, field)} | {_default(field, required, bool(blocks))} "
            f"| {_flat(_description(root, field))} |"
        )
    yield ""
    for inner, schema in below:
        yield from _sections(root, schema, inner)


def _options(root: _Schema, field: _Schema) -> list[_Schema]:
    if "$ref" in field:
        return [root["$defs"][field["$ref"].rpartition("/")[2]]]
    options = [*field.get("anyOf", ()), *field.get("oneOf", ())]
    return [leaf for option in options for leaf in _options(root, option)] or [field]


def _blocks(root: _Schema, field: _Schema) -> list[_Schema]:
    """The blocks that a field may hold, itself or in a list, each once."""
    found: list[_Schema] = []
    for option in _options(root, field):
        inner = _blocks(root, option["items"]) if "items" in option else [option]
        found += [schema for schema in inner if "properties" in schema and schema not in found]
    return found


def _value(root: _Schema, field: _Schema) -> str:
    names = [_kind(root, option) for option in _options(root, field)]
    return " or ".join(dict.fromkeys(name for name in names if name))


def _kind(root: _Schema, schema: _Schema) -> str:
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(
            f"`{json.dumps(value).strip(chr(34)) or '(empty)'}`" for value in schema["enum"]
        )
    if "items" in schema:
        items = _value(root, schema["items"])
        return f"list of ({items})" if " or " in items else f"list of {items}s"
    if "properties" in schema:
        return "block"
    plain = {"integer": "whole number", "number": "number", "boolean": "`true` or `false`"}
    words = {**plain, "string": "text", "object": "named values", "null": "empty"}
    return f"{words[schema['type']]}{_bounds(schema)}"


def _bounds(schema: _Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    return "" if low is None or high is None else f", {low} to {high}"


def _default(field: _Schema, required: bool, is_block: bool) -> str:
    if required:
        return "required"
    value = field.get("default")
    if is_block and value:
        return "see below"
    if value is None or value in ("", [], {}):
        return "none" if value == [] else "empty"
    if isinstance(value, dict):
        return f"`{json.dumps(value)}`"
    values = value if isinstance(value, list) else [value]
    return "; ".join(
        str(item) if isinstance(item, str) else f"`{json.dumps(item)}`" for item in values
    )


def _description(root: _Schema, field: _Schema) -> str:
    # A description that repeats its block's is left out of the schema.
    text: str = field.get("description") or _options(root, field)[0].get("description", "")
    return text


def _flat(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    path = Path(sys.argv[1])
    path.write_text(insert(path.read_text(), reference()))


if __name__ == "__main__":
    main()

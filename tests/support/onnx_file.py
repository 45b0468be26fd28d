"""Writes tiny ONNX models: the few messages of ONNX's protobuf that one layer takes.

``y = sigmoid(scale * mean(x) + bias)`` for each ``x`` of a batch."""

import struct
from pathlib import Path

FLOAT, DOUBLE = 1, 11
Size = int | str


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _value(name: str, kind: int, shape: tuple[Size, ...]) -> bytes:
    sizes = b"".join(
        _bytes(1, _number(1, size) if isinstance(size, int) else _bytes(2, size)) for size in shape
    )
    tensor = _number(1, kind) + _bytes(2, sizes)
    return _bytes(1, name) + _bytes(2, _bytes(1, tensor))


def _node(operator: str, inputs: str, output: str, attributes: bytes = b"") -> bytes:
    named = b"".join(_bytes(1, name) for name in inputs.split())
    return named + _bytes(2, output) + _bytes(4, operator) + attributes


def _whole(name: str, value: int) -> bytes:
    return _bytes(5, _bytes(1, name) + _number(3, value) + _number(20, 2))


def _wholes(name: str, value: int) -> bytes:
    return _bytes(5, _bytes(1, name) + _number(8, value) + _number(20, 7))


def _constant(name: str, value: float, kind: int) -> bytes:
    raw = struct.pack("<f" if kind == FLOAT else "<d", value)
    return _number(1, 1) + _number(2, kind) + _bytes(8, name) + _bytes(9, raw)


def write_model(
    path: Path,
    *,
    batch: Size = "batch",
    bands: Size = 80,
    frames: Size = 800,
    scale: float = 1.0,
    bias: float = 0.0,
    output: tuple[Size, ...] | None = None,
    last: str = "Sigmoid",
    kind: int = FLOAT,
    axis: int = 1,
) -> str:
    """``axis`` 0 gives one value for each feature instead."""
    nodes = (
        _node("Flatten", "features", "flat", _whole("axis", 1)),
        _node("ReduceMean", "flat", "mean", _wholes("axes", axis) + _whole("keepdims", 1)),
        _node("Mul", "mean scale", "scaled"),
        _node("Add", "scaled bias", "moved"),
        _node(last, "moved", "ends"),
    )
    graph = (
        b"".join(_bytes(1, node) for node in nodes)
        + _bytes(2, "tiny")
        + _bytes(5, _constant("scale", scale, kind))
        + _bytes(5, _constant("bias", bias, kind))
        + _bytes(11, _value("features", kind, (batch, bands, frames)))
        + _bytes(12, _value("ends", kind, output or ((batch, 1) if axis else (1, "values"))))
    )
    model = _number(1, 7) + _bytes(7, graph) + _bytes(8, _bytes(1, "") + _number(2, 13))
    path.write_bytes(model)
    return str(path)

"""The one thing that the pose landmark model of the 0.10.21 wheel lacks: its normalisation.

MediaPipe's Tasks API reads from the model itself how pixels become numbers: a metadata entry
`TFLITE_METADATA` with `NormalizationOptions`. The wheel's pose landmark model predates that rule,
so it gets a new *head*: a model table that points at every part of the old file, which follows
unchanged, and at the added metadata.

A FlatBuffer's references only point forward, hence a head and not a tail. It is written here, in
bytes that depend on nothing but the old file, because the result's sha256 is part of every bundle's
contract and the `flatbuffers` package lays out the same model differently from version to version
(24.3 and 25.12 do).

Formats: https://flatbuffers.dev/internals, TensorFlow Lite's schema.fbs and metadata_schema.fbs.
"""

import struct
from dataclasses import dataclass

# Fields of the tables, by their number in the schema.
_MODEL_VERSION, _MODEL_BUFFERS, _MODEL_METADATA, _MODEL_FIELDS = 0, 4, 6, 8
_METADATA_NAME, _METADATA_BUFFER, _BUFFER_DATA = 0, 1, 0
_ENTRY = b"TFLITE_METADATA"
_ALIGNMENT = 16


@dataclass(frozen=True)
class _Old:
    """A part of the old file, by its position there."""

    position: int


@dataclass(frozen=True)
class _Scalar:
    format: str
    value: int


@dataclass(frozen=True)
class _Bytes:
    data: bytes
    """The vector's elements, without a string's closing zero (the padding supplies it)."""
    count: int


@dataclass(frozen=True)
class _Vector:
    items: tuple["_Node", ...]


@dataclass(frozen=True)
class _Table:
    fields: dict[int, "_Node"]


_Node = _Old | _Scalar | _Bytes | _Vector | _Table


def _string(text: bytes) -> _Bytes:
    return _Bytes(text + b"\0", len(text))


def _floats(*values: float) -> _Bytes:
    return _Bytes(struct.pack(f"<{len(values)}f", *values), len(values))


def with_normalization(model: bytes, mean: float, std: float) -> bytes:
    """The TFLite model with `NormalizationOptions` (value - mean) / std for its image input.

    Args:
        model: a TFLite file without a `TFLITE_METADATA` entry.
        mean: on the scale of 0..255.
        std: likewise.

    Raises:
        ValueError: not a TFLite file, or it has such an entry already.
    """
    if model[4:8] != b"TFL3":
        raise ValueError("Expected a TFLite file (identifier TFL3)")
    root = _Reader(model).table(struct.unpack_from("<I", model)[0])
    entries = _Reader(model).vector(root[_MODEL_METADATA])
    if any(_Reader(model).string(e) == _ENTRY for e in entries):
        raise ValueError("The model already has TFLITE_METADATA")
    buffers = _Reader(model).vector(root[_MODEL_BUFFERS])
    document = _document(_normalization(mean, std), b"M001")
    added = _Table({_BUFFER_DATA: _Bytes(document, len(document))})
    entry = _Table({_METADATA_NAME: _string(_ENTRY), _METADATA_BUFFER: _Scalar("I", len(buffers))})
    version = struct.unpack_from("<I", model, root[_MODEL_VERSION])[0]
    fields: dict[int, _Node] = {n: _Old(_follow(model, at)) for n, at in root.items()}
    fields[_MODEL_VERSION] = _Scalar("I", version)
    fields[_MODEL_BUFFERS] = _Vector((*(_Old(b) for b in buffers), added))
    fields[_MODEL_METADATA] = _Vector((*(_Old(e) for e in entries), entry))
    return _document(_Table(fields), b"TFL3", model)


def _normalization(mean: float, std: float) -> _Table:
    """ModelMetadata > SubGraphMetadata > TensorMetadata > ProcessUnit > NormalizationOptions."""
    options = _Table({0: _floats(mean), 1: _floats(std)})
    unit = _Table({0: _Scalar("B", 1), 1: options})  # 1: the union's NormalizationOptions
    tensor = _Table({0: _string(b"image"), 4: _Vector((unit,))})
    return _Table({3: _Vector((_Table({2: _Vector((tensor,))}),))})


def _follow(data: bytes, at: int) -> int:
    return at + int(struct.unpack_from("<I", data, at)[0])


@dataclass(frozen=True)
class _Reader:
    data: bytes

    def table(self, at: int) -> dict[int, int]:
        """Field number -> where its value stands."""
        start = at - struct.unpack_from("<i", self.data, at)[0]
        size = struct.unpack_from("<H", self.data, start)[0]
        slots = struct.unpack_from(f"<{size // 2 - 2}H", self.data, start + 4)
        return {n: at + slot for n, slot in enumerate(slots[:_MODEL_FIELDS]) if slot}

    def vector(self, at: int) -> list[int]:
        """Positions of the elements of a vector of tables."""
        start = _follow(self.data, at)
        count = struct.unpack_from("<I", self.data, start)[0]
        return [_follow(self.data, start + 4 + 4 * i) for i in range(count)]

    def string(self, table: int) -> bytes:
        """The string in field 0 of a table."""
        start = _follow(self.data, self.table(table)[0])
        count = struct.unpack_from("<I", self.data, start)[0]
        return self.data[start + 4 : start + 4 + count]


class _Writer:
    """Lays nodes out one after the other; each reference is filled in when its target is placed."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.old: list[
            tuple[int, int]
        ] = []  # (where the reference stands, position in the old file)

    def pad(self, alignment: int, extra: int = 0) -> None:
        """Zeros until what comes `extra` bytes later is aligned."""
        self.out += bytes(-(len(self.out) + extra) % alignment)

    def refer(self, at: int, node: _Node) -> None:
        """Write `node` here and the distance to it at `at`."""
        if isinstance(node, _Old):
            self.old.append((at, node.position))
            return
        target = self.place(node)
        struct.pack_into("<I", self.out, at, target - at)

    def place(self, node: _Node) -> int:
        if isinstance(node, _Table):
            return self._table(node.fields)
        if isinstance(node, _Vector):
            self.pad(4)
            start = len(self.out)
            self.out += struct.pack("<I", len(node.items)) + bytes(4 * len(node.items))
            for i, item in enumerate(node.items):
                self.refer(start + 4 + 4 * i, item)
            return start
        assert isinstance(node, _Bytes)
        self.pad(_ALIGNMENT, extra=4)  # a buffer's data, which may be a document itself, is aligned
        start = len(self.out)
        self.out += struct.pack("<I", node.count) + node.data
        self.pad(4)
        return start

    def _table(self, fields: dict[int, _Node]) -> int:
        # Every field takes 4 bytes: all that are needed here are references and small numbers.
        slots = [0] * (max(fields) + 1)
        for i, number in enumerate(sorted(fields)):
            slots[number] = 4 + 4 * i
        size = 4 + 4 * len(fields)
        table = struct.pack(f"<{len(slots) + 2}H", 4 + 2 * len(slots), size, *slots)
        self.pad(4, extra=len(table))
        vtable = len(self.out)
        self.out += table
        start = len(self.out)
        self.out += struct.pack("<i", start - vtable) + bytes(4 * len(fields))
        for number, node in sorted(fields.items()):
            at = start + slots[number]
            if isinstance(node, _Scalar):
                struct.pack_into(f"<{node.format}", self.out, at, node.value)
            else:
                self.refer(at, node)
        return start


def _document(root: _Table, identifier: bytes, old: bytes = b"") -> bytes:
    writer = _Writer()
    writer.out += bytes(4) + identifier
    writer.refer(0, root)
    writer.pad(_ALIGNMENT)
    for at, position in writer.old:
        struct.pack_into("<I", writer.out, at, len(writer.out) + position - at)
    return bytes(writer.out) + old

# SPDX-License-Identifier: MIT
"""Compiles proto/ to descriptors that carry their comments."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from google.protobuf import descriptor_pb2 as pb
from grpc_tools import protoc


class SchemaError(Exception):
    """The schema does not compile; protoc has said why on standard error."""


def sources(root: Path) -> list[str]:
    """The names of all .proto files below root, as imports spell them."""
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*.proto"))


def run_protoc(root: Path, *options: str) -> None:
    """Runs the pinned protoc on every file below root."""
    well_known = resources.files("grpc_tools") / "_proto"
    arguments = ["protoc", f"-I{root}", f"-I{well_known}", *options, *sources(root)]
    if protoc.main(arguments) != 0:
        raise SchemaError(f"protoc refused the schema in {root}")


def compile_schema(root: Path) -> pb.FileDescriptorSet:
    """All files below root with their source information, and nothing that they import from elsewhere."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "schema.binpb")
        run_protoc(root, f"--descriptor_set_out={out}", "--include_source_info")
        return pb.FileDescriptorSet.FromString(out.read_bytes())


def without_comments(schema: pb.FileDescriptorSet) -> pb.FileDescriptorSet:
    """A copy that holds only what matters on the wire and to generated code."""
    bare = pb.FileDescriptorSet()
    bare.CopyFrom(schema)
    for file in bare.file:
        file.ClearField("source_code_info")
    return bare


@dataclass(frozen=True)
class Item:
    """One named thing of the schema. `kind` is message, field, oneof, enum or value."""

    kind: str
    name: str
    file: str
    line: int
    comment: str
    proto: (
        pb.DescriptorProto
        | pb.FieldDescriptorProto
        | pb.OneofDescriptorProto
        | pb.EnumDescriptorProto
        | pb.EnumValueDescriptorProto
    )
    parent: pb.DescriptorProto | pb.EnumDescriptorProto | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.kind} {self.name}"


def items(schema: pb.FileDescriptorSet) -> Iterator[Item]:
    """Every message, field, oneof, enum and enum value with its comment, in the order of the files."""
    for file in schema.file:
        yield from _file_items(file)


def _file_items(file: pb.FileDescriptorProto) -> Iterator[Item]:
    places = {tuple(place.path): place for place in file.source_code_info.location}

    def make(kind: str, name: str, path: tuple[int, ...], proto: object, parent: object = None) -> Item:
        place = places.get(path)
        comment = " ".join(place.leading_comments.split()) if place else ""
        line = place.span[0] + 1 if place else 0
        return Item(kind, name, file.name, line, comment, proto, parent)  # type: ignore[arg-type]

    def enum(proto: pb.EnumDescriptorProto, prefix: str, path: tuple[int, ...]) -> Iterator[Item]:
        name = f"{prefix}.{proto.name}"
        yield make("enum", name, path, proto)
        for index, value in enumerate(proto.value):
            yield make("value", f"{name}.{value.name}", (*path, 2, index), value, proto)

    def message(proto: pb.DescriptorProto, prefix: str, path: tuple[int, ...]) -> Iterator[Item]:
        name = f"{prefix}.{proto.name}"
        yield make("message", name, path, proto)
        for index, field in enumerate(proto.field):
            yield make("field", f"{name}.{field.name}", (*path, 2, index), field, proto)
        for index, oneof in enumerate(proto.oneof_decl):
            if not any(f.proto3_optional and f.oneof_index == index for f in proto.field):
                yield make("oneof", f"{name}.{oneof.name}", (*path, 8, index), oneof, proto)
        for index, nested in enumerate(proto.nested_type):
            yield from message(nested, name, (*path, 3, index))
        for index, nested_enum in enumerate(proto.enum_type):
            yield from enum(nested_enum, name, (*path, 4, index))

    for index, top in enumerate(file.message_type):
        yield from message(top, file.package, (4, index))
    for index, top_enum in enumerate(file.enum_type):
        yield from enum(top_enum, file.package, (5, index))

# SPDX-License-Identifier: MIT
"""The rules that proto/ keeps: prose on everything, and only what every supported code generator understands."""

from __future__ import annotations

import re

from google.protobuf import descriptor_pb2 as pb

from gates.schema import Item, items

Field = pb.FieldDescriptorProto

# An enum whose zero is a meaning of its own, with the reason in its comment.
MEANINGFUL_ZERO = {"sandd.v1.StartAt": "START_AT_OFFSET"}

ALLOWED_TYPES = {
    Field.TYPE_UINT32,
    Field.TYPE_UINT64,
    Field.TYPE_INT64,
    Field.TYPE_BOOL,
    Field.TYPE_STRING,
    Field.TYPE_BYTES,
    Field.TYPE_MESSAGE,
    Field.TYPE_ENUM,
}

SINCE = re.compile(r"\bSince [1-9][0-9]*\.$")
NAMES = {
    "message": re.compile(r"[A-Z][A-Za-z0-9]*"),
    "enum": re.compile(r"[A-Z][A-Za-z0-9]*"),
    "field": re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*"),
    "oneof": re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*"),
    "value": re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*"),
}
FRAME_KIND = re.compile(
    r"(Link|Control|Data) frame, (either side|daemon to server|server to daemon|sender of a channel)\b"
)


def lint(schema: pb.FileDescriptorSet) -> list[str]:
    """What breaks the rules, a line each."""
    found = [problem for file in schema.file for problem in _file(file)]
    for item in items(schema):
        found += [f"{item}: {problem}" for problem in _item(item)]
    return found + _recursion(schema)


def _file(file: pb.FileDescriptorProto) -> list[str]:
    found = []
    if file.syntax != "proto3":
        found.append(f"{file.name}: syntax is not proto3")
    if file.package != "sandd.v1":
        found.append(f"{file.name}: package is not sandd.v1")
    if file.service:
        found.append(f"{file.name}: the protocol has frames, not services")
    return found


def _item(item: Item) -> list[str]:
    found = []
    if not item.comment:
        found.append("has no comment")
    elif not SINCE.search(item.comment):
        found.append('its comment does not end with "Since N."')
    if not NAMES[item.kind].fullmatch(item.name.rpartition(".")[2]):
        found.append("is not named as the others are")
    if item.kind == "field":
        found += _field(item)
    if item.kind == "enum":
        found += _enum(item)
    return found


def _field(item: Item) -> list[str]:
    field = item.proto
    assert isinstance(field, Field)
    found = []
    if field.proto3_optional:
        found.append("is `optional`, which protoc-gen-c 1.4.1 refuses: use a sub-message or a one-member oneof")
    if field.type not in ALLOWED_TYPES:
        found.append(f"has the type {Field.Type.Name(field.type)}, which the schema does not use")
    if field.type == Field.TYPE_INT64 and not field.name.endswith("_ns"):
        found.append("is int64 but no time (*_ns): ids, offsets and sizes are uint64")
    if field.name.endswith("_ns") and (field.type != Field.TYPE_INT64 or "Unit: ns" not in item.comment):
        found.append('is a time: int64, with "Unit: ns" in its comment')
    in_frame = item.parent is not None and item.parent.name == "Frame" and field.HasField("oneof_index")
    if in_frame and not FRAME_KIND.match(item.comment):
        found.append('its comment does not begin with the kind and the sender, as "Link frame, either side"')
    return found


def _enum(item: Item) -> list[str]:
    enum = item.proto
    assert isinstance(enum, pb.EnumDescriptorProto)
    found = []
    prefix = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", enum.name).upper() + "_"
    zero = enum.value[0].name
    if zero != MEANINGFUL_ZERO.get(item.name, prefix + "UNSPECIFIED"):
        found.append(f"its zero is {zero}, not {prefix}UNSPECIFIED")
    if enum.options.allow_alias:
        found.append("has two names for one number")
    found += [
        f"its value {value.name} does not begin with {prefix}"
        for value in enum.value
        if not value.name.startswith(prefix)
    ]
    return found


def _recursion(schema: pb.FileDescriptorSet) -> list[str]:
    """A message that can hold itself lets a peer choose the depth of the decoder's stack."""
    inner: dict[str, set[str]] = {}
    for item in items(schema):
        if item.kind == "message":
            assert isinstance(item.proto, pb.DescriptorProto)
            inner[item.name] = {f.type_name.lstrip(".") for f in item.proto.field if f.type == Field.TYPE_MESSAGE}
    found = []
    for name in inner:
        reached: set[str] = set()
        new = inner[name]
        while new:
            reached |= new
            new = set().union(*(inner.get(other, set()) for other in new)) - reached
        if name in reached:
            found.append(f"message {name} can contain itself")
    return found

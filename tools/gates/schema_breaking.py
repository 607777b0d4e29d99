# SPDX-License-Identifier: MIT
"""Compares the schema with the released one, which may only grow."""

from __future__ import annotations

from google.protobuf import descriptor_pb2 as pb

from gates.schema import items

Field = pb.FieldDescriptorProto

# Messages whose reserved numbers are room for what is to come. Elsewhere a reserved number is never taken.
ROOM = {"sandd.v1.Frame"}


def breaking(released: pb.FileDescriptorSet, current: pb.FileDescriptorSet) -> list[str]:
    """What an old peer would misunderstand, or code written against the released schema would miss; a line each."""
    found = []
    old_enums, new_enums = _enums(released), _enums(current)
    for name, old_enum in old_enums.items():
        found += _enum(name, old_enum, new_enums[name]) if name in new_enums else [f"enum {name} is gone"]
    old_messages, new_messages = _messages(released), _messages(current)
    for name, old in old_messages.items():
        found += _message(name, old, new_messages[name]) if name in new_messages else [f"message {name} is gone"]
    return found


def additions(released: pb.FileDescriptorSet, current: pb.FileDescriptorSet) -> list[str]:
    """The names that the current schema has and the released one has not."""
    known = {(item.kind, item.name) for item in items(released)}
    return [f"{item.kind} {item.name}" for item in items(current) if (item.kind, item.name) not in known]


def _messages(schema: pb.FileDescriptorSet) -> dict[str, pb.DescriptorProto]:
    return {item.name: item.proto for item in items(schema) if isinstance(item.proto, pb.DescriptorProto)}


def _enums(schema: pb.FileDescriptorSet) -> dict[str, pb.EnumDescriptorProto]:
    return {item.name: item.proto for item in items(schema) if isinstance(item.proto, pb.EnumDescriptorProto)}


def _reserved(ranges: object, inclusive: bool) -> set[tuple[int, int]]:
    extra = 1 if inclusive else 0
    return {(r.start, r.end + extra) for r in ranges}  # type: ignore[attr-defined]


def _covers(ranges: set[tuple[int, int]], number: int) -> bool:
    return any(start <= number < end for start, end in ranges)


def _dropped(old: set[tuple[int, int]], new: set[tuple[int, int]], used: set[int]) -> list[int]:
    """Numbers that were reserved and now are neither reserved nor used: at most the first of each gap."""
    gaps = []
    for start, end in sorted(old):
        number = start
        while number < end:
            over = [e for s, e in new if s <= number < e]
            if over:
                number = max(over)
            elif number in used:
                number += 1
            else:
                gaps.append(number)
                break
    return gaps


def _enum(name: str, old: pb.EnumDescriptorProto, new: pb.EnumDescriptorProto) -> list[str]:
    found = []
    values = {value.number: value.name for value in new.value}
    for value in old.value:
        if value.number not in values:
            found.append(f"enum {name}: {value.name} = {value.number} is gone")
        elif values[value.number] != value.name:
            found.append(f"enum {name}: {value.number} was {value.name} and is now {values[value.number]}")
    was = _reserved(old.reserved_range, inclusive=True)
    known = {value.number for value in old.value}
    found += [
        f"enum {name}: {n} takes the reserved number {i}"
        for i, n in values.items()
        if i not in known and _covers(was, i)
    ]
    found += [
        f"enum {name}: {i} is no longer reserved"
        for i in _dropped(was, _reserved(new.reserved_range, True), set(values))
    ]
    return found


def _oneof(message: pb.DescriptorProto, field: Field) -> str:
    return message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""


def _message(name: str, old: pb.DescriptorProto, new: pb.DescriptorProto) -> list[str]:
    found = []
    fields = {field.number: field for field in new.field}
    for field in old.field:
        other = fields.get(field.number)
        where = f"message {name}: field {field.name} = {field.number}"
        if other is None:
            found.append(f"{where} is gone")
            continue
        if other.name != field.name:
            found.append(f"{where} is now called {other.name}")
        if (other.type, other.type_name) != (field.type, field.type_name):
            found.append(f"{where} has another type")
        if other.label != field.label:
            found.append(f"{where} is no longer {Field.Label.Name(field.label)[6:].lower()}")
        if _oneof(new, other) != _oneof(old, field):
            found.append(f"{where} moved from oneof {_oneof(old, field)!r} to {_oneof(new, other)!r}")
    was = _reserved(old.reserved_range, inclusive=False)
    known = {field.number for field in old.field}
    if name not in ROOM:
        found += [
            f"message {name}: field {field.name} takes the reserved number {number}"
            for number, field in fields.items()
            if number not in known and _covers(was, number)
        ]
    gaps = _dropped(was, _reserved(new.reserved_range, False), set(fields))
    found += [f"message {name}: {number} is no longer reserved" for number in gaps]
    gone = set(old.reserved_name) - set(new.reserved_name)
    found += [f"message {name}: the name {word} is no longer reserved" for word in sorted(gone)]
    return found

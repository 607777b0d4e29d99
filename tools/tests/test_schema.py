# SPDX-License-Identifier: MIT
"""Each rule of the schema gates fails on a schema that breaks it, and only then."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2 as pb

from gates.generate import status_table
from gates.schema import SchemaError, compile_schema
from gates.schema_breaking import additions, breaking
from gates.schema_lint import lint

GOOD = """
syntax = "proto3";
package sandd.v1;

// A colour. Since 1.
enum PaintColour {
  // Not said. Since 1.
  PAINT_COLOUR_UNSPECIFIED = 0;
  // Red. Since 1.
  PAINT_COLOUR_RED = 1;
  reserved 7 to 9;
}

// Paint. Since 1.
message Paint {
  // How much. Unit: bytes. Since 1.
  uint64 amount = 1;
  // Which. Since 1.
  repeated PaintColour colours = 2;
  // Where it comes from. Since 1.
  oneof origin {
    // A shop. Since 1.
    string shop = 3;
    // A number. Since 1.
    uint32 number = 4;
  }
  // How long it dries. Unit: ns. Since 1.
  int64 dry_ns = 5;
  reserved 20 to 29;
  reserved "smell";
}

// A wall. Since 1.
message Wall {
  // Its paint. Since 1.
  Paint paint = 1;
}

// The envelope. Since 1.
message Frame {
  // What it says. Since 1.
  oneof body {
    // Link frame, either side: a wall. Since 1.
    Wall wall = 1;
  }
  reserved 8 to 15;
}
"""


@pytest.fixture
def compiled(tmp_path: Path):
    def compile_text(text: str) -> pb.FileDescriptorSet:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        (folder / "sandd" / "v1").mkdir(parents=True)
        (folder / "sandd" / "v1" / "paint.proto").write_text(text)
        return compile_schema(folder)

    return compile_text


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) == 1, old
    return GOOD.replace(old, new)


def test_a_good_schema_has_no_complaints(compiled):
    assert lint(compiled(GOOD)) == []
    assert breaking(compiled(GOOD), compiled(GOOD)) == []


def test_a_schema_that_does_not_compile_is_an_error(compiled):
    with pytest.raises(SchemaError):
        compiled("message {")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("// Paint. Since 1.\n", "", "message sandd.v1.Paint: has no comment"),
        ("  // How much. Unit: bytes. Since 1.\n", "", "field sandd.v1.Paint.amount: has no comment"),
        ("// A colour. Since 1.\n", "", "enum sandd.v1.PaintColour: has no comment"),
        ("  // Red. Since 1.\n", "", "value sandd.v1.PaintColour.PAINT_COLOUR_RED: has no comment"),
        ("  // Where it comes from. Since 1.\n", "", "oneof sandd.v1.Paint.origin: has no comment"),
        ("// Red. Since 1.", "// Red.", 'PAINT_COLOUR_RED: its comment does not end with "Since N."'),
        (
            "// Paint. Since 1.",
            "// Paint. Since ever.",
            'message sandd.v1.Paint: its comment does not end with "Since N."',
        ),
        ("uint64 amount", "optional uint64 amount", "is `optional`"),
        ("uint64 amount", "double amount", "has the type TYPE_DOUBLE"),
        ("uint64 amount", "int64 amount", "is int64 but no time"),
        ("int64 dry_ns", "uint64 dry_ns", "is a time"),
        ("dries. Unit: ns.", "dries.", "is a time"),
        ("uint64 amount", "uint64 Amount", "is not named as the others are"),
        ("PAINT_COLOUR_UNSPECIFIED", "PAINT_COLOUR_BLUE", "its zero is PAINT_COLOUR_BLUE"),
        ("PAINT_COLOUR_RED", "RED", "does not begin with PAINT_COLOUR_"),
        ("Link frame, either side: a wall.", "A wall.", "does not begin with the kind and the sender"),
        (
            "  // How much. Unit",
            "  // A wall on it. Since 1.\n  Wall wall = 9;\n  // How much. Unit",
            "can contain itself",
        ),
        ("package sandd.v1;", "package sandd.v2;", "package is not sandd.v1"),
    ],
)
def test_lint_fails_on(compiled, old: str, new: str, complaint: str):
    found = lint(compiled(changed(old, new)))
    assert [line for line in found if complaint in line], found


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("  // How much. Unit: bytes. Since 1.\n  uint64 amount = 1;\n", "", "field amount = 1 is gone"),
        ("amount = 1;", "amount = 6;", "field amount = 1 is gone"),
        ("uint64 amount", "uint64 volume", "field amount = 1 is now called volume"),
        ("uint64 amount", "uint32 amount", "field amount = 1 has another type"),
        ("uint64 amount", "repeated uint64 amount", "field amount = 1 is no longer optional"),
        ("repeated PaintColour", "PaintColour", "field colours = 2 is no longer repeated"),
        ("oneof origin", "oneof source", "moved from oneof 'origin' to 'source'"),
        (
            "    // A number. Since 1.\n    uint32 number = 4;\n  }",
            "  }\n  // A number. Since 1.\n  uint32 number = 4;",
            "number = 4 moved",
        ),
        ("  // Red. Since 1.\n  PAINT_COLOUR_RED = 1;\n", "", "PAINT_COLOUR_RED = 1 is gone"),
        ("PAINT_COLOUR_RED = 1", "PAINT_COLOUR_RED = 2", "PAINT_COLOUR_RED = 1 is gone"),
        ("PAINT_COLOUR_RED", "PAINT_COLOUR_BLUE", "was PAINT_COLOUR_RED and is now PAINT_COLOUR_BLUE"),
        (
            "PAINT_COLOUR_RED = 1;\n  reserved 7 to 9;",
            "PAINT_COLOUR_RED = 1;\n  PAINT_COLOUR_NEW = 8;",
            "takes the reserved number 8",
        ),
        ("  reserved 7 to 9;\n", "", "enum sandd.v1.PaintColour: 7 is no longer reserved"),
        ("  reserved 20 to 29;", "  string new = 20;\n  reserved 21 to 29;", "field new takes the reserved number 20"),
        ("  reserved 20 to 29;", "  reserved 20 to 28;", "message sandd.v1.Paint: 29 is no longer reserved"),
        ('  reserved "smell";\n', "", "the name smell is no longer reserved"),
        ("  reserved 8 to 15;\n", "", "message sandd.v1.Frame: 8 is no longer reserved"),
        ("package sandd.v1;", "package sandd.v2;", "message sandd.v1.Paint is gone"),
    ],
)
def test_the_released_schema_is_broken_by(compiled, old: str, new: str, complaint: str):
    found = breaking(compiled(GOOD), compiled(changed(old, new)))
    assert [line for line in found if complaint in line], found


def test_growth_breaks_nothing_and_is_listed(compiled):
    grown = changed("int64 dry_ns = 5;", "int64 dry_ns = 5;\n  // A name. Since 2.\n  string name = 6;")
    grown = grown.replace("  reserved 8 to 15;", "  reserved 9 to 15;").replace(
        "    Wall wall = 1;",
        "    Wall wall = 1;\n    // Link frame, either side: paint. Since 2.\n    Paint paint = 8;",
    )
    old, new = compiled(GOOD), compiled(grown)
    assert lint(new) == []
    assert breaking(old, new) == []
    assert additions(old, new) == ["field sandd.v1.Paint.name", "field sandd.v1.Frame.paint"]
    assert additions(old, old) == []


def test_the_status_table_has_a_row_for_each_code(compiled):
    text = (
        GOOD
        + """
// Codes. Since 1.
enum StatusCode {
  // Nothing. Since 1.
  STATUS_CODE_UNSPECIFIED = 0;
  // This | that
  // happened. Since 3.
  STATUS_CODE_BOTH = 33;
}
"""
    )
    rows = [line for line in status_table(compiled(text)).splitlines() if line.startswith("|")][2:]
    assert rows == [
        "| 0 | `UNSPECIFIED` |  | Nothing. | 1 |",
        "| 33 | `BOTH` | 4033 | This &#124; that happened. | 3 |",
    ]

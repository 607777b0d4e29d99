# SPDX-License-Identifier: MIT
"""The gates on source text fail on what they are there for."""

from __future__ import annotations

from pathlib import Path

import pytest

from gates import text, tree

LICENCE = "// SPDX-License-Identifier: MIT\n"


@pytest.fixture
def judged(tmp_path: Path):
    def judge(gate, **files: str) -> list[str]:
        names = []
        for spelled, content in files.items():
            name = Path(spelled.replace("__", "/").replace("_h", ".h").replace("_c", ".c"))
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
            names.append(name)
        return gate(tmp_path, names)

    return judge


def test_a_source_without_licence_line_is_found(judged):
    assert judged(text.licence, server__a_c=LICENCE) == []
    assert judged(text.licence, tools__run=f"#!/bin/sh\n#{LICENCE[2:]}") == []
    assert judged(text.licence, server__a_c="// A file.\n" + LICENCE)
    assert judged(text.licence, server__a_c="")


def test_a_long_source_is_found(judged):
    assert judged(text.length, server__a_c="\n" * 700) == []
    assert judged(text.length, server__a_c="\n" * 701)


def test_a_link_to_nowhere_is_found(tmp_path: Path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/a.md").write_text("[b](../b.md#part), [c](https://c.example/x), [d](#d)\n")
    assert text.links(tmp_path, [Path("docs/a.md")])
    (tmp_path / "b.md").write_text("")
    assert text.links(tmp_path, [Path("docs/a.md")]) == []


@pytest.mark.parametrize(
    ("name", "line", "complaint"),
    [
        ("server__a_c", "#include <libwebsockets.h>", "only libsandd-net talks to libwebsockets"),
        ("daemon__a_c", "#  include <openssl/ssl.h>", "only libsandd-net talks to OpenSSL"),
        ("server__include__a_h", '#include "sandd/v1/packet.pb-c.h"', "generated types stay"),
        ("libsandd-net__a_c", "#include <protobuf-c/protobuf-c.h>", "generated types stay"),
        ("libsandd-proto__a_c", '#include "net.h"', "which libsandd-proto/ may not use"),
        ("daemon__a_c", "#include <sandd/server.h>", "which daemon/ may not use"),
        ("examples__a_c", '#include "net.h"', "which examples/ may not use"),
        ("server__a_c", "#ifdef __linux__", "daemon/platform"),
        ("daemon__a_c", "#if defined(X) && defined(_WIN32)", "daemon/platform"),
        ("libsandd-proto__a_c", "int f(void) { return socket(1, 2, 3); }", "calls socket()"),
        ("libsandd-proto__a_c", "char *f(void) { return getenv(name); }", "calls getenv()"),
        ("libsandd-proto__a_c", "#include <time.h>", "includes time.h"),
    ],
)
def test_a_layer_is_broken_by(judged, name: str, line: str, complaint: str):
    headers = {"libsandd-net__net_h": LICENCE, "server__include__sandd__server_h": LICENCE}
    found = judged(text.layers, **headers, **{name: f"{LICENCE}{line}\n"})
    assert [said for said in found if complaint in said], found


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("libsandd-net__a_c", "#include <libwebsockets.h>"),
        ("libsandd-proto__a_c", '#include "sandd/v1/packet.pb-c.h"'),
        ("libsandd-proto__tests__test_a_c", "#include <time.h>"),
        ("libsandd-proto__a_c", "int f(config *c) { return c->random(c->user) + c->io.send(1); }"),
        ("libsandd-proto__a_c", "// never calls socket() or getenv(x)\nint end_time(void);"),
        ("daemon__platform__linux__a_c", "#ifdef __linux__"),
        ("server__a_c", '#include "net.h"'),
        ("server__src__a_c", '#include "sandd/v1/packet.pb-c.h"'),
        ("daemon__a_c", "#include <sys/server.h>\n#include <net.h>"),
        ("examples__a_c", "#include <sandd/server.h>"),
    ],
)
def test_a_layer_is_kept_by(judged, name: str, line: str):
    headers = {"libsandd-net__net_h": LICENCE, "server__include__sandd__server_h": LICENCE}
    assert judged(text.layers, **headers, **{name: f"{LICENCE}{line}\n"}) == []


def test_generated_code_is_no_source():
    top = Path(__file__).resolve().parents[2]
    names = tree.sources(top)
    assert Path("Makefile") in names
    assert not [name for name in names if name.parts[0] == "gen"]
    assert Path("tools/check") in tree.python_sources(top)

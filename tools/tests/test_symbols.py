# SPDX-License-Identifier: MIT
"""tools/check-symbols fails when a library exports more or less than it promises."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

CHECK = Path(__file__).resolve().parents[1] / "check-symbols"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    (folder / "a.c").write_text("int sandd_a(void) { return 1; }\nint sandd_b(void) { return 2; }\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", "liba.so", "a.c"], cwd=folder, check=True)
    return folder / "liba.so"


@pytest.mark.parametrize(
    ("promised", "code", "said"),
    [
        ("# two\nsandd_a\nsandd_b  # the second\n", 0, ""),
        ("sandd_a\n", 1, "> sandd_b"),
        ("sandd_a\nsandd_b\nsandd_c\n", 1, "< sandd_c"),
        ("", 1, "> sandd_a"),
    ],
)
def test_the_list_is_compared_with_the_library(library: Path, tmp_path: Path, promised: str, code: int, said: str):
    (tmp_path / "list").write_text(promised)
    done = subprocess.run([CHECK, library, tmp_path / "list"], capture_output=True, text=True)
    assert done.returncode == code
    assert said in done.stderr


def test_a_library_without_exports_is_an_error(tmp_path: Path):
    (tmp_path / "a.c").write_text("static int a; int main(void) { return a; }\n")
    subprocess.run(["cc", "-shared", "-fPIC", "-fvisibility=hidden", "-o", "liba.so", "a.c"], cwd=tmp_path, check=True)
    (tmp_path / "list").write_text("")
    assert subprocess.run([CHECK, tmp_path / "liba.so", tmp_path / "list"], capture_output=True).returncode == 1

# SPDX-License-Identifier: MIT
"""What `cmake --install` gives is enough to build a program with, by pkg-config and by CMake, from anywhere."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SANDD_BUILD_DIR", TOP / "build"))
EXAMPLES = sorted((TOP / "examples").glob("*.c"))


def run(*command: object, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prefix that was installed to and then moved, so that nothing may depend on the place."""
    folder = tmp_path_factory.mktemp("install")
    run("cmake", "--install", BUILD, "--prefix", folder / "first", cwd=folder)
    shutil.move(folder / "first", folder / "prefix")
    return folder / "prefix"


def libdir(prefix: Path) -> Path:
    (found,) = prefix.rglob("libsandd-server.so")
    return found.parent


def assert_runs(program: Path, prefix: Path) -> None:
    """The program finds every library and symbol of its own."""
    needed = run("ldd", "-r", program, cwd=prefix, LD_LIBRARY_PATH=str(libdir(prefix)))
    assert "not found" not in needed
    assert "undefined symbol" not in needed
    assert str(libdir(prefix)) in needed


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_builds_with_pkg_config(installed: Path, tmp_path: Path, example: Path):
    flags = run(
        "pkg-config",
        "--cflags",
        "--libs",
        "sandd-server",
        cwd=tmp_path,
        PKG_CONFIG_PATH=str(libdir(installed) / "pkgconfig"),
    )
    run("cc", "-std=c11", "-Wall", "-Wextra", "-Werror", example, "-o", "program", *flags.split(), cwd=tmp_path)
    assert_runs(tmp_path / "program", installed)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_builds_with_cmake(installed: Path, tmp_path: Path, example: Path):
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.22)\n"
        "project(user C)\n"
        "find_package(sandd 0.1 REQUIRED)\n"
        f"add_executable(program {example})\n"
        "target_link_libraries(program PRIVATE sandd::server)\n"
    )
    run("cmake", "-S", ".", "-B", "out", f"-DCMAKE_PREFIX_PATH={installed}", cwd=tmp_path)
    run("cmake", "--build", "out", cwd=tmp_path)
    assert_runs(tmp_path / "out" / "program", installed)


def test_each_installed_header_stands_alone(installed: Path, tmp_path: Path):
    headers = sorted(path.relative_to(installed / "include") for path in (installed / "include").rglob("*.h"))
    assert Path("sandd/server.h") in headers
    for header in headers:
        (tmp_path / "one.c").write_text(f"#include <{header}>\nint main(void) {{ return 0; }}\n")
        run(
            "cc",
            "-std=c11",
            "-pedantic",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-fsyntax-only",
            f"-I{installed}/include",
            "one.c",
            cwd=tmp_path,
        )


def test_programs_are_installed_and_name_their_version(installed: Path, tmp_path: Path):
    said = run(installed / "bin" / "sandd", "--version", cwd=tmp_path)
    assert "0.1.0" in said

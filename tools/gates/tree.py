# SPDX-License-Identifier: MIT
"""The sources of the project: what git knows or would know, without what is generated."""

from __future__ import annotations

import subprocess
from pathlib import Path


def all_files(top: Path) -> list[Path]:
    """Every file that is committed or could be, relative to top."""
    try:
        listing = subprocess.run(
            ["git", "-C", str(top), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            check=True,
            capture_output=True,
        ).stdout.decode()
        names = [Path(name) for name in listing.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):  # an unpacked archive
        names = [
            path.relative_to(top)
            for path in top.rglob("*")
            if not path.relative_to(top).parts[0].startswith((".git", "build"))
        ]
    return sorted(name for name in set(names) if (top / name).is_file())


def sources(top: Path, *suffixes: str) -> list[Path]:
    """Those with one of the suffixes, or any if none is given, that people write."""
    return [name for name in all_files(top) if name.parts[0] != "gen" and (not suffixes or name.suffix in suffixes)]


def python_sources(top: Path) -> list[Path]:
    """Python files, programs without a suffix included."""
    found = sources(top, ".py", ".pyi")
    for name in sources(top, ""):
        with (top / name).open("rb") as file:
            if b"python" in file.readline(80) and name.parts[0] == "tools":
                found.append(name)
    return sorted(found)

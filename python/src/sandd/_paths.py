# SPDX-License-Identifier: MIT
"""Where the package's own files are."""

from __future__ import annotations

from pathlib import Path


def package_program() -> Path | None:
    """The daemon program that was installed with the package, if there is one."""
    path = Path(__file__).parent / "bin" / "sandd"
    return path if path.exists() else None

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes the C source of the extension sandd._ffi from the public headers themselves, so that the two can't differ.

build_ffi.py --out _ffi.c HEADER ...
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import cffi


def declarations(header: str) -> str:
    """The declarations of a header, as cffi's parser takes them: without comments and preprocessor lines."""
    text = re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)
    text = re.sub(r"//[^\n]*", "", text)
    text = re.sub(r"#ifdef __cplusplus\n.*?\n#endif", "", text, flags=re.DOTALL)
    text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*$", "", text, flags=re.MULTILINE)
    return re.sub(r"\bSANDD_API\b", "", text)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", required=True)
    parser.add_argument("headers", nargs="+", type=Path)
    arguments = parser.parse_args()
    builder = cffi.FFI()
    for path in arguments.headers:
        builder.cdef(declarations(path.read_text()))
    builder.set_source("sandd._ffi", "#include <sandd/server.h>\n", py_limited_api=True)
    builder.emit_c_code(arguments.out)


if __name__ == "__main__":
    main()

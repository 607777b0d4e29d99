#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Encodes golden/*.txtpb to golden/*.bin with protoc, an encoder that is not ours: packets.py [--check] [PROTOC].

--check writes nothing and fails when a committed .bin differs from what protoc makes; 77: no protoc."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
PROTO = HERE.parents[2] / "proto"


def encode(protoc: str, text: bytes) -> bytes:
    command = [protoc, f"--proto_path={PROTO}", "--encode=sandd.v1.Packet", "sandd/v1/packet.proto"]
    return subprocess.run(command, input=text, stdout=subprocess.PIPE, check=True).stdout


def main() -> int:
    args = sys.argv[1:]
    check = "--check" in args
    protoc = next((a for a in args if a != "--check"), None) or shutil.which("protoc")
    if not protoc:
        print("there is no protoc here", file=sys.stderr)
        return 77
    stale = []
    for source in sorted(HERE.glob("*.txtpb")):
        made, target = encode(protoc, source.read_bytes()), source.with_suffix(".bin")
        if target.exists() and target.read_bytes() == made:
            continue
        stale.append(source.name)
        if not check:
            target.write_bytes(made)
    orphans = [b.name for b in HERE.glob("*.bin") if not b.with_suffix(".txtpb").exists()]
    if orphans or (check and stale):
        print("differ from their text:", *stale, *orphans, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

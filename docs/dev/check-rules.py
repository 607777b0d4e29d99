#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks PROTOCOL.md: its numbered rules, its status table and its worked examples.

    python3 docs/dev/check-rules.py [--write] [FILE]

Fails when a rule is out of order, doubled, not atomic or badly formed, when MUST or SHOULD stands outside a rule, when
a reference names no rule, when the status table differs from proto/sandd/v1/status.proto, or when a hex block is not
what `protoc --encode` makes of the textproto block before it. --write fills the hex blocks in. A missing protoc is a
failure.
"""

import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROTO = ROOT / "proto"
RULE = re.compile(r"^- \*\*(R-\d{3})\*\* (\S.*)$")
KEYWORD = re.compile(r"\b(?:MUST|SHOULD)(?: NOT)?\b")
EXAMPLE = re.compile(r"^```textproto\n(.*?)^```\n+```hex\n(.*?)^```$", re.M | re.S)
STATUS_ROW = re.compile(r"^\| (\d+) \| `([A-Z_]+)` \|", re.M)
STATUS_ENUM = re.compile(r"^\s*STATUS_CODE_([A-Z_]+) = (\d+);", re.M)


def check_rules(text: str) -> Iterator[tuple[int, str]]:
    """Yields (line number, what is wrong) for the numbered rules."""
    seen: set[str] = set()
    last = 0
    for number, line in enumerate(text.splitlines(), 1):
        match = RULE.match(line)
        if not match:
            if KEYWORD.search(line):
                yield number, "MUST or SHOULD outside a numbered rule"
            if "**R-" in line:
                yield number, "a rule that is not '- **R-nnn** sentence'"
            continue
        rule, sentence = match.groups()
        if rule in seen:
            yield number, f"{rule} is there twice"
        elif int(rule[2:]) <= last:
            yield number, f"{rule} comes after R-{last:03d}"
        seen.add(rule)
        last = max(last, int(rule[2:]))
        if len(KEYWORD.findall(sentence)) != 1:
            yield number, f"{rule} does not have exactly one MUST or SHOULD"
        if not sentence.endswith(".") or re.search(r"[.!?] [A-Z]", sentence):
            yield number, f"{rule} is not a single sentence"
    if not seen:
        yield 1, "no rule at all"
    for number, line in enumerate(text.splitlines(), 1):
        for rule in re.findall(r"R-\d{3}", line):
            if rule not in seen:
                yield number, f"{rule} does not exist"


def check_status(text: str) -> Iterator[tuple[int, str]]:
    """Yields (line number, what is wrong) for the table of status codes."""
    schema = {(int(n), name) for name, n in STATUS_ENUM.findall((PROTO / "sandd/v1/status.proto").read_text())}
    table = {(int(n), name) for n, name in STATUS_ROW.findall(text)}
    for n, name in sorted(schema ^ table):
        yield 1, f"status {n} {name} is only in the {'schema' if (n, name) in schema else 'table'}"


def encode(textproto: str) -> str:
    """The bytes of one Packet in text form, as lines of hex."""
    command = ["protoc", f"--proto_path={PROTO}", "--encode=sandd.v1.Packet", "sandd/v1/packet.proto"]
    done = subprocess.run(command, input=textproto.encode(), capture_output=True, check=False)
    if done.returncode:
        raise ValueError(done.stderr.decode().strip())
    digits = done.stdout.hex()
    return "".join(digits[i : i + 64] + "\n" for i in range(0, len(digits), 64))


def check_examples(text: str) -> Iterator[tuple[int, str]]:
    """Yields (line number, what is wrong) for the worked examples."""
    if not EXAMPLE.search(text):
        yield 1, "no example"
    for match in EXAMPLE.finditer(text):
        number = text.count("\n", 0, match.start()) + 1
        try:
            if encode(match[1]) != match[2]:
                yield number, "the hex is not what protoc makes of this text (--write mends it)"
        except (OSError, ValueError) as error:
            yield number, f"protoc: {error}"


def main() -> int:
    arguments = [a for a in sys.argv[1:] if a != "--write"]
    path = pathlib.Path(arguments[0]) if arguments else ROOT / "PROTOCOL.md"
    text = path.read_text(encoding="utf-8")
    if "--write" in sys.argv[1:]:
        text = EXAMPLE.sub(lambda m: f"```textproto\n{m[1]}```\n\n```hex\n{encode(m[1])}```", text)
        path.write_text(text, encoding="utf-8")
    wrong = [*check_rules(text), *check_status(text), *check_examples(text)]
    for number, what in wrong:
        print(f"{path.name}:{number}: {what}", file=sys.stderr)
    print(f"{path.name}: {sum(bool(RULE.match(line)) for line in text.splitlines())} rules, {len(wrong)} mistakes")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

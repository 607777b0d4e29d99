#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Turns one rule of the protocol off after the other, and shows that the simulator notices: mutants.py SIMULATOR.

SIMULATOR is sandd-sim-faulty. Prints a table: rule, what it says, the seed that fails without it, what the oracle saw.
Exits with 1 when a rule can be turned off without a failure."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys

LEAST = 16  # rules that must be there to be turned off
FAILED = re.compile(r"FAIL seed=(\d+) .*? ms: (.*)")


def without(simulator: str, rule: str, cuts: int, timeout: int) -> tuple[str, str] | None:
    """The seed that fails without the rule and what the oracle saw; None: it saw nothing, or there was no verdict."""
    command = [simulator, "--quiet", "--rule-off", rule, "--cuts", str(cuts)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return None
    found = FAILED.search(done.stdout) if done.returncode == 1 else None
    return (found[1], found[2]) if found else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("simulator")
    parser.add_argument("--cuts", type=int, default=100_000, help="disconnections to try with each rule off")
    parser.add_argument("--timeout", type=int, default=300, help="seconds for one rule")
    args = parser.parse_args()
    listed = subprocess.run([args.simulator, "--list"], capture_output=True, text=True, check=True).stdout
    rules = [line.split("\t", 1) for line in listed.splitlines()]
    base = subprocess.run([args.simulator, "--quiet", "--cuts", "5000"], capture_output=True, text=True)
    if base.returncode != 0:
        print("with every rule on the simulator fails already:", base.stdout.strip(), file=sys.stderr)
        return 1
    survivors = 0
    print(f"{'rule':17} {'seed':>5}  {'what it says':70}  what was seen without it")
    for name, text in rules:
        seen = without(args.simulator, name, args.cuts, args.timeout)
        survivors += seen is None
        seed, what = seen or ("-", f"NOTHING, or no verdict, in {args.cuts} disconnections")
        print(f"{name:17} {seed:>5}  {text:70}  {what[:90]}", flush=True)
    print(f"rules: {len(rules) - survivors} passed, {survivors} failed")
    return 1 if survivors or len(rules) < LEAST else 0


if __name__ == "__main__":
    sys.exit(main())

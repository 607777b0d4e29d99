# SPDX-License-Identifier: MIT
"""What several tests need."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

#: Under a sanitizer everything takes longer.
SLOWNESS = float(os.environ.get("SANDD_TEST_SLOWNESS", "1"))


def until(condition: Callable[[], T], what: str, seconds: float = 20.0, shown: Callable[[], object] | None = None) -> T:
    """Waits until the condition holds, and gives what it gave; fails with `what` after so many seconds."""
    deadline = time.monotonic() + seconds * SLOWNESS
    pause = 0.001
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}" + (f" ({shown()})" if shown else ""))
        time.sleep(pause)
        pause = min(pause * 2, 0.05)
    return value


def open_descriptors() -> set[str]:
    """What this process has open: number and target of each, but for the libraries' own lasting ones."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if target.startswith(("/dev/", "/proc/", "/etc/")):
            continue
        found.add(f"{name}={target}")
    return found


def children(pid: int | None = None) -> set[int]:
    """The direct children of a process (this one), ended ones that nobody waited for included."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid or os.getpid()}/task").iterdir():
        try:
            found.update(int(word) for word in (task / "children").read_text().split())
        except OSError:
            continue
    return found


def descendants(pid: int) -> set[int]:
    """The children of a process, their children, and so on."""
    found: set[int] = set()
    todo = [pid]
    while todo:
        try:
            new = children(todo.pop()) - found
        except OSError:
            continue
        found |= new
        todo += new
    return found


def alive(pid: int) -> bool:
    """True if the process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def marked(mark: str) -> list[int]:
    """The living processes of the machine with `mark` in their command line or in their environment, but for ours."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            words = Path(f"/proc/{name}/cmdline").read_bytes() + Path(f"/proc/{name}/environ").read_bytes()
        except OSError:
            continue
        if mark.encode() in words and alive(int(name)):
            found.append(int(name))
    return found


def resident(pid: int) -> int:
    """Resident memory of a process, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0

# SPDX-License-Identifier: MIT
"""After many commands of every kind a daemon is as it was: no zombie, descriptor, stream or memory more."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

from helpers import children, descendants, resident, until

import sandd
from sandd.testing import LocalDaemon

MIB = 1024 * 1024
MEASURED = "SANDD_SANITIZER" not in os.environ  # a sanitizer keeps what was freed for a while


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def every_kind(server: sandd.Server, name: str) -> None:
    """One command of each kind of end."""
    server.exec(name, "echo x; exit 3")
    server.exec(name, "head -c 300000 /dev/zero", input=b"y" * 100_000, max_output=1000)
    for command, options in (("sleep 60", {"timeout": 0.01}), (["no-such-program"], {}), ("true", {"cwd": "/none"})):
        with contextlib.suppress(sandd.SanddError):
            server.exec(name, command, **options)
    with server.popen(name, "sleep 60 & sleep 60", stdin=sandd.PIPE) as process:
        process.kill()
    with contextlib.suppress(KeyError), server.popen(name, "cat /dev/zero"):
        raise KeyError


def test_nothing_is_left_of_many_commands(server: sandd.Server, daemon: LocalDaemon) -> None:
    (proper,) = children(daemon.pid)
    every_kind(server, daemon.id)

    def state() -> tuple[int, list[str]]:
        below = []
        for pid in descendants(proper):
            with contextlib.suppress(OSError):
                below.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ") or "(zombie)")
        return server.get_stats()["streams"], sorted(below)

    def idle() -> bool:
        streams, below = state()
        return streams == 0 and not any(word in line for line in below for word in ("sleep", "zero", "(zombie)"))

    until(idle, "it is idle", 20, state)
    before, memory = descriptors(proper), resident(proper)

    def some() -> None:
        for _ in range(5):
            every_kind(server, daemon.id)

    threads = [threading.Thread(target=some) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(idle, "it is idle again", 20, state)
    until(lambda: descriptors(proper) <= before, "no descriptor is left", 20, lambda: descriptors(proper) - before)
    assert not MEASURED or resident(proper) - memory < 16 * MIB


def test_finished_commands_without_an_id_keep_no_memory(server: sandd.Server, daemon: LocalDaemon) -> None:
    (proper,) = children(daemon.pid)
    for _ in range(10):
        server.exec(daemon.id, "head -c 5000000 /dev/zero")
    memory, ours = resident(proper), resident(os.getpid())
    for _ in range(60):
        server.exec(daemon.id, "head -c 5000000 /dev/zero")
    assert not MEASURED or resident(proper) - memory < 16 * MIB
    assert not MEASURED or resident(os.getpid()) - ours < 32 * MIB

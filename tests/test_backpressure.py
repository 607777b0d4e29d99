# SPDX-License-Identifier: MIT
"""A reader that stops holds the writer; memory stays flat at both ends; others go on."""

from __future__ import annotations

import os
import time

from helpers import alive, descendants, resident, until

import sandd
from sandd.testing import LocalDaemon

MIB = 1024 * 1024


def written(pid: int) -> int:
    """Bytes that a process has written so far."""
    with open(f"/proc/{pid}/io") as file:
        return int(next(line for line in file if line.startswith("wchar:")).split()[1])


def test_a_reader_that_stops_holds_the_writer_and_memory_stays_flat(server: sandd.Server, daemon: LocalDaemon) -> None:
    server.exec(daemon.id, ["true"])
    tree = {daemon.pid} | descendants(daemon.pid)
    before = sum(resident(pid) for pid in tree)
    ours = resident(os.getpid())
    with server.popen(daemon.id, ["cat", "/dev/zero"]) as process:
        assert process.stdout is not None
        process.stdout.read(MIB)
        count = written(process.pid)

        def stands() -> bool:
            nonlocal count
            now, count = count, written(process.pid)
            time.sleep(0.3)
            return now == count == written(process.pid)

        until(stands, "the writer stands", 30)
        assert count < 100 * MIB
        assert sum(resident(pid) for pid in tree) - before < 48 * MIB
        assert resident(os.getpid()) - ours < 96 * MIB
        # Others are not held up, and it goes on when it is read.
        assert server.exec(daemon.id, "echo fine").stdout == "fine\n"
        for _ in range(200):
            assert len(process.stdout.read(MIB)) == MIB
        process.kill()
    assert not alive(process.pid)


def test_a_process_that_does_not_read_holds_our_write(server: sandd.Server, daemon: LocalDaemon) -> None:
    ours = resident(os.getpid())
    with server.popen(daemon.id, "read go < /dev/stdin; sleep 1; exec cat | wc -c", stdin=sandd.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"go\n")
        chunk = bytes(MIB)
        for _ in range(100):
            process.stdin.write(chunk)
        process.stdin.close()
        assert int(process.stdout.read()) == 100 * MIB
    assert resident(os.getpid()) - ours < 96 * MIB

# SPDX-License-Identifier: MIT
"""Timeouts, cancels and what they leave behind: nothing."""

from __future__ import annotations

import subprocess
import threading
import time
import uuid

import pytest
from helpers import marked, until

import sandd
from sandd.testing import LocalDaemon

# A tree whose members ignore TERM, left their session, and lost their parent.
STUBBORN_TREE = """
trap '' TERM
(trap '' TERM; setsid sh -c 'trap "" TERM; sleep 1000; : '"$MARK" &)
sh -c 'trap "" TERM; sleep 1000; : '"$MARK" &
echo begun
wait; sleep 1000
"""


def test_a_timeout_raises_with_the_result_so_far(server: sandd.Server, daemon: LocalDaemon) -> None:
    with pytest.raises(TimeoutError, match="timed out") as caught:
        server.exec(daemon.id, "echo so far; sleep 60", timeout=0.5)
    error = caught.value
    assert isinstance(error, sandd.CommandTimeout)
    assert isinstance(error, subprocess.TimeoutExpired)
    assert error.timeout == 0.5
    result = error.result
    assert result is not None
    assert (result.stdout, result.timed_out, result.success) == ("so far\n", True, False)
    assert result.signal == "SIGTERM"
    assert 500 <= result.duration_ms < 10_000


def test_a_timeout_kills_the_whole_tree(server: sandd.Server, daemon: LocalDaemon) -> None:
    mark = f"mark-{uuid.uuid4()}"
    with pytest.raises(sandd.CommandTimeout) as caught:
        server.exec(daemon.id, STUBBORN_TREE, timeout=0.5, grace=0.3, env={"MARK": mark})
    assert caught.value.result is not None
    assert caught.value.result.signal == "SIGKILL"
    until(lambda: not marked(mark), "nothing of the tree is left", 5, lambda: marked(mark))


def test_a_program_that_ends_within_the_grace_says_how(server: sandd.Server, daemon: LocalDaemon) -> None:
    with pytest.raises(sandd.CommandTimeout) as caught:
        server.exec(daemon.id, "trap 'echo bye; exit 7' TERM; while :; do sleep 0.05; done", timeout=0.3)
    result = caught.value.result
    assert result is not None
    assert (result.stdout, result.exit_code, result.timed_out) == ("bye\n", 7, True)


def test_an_idle_timeout_counts_from_the_last_output(server: sandd.Server, daemon: LocalDaemon) -> None:
    busy = "for i in 1 2 3 4 5 6; do echo $i; sleep 0.2; done"
    assert server.exec(daemon.id, busy, idle_timeout=1).success
    with pytest.raises(sandd.CommandTimeout, match="no output"):
        server.exec(daemon.id, "echo once; sleep 60", idle_timeout=0.4)


def test_no_timeout_means_none(server: sandd.Server, daemon: LocalDaemon) -> None:
    assert server.exec(daemon.id, "sleep 0.2; echo ok", timeout=None).stdout == "ok\n"


def test_a_popen_timeout_is_seen_in_wait(server: sandd.Server, daemon: LocalDaemon) -> None:
    with server.popen(daemon.id, "sleep 60", timeout=0.3) as process:
        assert process.wait(20) == -15
        assert process.timed_out


def test_kill_reaches_everything_that_it_started(server: sandd.Server, daemon: LocalDaemon) -> None:
    mark = f"mark-{uuid.uuid4()}"
    with server.popen(daemon.id, STUBBORN_TREE, env={"MARK": mark}) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.kill()
        assert process.wait(20) == -9
    until(lambda: not marked(mark), "nothing of the tree is left", 5, lambda: marked(mark))


def test_dropping_a_process_kills_it_and_warns(server: sandd.Server, daemon: LocalDaemon) -> None:
    mark = f"mark-{uuid.uuid4()}"
    process = server.popen(daemon.id, ["sleep", "1000"], env={"MARK": mark})
    assert marked(mark)
    with pytest.warns(ResourceWarning, match="dropped while it runs"):
        del process
    until(lambda: not marked(mark), "it is killed", 10)


def test_leaving_a_with_statement_by_an_exception_kills(server: sandd.Server, daemon: LocalDaemon) -> None:
    mark = f"mark-{uuid.uuid4()}"
    with pytest.raises(KeyError), server.popen(daemon.id, ["sleep", "1000"], env={"MARK": mark}):
        raise KeyError
    until(lambda: not marked(mark), "it is killed", 10)


def test_one_slow_command_blocks_no_other(server: sandd.Server, daemon: LocalDaemon) -> None:
    slow = threading.Thread(target=lambda: server.exec(daemon.id, "sleep 3"))
    slow.start()
    begin = time.monotonic()
    for _ in range(20):
        assert server.exec(daemon.id, ["true"]).success
    assert time.monotonic() - begin < 2.5
    slow.join()

# SPDX-License-Identifier: MIT
"""Daemons that restart, stop, are killed, or exist twice: nothing left behind, nothing run twice, nothing unsaid."""

from __future__ import annotations

import os
import signal
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import alive, children, marked, until
from proxy import Proxy

import sandd
from sandd.testing import LocalDaemon, local_daemon

Local = Callable[..., LocalDaemon]


def test_a_restart_loses_the_session_and_says_that_the_outcome_is_unknown(
    server: sandd.Server, daemon: LocalDaemon, tmp_path: Path
) -> None:
    process = server.popen(daemon.id, f"echo run >> {tmp_path}/runs; echo begun; sleep 1000")
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    daemon.kill()
    daemon.process = daemon._start()
    daemon.wait_connected()
    with pytest.raises(sandd.SessionLost) as caught:
        process.stdout.read()
    assert isinstance(caught.value, ConnectionError)
    with pytest.raises(sandd.SessionLost):
        process.wait(10)
    assert (tmp_path / "runs").read_text() == "run\n"
    assert server.exec(daemon.id, "echo ok").stdout == "ok\n"


def test_exec_raises_session_lost_with_what_came(server: sandd.Server, daemon: LocalDaemon, tmp_path: Path) -> None:
    errors: list[sandd.SanddError] = []

    def call() -> None:
        try:
            server.exec(daemon.id, f"echo so far; touch {tmp_path}/begun; sleep 1000", wait=60)
        except sandd.SanddError as error:
            errors.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    until((tmp_path / "begun").exists, "it runs")
    # Control frames come in order: when this one is answered, the start of the other is known, too.
    server.exec(daemon.id, "true")
    daemon.kill()
    daemon.process = daemon._start()
    caller.join(30)
    assert isinstance(errors[0], sandd.SessionLost)
    assert errors[0].may_have_run
    assert errors[0].result is not None
    assert not errors[0].result.success
    assert errors[0].result.exit_code == -1


def test_a_retry_on_a_restarted_daemon_never_runs_twice(
    server: sandd.Server, daemon: LocalDaemon, tmp_path: Path
) -> None:
    line = f"echo run >> {tmp_path}/runs"
    first = server.exec(daemon.id, line, exec_id="once")
    daemon.restart()
    with pytest.raises(sandd.FailedPrecondition):
        server.exec(daemon.id, line, exec_id="once", instance=first.instance, age=5)
    assert (tmp_path / "runs").read_text() == "run\n"


def test_term_says_goodbye_and_leaves_no_child(server: sandd.Server, local: Local) -> None:
    daemon = local()
    mark = f"mark-{uuid.uuid4()}"
    process = server.popen(daemon.id, "trap '' TERM; setsid sleep 1000 & sleep 1000", env={"MARK": mark})
    until(lambda: len(marked(mark)) >= 3, "they run")
    assert daemon.stop() == 0
    assert not marked(mark)
    assert server.get_daemon(daemon.id) is None
    assert process.wait(10) == -9
    with pytest.raises(sandd.DaemonNotFound):
        server.exec(daemon.id, "true")


@pytest.mark.parametrize("who", ["guard", "daemon", "both"])
def test_killed_with_sigkill_no_child_is_left(server: sandd.Server, local: Local, who: str) -> None:
    daemon = local()
    mark = f"mark-{uuid.uuid4()}"
    process = server.popen(daemon.id, "setsid sleep 1000 & trap '' TERM; sleep 1000", env={"MARK": mark})
    until(lambda: len(marked(mark)) >= 3, "they run")
    below = [pid for pid in children(daemon.pid) if "sandd" in Path(f"/proc/{pid}/cmdline").read_text()]
    assert below, "the guard has the daemon below it"
    if who != "daemon":
        os.kill(daemon.pid, signal.SIGKILL)
    if who != "guard":
        os.kill(below[0], signal.SIGKILL)
    daemon.process.wait(20)
    if who != "both":
        until(lambda: not marked(mark), "nothing is left", 10, lambda: marked(mark))
    until(lambda: not alive(below[0]), "the daemon is gone", 10)
    # With both gone at the same moment nobody is left to clean up.
    for pid in marked(mark):
        os.kill(pid, signal.SIGKILL)
    assert process.returncode is None


def test_a_second_daemon_of_the_same_id_is_refused_while_the_first_lives(
    server: sandd.Server, daemon: LocalDaemon
) -> None:
    first = server.get_daemon(daemon.id)
    assert first is not None
    with local_daemon(server, daemon.id, wait=0) as second:
        until(lambda: "ALREADY_CONNECTED" in second.log() or "already" in second.log().lower(), "it is told", 20)
        info = server.get_daemon(daemon.id)
        assert info is not None
        assert info.instance == first.instance
        assert server.exec(daemon.id, ["true"]).success


def test_a_new_daemon_takes_the_place_of_one_whose_line_is_dead(
    server: sandd.Server, far_daemon: LocalDaemon, proxy: Proxy
) -> None:
    old = server.get_daemon(far_daemon.id)
    assert old is not None
    proxy.blackhole()
    with local_daemon(server, far_daemon.id, wait=0):

        def replaced() -> bool:
            info = server.get_daemon(far_daemon.id)
            return info is not None and info.instance != old.instance

        until(replaced, "the new one is there", 15)
        assert server.exec(far_daemon.id, "echo new").stdout == "new\n"
        far_daemon.stop()


def test_a_daemon_comes_back_when_the_server_was_restarted(local: Local, server: sandd.Server) -> None:
    port = server.port
    daemon = local(reconnect_interval=0.2)
    server.close()
    with sandd.Server("127.0.0.1", port) as again:
        assert again.wait_for_daemon(daemon.id, 20)
        assert again.exec(daemon.id, "echo again").stdout == "again\n"
        daemon.stop()


def test_the_daemon_program_names_a_bad_option() -> None:
    import subprocess

    from sandd.testing import find_program

    for option, value in (("--reconnect-interval", "soon"), ("--server-url", "ftp://x"), ("--log-level", "loud")):
        words = [find_program(), "--server-url", "ws://127.0.0.1:1", option, value]
        done = subprocess.run(words, capture_output=True, text=True, timeout=20)
        assert done.returncode == 2
        assert option in done.stderr
    done = subprocess.run([find_program(), "--version"], capture_output=True, text=True, timeout=20)
    assert done.stdout.startswith("sandd ")

# SPDX-License-Identifier: MIT
"""popen(): a running command with its pipes, as subprocess.Popen has them."""

from __future__ import annotations

import io
import signal
import subprocess
import threading
import time
from typing import Any

import pytest

import sandd
from sandd.testing import LocalDaemon


def test_output_is_read_while_it_runs(server: sandd.Server, daemon: LocalDaemon) -> None:
    with server.popen(daemon.id, "echo first; read answer; echo got $answer", stdin=sandd.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"first\n"
        assert process.poll() is None
        process.stdin.write(b"it\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"got it\n"
        assert process.stdout.read() == b""
        assert process.wait(10) == 0
        assert process.returncode == process.poll() == 0


def test_the_pipes_are_real_file_objects(server: sandd.Server, daemon: LocalDaemon) -> None:
    with server.popen(daemon.id, ["cat"], stdin=sandd.PIPE) as process:
        assert isinstance(process.stdin, io.BufferedWriter)
        assert isinstance(process.stdout, io.BufferedReader)
        assert process.stdout.readable()
        assert not process.stdout.seekable()
        process.stdin.writelines([b"1\n", b"2\n"])
        process.stdin.close()
        assert list(process.stdout) == [b"1\n", b"2\n"]


def test_text_mode_decodes_and_replaces(server: sandd.Server, daemon: LocalDaemon) -> None:
    with server.popen(daemon.id, ["cat"], stdin=sandd.PIPE, text=True, bufsize=1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("grün\n")
        assert process.stdout.readline() == "grün\n"
        process.stdin.buffer.write(b"\xff\n")  # type: ignore[attr-defined]
        process.stdin.close()
        assert process.stdout.read() == "�\n"


def test_the_pid_is_that_of_the_process(server: sandd.Server, daemon: LocalDaemon) -> None:
    with server.popen(daemon.id, ["sh", "-c", "echo $$"], stdout=sandd.PIPE) as process:
        assert process.stdout is not None
        assert int(process.stdout.read()) == process.pid


@pytest.mark.parametrize("sig", [signal.SIGUSR1, "SIGUSR1", "USR1", int(signal.SIGUSR1)])
def test_a_signal_reaches_the_process(server: sandd.Server, daemon: LocalDaemon, sig: Any) -> None:
    line = "trap 'echo caught; exit 5' USR1; echo ready; while :; do sleep 0.05; done"
    with server.popen(daemon.id, line) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(sig)
        assert process.stdout.readline() == b"caught\n"
        assert process.wait(10) == 5


def test_a_signal_that_does_not_exist_is_a_value_error(server: sandd.Server, daemon: LocalDaemon) -> None:
    with server.popen(daemon.id, ["sleep", "60"]) as process:
        with pytest.raises(ValueError, match="signal"):
            process.send_signal(1000)
        process.terminate()
        assert process.wait(10) == -15
        assert process.signal == "SIGTERM"
        process.send_signal(signal.SIGTERM)  # too late, and no error


def test_wait_times_out_as_popen_does_and_the_process_goes_on(server: sandd.Server, daemon: LocalDaemon) -> None:
    with server.popen(daemon.id, ["sleep", "60"]) as process:
        begin = time.monotonic()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
        assert 0.2 <= time.monotonic() - begin < 5
        with pytest.raises(TimeoutError, match="timed out"):
            process.wait(timeout=0)
        assert process.poll() is None
        process.kill()
        assert process.wait() == -9


def test_communicate_gives_everything(server: sandd.Server, daemon: LocalDaemon) -> None:
    with server.popen(daemon.id, "cat; echo err >&2", stdin=sandd.PIPE) as process:
        data = bytes(range(256)) * 20_000
        assert process.communicate(data) == (data, b"err\n")
        assert process.returncode == 0


def test_communicate_in_text(server: sandd.Server, daemon: LocalDaemon) -> None:
    process = server.popen(daemon.id, ["cat"], stdin=sandd.PIPE, stderr=sandd.STDOUT, text=True)
    assert process.communicate("ä\n") == ("ä\n", None)


def test_communicate_after_a_timeout_misses_nothing(server: sandd.Server, daemon: LocalDaemon) -> None:
    process = server.popen(daemon.id, "echo one; sleep 0.7; echo two")
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=0.2)
    assert process.communicate(timeout=20) == (b"one\ntwo\n", b"")


def test_devnull_throws_away(server: sandd.Server, daemon: LocalDaemon) -> None:
    line = "head -c 5000000 /dev/zero; head -c 5000000 /dev/zero >&2; cat"
    process = server.popen(daemon.id, line, stdin=sandd.DEVNULL, stdout=sandd.DEVNULL, stderr=None)
    assert (process.stdin, process.stdout, process.stderr) == (None, None, None)
    assert process.wait(20) == 0


def test_closing_an_output_lets_the_process_go_on(server: sandd.Server, daemon: LocalDaemon) -> None:
    with server.popen(daemon.id, "head -c 50000000 /dev/zero; exit 3") as process:
        assert process.stdout is not None
        assert process.stdout.read(10) == bytes(10)
        process.stdout.close()
        assert process.wait(30) == 3


def test_writing_to_a_process_that_has_ended_is_a_broken_pipe(server: sandd.Server, daemon: LocalDaemon) -> None:
    process = server.popen(daemon.id, "read x; echo $x", stdin=sandd.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"one\n")
    process.stdin.flush()
    assert process.stdout.read() == b"one\n"
    assert process.wait(10) == 0
    with pytest.raises(BrokenPipeError):
        process.stdin.write(b"x" * 1_000_000)
    process.stdin.write(b"y")
    with pytest.raises(BrokenPipeError):
        process.stdin.close()
    # communicate() knows that this happens.
    assert server.popen(daemon.id, "exit 3", stdin=sandd.PIPE).communicate(b"x" * 1_000_000) == (b"", b"")


def test_the_exit_code_is_known_before_the_output_is_read(server: sandd.Server, daemon: LocalDaemon) -> None:
    with server.popen(daemon.id, "echo x; exit 9") as process:
        assert process.wait(10) == 9
        assert process.stdout is not None
        assert process.stdout.read() == b"x\n"


def test_two_threads_may_read_and_a_third_wait(server: sandd.Server, daemon: LocalDaemon) -> None:
    with server.popen(daemon.id, "seq 100000 & seq 100000 >&2; wait") as process:
        got: dict[str, bytes] = {}
        threads = [
            threading.Thread(target=lambda n=name, p=pipe: got.__setitem__(n, p.read()))
            for name, pipe in (("out", process.stdout), ("err", process.stderr))
        ]
        for thread in threads:
            thread.start()
        assert process.wait(30) == 0
        for thread in threads:
            thread.join()
        assert got["out"] == got["err"] == "".join(f"{n}\n" for n in range(1, 100_001)).encode()


@pytest.mark.parametrize("options", [{"stdin": 5}, {"stdout": 3}, {"stdout": sandd.STDOUT}, {"mode": "attach"}])
def test_options_that_make_no_sense_are_value_errors(
    server: sandd.Server, daemon: LocalDaemon, options: dict[str, Any]
) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        server.popen(daemon.id, ["true"], **options)


def test_repr_says_what_runs_where(server: sandd.Server, daemon: LocalDaemon) -> None:
    with server.popen(daemon.id, ["sleep", "60"]) as process:
        assert repr(process) == f"<Process 'sleep 60' on {daemon.id!r}: pid {process.pid}, running>"
        process.kill()
        process.wait()
        assert repr(process).endswith("returncode=-9>")


def test_a_kept_command_can_be_attached_to(server: sandd.Server, daemon: LocalDaemon) -> None:
    line = "echo begun; read x; echo got $x"
    first = server.popen(daemon.id, line, stdin=sandd.PIPE, exec_id="kept", keep=True)
    assert first.stdout is not None
    assert first.stdout.readline() == b"begun\n"
    first.detach()
    with server.popen(daemon.id, None, mode="attach", exec_id="kept", stdin=sandd.PIPE) as second:
        assert second.pid == first.pid
        assert second.stdin is not None
        assert second.stdout is not None
        second.stdin.write(b"y\n")
        second.stdin.close()
        assert second.stdout.read() == b"begun\ngot y\n"
        assert second.wait(10) == 0
    with pytest.raises(sandd.NotFound):
        server.popen(daemon.id, None, mode="attach", exec_id="never-was")

# SPDX-License-Identifier: MIT
"""The Server object: listening, closing, threads, signals, forks, callbacks, logging."""

from __future__ import annotations

import errno
import gc
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from typing import Any

import pytest
from helpers import until

import sandd
from sandd.testing import LocalDaemon, local_daemon


def test_port_0_is_any_free_one_and_address_tells_which() -> None:
    with sandd.Server("127.0.0.1", 0) as server:
        assert server.port > 0
        assert server.address == f"127.0.0.1:{server.port}"
        assert server.url == f"ws://127.0.0.1:{server.port}/ws"
        assert repr(server) == f"Server(address=127.0.0.1:{server.port}, daemons=0)"
        socket.create_connection(("127.0.0.1", server.port)).close()


def test_an_address_in_use_is_an_error() -> None:
    with sandd.Server("127.0.0.1", 0) as server, pytest.raises(OSError, match=str(server.port)) as caught:
        sandd.Server("127.0.0.1", server.port)
    assert isinstance(caught.value, sandd.ListenError)
    assert caught.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize("host", ["no-such-host.invalid", "203.0.113.7", "300.1.1.1"])
def test_a_host_that_can_not_be_is_an_error(host: str) -> None:
    with pytest.raises(sandd.ListenError, match=host.split(".", maxsplit=1)[0]):
        sandd.Server(host, 0)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_can_not_be_is_a_value_error(port: int) -> None:
    with pytest.raises(ValueError, match="port"):
        sandd.Server("127.0.0.1", port)


def test_twenty_servers_on_one_port_in_turn_by_dropping_the_last_reference() -> None:
    # An address of this process's own: nobody else may take the port as soon as it is free.
    host = f"127.{os.getpid() % 250 + 2}.{os.getpid() // 250 % 250}.7"
    server: sandd.Server | None = sandd.Server(host, 0)
    assert server is not None
    port = server.port
    server = None
    for _ in range(20):
        server = sandd.Server(host, port)
        with local_daemon(server) as daemon:
            assert server.exec(daemon.id, ["true"]).success
            server = None
            with pytest.raises(OSError):  # noqa: PT011
                socket.create_connection((host, port)).close()


def test_nothing_keeps_a_server_alive() -> None:
    gc.collect()
    gc.disable()
    try:
        server = sandd.Server("127.0.0.1", 0)
        with local_daemon(server) as daemon:
            server.exec(daemon.id, ["true"])
            process = server.popen(daemon.id, ["true"])
            process.wait(10)
            process.communicate()
            server.broadcast(None, "true")
        reference = weakref.ref(server)
        del server, daemon
        assert reference() is None
    finally:
        gc.enable()


def test_a_callback_that_knows_its_server_is_collected_with_it() -> None:
    def make() -> int:
        server = sandd.Server("127.0.0.1", 0)
        server.on_connect(lambda daemon: server.exec(daemon, "true"))
        return server.port

    port = make()
    gc.collect()
    sandd.Server("127.0.0.1", port).close()


def test_closed_is_closed_and_twice_is_fine(daemon: LocalDaemon, server: sandd.Server) -> None:
    process = server.popen(daemon.id, ["sleep", "60"])
    server.close()
    server.close()
    for call in (
        lambda: server.exec(daemon.id, "true"),
        lambda: server.popen(daemon.id, "true"),
        lambda: server.broadcast(None, "true"),
        lambda: server.list_daemons(),
        lambda: server.get_daemon("x"),
        lambda: server.daemon_count(),
        lambda: server.wait_for_daemon("x", 1),
        lambda: server.get_stats(),
        lambda: process.wait(5),
        lambda: process.stdout.read(),  # type: ignore[union-attr]
    ):
        with pytest.raises(sandd.ServerClosed):
            call()
    assert repr(server) == f"Server(address={server.address}, closed)"


def test_close_wakes_those_who_wait(server: sandd.Server, daemon: LocalDaemon) -> None:
    errors: list[BaseException] = []

    def call(function: Any, *arguments: Any) -> None:
        try:
            function(*arguments)
        except sandd.SanddError as error:
            errors.append(error)

    threads = [
        threading.Thread(target=call, args=(server.exec, daemon.id, "sleep 1000")),
        threading.Thread(target=call, args=(server.wait_for_daemon, "nobody", 1000)),
        threading.Thread(target=call, args=(server.popen(daemon.id, "sleep 1000").wait,)),
    ]
    for thread in threads:
        thread.start()
    until(lambda: server.get_stats()["streams"] == 2, "they wait")
    server.close()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert [type(error) for error in errors] == [sandd.ServerClosed] * 3


def test_64_threads_may_call_one_server(server: sandd.Server, daemon: LocalDaemon) -> None:
    failures: list[object] = []

    def call(number: int) -> None:
        for turn in range(10):
            result = server.exec(daemon.id, f"echo {number} {turn}")
            if result.stdout != f"{number} {turn}\n":
                failures.append(result)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_thousand_sleeps_at_once_on_one_daemon(server: sandd.Server, daemon: LocalDaemon) -> None:
    begin = time.monotonic()
    running = [server.popen(daemon.id, ["sleep", "1"], stdout=None, stderr=None) for _ in range(1000)]
    assert {process.wait(60) for process in running} == {0}
    assert time.monotonic() - begin < 30


# Run in a process of its own: SIGINT goes to it alone.
CTRL_C = """
import os, signal, sys, threading, time
import sandd
from sandd.testing import local_daemon
with sandd.Server("127.0.0.1", 0) as server, local_daemon(server) as daemon:
    process = server.popen(daemon.id, "sleep 1000", stdin=sandd.PIPE)
    what = {
        "exec": lambda: server.exec(daemon.id, "sleep 1000", env={"MARK": sys.argv[2]}),
        "wait_for_daemon": lambda: server.wait_for_daemon("nobody", 1000),
        "read": lambda: process.stdout.read(),
        "wait": lambda: process.wait(),
        "write": lambda: process.stdin.write(bytes(1 << 30)),
    }[sys.argv[1]]
    def interrupt():
        time.sleep(0.7)
        print(time.monotonic(), flush=True)
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        what()
    except KeyboardInterrupt:
        print(time.monotonic(), flush=True)
    # An interrupted exec is cancelled; the other process goes on.
    while server.get_stats()["streams"] > 1:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert server.exec(daemon.id, "echo ok").stdout == "ok\\n"
    print("done")
"""


@pytest.mark.parametrize("what", ["exec", "wait_for_daemon", "read", "wait", "write"])
def test_ctrl_c_interrupts_a_waiting_call_at_once(what: str) -> None:
    done = subprocess.run([sys.executable, "-c", CTRL_C, what, "mark"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    sent, caught, last = done.stdout.splitlines()
    assert float(caught) - float(sent) < 0.3
    assert last == "done"


def test_a_signal_handler_that_returns_lets_the_call_go_on(server: sandd.Server, daemon: LocalDaemon) -> None:
    seen: list[int] = []
    old = signal.signal(signal.SIGALRM, lambda number, frame: seen.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
        assert server.exec(daemon.id, "sleep 0.6; echo ok").stdout == "ok\n"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert len(seen) >= 3


def test_after_a_fork_the_childs_handles_are_dead_and_the_parents_live(
    server: sandd.Server, daemon: LocalDaemon
) -> None:
    process = server.popen(daemon.id, "read x; echo $x", stdin=sandd.PIPE)
    port = server.port
    ready, tell = os.pipe()
    go, release = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            for call in (lambda: server.exec(daemon.id, "true"), lambda: process.wait(5)):
                try:
                    call()
                    os._exit(2)
                except sandd.SanddError:
                    pass
            if os.environ.get("SANDD_SANITIZER") != "tsan":  # which can't make a thread in a forked child
                with sandd.Server("127.0.0.1", 0) as own:
                    assert own.daemon_count() == 0
            os.write(tell, b"x")
            os.read(go, 1)
            code = 0
        finally:
            os._exit(code)
    os.close(tell)
    assert os.read(ready, 1) == b"x"
    assert process.stdin is not None
    process.stdin.write(b"still here\n")
    process.stdin.close()
    assert process.stdout is not None
    assert process.stdout.read() == b"still here\n"
    assert server.exec(daemon.id, "echo ok").stdout == "ok\n"
    # The child lives, and keeps neither port nor connection.
    server.close()
    sandd.Server("127.0.0.1", port).close()
    os.write(release, b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    for descriptor in (ready, go, release):
        os.close(descriptor)
    process.stdout.close()


def test_callbacks_tell_who_comes_and_goes(server: sandd.Server) -> None:
    told: list[tuple[str, sandd.DaemonInfo]] = []

    @server.on_connect
    def come(daemon: sandd.DaemonInfo) -> None:
        told.append(("come", daemon))
        raise RuntimeError("a callback that fails")

    server.on_connect(lambda daemon: told.append(("too", daemon)))
    server.on_disconnect(lambda daemon: told.append(("go", daemon)))
    with local_daemon(server, labels={"role": "test"}) as daemon:
        until(lambda: len(told) == 2, "both are told")
    until(lambda: len(told) == 3, "its end is told")
    assert [(what, info.id) for what, info in told] == [("come", daemon.id), ("too", daemon.id), ("go", daemon.id)]
    assert dict(told[0][1].labels) == dict(told[2][1].labels) == {"role": "test"}


def test_a_callback_may_use_the_server(server: sandd.Server) -> None:
    said: list[str] = []
    server.on_connect(lambda daemon: said.append(server.exec(daemon, "echo hello").stdout))
    with local_daemon(server):
        until(lambda: said == ["hello\n"], "the callback's command ran")


def test_a_failing_callback_is_logged(server: sandd.Server, caplog: pytest.LogCaptureFixture) -> None:
    @server.on_connect
    def fail(daemon: sandd.DaemonInfo) -> None:
        raise RuntimeError("on purpose")

    with caplog.at_level(logging.INFO, "sandd"), local_daemon(server):
        until(lambda: "on purpose" in caplog.text, "it is logged")


def test_the_logger_speaks_and_nothing_is_printed(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG, "sandd"), sandd.Server("127.0.0.1", 0, verbose=True) as server:
        with local_daemon(server) as daemon:
            server.exec(daemon.id, "true")
            until(lambda: daemon.id in caplog.text, "the daemon is in the log")
    logging.getLogger("sandd").setLevel(logging.NOTSET)
    assert capfd.readouterr() == ("", "")


# Neither closed nor waited for.
EXIT = """
import threading, sandd
from sandd.testing import local_daemon
server = sandd.Server("127.0.0.1", 0)
daemon = local_daemon(server)
process = server.popen(daemon.id, "sleep 1000")
threading.Thread(target=lambda: server.exec(daemon.id, "sleep 1000"), daemon=True).start()
threading.Thread(target=lambda: process.stdout.read(), daemon=True).start()
server.on_disconnect(print)
while server.get_stats()["streams"] < 2:
    pass
daemon.process.terminate()
raise SystemExit(7)
"""


def test_the_interpreter_may_end_at_any_moment() -> None:
    begin = time.monotonic()
    done = subprocess.run([sys.executable, "-c", EXIT], capture_output=True, text=True, timeout=60)
    assert done.returncode == 7, done.stderr
    assert "Fatal" not in done.stderr
    assert time.monotonic() - begin < 20

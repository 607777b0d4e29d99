# SPDX-License-Identifier: MIT
"""A connection that is cut in the middle changes nothing: output complete, in order, and run once."""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path

import pytest
from helpers import alive, until
from proxy import Proxy

import sandd
from sandd.testing import LocalDaemon


def test_a_cut_in_mid_command_changes_nothing(
    server: sandd.Server, far_daemon: LocalDaemon, proxy: Proxy, tmp_path: Path
) -> None:
    line = f"echo run >> {tmp_path}/runs; for i in $(seq 100); do echo $i; sleep 0.01; done"
    with server.popen(far_daemon.id, line) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        assert proxy.cut() == 1
        rest = process.stdout.read()
        assert rest == "".join(f"{n}\n" for n in range(2, 101)).encode()
        assert process.wait(10) == 0
    assert proxy.accepted == 2
    assert (tmp_path / "runs").read_text() == "run\n"


@pytest.mark.parametrize("direction", ["up", "down"])
def test_cuts_at_any_byte_of_a_big_output_lose_nothing(
    server: sandd.Server, far_daemon: LocalDaemon, proxy: Proxy, direction: str
) -> None:
    expected = hashlib.sha256("".join(f"{n}\n" for n in range(1, 3_000_001)).encode()).hexdigest()
    done = threading.Event()

    def cut_on() -> None:
        step = 100_000 if direction == "up" else 150
        while not done.is_set():
            accepted = proxy.accepted
            proxy.cut_after(step, direction)
            step = step * 3 // 2 + 7
            until(lambda at=accepted: proxy.accepted > at or done.is_set(), "it is back", 30)  # type: ignore[misc]

    cutter = threading.Thread(target=cut_on)
    cutter.start()
    try:
        with server.popen(far_daemon.id, "seq 3000000") as process:
            assert process.stdout is not None
            digest = hashlib.sha256()
            while chunk := process.stdout.read(65536):
                digest.update(chunk)
            assert process.wait(10) == 0
    finally:
        done.set()
        cutter.join()
    assert digest.hexdigest() == expected
    assert proxy.accepted > 2


def test_input_is_not_lost_or_doubled_by_cuts(server: sandd.Server, far_daemon: LocalDaemon, proxy: Proxy) -> None:
    data = b"".join(b"%d\n" % n for n in range(500_000))
    with server.popen(far_daemon.id, ["sha256sum"], stdin=sandd.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for index, start in enumerate(range(0, len(data), 400_000)):
            process.stdin.write(data[start : start + 400_000])
            process.stdin.flush()
            if index % 2:
                proxy.cut()
        process.stdin.close()
        assert process.stdout.read().split()[0].decode() == hashlib.sha256(data).hexdigest()


def test_exec_waits_for_a_daemon_that_comes_back(server: sandd.Server, far_daemon: LocalDaemon, proxy: Proxy) -> None:
    proxy.refuse()
    proxy.cut()
    until(lambda: server.get_daemon(far_daemon.id) is None, "the server sees it")
    timer = threading.Timer(0.5, proxy.resume)
    timer.start()
    assert server.exec(far_daemon.id, "echo back", wait=20).stdout == "back\n"
    timer.join()


def test_wait_0_fails_at_once_and_says_since_when(server: sandd.Server, far_daemon: LocalDaemon, proxy: Proxy) -> None:
    proxy.refuse()
    before = time.time()
    proxy.cut()
    until(lambda: server.get_daemon(far_daemon.id) is None, "the server sees it")
    begin = time.monotonic()
    with pytest.raises(sandd.DaemonAway, match=r"not found.*since.*has not run") as caught:
        server.exec(far_daemon.id, "true", wait=0)
    assert time.monotonic() - begin < 1
    error = caught.value
    assert isinstance(error, ConnectionError)
    assert isinstance(error, ValueError)
    assert error.since is not None
    assert before - 2 <= error.since <= time.time()
    assert error.may_have_run is False


def test_a_daemon_that_stays_away_ends_the_wait(server: sandd.Server, far_daemon: LocalDaemon, proxy: Proxy) -> None:
    proxy.refuse()
    proxy.cut()
    until(lambda: server.get_daemon(far_daemon.id) is None, "the server sees it")
    begin = time.monotonic()
    with pytest.raises(sandd.DaemonAway):
        server.exec(far_daemon.id, "true", wait=0.5)
    assert 0.4 <= time.monotonic() - begin < 5


def test_a_silent_line_is_noticed_and_the_command_goes_on(
    server: sandd.Server, far_daemon: LocalDaemon, proxy: Proxy
) -> None:
    with server.popen(far_daemon.id, "echo a; sleep 1; echo b; sleep 1; echo c") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"a\n"
        proxy.blackhole()
        # Three missed heartbeats of one second.
        until(lambda: server.get_daemon(far_daemon.id) is None, "the server gives the connection up", 15)
        proxy.cut()
        proxy.resume()
        assert process.stdout.read() == b"b\nc\n"
        assert process.wait(10) == 0


def test_the_caller_returns_though_the_daemon_is_away_and_the_command_is_cancelled(
    server: sandd.Server, far_daemon: LocalDaemon, proxy: Proxy
) -> None:
    process = server.popen(far_daemon.id, "echo $$; exec sleep 1000")
    assert process.stdout is not None
    running = int(process.stdout.readline())
    process.kill()
    process.wait()
    assert not alive(running)
    errors: list[BaseException] = []
    pids: list[int] = []
    begin = time.monotonic()

    def call() -> None:
        try:
            server.exec(far_daemon.id, "exec sleep 1000", timeout=1, grace=0.5, env={"MARK": "away"})
        except sandd.SanddError as error:
            errors.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    until(lambda: proxy.up > 0 and server.get_stats()["streams"] == 1, "the command is sent")
    pids += until(lambda: children_named(far_daemon.pid, "sleep"), "it runs")
    proxy.refuse()
    proxy.cut()
    caller.join(30)
    assert not caller.is_alive()
    assert time.monotonic() - begin < 1 + 0.5 + 5 + 3
    assert isinstance(errors[0], sandd.CommandTimeout)
    assert errors[0].may_have_run or errors[0].result is not None
    proxy.resume()
    until(lambda: not any(alive(pid) for pid in pids), "it is gone", 20)
    assert server.wait_for_daemon(far_daemon.id, 20)
    until(lambda: server.get_stats()["streams"] == 0, "its stream is over", 20)


def children_named(pid: int, name: str) -> list[int]:
    from helpers import descendants

    found = []
    for child in descendants(pid):
        try:
            if Path(f"/proc/{child}/comm").read_text().strip() == name:
                found.append(child)
        except OSError:
            continue
    return found


def test_a_hundred_commands_survive_ten_cuts(server: sandd.Server, far_daemon: LocalDaemon, proxy: Proxy) -> None:
    results: dict[int, str] = {}

    def call(number: int) -> None:
        line = f"for i in 1 2 3 4 5; do echo {number}-$i; sleep 0.2; done"
        results[number] = server.exec(far_daemon.id, line, wait=30).stdout

    threads = [threading.Thread(target=call, args=(number,)) for number in range(100)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        if not any(thread.is_alive() for thread in threads):
            break
        if server.wait_for_daemon(far_daemon.id, 20):
            proxy.cut()
    for thread in threads:
        thread.join()
    assert results == {n: "".join(f"{n}-{i}\n" for i in range(1, 6)) for n in range(100)}

# SPDX-License-Identifier: MIT
"""Who is connected: list, labels, waiting, broadcast, stats."""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Callable

from helpers import until
from proxy import Proxy

import sandd
from sandd.testing import LocalDaemon

Local = Callable[..., LocalDaemon]


def test_a_daemon_says_what_it_is(server: sandd.Server, local: Local) -> None:
    before = time.time()
    daemon = local("worker-1", labels={"zone": "a", "gpu": ""})
    info = server.get_daemon("worker-1")
    assert info is not None
    assert info.id == "worker-1"
    assert dict(info.labels) == {"zone": "a", "gpu": ""}
    assert info.version.startswith("sandd ")
    assert info.platform == "linux"
    assert info.arch == platform.machine()
    assert info.hostname == os.uname().nodename
    assert info.instance
    assert info.address.startswith("127.0.0.1:")
    assert before - 1 <= info.connected_since <= time.time() + 1
    assert info.capabilities["exec"] == ""
    assert info.is_busy is False
    assert daemon.info == info


def test_a_daemon_is_equal_to_its_id_and_hashed_as_it(server: sandd.Server, local: Local) -> None:
    local("worker-1")
    (info,) = server.list_daemons()
    assert info == "worker-1"
    assert info == "worker-1"
    assert info != "worker-2"
    assert info != 1
    assert hash(info) == hash("worker-1")
    table: dict[object, int] = {"worker-1": 1}
    assert table[info] == 1
    assert "worker-1" in server.list_daemons()
    assert str(info) == "worker-1"


def test_the_list_is_by_id_and_by_labels(server: sandd.Server, local: Local) -> None:
    local("b", labels={"zone": "x", "size": "big"})
    local("a", labels={"zone": "x"})
    local("c", labels={"zone": "y"})
    assert server.list_daemons() == ["a", "b", "c"]
    assert server.list_daemons({"zone": "x"}) == ["a", "b"]
    assert server.list_daemons({"zone": "x", "size": "big"}) == ["b"]
    assert server.list_daemons({"zone": "z"}) == []
    assert server.daemon_count() == 3
    assert repr(server).endswith("daemons=3)")


def test_only_connected_daemons_are_listed(server: sandd.Server, far_daemon: LocalDaemon, proxy: Proxy) -> None:
    assert server.list_daemons() == [far_daemon.id]
    proxy.refuse()
    proxy.cut()
    until(lambda: server.list_daemons() == [], "it is gone")
    assert server.daemon_count() == 0
    assert server.get_stats()["away"] == 1
    proxy.resume()
    assert server.wait_for_daemon(far_daemon.id, 20)
    assert server.get_stats()["resumes_total"] == 1


def test_waiting_for_a_daemon(server: sandd.Server, local: Local) -> None:
    begin = time.monotonic()
    assert server.wait_for_daemon("late", timeout=0.2) is False
    assert 0.2 <= time.monotonic() - begin < 5
    assert server.wait_for_daemon("late", timeout=0) is False
    starter = threading.Thread(target=lambda: local("late"))
    starter.start()
    assert server.wait_for_daemon("late", 30) is True
    starter.join()
    assert server.wait_for_daemon("late", 0) is True
    assert server.get_daemon("never") is None


def test_a_daemon_is_busy_while_a_command_runs(server: sandd.Server, daemon: LocalDaemon) -> None:
    with server.popen(daemon.id, ["sleep", "60"]) as process:
        info = server.get_daemon(daemon.id)
        assert info is not None
        assert info.is_busy
        assert info.busy == 1
        process.kill()

    def idle() -> bool:
        info = server.get_daemon(daemon.id)
        return info is not None and not info.is_busy

    until(idle, "it is idle again")


def test_broadcast_runs_on_each_that_has_the_labels(server: sandd.Server, local: Local) -> None:
    local("a", labels={"zone": "x"}, env={"ME": "1"})
    local("b", labels={"zone": "x"}, env={"ME": "2"})
    local("c", labels={"zone": "y"})
    results = server.broadcast({"zone": "x"}, "echo $ME $EXTRA", env={"EXTRA": "e"}, cwd="/")
    assert {name: result.stdout for name, result in results.items()} == {"a": "1 e\n", "b": "2 e\n"}
    assert set(server.broadcast({}, "true")) == set(server.broadcast(None, "true")) == {"a", "b", "c"}
    assert server.broadcast({"zone": "none"}, "true") == {}


def test_broadcast_does_not_raise_for_one_daemon(server: sandd.Server, local: Local) -> None:
    local("a")
    local("b")
    results = server.broadcast(None, ["no-such-program"])
    assert set(results) == {"a", "b"}
    for result in results.values():
        assert result == sandd.CommandResult("", result.stderr, -1, 0)
        assert "no-such-program" in result.stderr
        assert not result.success
    slow = server.broadcast(None, "sleep 60", timeout=0.3)
    assert all("timed out" in result.stderr and result.exit_code == -1 for result in slow.values())


def test_broadcast_runs_at_the_same_time(server: sandd.Server, local: Local) -> None:
    for name in "abc":
        local(name)
    begin = time.monotonic()
    assert all(result.success for result in server.broadcast(None, "sleep 1").values())
    assert time.monotonic() - begin < 2.5


def test_stats_count(server: sandd.Server, local: Local) -> None:
    assert server.get_stats()["total_daemons"] == 0
    assert server.get_stats().oldest_connection_secs == 0
    local("a")
    local("b")
    server.exec("a", "true")
    stats = server.get_stats()
    assert stats.total_daemons == stats["total_daemons"] == 2
    assert stats.by_platform == {"linux": 2}
    assert 0 < stats.oldest_connection_secs < 60
    assert stats["execs_total"] == 1

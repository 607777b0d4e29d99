#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Exec against its local peers, as ratios within one run.

bench_exec.py [--json] [--quick] [NAME ...]     the rows whose name contains one of the NAMEs; all by default

Prints a table with targets. It measures and does not judge: exit code 0 whatever misses.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import sandd
from sandd.testing import LocalDaemon, find_program, local_daemon

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path.insert(0, str(TESTS))
from helpers import children, resident  # noqa: E402

MIB = 1024 * 1024
QUICK = False


@dataclass
class Row:
    name: str
    measured: str
    peer: str
    value: float | None
    #: ("<=" or ">=", number); None for a row that only informs.
    target: tuple[str, float] | None
    unit: str = "x"

    @property
    def met(self) -> bool | None:
        if self.target is None or self.value is None:
            return None
        sign, limit = self.target
        return self.value <= limit if sign == "<=" else self.value >= limit


def percentile(values: list[float], which: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * which / 100))]


def p50_p99(values: list[float]) -> str:
    return f"p50 {percentile(values, 50) * 1e3:.2f}  p99 {percentile(values, 99) * 1e3:.2f} ms"


def with_tests() -> dict[str, str]:
    """The environment of a helper that imports from tests/."""
    return {**os.environ, "PYTHONPATH": str(TESTS)}


def timed(function: Callable[[], object]) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def programs() -> Path:
    return Path(find_program()).resolve().parent


@contextlib.contextmanager
def pair(**options: object) -> Iterator[tuple[sandd.Server, LocalDaemon]]:
    with sandd.Server("127.0.0.1", 0) as server, local_daemon(server, **options) as daemon:  # type: ignore[arg-type]
        server.exec(daemon.id, "true")
        yield server, daemon


def local_true() -> object:
    return subprocess.run("true", shell=True, capture_output=True, check=True)


# -- latency and throughput of small commands --------------------------------------------------------------------------


def bench_latency() -> Iterator[Row]:
    with pair() as (server, daemon):
        ours, theirs, argv = [], [], []
        for _ in range(200 if QUICK else 1000):
            ours.append(timed(lambda: server.exec(daemon.id, "true")))
            theirs.append(timed(local_true))
            argv.append(timed(lambda: server.exec(daemon.id, ["true"])))
    ratio = percentile(ours, 50) / percentile(theirs, 50)
    yield Row('exec("true") / subprocess.run', p50_p99(ours), p50_p99(theirs), ratio, ("<=", 1.0))
    ratio = percentile(ours, 99) / percentile(theirs, 99)
    yield Row("  the same at p99", "", "", ratio, None)
    ratio = percentile(argv, 50) / percentile(theirs, 50)
    yield Row('  exec(["true"])', p50_p99(argv), "", ratio, None)


def rate(call: Callable[[], object], threads: int, count: int) -> float:
    """Calls per second of so many threads."""

    def work() -> None:
        for _ in range(count):
            call()

    workers = [threading.Thread(target=work) for _ in range(threads)]
    begin = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return threads * count / (time.perf_counter() - begin)


def bench_throughput() -> Iterator[Row]:
    turns, count = (2, 5) if QUICK else (4, 20)
    with pair() as (server, daemon):
        ours, theirs = [], []
        for _ in range(turns):
            ours.append(rate(lambda: server.exec(daemon.id, "true"), 64, count))
            theirs.append(rate(local_true, 64, count))
    mine, peer = percentile(ours, 50), percentile(theirs, 50)
    yield Row("64 callers / 64 threads of subprocess", f"{mine:.0f}/s", f"{peer:.0f}/s", mine / peer, (">=", 1.3))


# In a process of its own: in ours it would wait for the interpreter's lock.
PROXY = """
import sys
from proxy import Proxy
with Proxy(int(sys.argv[1]), delay=float(sys.argv[2])) as proxy:
    print(proxy.url, flush=True)
    sys.stdin.read()
"""


def bench_distance() -> Iterator[Row]:
    with sandd.Server("127.0.0.1", 0) as server:
        words = [sys.executable, "-c", PROXY, str(server.port), "0.04"]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=with_tests()) as far:
            assert far.stdin is not None
            assert far.stdout is not None
            with local_daemon(server, url=far.stdout.readline().strip()) as daemon:
                server.exec(daemon.id, "true")
                took = [timed(lambda: server.exec(daemon.id, "true")) for _ in range(10 if QUICK else 40)]
            far.stdin.close()
    over = (percentile(took, 50) - 0.08) * 1e3
    yield Row("40 ms each way: exec minus round trip", p50_p99(took), "80 ms", over, ("<=", 5), "ms")


# -- streams -----------------------------------------------------------------------------------------------------------


def read_all(process: sandd.Process) -> int:
    assert process.stdout is not None
    total = 0
    buffer = memoryview(bytearray(MIB))
    while count := process.stdout.readinto(buffer):  # type: ignore[attr-defined]
        total += count
    return total


def plain_path_limit() -> float | None:
    """GB/s from client to server of bare messages through lws_write."""
    program = programs() / "sandd-bench-net"
    if not program.exists():
        return None
    done = subprocess.run([str(program), "1" if QUICK else "3"], capture_output=True, text=True, timeout=60)
    for line in done.stdout.splitlines():
        if line.startswith("client_to_server"):
            return float(line.split()[1])
    return None


def bench_stream() -> Iterator[Row]:
    size = 256 * MIB if QUICK else 1024 * MIB
    line = f"head -c {size} /dev/zero"
    limit = plain_path_limit()
    with pair() as (server, daemon):
        alone = [timed(lambda: server.exec(daemon.id, "true")) for _ in range(100)]
        rates = []
        for _ in range(1 if QUICK else 3):
            with server.popen(daemon.id, line) as process:
                begin = time.perf_counter()
                assert read_all(process) == size
                rates.append(size / (time.perf_counter() - begin) / 1e9)
        beside: list[float] = []
        with server.popen(daemon.id, line) as process:
            reader = threading.Thread(target=read_all, args=(process,))
            reader.start()
            while reader.is_alive():
                beside.append(timed(lambda: server.exec(daemon.id, "true")))
            reader.join()
    mine = percentile(rates, 50)
    ratio = mine / limit if limit else None
    peer = f"{limit:.3f} GB/s lws_write" if limit else "not built"
    yield Row("1 GiB through popen().stdout / plain path", f"{mine:.3f} GB/s", peer, ratio, (">=", 0.9))
    ratio = percentile(beside, 99) / percentile(alone, 99)
    yield Row("exec beside it / alone, p99", p50_p99(beside), p50_p99(alone), ratio, ("<=", 3.0))


def bench_sleeps() -> Iterator[Row]:
    with pair() as (server, daemon):

        def thousand() -> None:
            running = [server.popen(daemon.id, ["sleep", "1"], stdout=None, stderr=None) for _ in range(1000)]
            assert {process.wait() for process in running} == {0}

        took = timed(thousand)
        sleepers = [threading.Thread(target=server.exec, args=(daemon.id, "sleep 1")) for _ in range(1000)]

        def thousand_calls() -> None:
            for thread in sleepers:
                thread.start()
            for thread in sleepers:
                thread.join()

        calls = timed(thousand_calls)
    yield Row("1,000 sleep 1 at once, exec() in threads", f"{calls:.2f} s", "", calls, ("<=", 3.0), "s")
    yield Row("  the same by popen(), one after the other", f"{took:.2f} s", "", took, None, "s")


def bench_codec() -> Iterator[Row]:
    program = programs() / "sandd-bench-codec"
    if not program.exists():
        yield Row("heartbeat packed and unpacked", "sandd-bench-codec is not built", "", None, ("<=", 300), "ns")
        return
    done = subprocess.run([str(program)], capture_output=True, text=True, timeout=60)
    for line in done.stdout.splitlines():
        if line.startswith("a packet with one heartbeat"):
            value = float(line.split()[-2])
            yield Row("heartbeat packed and unpacked", f"{value:.0f} ns", "", value, ("<=", 300), "ns")


# -- memory ------------------------------------------------------------------------------------------------------------


def private_dirty(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Private_Dirty:"):
            return int(line.split()[1]) * 1024
    return 0


def certificate(folder: Path) -> tuple[str, str]:
    cert, key = folder / "cert.pem", folder / "key.pem"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    words += ["-days", "2", "-subj", "/CN=localhost", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(words, check=True, capture_output=True)
    return str(cert), str(key)


def idle_daemon(kind: str, server: sandd.Server, limits: tuple[float, float]) -> Iterator[Row]:
    with local_daemon(server, insecure=kind == "wss") as local:
        # Long enough for the heartbeats to have come by: nothing is touched for the first time afterwards.
        time.sleep(1 if QUICK else 3)
        guard, (proper,) = local.pid, children(local.pid)
        mine, guards = resident(proper) / MIB, resident(guard) / MIB
        dirty = (private_dirty(guard) + private_dirty(proper)) / MIB
    yield Row(f"idle daemon on {kind}, resident", f"{mine:.2f} MiB", "", mine, ("<=", limits[0]), "MiB")
    yield Row("  its guard", f"{guards:.2f} MiB", "", guards, ("<=", 2), "MiB")
    yield Row("  private dirty of both", f"{dirty:.2f} MiB", "", dirty, ("<=", limits[1]), "MiB")


def bench_memory() -> Iterator[Row]:
    with sandd.Server("127.0.0.1", 0, heartbeat_interval=1) as server:
        yield from idle_daemon("ws", server, (6, 2.5))
    with tempfile.TemporaryDirectory() as folder:
        with sandd.Server("127.0.0.1", 0, heartbeat_interval=1, tls=certificate(Path(folder))) as server:
            yield from idle_daemon("wss", server, (11, 4))


# The server is measured in a process of its own, with nothing else in it.
SERVER = """
import sys, sandd
from helpers import resident
import os, time
server = sandd.Server("127.0.0.1", 0)
print(server.url, flush=True)
for line in sys.stdin:
    wanted = int(line)
    deadline = time.monotonic() + 60
    while server.daemon_count() < wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    print(server.daemon_count(), resident(os.getpid()), flush=True)
"""


def bench_idle_connections() -> Iterator[Row]:
    program = programs() / "sandd-bench-idle"
    if not program.exists():
        yield Row("server growth per idle daemon", "sandd-bench-idle is not built", "", None, ("<=", 12), "KiB")
        return
    count = 500 if QUICK else 2000
    pipe = subprocess.PIPE
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=pipe, stdout=pipe, text=True, env=with_tests()
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        url = server.stdout.readline().strip()

        def ask(wanted: int) -> tuple[int, int]:
            assert server.stdin is not None
            assert server.stdout is not None
            server.stdin.write(f"{wanted}\n")
            server.stdin.flush()
            there, memory = server.stdout.readline().split()
            return int(there), int(memory)

        # A few first: what is there once, however many come.
        with subprocess.Popen([str(program), url, "10"], stdin=pipe, stdout=pipe, text=True) as first:
            assert first.stdin is not None
            assert first.stdout is not None
            assert first.stdout.readline() == "ready 10\n"
            _, before = ask(10)
            begin = time.perf_counter()
            with subprocess.Popen([str(program), url, str(count), "more"], stdin=pipe, stdout=pipe, text=True) as crowd:
                assert crowd.stdin is not None
                assert crowd.stdout is not None
                assert crowd.stdout.readline() == f"ready {count}\n"
                took = time.perf_counter() - begin
                there, after = ask(count + 10)
                crowd.stdin.close()
            first.stdin.close()
        server.stdin.close()
    each = (after - before) / 1024 / max(1, there - 10)
    yield Row(
        f"server growth per idle daemon, {there - 10} of them",
        f"{each:.1f} KiB, connected in {took:.1f} s",
        "",
        each,
        ("<=", 12),
        "KiB",
    )


BENCHES: dict[str, Callable[[], Iterator[Row]]] = {
    "latency": bench_latency,
    "throughput": bench_throughput,
    "distance": bench_distance,
    "stream": bench_stream,
    "sleeps": bench_sleeps,
    "codec": bench_codec,
    "memory": bench_memory,
    "idle-connections": bench_idle_connections,
}


def shown(row: Row) -> str:
    value = "-" if row.value is None else f"{row.value:.2f} {row.unit}"
    target = "" if row.target is None else f"{row.target[0]} {row.target[1]:g} {row.unit}"
    verdict = {True: "pass", False: "MISS", None: ""}[row.met]
    return f"{row.name:<44} {row.measured:<30} {row.peer:<30} {value:>12} {target:>12} {verdict}".rstrip()


def main() -> int:
    global QUICK
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON document instead of the table")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: a smoke test, not a measurement")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHES))
    arguments = parser.parse_args()
    QUICK = arguments.quick
    rows: list[Row] = []
    if not arguments.json:
        print(f"{'what':<44} {'measured':<30} {'peer in the same run':<30} {'value':>12} {'target':>12}")
    for name, bench in BENCHES.items():
        if arguments.names and not any(word in name for word in arguments.names):
            continue
        try:
            for row in bench():
                rows.append(row)
                if not arguments.json:
                    print(shown(row), flush=True)
        except Exception as error:
            rows.append(Row(name, f"failed: {error!r}", "", None, None))
            print(f"{name}: failed: {error!r}", file=sys.stderr)
    if arguments.json:
        print(json.dumps([{**asdict(row), "met": row.met} for row in rows], indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A server, three daemons, real commands on them at the same time, and a connection that is cut in the middle of one.

`make demo` runs it. Everything happens on this machine; with real machines the daemons run elsewhere and dial in.
Exit code 0 if all was as it must be, else 1.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import socket
import sys
import threading
import time
from collections.abc import Callable

import sandd
from sandd.testing import LocalDaemon, local_daemon

failed: list[str] = []


def title(text: str) -> None:
    print(f"\n{text}")


def check(what: str, fine: bool, shown: object = "") -> None:
    """Says how one thing went."""
    print(f"  {'ok  ' if fine else 'FAIL'}  {what}" + (f": {shown}" if shown != "" else ""))
    if not fine:
        failed.append(what)


class Cable:
    """What is between a daemon and the server: a small TCP proxy that can be cut."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.cuts = 0
        self.open: list[socket.socket] = []
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"ws://127.0.0.1:{self.listener.getsockname()[1]}/ws"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near = self.listener.accept()[0]
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            with self.lock:
                self.open += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
        source.close()

    def cut(self) -> None:
        """Ends the connection at once, in both directions."""
        with self.lock:
            ends, self.open = self.open, []
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self.cuts += 1

    def close(self) -> None:
        self.listener.close()
        self.cut()


def show_daemons(server: sandd.Server) -> None:
    title("Three daemons have dialled in:")
    for info in server.list_daemons():
        labels = " ".join(f"{key}={value}" for key, value in info.labels.items())
        print(f"        {info.id:<9} {info.version}, {info.platform} {info.arch}, {labels}")
    check("all three are connected", server.list_daemons() == ["worker-1", "worker-2", "worker-3"])


def run_commands(server: sandd.Server) -> None:
    title("Commands on all of them at the same time:")
    jobs: dict[str, tuple[str, Callable[[sandd.CommandResult], bool]]] = {
        "worker-1": ("uname -sm", lambda r: r.success and bool(r.stdout)),
        "worker-2": ("seq 1 100000 | sha256sum", lambda r: r.stdout.split()[0] == DIGEST_OF_SEQ),
        "worker-3": ("echo oops >&2; exit 3", lambda r: (r.exit_code, r.stderr) == (3, "oops\n")),
    }
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = {name: pool.submit(server.exec, name, command) for name, (command, _) in jobs.items()}
        for name, (command, fine) in jobs.items():
            result = running[name].result()
            text = (result.stdout + result.stderr).strip()
            check(
                f"{name} $ {command}", fine(result), f"{text[:40]} (exit {result.exit_code}, {result.duration_ms} ms)"
            )

    begin = time.monotonic()
    results = server.broadcast({"pool": "blue"}, "sleep 0.5; echo $((6 * 7))")
    took = time.monotonic() - begin
    same = {name: result.stdout for name, result in results.items()} == {"worker-1": "42\n", "worker-2": "42\n"}
    check("broadcast to pool=blue", same and took < 1.0, f"{', '.join(results)} in {took:.2f} s")


def show_errors(server: sandd.Server) -> None:
    title("What goes wrong is told apart:")
    try:
        server.exec("worker-1", ["no-such-program"])
        check("a missing program", False, "no exception")
    except FileNotFoundError as error:
        check("a missing program is a FileNotFoundError", True, error)
    try:
        server.exec("worker-1", "echo so far; sleep 60 & sleep 60", timeout=0.5)
        check("a timeout", False, "no exception")
    except TimeoutError as error:
        so_far = error.result.stdout if isinstance(error, sandd.CommandTimeout) and error.result else ""
        check("a timeout is a TimeoutError with the output so far", so_far == "so far\n", error)


def stream_and_cut(server: sandd.Server, cable: Cable) -> None:
    title("A long command on worker-3, read as it comes; its connection is cut twice in the middle:")
    line = "for i in $(seq 1 60); do echo line $i; sleep 0.03; done"
    received: list[str] = []
    with server.popen("worker-3", line, text=True) as process:
        assert process.stdout is not None
        for text in process.stdout:
            received.append(text)
            if len(received) in (15, 35):
                cable.cut()
                print(f"        {text.strip()}   <-- the cable is cut here")
        code = process.wait()
    expected = [f"line {i}\n" for i in range(1, 61)]
    check("all 60 lines came, each once and in order", received == expected, f"{len(received)} lines, exit {code}")

    data = b"0123456789abcdef" * 500_000
    with server.popen("worker-3", "sha256sum", stdin=sandd.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(data[: len(data) // 2])
        cable.cut()
        process.stdin.write(data[len(data) // 2 :])
        process.stdin.close()
        digest = process.stdout.read().split()[0].decode()
    same = digest == hashlib.sha256(data).hexdigest()
    check("8 MB of input arrived whole through another cut", same, f"sha256 {digest[:16]}...")
    server.wait_for_daemon("worker-3")
    resumed = server.get_stats()["resumes_total"]
    check("the session went on each time", resumed == cable.cuts, f"{cable.cuts} cuts, {resumed} resumed")


DIGEST_OF_SEQ = hashlib.sha256("".join(f"{n}\n" for n in range(1, 100_001)).encode()).hexdigest()


def main() -> int:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(sandd.Server("127.0.0.1", 0))
        print(f"A server listens on {server.address}.")
        cable = Cable(server.port)
        stack.callback(cable.close)

        def start(name: str, url: str, pool: str) -> LocalDaemon:
            return stack.enter_context(local_daemon(server, name, url=url, labels={"pool": pool}))

        start("worker-1", server.url, "blue")
        start("worker-2", server.url, "blue")
        far = start("worker-3", cable.url, "green")
        show_daemons(server)
        run_commands(server)
        show_errors(server)
        stream_and_cut(server, cable)
        if failed:
            print(f"\nThe log of worker-3:\n{far.log()}", file=sys.stderr)
    if failed:
        print(f"\nNot as it must be: {'; '.join(failed)}", file=sys.stderr)
        return 1
    print("\nAll as it must be.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

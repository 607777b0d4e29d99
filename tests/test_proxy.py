# SPDX-License-Identifier: MIT
"""The tests' own proxy does what it says."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from helpers import until
from proxy import Proxy


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that sends back what it gets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
            except OSError:
                pass

    def accept() -> None:
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_bytes_pass_both_ways(echo: int) -> None:
    with Proxy(echo) as proxy, socket.create_connection(("127.0.0.1", proxy.port)) as line:
        line.sendall(b"hello")
        assert line.recv(5) == b"hello"
        assert (proxy.up, proxy.down, proxy.connections) == (5, 5, 1)


def test_a_cut_ends_the_connection(echo: int) -> None:
    with Proxy(echo) as proxy, socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as line:
        until(lambda: proxy.connections == 1, "it is through")
        assert proxy.cut() == 1
        with contextlib.suppress(ConnectionResetError):
            assert line.recv(1) == b""


def test_a_cut_after_so_many_bytes_passes_exactly_those(echo: int) -> None:
    with Proxy(echo) as proxy, socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as line:
        proxy.cut_after(3, "up")
        line.sendall(b"hello")
        until(lambda: proxy.up and proxy.connections == 0, "it is cut")
        assert proxy.up == 3


def test_a_delay_delays_each_direction(echo: int) -> None:
    with Proxy(echo, delay=0.1) as proxy, socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as line:
        begin = time.monotonic()
        line.sendall(b"x")
        assert line.recv(1) == b"x"
        assert time.monotonic() - begin >= 0.2


def test_a_black_hole_swallows_until_resumed(echo: int) -> None:
    with Proxy(echo) as proxy, socket.create_connection(("127.0.0.1", proxy.port), timeout=0.2) as line:
        line.sendall(b"a")
        assert line.recv(1) == b"a"
        proxy.blackhole()
        line.sendall(b"b")
        with pytest.raises(TimeoutError):
            line.recv(1)
        proxy.resume()
        line.settimeout(10)
        assert line.recv(1) == b"b"


def test_refused_connections_end_at_once(echo: int) -> None:
    with Proxy(echo) as proxy:
        proxy.refuse()
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as line:
            with contextlib.suppress(ConnectionResetError):
                assert line.recv(1) == b""
        assert proxy.accepted == 0

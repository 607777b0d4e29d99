# SPDX-License-Identifier: MIT
"""End-to-end tests: a Server in this process, real daemons as children, real commands."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from helpers import children, open_descriptors, until
from proxy import Proxy

import sandd
import sandd.testing


@pytest.fixture(scope="session")
def first_server() -> None:
    """What the libraries open once and keep is there before anything is counted."""
    sandd.Server("127.0.0.1", 0).close()


@pytest.fixture(autouse=True)
def no_leaks(first_server: None) -> Iterator[None]:
    """Fails a test that leaves a descriptor open or a child process behind."""
    before = open_descriptors()
    kids = children()
    yield
    gc.collect()  # a test's caught exception holds its frames
    until(lambda: children() <= kids, "no child process is left", 10)
    until(lambda: open_descriptors() <= before, "no descriptor is left", 10, lambda: open_descriptors() - before)


@pytest.fixture
def server() -> Iterator[sandd.Server]:
    with sandd.Server("127.0.0.1", 0, heartbeat_interval=1) as server:
        yield server


@pytest.fixture
def local(server: sandd.Server) -> Iterator[Callable[..., sandd.testing.LocalDaemon]]:
    """Starts daemons that the test's end stops."""
    started: list[sandd.testing.LocalDaemon] = []

    def start(daemon_id: str | None = None, **options: Any) -> sandd.testing.LocalDaemon:
        daemon = sandd.testing.local_daemon(server, daemon_id, **options)
        started.append(daemon)
        return daemon

    yield start
    for daemon in started:
        daemon.stop()


@pytest.fixture
def daemon(local: Callable[..., sandd.testing.LocalDaemon]) -> sandd.testing.LocalDaemon:
    return local()


@pytest.fixture
def proxy(server: sandd.Server) -> Iterator[Proxy]:
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def far_daemon(local: Callable[..., sandd.testing.LocalDaemon], proxy: Proxy) -> sandd.testing.LocalDaemon:
    """A daemon behind the proxy."""
    return local(url=proxy.url)

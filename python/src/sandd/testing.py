# SPDX-License-Identifier: MIT
"""For tests of agents: real daemons on this machine.

with sandd.Server(port=0) as server, sandd.testing.local_daemon(server) as daemon:
    assert server.exec(daemon.id, "echo hello").stdout == "hello\\n"
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
import warnings
import weakref
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

from ._paths import package_program
from .daemon_info import DaemonInfo
from .errors import SanddError
from .server import Server


def find_program() -> str:
    """The daemon program: $SANDD_BIN, else the package's own, else one beside this environment, else in PATH."""
    named = os.environ.get("SANDD_BIN")
    if named:
        return named
    beside = Path(sys.prefix).parent / "bin" / "sandd"
    build = os.environ.get("SANDD_BUILD_DIR")
    for candidate in (package_program(), Path(build) / "bin" / "sandd" if build else None, beside):
        if candidate is not None and os.access(candidate, os.X_OK):
            return str(candidate)
    found = shutil.which("sandd")
    if found is None:
        raise SanddError("the daemon program sandd is not found: build it, put it in PATH, or set SANDD_BIN")
    return found


class LocalDaemon:
    """A daemon program that runs as a child of this process. Made by local_daemon(). Does not keep the server alive."""

    def __init__(
        self, server: Server, daemon_id: str, command: list[str], env: Mapping[str, str], token: str | None
    ) -> None:
        self._server = weakref.ref(server)
        self.id = daemon_id
        self.command = command
        self._env = dict(env)
        self._folder = tempfile.TemporaryDirectory(prefix="sandd-")
        self._log_path = Path(self._folder.name) / "log"
        if token is not None:
            path = Path(self._folder.name) / "token"
            path.touch(0o600)
            path.write_text(token)
            self.command += ["--token-file", str(path)]
        self.process = self._start()

    @property
    def info(self) -> DaemonInfo | None:
        """What the server knows of it; None while it is not connected."""
        server = self._server()
        return None if server is None else server.get_daemon(self.id)

    @property
    def pid(self) -> int:
        """The process that was started: the guard, which has the daemon proper below it."""
        return self.process.pid

    def log(self) -> str:
        """What it wrote to its standard error so far."""
        return self._log_path.read_text(errors="replace") if self._log_path.exists() else ""

    def wait_connected(self, timeout: float = 30.0) -> None:
        """Returns when the server has it. Raises SanddError, with what it logged, if it ends or takes too long."""
        deadline = time.monotonic() + timeout
        server = self._server()
        if server is None:
            raise SanddError("the server is gone")
        while not server.wait_for_daemon(self.id, timeout=0.2):
            if self.process.poll() is not None:
                raise SanddError(f"the daemon ended with {self.process.returncode}:\n{self.log()}")
            if time.monotonic() > deadline:
                raise SanddError(f"the daemon did not connect within {timeout} s:\n{self.log()}")

    def restart(self, timeout: float = 30.0) -> None:
        """Stops it, starts it again with the same options, and waits until it is connected."""
        self._end(timeout)
        self.process = self._start()
        self.wait_connected(timeout)

    def kill(self) -> None:
        """Kills the daemon and its guard with SIGKILL."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def stop(self, timeout: float = 20.0) -> int:
        """Ends it with everything that it started, and returns its exit code. Does nothing when it has ended."""
        try:
            return self._end(timeout)
        finally:
            self._folder.cleanup()

    def __enter__(self) -> LocalDaemon:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __del__(self) -> None:
        process = getattr(self, "process", None)
        if process is not None and process.poll() is None:
            warnings.warn(f"{self!r} is dropped while it runs, and killed", ResourceWarning, stacklevel=2, source=self)
            self.kill()

    def __repr__(self) -> str:
        return f"LocalDaemon(id={self.id!r}, pid={self.pid})"

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log_path.open("ab") as log:
            return subprocess.Popen(self.command, env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _end(self, timeout: float) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()


def local_daemon(
    server: Server,
    daemon_id: str | None = None,
    *,
    url: str | None = None,
    labels: Mapping[str, str] | None = None,
    token: str | None = None,
    args: Iterable[str] = (),
    env: Mapping[str, str] | None = None,
    program: str | None = None,
    wait: float = 30.0,
    **options: object,
) -> LocalDaemon:
    """Starts a real daemon program as a child and waits until it is connected to the server.

    url: what it dials, if not the server's own address (a proxy in between).
    labels, token: as the server expects them.
    args: more words for its command line; other keyword arguments become options: heartbeat_interval=1 is
        --heartbeat-interval 1, insecure=True is --insecure.
    env: added to this process's environment, without its SANDD_ variables.
    wait: seconds to wait for it; 0 does not wait.

    Use it in a with statement or call stop(): the daemon ends together with everything that it started.
    """
    daemon_id = daemon_id or f"local-{uuid.uuid4().hex[:12]}"
    command = [program or find_program(), "--server-url", url or server.url, "--daemon-id", daemon_id]
    for key, value in (labels or {}).items():
        command += ["--label", f"{key}={value}"]
    options.setdefault("reconnect_interval", 0.1)
    for name, setting in options.items():
        option = "--" + name.replace("_", "-")
        if setting is True:
            command.append(option)
        elif setting is not None and setting is not False:
            command += [option, str(setting)]
    command += args
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SANDD_")}
    environment.pop("SERVER_URL", None)
    environment.pop("DAEMON_ID", None)
    environment.update(env or {})
    daemon = LocalDaemon(server, daemon_id, command, environment, token)
    if wait > 0:
        try:
            daemon.wait_connected(wait)
        except BaseException:
            daemon.stop()
            raise
    return daemon

# SPDX-License-Identifier: MIT
"""The server that daemons dial, and through which commands run on them."""

from __future__ import annotations

import atexit
import functools
import logging
import os
import threading
import time
import weakref
from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Callable, NamedTuple, Optional, TypeVar

from . import errors
from ._dispatch import Dispatcher, logger
from ._exec import ENDED, Exec, failed_error
from ._ffi import ffi, lib
from ._lib import deadline_after, error_of, listen_error, milliseconds, passed, text_of, wait_ms
from ._requests import PIPE, Redirection, exec_spec, popen_spec
from ._spec import Command, Env, Spec, Word
from .daemon_info import DaemonId, DaemonInfo, id_of
from .process import Process, TextMode
from .result import CommandResult

MAX_OUTPUT = 10 * 1024 * 1024
Callback = Callable[[DaemonInfo], object]
C = TypeVar("C", bound=Callback)


class TLS(NamedTuple):
    """PEM files for wss."""

    cert: str
    key: str
    #: Daemons must show a certificate signed by one of these.
    client_ca: Optional[str] = None  # noqa: UP045


class ServerStats(dict[str, Any]):
    """Counts of a server, as items and as attributes."""

    @property
    def total_daemons(self) -> int:
        """Connected daemons."""
        return int(self["total_daemons"])

    @property
    def by_platform(self) -> dict[str, int]:
        """How many of them are linux, macos, windows."""
        return dict(self["by_platform"])

    @property
    def oldest_connection_secs(self) -> float:
        """Age of the oldest connection; 0 without one."""
        return float(self["oldest_connection_secs"])


class Server:
    """Listens for daemons and runs commands on them. Any thread may use it.

    host, port: where to listen; port 0 is any free one, and `port` and `address` tell which.
    token: what a daemon must show as bearer token; others get 401.
    verbose: more to logging.getLogger("sandd"). Nothing is ever printed.
    session_retention: seconds that commands survive without a connection to their daemon.
    heartbeat_interval: seconds.
    tls: a TLS, or (cert, key) or (cert, key, client_ca): PEM files, for wss.

    close() stops it, and so do leaving a with statement and dropping the last reference: the port is free at once.
    Raises ListenError (an OSError) if it can't listen there.
    """

    def __init__(
        self,
        host: str = "0.0.0.0",
        port: int = 8765,
        *,
        token: str | None = None,
        verbose: bool = False,
        session_retention: float = 600,
        heartbeat_interval: float = 10,
        tls: TLS | tuple[str, ...] | None = None,
    ) -> None:
        self._closed = True
        if not 0 <= port <= 65535:
            raise ValueError(f"port {port} is not between 0 and 65535")
        config = ffi.new("sandd_server_config *")
        config.size = ffi.sizeof("sandd_server_config")
        kept = [ffi.new("char[]", os.fsencode(host))]
        config.host, config.port = kept[0], port
        if token is not None:
            if not token:
                raise ValueError("the token is empty; None is for no token")
            kept.append(ffi.new("char[]", token.encode()))
            config.token = kept[-1]
        self._tls = TLS(*tls) if tls is not None else None
        for field, path in zip(("tls_cert", "tls_key", "tls_client_ca"), self._tls or ()):
            if path is not None:
                kept.append(ffi.new("char[]", os.fsencode(path)))
                setattr(config, field, kept[-1])
        config.heartbeat_ms = max(1, milliseconds(heartbeat_interval))
        config.session_retention_ms = max(1, milliseconds(session_retention))
        config.log_level = lib.SANDD_LOG_DEBUG if verbose else lib.SANDD_LOG_INFO
        if verbose:
            logger.setLevel(logging.DEBUG)
        self._start(config)

    def _start(self, config: Any) -> None:
        out, failure = ffi.new("sandd_server **"), ffi.new("sandd_failure *")
        code = lib.sandd_server_new(out, config, failure)
        if code != 0:
            raise listen_error(code, failure)
        # Whoever calls into the library holds a reference meanwhile: close() drops ours, and the last one frees it.
        self._freed: list[bool] = []
        self._handle: Any = ffi.gc(out[0], functools.partial(_free, self._freed))
        self._lock = threading.Lock()
        self._on_connect: list[Callback] = []
        self._on_disconnect: list[Callback] = []
        self._known: dict[str, DaemonInfo] = {}
        #: "127.0.0.1:8765"
        self.address = text_of(lib.sandd_server_address(self._handle))
        self.port = int(lib.sandd_server_port(self._handle))
        reference = weakref.ref(self)

        def tell(kind: int, daemon_id: str) -> None:
            server = reference()
            if server is not None:
                server._tell(kind, daemon_id)

        self._dispatcher = Dispatcher(self._handle, tell)
        self._closed = False
        _servers.add(self)

    @property
    def url(self) -> str:
        """What a daemon on this machine dials."""
        host = self.address.rpartition(":")[0]
        host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)
        return f"{'wss' if self._tls else 'ws'}://{host}:{self.port}/ws"

    # -- commands ------------------------------------------------------------------------------------------------------

    def exec(
        self,
        daemon_id: DaemonId,
        command: Command,
        timeout: float | None = 300,
        env: Env | None = None,
        cwd: Word | None = None,
        *,
        user: str | int | None = None,
        input: str | bytes | bytearray | memoryview | None = None,
        check: bool = False,
        idle_timeout: float | None = None,
        grace: float | None = None,
        max_output: int | None = MAX_OUTPUT,
        replace_env: bool = False,
        merge_stderr: bool = False,
        exec_id: str | None = None,
        instance: str | None = None,
        age: float = 0,
        wait: float = 10,
    ) -> CommandResult:
        """Runs a command on a daemon and returns what it gave.

        command: a str is a line for the daemon's shell, a list is a program with its arguments.
        timeout: seconds, counted on the daemon; then all that it started gets SIGTERM, and after `grace` (5 s) SIGKILL,
            and CommandTimeout is raised with the result so far. None: no limit. idle_timeout: the same when there was
            no output for so long. Without its daemon, the call ends at timeout + grace + 5 s.
        env: variables to add; with replace_env, all there are. cwd: where it runs. user: a name or a number.
        input: what it reads; nothing else is on its stdin.
        check: raise CommandFailed if it does not succeed.
        max_output: of stdout and of stderr, so many bytes are kept, half from the begin and half from the end.
        exec_id: a name for this run: a second call with it attaches instead of running the command again. Give the
            daemon's instance and the age (seconds since the first try) with the retry.
        wait: seconds that a daemon which has lost its connection may take to come back.

        Raises DaemonNotFound, DaemonAway, NotFound (a FileNotFoundError: program or cwd), PermissionDenied,
        CommandTimeout, SessionLost (nobody knows how it ended) and others of SanddError.
        """
        spec = exec_spec(
            daemon_id, command, timeout, env, cwd, user, input, idle_timeout, grace, max_output, replace_env,
            merge_stderr, exec_id, instance, age, wait,
        )  # fmt: skip
        running = Exec(self._open_handle(), spec)
        try:
            running.wait(ENDED, None)
            done = running.finish(running.result())
        finally:
            # Cancels it on the way out of a KeyboardInterrupt.
            running.close()
        if check and not done.success:
            raise failed_error(spec, done)
        return done

    execute_command = exec

    def popen(
        self,
        daemon_id: DaemonId,
        command: Command | None,
        *,
        stdin: Redirection = None,
        stdout: Redirection = PIPE,
        stderr: Redirection = PIPE,
        env: Env | None = None,
        cwd: Word | None = None,
        user: str | int | None = None,
        timeout: float | None = None,
        idle_timeout: float | None = None,
        grace: float | None = None,
        text: bool | None = None,
        encoding: str | None = None,
        errors: str | None = None,
        bufsize: int = -1,
        replace_env: bool = False,
        exec_id: str | None = None,
        instance: str | None = None,
        age: float = 0,
        mode: str | None = None,
        role: str | None = None,
        keep: bool = False,
        pty: tuple[int, int] | None = None,
        wait: float = 10,
    ) -> Process:
        """Starts a command and returns it running, with pipes, as subprocess.Popen does.

        stdin: PIPE, or None or DEVNULL for an empty one. stdout, stderr: PIPE, None or DEVNULL to throw it away, and
        for stderr STDOUT. A pipe that is not read holds the command up when it is full.
        text, encoding, errors, bufsize: as in subprocess; text is decoded with errors="replace".
        timeout: as in exec(); wait() then gives the signal, and timed_out is True.
        keep: it survives the loss of its session; mode="attach" with its exec_id finds it again (the command is None
        then). role: "hold", "share", "watch". pty: (rows, columns) for a terminal.
        Raises as exec() when it can't be started.
        """
        spec, pipes = popen_spec(
            daemon_id, command, stdin, stdout, stderr, env, cwd, user, timeout, idle_timeout, grace, replace_env,
            exec_id, instance, age, mode, role, keep, pty, wait,
        )  # fmt: skip
        return Process(Exec(self._open_handle(), spec), spec, pipes, TextMode(text, encoding, errors, bufsize))

    def broadcast(
        self,
        labels: Mapping[str, str] | None,
        command: Command,
        timeout: float | None = 300,
        env: Env | None = None,
        cwd: Word | None = None,
    ) -> dict[str, CommandResult]:
        """Runs a command on every connected daemon that has these labels, at the same time.

        Never raises for one daemon: its entry is then CommandResult("", why, -1, 0).
        """
        results: dict[str, CommandResult] = {}
        running: dict[str, Exec] = {}
        try:
            for daemon in self.list_daemons(labels):
                spec = Spec(daemon.id, command)
                spec.set_env(env, False)
                spec.set_place(cwd, None)
                spec.set_times(timeout, None, None, None)
                spec.set_collect(MAX_OUTPUT)
                try:
                    running[daemon.id] = Exec(self._open_handle(), spec)
                except errors.ServerClosed:
                    raise
                except errors.SanddError as error:
                    results[daemon.id] = CommandResult("", str(error), -1, 0)
            for daemon_id, command_of_it in running.items():
                command_of_it.wait(ENDED, None)
                results[daemon_id] = self._broadcast_result(command_of_it)
        finally:
            for command_of_it in running.values():
                command_of_it.close()
        return results

    @staticmethod
    def _broadcast_result(running: Exec) -> CommandResult:
        try:
            return running.finish(running.result())
        except errors.SanddError as error:
            return CommandResult("", str(error), -1, 0)

    # -- daemons -------------------------------------------------------------------------------------------------------

    def wait_for_daemon(self, daemon_id: DaemonId, timeout: float | None = 30.0) -> bool:
        """Waits until a daemon is connected: True, or False when the time has passed."""
        raw = self._id_string(daemon_id)
        deadline = deadline_after(timeout)
        while True:
            code = lib.sandd_server_wait_daemon(self._open_handle(), raw, wait_ms(deadline))
            if code == 0:
                return True
            if code == lib.SANDD_E_TIMEOUT:
                if passed(deadline):
                    return False
            elif code != lib.SANDD_E_INTR:
                raise error_of(code)

    def list_daemons(self, labels: Mapping[str, str] | None = None) -> list[DaemonInfo]:
        """The connected daemons, by id; with labels, those that have each of them."""
        wanted, kept = ffi.NULL, []
        if labels:
            wanted = ffi.new("sandd_daemon_label[]", len(labels))
            for slot, (key, value) in zip(wanted, labels.items()):
                kept += [ffi.new("char[]", key.encode()), ffi.new("char[]", value.encode())]
                slot.key, slot.value = kept[-2:]
        out = ffi.new("sandd_daemon_list **")
        code = lib.sandd_server_daemons(self._open_handle(), wanted, len(labels or ()), out)
        if code != 0:
            raise error_of(code)
        return _infos(out[0])

    def get_daemon(self, daemon_id: DaemonId) -> DaemonInfo | None:
        """A connected daemon, or None."""
        out = ffi.new("sandd_daemon_list **")
        code = lib.sandd_server_daemon(self._open_handle(), self._id_string(daemon_id), out)
        if code in (lib.SANDD_E_NOT_FOUND, lib.SANDD_E_AWAY):
            return None
        if code != 0:
            raise error_of(code)
        return _infos(out[0])[0]

    def daemon_count(self) -> int:
        """How many daemons are connected."""
        return int(lib.sandd_server_daemon_count(self._open_handle()))

    def get_stats(self) -> ServerStats:
        """total_daemons, by_platform, oldest_connection_secs, and counts of what is under way."""
        raw = ffi.new("sandd_server_stats *")
        raw.size = ffi.sizeof("sandd_server_stats")
        code = lib.sandd_server_get_stats(self._open_handle(), raw)
        if code != 0:
            raise error_of(code)
        daemons = self.list_daemons()
        platforms: dict[str, int] = {}
        for daemon in daemons:
            platforms[daemon.platform] = platforms.get(daemon.platform, 0) + 1
        return ServerStats(
            total_daemons=len(daemons),
            by_platform=platforms,
            oldest_connection_secs=raw.oldest_connection_ns / 1e9,
            **{
                name: int(getattr(raw, name))
                for name in ("away", "connections", "streams", "sessions_total", "resumes_total", "execs_total")
            },
        )

    def on_connect(self, callback: C) -> C:
        """Has callback(daemon) called, on a thread of the server, when a daemon connects; usable as a decorator.

        Its exceptions are logged. It must not wait for another callback. Daemons that are connected already are not
        told: see list_daemons().
        """
        with self._lock:
            self._on_connect.append(callback)
        return callback

    def on_disconnect(self, callback: C) -> C:
        """The same when a daemon's connection is gone. Its session, with what runs, may still wait for it."""
        with self._lock:
            self._on_disconnect.append(callback)
        return callback

    def _forget_callback(self, callback: Callback) -> None:
        with self._lock:
            if callback in self._on_connect:
                self._on_connect.remove(callback)

    def _tell(self, kind: int, daemon_id: str) -> None:
        """On the dispatcher's thread: one daemon event."""
        if kind == lib.SANDD_DAEMON_CONNECTED:
            try:
                info = self.get_daemon(daemon_id)
            except errors.SanddError:
                info = None
            info = info or DaemonInfo(daemon_id)
            self._known[daemon_id] = info
        elif kind == lib.SANDD_DAEMON_DISCONNECTED:
            info = self._known.pop(daemon_id, None) or DaemonInfo(daemon_id)
        else:
            return
        with self._lock:
            callbacks = list(self._on_connect if kind == lib.SANDD_DAEMON_CONNECTED else self._on_disconnect)
        for callback in callbacks:
            try:
                callback(info)
            except Exception:
                logger.exception("a callback for daemon %r failed", daemon_id)

    # -- the object ----------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Stops it: daemons are told, waiting calls raise ServerClosed, the port is free. Twice is fine."""
        if self._closed:
            return
        with self._lock:
            if self._closed:
                return
            self._closed = True
        _servers.discard(self)
        if not self._freed:  # the collector of a cycle runs destructors in any order
            lib.sandd_server_close(self._handle)
        self._dispatcher.stop()
        self._handle = None
        self._on_connect.clear()
        self._on_disconnect.clear()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def __repr__(self) -> str:
        handle = None if self._closed else self._handle
        if handle is None:
            return f"Server(address={getattr(self, 'address', None)}, closed)"
        return f"Server(address={self.address}, daemons={lib.sandd_server_daemon_count(handle)})"

    def _open_handle(self) -> Any:
        handle = self._handle
        if self._closed or handle is None:
            raise errors.ServerClosed("the server is closed")
        return handle

    @staticmethod
    def _id_string(daemon_id: DaemonId) -> Any:
        return ffi.new("char[]", id_of(daemon_id).encode("utf-8", "surrogateescape"))

    def _after_fork(self) -> None:
        """In a forked child: the server is the parent's."""
        self._closed = True
        self._lock = threading.Lock()
        self._dispatcher.forget()
        ffi.release(self._handle)


def _free(freed: list[bool], handle: Any) -> None:
    freed.append(True)
    lib.sandd_server_free(handle)


def _infos(raw_list: Any) -> list[DaemonInfo]:
    """Copies a list of the library, and frees it."""
    try:
        count = lib.sandd_daemon_list_count(raw_list)
        return [_info(lib.sandd_daemon_list_get(raw_list, index)) for index in range(count)]
    finally:
        lib.sandd_daemon_list_free(raw_list)


def _info(raw: Any) -> DaemonInfo:
    labels = {text_of(raw.labels[i].key): text_of(raw.labels[i].value) for i in range(raw.n_labels)}
    capabilities = {
        text_of(raw.capabilities[i].name): text_of(raw.capabilities[i].off_reason) for i in range(raw.n_capabilities)
    }
    return DaemonInfo(
        id=text_of(raw.id),
        version=text_of(raw.software),
        platform=text_of(raw.os),
        arch=text_of(raw.arch),
        release=text_of(raw.release),
        hostname=text_of(raw.hostname),
        labels=MappingProxyType(labels),
        instance=text_of(raw.instance),
        busy=int(raw.streams),
        address=text_of(raw.address),
        connected_since=raw.connected_since_ns / 1e9,
        last_seen=time.time() - raw.last_seen_ns / 1e9,
        round_trip=raw.round_trip_ns / 1e9 if raw.round_trip_ns else None,
        capabilities=MappingProxyType(capabilities),
    )


_servers: weakref.WeakSet[Server] = weakref.WeakSet()


def _close_all() -> None:
    for server in list(_servers):
        server.close()


def _forget_all() -> None:
    for server in list(_servers):
        server._after_fork()
    _servers.clear()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)

__all__ = ["MAX_OUTPUT", "TLS", "Server", "ServerStats"]

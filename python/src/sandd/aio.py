# SPDX-License-Identifier: MIT
"""The same API for asyncio.

    async with sandd.aio.Server(port=8765) as server:
        await server.wait_for_daemon("worker-1")
        result = await server.exec("worker-1", "uname -a")

Waiting costs no thread: the library tells the loop through one descriptor. Cancelling a task that waits in exec()
cancels the command.
"""

from __future__ import annotations

import asyncio
import signal as signals
from collections.abc import Mapping
from types import TracebackType
from typing import Union

from . import errors
from . import server as plain
from ._aio_streams import StreamReader, StreamWriter
from ._aio_wait import Waits
from ._exec import ENDED, EXITED, STARTED, Exec, failed_error
from ._requests import DEVNULL, PIPE, STDOUT, Redirection, exec_spec, popen_spec
from ._spec import Command, Env, Word
from .daemon_info import DaemonId, DaemonInfo, id_of
from .process import Process as PlainProcess
from .process import TextMode
from .result import CommandResult
from .server import MAX_OUTPUT, TLS, C, ServerStats

Input = Union[str, bytes, bytearray, memoryview]


class Process:
    """A command on a daemon, as asyncio.subprocess.Process. Made by Server.popen()."""

    def __init__(self, process: PlainProcess, command: Exec, waits: Waits, pipes: tuple[bool, bool, bool]) -> None:
        self._process = process
        self._command = command
        self._waits = waits
        self.pid = process.pid
        self.exec_id = process.exec_id
        self.instance = process.instance
        self.stdin = StreamWriter(command, waits) if pipes[0] else None
        self.stdout = StreamReader(command, waits, 1) if pipes[1] else None
        self.stderr = StreamReader(command, waits, 2) if pipes[2] else None

    @property
    def returncode(self) -> int | None:
        """The return code, if it has ended and wait() or this has seen it."""
        return self._process.poll()

    @property
    def signal(self) -> str | None:
        """The name of the signal that ended it."""
        return self._process.signal

    @property
    def timed_out(self) -> bool:
        """True if its timeout ended it."""
        return self._process.timed_out

    async def wait(self) -> int:
        """Waits for its end and returns the return code."""
        while (code := self._process.poll()) is None:
            await self._waits.wait(self._command, EXITED)
        return code

    async def communicate(self, input: Input | None = None) -> tuple[bytes | None, bytes | None]:
        """Sends input, reads all output and waits for the end: (stdout, stderr), None for what is no pipe."""
        if input is not None and self.stdin is None:
            raise ValueError("input needs stdin=PIPE")

        async def send() -> None:
            assert self.stdin is not None
            data = input.encode() if isinstance(input, str) else input
            try:
                self.stdin.write(data or b"")
                await self.stdin.drain()
                self.stdin.close()
            except BrokenPipeError:
                pass

        async def nothing() -> None:
            return None

        _, out, err = await asyncio.gather(
            send() if self.stdin else nothing(),
            self.stdout.read() if self.stdout else nothing(),
            self.stderr.read() if self.stderr else nothing(),
        )
        await self.wait()
        return out, err

    def send_signal(self, sig: int | str | signals.Signals, scope: str = "process") -> None:
        """As in sandd.Process."""
        self._process.send_signal(sig, scope)

    def terminate(self) -> None:
        """Sends SIGTERM to it and to everything that it started."""
        self._process.terminate()

    def kill(self) -> None:
        """Sends SIGKILL to it and to everything that it started."""
        self._process.kill()

    async def detach(self) -> None:
        """Lets it go on without this object."""
        self._process._detach()
        await self._waits.wait(self._command, ENDED)

    async def __aenter__(self) -> Process:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._command.cancel()
            return
        if self.stdin is not None:
            self.stdin.close()
        for reader in (self.stdout, self.stderr):
            if reader is not None:
                reader.discard()
        await self.wait()

    def __repr__(self) -> str:
        return repr(self._process)


class Server:
    """sandd.Server for asyncio: the same arguments, the same methods, but what waits is awaited."""

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
        #: The Server beneath: the daemons' list and the like, for code without asyncio.
        self.plain = plain.Server(
            host,
            port,
            token=token,
            verbose=verbose,
            session_retention=session_retention,
            heartbeat_interval=heartbeat_interval,
            tls=tls,
        )
        self._waits: Waits | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.address = self.plain.address
        self.port = self.plain.port
        self.url = self.plain.url

    def _in_loop(self) -> Waits:
        loop = asyncio.get_running_loop()
        handle = self.plain._open_handle()
        if self._waits is None:
            self._waits, self._loop = Waits(handle, loop), loop
        elif self._loop is not loop:
            raise RuntimeError("this server is used in another event loop")
        return self._waits

    async def exec(
        self,
        daemon_id: DaemonId,
        command: Command,
        timeout: float | None = 300,
        env: Env | None = None,
        cwd: Word | None = None,
        *,
        user: str | int | None = None,
        input: Input | None = None,
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
        """As Server.exec()."""
        spec = exec_spec(
            daemon_id, command, timeout, env, cwd, user, input, idle_timeout, grace, max_output, replace_env,
            merge_stderr, exec_id, instance, age, wait,
        )  # fmt: skip
        waits = self._in_loop()
        running = Exec(self.plain._open_handle(), spec)
        try:
            while not running.over():
                await waits.wait(running, ENDED)
            done = running.finish(running.result())
        finally:
            running.close()
        if check and not done.success:
            raise failed_error(spec, done)
        return done

    execute_command = exec

    async def popen(
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
        """As Server.popen(); the pipes are streams of bytes to be awaited."""
        spec, pipes = popen_spec(
            daemon_id, command, stdin, stdout, stderr, env, cwd, user, timeout, idle_timeout, grace, replace_env,
            exec_id, instance, age, mode, role, keep, pty, wait,
        )  # fmt: skip
        waits = self._in_loop()
        running = Exec(self.plain._open_handle(), spec)
        try:
            await waits.wait(running, STARTED)
        except BaseException:
            running.close()
            raise
        process = PlainProcess(running, spec, (False, False, False), TextMode(None, None, None, 0))
        return Process(process, running, waits, pipes)

    async def broadcast(
        self,
        labels: Mapping[str, str] | None,
        command: Command,
        timeout: float | None = 300,
        env: Env | None = None,
        cwd: Word | None = None,
    ) -> dict[str, CommandResult]:
        """As Server.broadcast()."""

        async def one(daemon: DaemonInfo) -> CommandResult:
            try:
                return await self.exec(daemon, command, timeout, env, cwd, wait=0)
            except errors.ServerClosed:
                raise
            except errors.SanddError as error:
                return CommandResult("", str(error), -1, 0)

        daemons = self.list_daemons(labels)
        return dict(zip((daemon.id for daemon in daemons), await asyncio.gather(*map(one, daemons))))

    async def wait_for_daemon(self, daemon_id: DaemonId, timeout: float | None = 30.0) -> bool:
        """Waits until a daemon is connected: True, or False when the time has passed."""
        loop = asyncio.get_running_loop()
        wanted, come = id_of(daemon_id), asyncio.Event()

        def told(daemon: DaemonInfo) -> None:
            if daemon.id == wanted:
                loop.call_soon_threadsafe(come.set)

        self.plain.on_connect(told)
        try:
            if self.plain.get_daemon(wanted) is None:
                await asyncio.wait_for(come.wait(), timeout)
            return True
        except asyncio.TimeoutError:
            return self.plain.get_daemon(wanted) is not None
        finally:
            self.plain._forget_callback(told)

    def list_daemons(self, labels: Mapping[str, str] | None = None) -> list[DaemonInfo]:
        """As Server.list_daemons(); it does not wait."""
        return self.plain.list_daemons(labels)

    def get_daemon(self, daemon_id: DaemonId) -> DaemonInfo | None:
        """As Server.get_daemon(); it does not wait."""
        return self.plain.get_daemon(daemon_id)

    def daemon_count(self) -> int:
        """How many daemons are connected."""
        return self.plain.daemon_count()

    def get_stats(self) -> ServerStats:
        """As Server.get_stats()."""
        return self.plain.get_stats()

    def on_connect(self, callback: C) -> C:
        """As Server.on_connect(): on a thread of the server, not in the loop."""
        return self.plain.on_connect(callback)

    def on_disconnect(self, callback: C) -> C:
        """As Server.on_disconnect(): on a thread of the server, not in the loop."""
        return self.plain.on_disconnect(callback)

    async def close(self) -> None:
        """Stops it, as Server.close()."""
        await asyncio.get_running_loop().run_in_executor(None, self.plain.close)
        if self._waits is not None:
            self._waits.close()
            self._waits = None

    async def __aenter__(self) -> Server:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        waits, loop = getattr(self, "_waits", None), getattr(self, "_loop", None)
        if waits is not None and loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(waits.close)

    def __repr__(self) -> str:
        return f"aio.{self.plain!r}"


__all__ = ["DEVNULL", "PIPE", "STDOUT", "Process", "Server", "StreamReader", "StreamWriter"]

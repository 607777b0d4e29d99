# SPDX-License-Identifier: MIT
"""A command that runs on a daemon, in the manner of subprocess.Popen."""

from __future__ import annotations

import io
import threading
import time
import warnings
from types import TracebackType
from typing import IO, Any, Union

from . import errors
from ._exec import ENDED, EXITED, STARTED, Exec, Result, shown, signal_name
from ._ffi import lib
from ._lib import deadline_after, error_of, text_of
from ._spec import Spec
from ._streams import InputPipe, OutputPipe

Input = Union[str, bytes, bytearray, memoryview]

_SCOPES = {
    "process": lib.SANDD_SIGNAL_PROCESS,
    "foreground": lib.SANDD_SIGNAL_FOREGROUND,
    "tree": lib.SANDD_SIGNAL_TREE,
}
_BUFFER = 64 * 1024


class TextMode:
    """How the pipes of a process are decoded, if they are."""

    def __init__(self, text: bool | None, encoding: str | None, errors: str | None, bufsize: int) -> None:
        self.on = bool(text or encoding or errors)
        self.encoding = encoding or "utf-8"
        self.errors = errors or "replace"
        self.bufsize = bufsize

    def around(self, raw: io.RawIOBase) -> IO[Any]:
        """The file object for a pipe."""
        if self.bufsize == 0 and not self.on:
            return raw  # type: ignore[return-value]
        size = self.bufsize if self.bufsize > 1 else _BUFFER
        buffered = io.BufferedWriter(raw, size) if raw.writable() else io.BufferedReader(raw, size)
        if not self.on:
            return buffered
        return io.TextIOWrapper(
            buffered, self.encoding, self.errors, write_through=self.bufsize == 0, line_buffering=self.bufsize == 1
        )


class Process:
    """A command on a daemon. Made by Server.popen(); as subprocess.Popen, but for this:

    - stdin, stdout and stderr are file objects without a descriptor. With text, bytes that are no UTF-8 are replaced.
    - terminate() and kill() reach everything that the command started; send_signal() reaches the process alone.
    - Leaving a with statement by an exception kills it; dropping the last reference does, too, with a ResourceWarning.
    - What ends it from outside (the daemon's machine restarts) raises SessionLost from the reads and from wait().
    """

    args: object
    stdin: IO[Any] | None
    stdout: IO[Any] | None
    stderr: IO[Any] | None

    def __init__(self, command: Exec, spec: Spec, pipes: tuple[bool, bool, bool], mode: TextMode) -> None:
        self._command = command
        self._spec = spec
        self._mode = mode
        self._lock = threading.Lock()
        self._final: Result | None = None
        self.args = spec.command
        self.stdin = self.stdout = self.stderr = None
        result = self._wait_started()
        self.pid = int(result.raw.pid)
        #: Names this process on its daemon.
        self.exec_id = text_of(result.raw.exec_id)
        #: The daemon's instance that it runs on.
        self.instance = text_of(result.raw.instance)
        self.daemon_id = spec.daemon_id
        if pipes[0]:
            self.stdin = mode.around(InputPipe(command))
        if pipes[1]:
            self.stdout = mode.around(OutputPipe(command, lib.SANDD_STDOUT))
        if pipes[2]:
            self.stderr = mode.around(OutputPipe(command, lib.SANDD_STDERR))

    def _wait_started(self) -> Result:
        try:
            self._command.wait(STARTED, None)
        except BaseException:
            self._command.close()
            raise
        result = self._command.result()
        if not result.raw.started:
            error = result.error()
            if error is None and result.timed_out:
                error = errors.CommandTimeout(f"{shown(self._spec)} timed out before it was started")
            self._command.close()
            raise error or errors.InternalError("the command ended without having begun")
        return result

    # -- its end -------------------------------------------------------------------------------------------------------

    @property
    def returncode(self) -> int | None:
        """The exit code, -N if signal N ended it, None if wait() or poll() has not seen its end."""
        return self._final.returncode if self._final is not None else None

    @property
    def signal(self) -> str | None:
        """The name of the signal that ended it ("SIGKILL"), if one did."""
        return self._final.signal if self._final is not None else None

    @property
    def timed_out(self) -> bool:
        """True if its timeout, or its idle timeout, ended it."""
        return self._final.timed_out if self._final is not None else False

    @property
    def duration_ms(self) -> int | None:
        """From start to exit on the daemon, rounded up."""
        return -(-self._final.raw.wall_ns // 1_000_000) if self._final is not None else None

    def poll(self) -> int | None:
        """The return code if it has ended, else None. Raises SessionLost if nobody can know any more."""
        if self._final is None:
            self._take_end(lib.sandd_exec_poll(self._command.handle))
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end and returns the return code. Output may still wait to be read.

        Raises CommandTimeout (a TimeoutError and a subprocess.TimeoutExpired) when `timeout` seconds have passed; the
        command goes on. Raises SessionLost and the like if its end can't be known.
        """
        if self._final is None and not self._take_end(self._command.wait(EXITED, deadline_after(timeout))):
            error = errors.CommandTimeout(f"{shown(self._spec)} has not ended: timed out after {timeout:g} seconds")
            error.cmd, error.timeout = self.args, timeout or 0.0
            raise error
        code = self.returncode
        assert code is not None
        return code

    def _take_end(self, bits: int) -> bool:
        if bits == lib.SANDD_E_CLOSED:
            bits = self._command.closed_bits()
        if bits < 0:
            raise error_of(bits)
        if not bits & (EXITED | ENDED):
            return False
        result = self._command.result()
        if not result.raw.exited:
            if not result.raw.ended:
                return False
            if result.timed_out:
                raise errors.CommandTimeout(f"{shown(self._spec)} timed out, and its daemon did not answer")
            raise result.error() or errors.InternalError("the command ended without a result")
        self._final = result
        return True

    def communicate(self, input: Input | None = None, timeout: float | None = None) -> tuple[Any, Any]:
        """Sends input, reads all output, waits for the end: (stdout, stderr), None for what is no pipe.

        On a timeout CommandTimeout is raised, the process goes on, and a second call misses no output.
        """
        if input is not None and self.stdin is None:
            raise ValueError("input needs stdin=PIPE")
        deadline = deadline_after(timeout)
        if not hasattr(self, "_workers"):
            self._begin_communicate(input)
        for worker in self._workers:
            worker.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
            if worker.is_alive():
                error = errors.CommandTimeout(f"{shown(self._spec)} timed out after {timeout:g} seconds")
                error.cmd, error.timeout = self.args, timeout or 0.0
                error.output = b"".join(self._gathered.get("stdout", ())) or None
                error.stderr = b"".join(self._gathered.get("stderr", ())) or None
                raise error
        self.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        if self._failures:
            raise self._failures[0]
        return self._all_of("stdout"), self._all_of("stderr")

    def _begin_communicate(self, input: Input | None) -> None:
        self._gathered: dict[str, list[bytes]] = {}
        self._failures: list[BaseException] = []
        self._workers: list[threading.Thread] = []
        for name in ("stdout", "stderr"):
            pipe = getattr(self, name)
            if pipe is not None:
                self._gathered[name] = []
                raw = pipe.buffer if self._mode.on else pipe
                self._work(self._read_all, raw, self._gathered[name])
        if self.stdin is not None:
            data = input.encode(self._mode.encoding, self._mode.errors) if isinstance(input, str) else input
            raw = self.stdin.buffer if self._mode.on else self.stdin  # type: ignore[attr-defined]
            self._work(self._write_all, raw, b"" if data is None else data)

    def _work(self, function: Any, *arguments: Any) -> None:
        def run() -> None:
            try:
                function(*arguments)
            except BaseException as error:
                self._failures.append(error)

        thread = threading.Thread(target=run, name="sandd-communicate", daemon=True)
        self._workers.append(thread)
        thread.start()

    def _read_all(self, pipe: Any, chunks: list[bytes]) -> None:
        read = pipe.read1 if hasattr(pipe, "read1") else pipe.read
        while chunk := read(1 << 20):
            chunks.append(chunk)
        pipe.close()

    def _write_all(self, pipe: Any, data: bytes) -> None:
        try:
            with memoryview(data) as view:
                for start in range(0, len(view), 1 << 20):
                    pipe.write(view[start : start + (1 << 20)])
            pipe.close()
        except BrokenPipeError:
            pass

    def _all_of(self, name: str) -> str | bytes | None:
        if name not in self._gathered:
            return None
        data = b"".join(self._gathered[name])
        if not self._mode.on:
            return data
        text = data.decode(self._mode.encoding, self._mode.errors)
        return text.replace("\r\n", "\n").replace("\r", "\n")

    # -- signals -------------------------------------------------------------------------------------------------------

    def send_signal(self, sig: int | str, scope: str = "process") -> None:
        """Sends a signal: a number of this machine, "SIGTERM" or "TERM". Does nothing when the process has ended.

        scope: "process", "foreground" (the group of its terminal, or its own), "tree" (all that it started).
        """
        if scope not in _SCOPES:
            raise ValueError(f"scope is one of process, foreground, tree, not {scope!r}")
        if self.poll() is not None:
            return
        name = signal_name(sig)
        code = lib.sandd_exec_signal(self._command.handle, name.encode(), _SCOPES[scope])
        if code == lib.SANDD_E_INVALID:
            raise errors.InvalidArgument(f"there is no signal {sig!r}")
        if code not in (0, lib.SANDD_E_CLOSED):
            raise error_of(code)

    def terminate(self) -> None:
        """Sends SIGTERM to it and to everything that it started."""
        self.send_signal("TERM", "tree")

    def kill(self) -> None:
        """Sends SIGKILL to it and to everything that it started."""
        self.send_signal("KILL", "tree")

    def resize(self, rows: int, cols: int) -> None:
        """Tells its terminal the new size."""
        code = lib.sandd_exec_resize(self._command.handle, rows, cols)
        if code not in (0, lib.SANDD_E_CLOSED):
            raise error_of(code)

    def detach(self) -> None:
        """Lets it go on without this object; with keep and an exec_id it can be attached to again."""
        self._detach()
        self._command.wait(ENDED, None)

    def _detach(self) -> None:
        code = lib.sandd_exec_detach(self._command.handle)
        if code not in (0, lib.SANDD_E_CLOSED):
            raise error_of(code)

    # -- the object ----------------------------------------------------------------------------------------------------

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._command.cancel()
        try:
            if self.stdin is not None:
                self.stdin.close()
        except BrokenPipeError:
            pass
        finally:
            for pipe in (self.stdout, self.stderr):
                if pipe is not None:
                    pipe.close()
        if kind is None:
            self.wait()

    def __del__(self) -> None:
        if getattr(self, "_final", self) is None and not self._command.over():
            warnings.warn(f"{self!r} is dropped while it runs, and killed", ResourceWarning, stacklevel=2, source=self)

    def __repr__(self) -> str:
        state = "running" if self.returncode is None else f"returncode={self.returncode}"
        return f"<Process {shown(self._spec)} on {self._spec.daemon_id!r}: pid {getattr(self, 'pid', None)}, {state}>"

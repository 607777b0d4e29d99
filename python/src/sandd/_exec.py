# SPDX-License-Identifier: MIT
"""One command of the library: its handle, its waits, and what became of it."""

from __future__ import annotations

import functools
import shlex
import signal
from typing import Any

from . import errors
from ._error import SanddError
from ._ffi import ffi, lib
from ._lib import Deadline, away, error_of, not_found, open_error, passed, text_of, wait_ms
from ._spec import Spec
from ._status import StatusCode
from .result import CommandResult

ENDED: int = lib.SANDD_EXEC_ENDED
EXITED: int = lib.SANDD_EXEC_EXITED
STARTED: int = lib.SANDD_EXEC_STARTED


def signal_number(name: str) -> int:
    """This machine's number of a signal named without SIG; 0 for one that it does not have."""
    base, plus, offset = name.partition("+")
    number = getattr(signal, "SIG" + base, None)
    if number is None:
        return int(name) if name.isdigit() else 0
    return int(number) + (int(offset) if plus else 0)


def signal_name(which: int | str) -> str:
    """The name without SIG of a signal given as a number of this machine, "SIGTERM" or "TERM"."""
    if isinstance(which, str):
        return which.upper().replace("SIG", "", 1) if which.upper().startswith("SIG") else which.upper()
    try:
        return signal.Signals(which).name[3:]
    except ValueError:
        if signal.SIGRTMIN < which < signal.SIGRTMAX:
            return f"RTMIN+{which - signal.SIGRTMIN}"
        raise ValueError(f"there is no signal {which}") from None


class Result:
    """What is known of a command at one moment."""

    def __init__(self, raw: Any, spec: Spec) -> None:
        self.raw = raw
        self._spec = spec

    @property
    def returncode(self) -> int | None:
        """Exit code, or -N for signal N; None while it is not known."""
        if not self.raw.exited:
            return None
        name = text_of(self.raw.signal)
        return -(signal_number(name) or 255) if name else int(self.raw.exit_code)

    @property
    def signal(self) -> str | None:
        name = text_of(self.raw.signal) if self.raw.exited else ""
        return f"SIG{name}" if name else None

    @property
    def timed_out(self) -> bool:
        return bool(
            (self.raw.exited and self.raw.reason in (lib.SANDD_EXIT_DEADLINE, lib.SANDD_EXIT_IDLE))
            or (self.raw.ended and self.raw.error == lib.SANDD_E_TIMEOUT)
        )

    @property
    def ok(self) -> bool:
        """True if the command ran to its end, whatever its exit code, and its output is complete."""
        return bool(self.raw.ended and self.raw.error == 0 and self.raw.status == StatusCode.OK)

    def error(self) -> Exception | None:
        """Why the operation failed, if it did: not the exit code of the command."""
        raw = self.raw
        if not raw.ended or self.ok or self.timed_out:
            return None
        text = text_of(raw.text)
        if raw.error == lib.SANDD_E_AWAY:
            return away(self._spec.daemon_id, raw.away_since_ns, raw.may_have_run)
        if raw.error == lib.SANDD_E_NOT_FOUND:
            return not_found(self._spec.daemon_id)
        if raw.error == lib.SANDD_E_CLOSED:
            return errors.ServerClosed(f"the server was closed; the command {fate(raw)}")
        if raw.error:
            return error_of(raw.error, text)
        return errors.from_status(raw.status, text, text_of(raw.errno_name))


def _free(freed: list[bool], handle: Any) -> None:
    freed.append(True)
    lib.sandd_exec_free(handle)


class Exec:
    """Opens a command; closed by close() or when the last reference goes, which cancels it if it still runs."""

    def __init__(self, server_handle: Any, spec: Spec) -> None:
        self.spec = spec
        out, failure = ffi.new("sandd_exec **"), ffi.new("sandd_failure *")
        code = lib.sandd_exec_open(out, server_handle, spec.config, failure)
        del server_handle  # or the traceback of an error would keep a closed server's memory
        if code != 0:
            raise open_error(code, failure, spec.daemon_id)
        # The collector of a cycle runs destructors in any order: who may come after ours must ask `freed`.
        self._freed: list[bool] = []
        self.handle = ffi.gc(out[0], functools.partial(_free, self._freed))

    @property
    def freed(self) -> bool:
        return bool(self._freed)

    def wait(self, mask: int, deadline: Deadline) -> int:
        """Waits for a bit of mask, or the end: the bits that are so; 0 when the time has passed."""
        while True:
            bits: int = lib.sandd_exec_wait(self.handle, mask, wait_ms(deadline))
            if bits > 0:
                return bits
            if bits == lib.SANDD_E_CLOSED:
                return self.closed_bits()
            if bits not in (lib.SANDD_E_INTR, lib.SANDD_E_TIMEOUT):
                raise error_of(bits)
            if bits == lib.SANDD_E_TIMEOUT and passed(deadline):
                return 0

    def closed_bits(self) -> int:
        """What is so of a command whose server was closed: its end, if that came before."""
        result = self.result()
        if not result.raw.ended:
            raise errors.ServerClosed(f"the server was closed; the command {fate(result.raw)}")
        return ENDED

    def result(self) -> Result:
        raw = ffi.new("sandd_exec_result *")
        raw.size = ffi.sizeof("sandd_exec_result")
        code = lib.sandd_exec_get_result(self.handle, raw)
        if code != 0:
            raise error_of(code)
        return Result(raw, self.spec)

    def over(self) -> bool:
        """True if it has ended, or can't be told any more."""
        if self._freed:
            return True
        bits: int = lib.sandd_exec_poll(self.handle)
        return bits < 0 or bool(bits & ENDED)

    def cancel(self) -> None:
        lib.sandd_exec_cancel(self.handle)

    def close(self) -> None:
        """Frees it. No other thread may be in a call on it."""
        ffi.release(self.handle)

    # -- commands whose output the library gathers ---------------------------------------------------------------------

    def _output(self, channel: int) -> tuple[bytes, str]:
        """What came, and its text; on both sides of a gap decoded on its own."""
        data, length, skip_at = ffi.new("const uint8_t **"), ffi.new("size_t *"), ffi.new("size_t *")
        code = lib.sandd_exec_output(self.handle, channel, data, length, skip_at)
        if code != 0:
            raise error_of(code)
        if not length[0]:
            return b"", ""
        raw = ffi.buffer(data[0], length[0])[:]
        cut = skip_at[0]
        if cut < len(raw):
            return raw, raw[:cut].decode("utf-8", "replace") + raw[cut:].decode("utf-8", "replace")
        return raw, raw.decode("utf-8", "replace")

    def command_result(self, result: Result) -> CommandResult:
        raw = result.raw
        out, out_text = self._output(lib.SANDD_STDOUT)
        err, err_text = self._output(lib.SANDD_STDERR)
        code = result.returncode
        return CommandResult(
            stdout=out_text,
            stderr=err_text,
            exit_code=-1 if code is None else code,
            duration_ms=-(-raw.wall_ns // 1_000_000),
            timed_out=result.timed_out,
            truncated=bool(raw.truncated),
            signal=result.signal,
            stdout_bytes=out,
            stderr_bytes=err,
            stdout_total=len(out) + raw.stdout_skipped,
            stderr_total=len(err) + raw.stderr_skipped,
            complete=result.ok,
            exec_id=text_of(raw.exec_id),
            instance=text_of(raw.instance),
        )

    def finish(self, result: Result) -> CommandResult:
        """What exec() returns, or raises, of a command that has ended."""
        error = result.error()
        if error is not None:
            if isinstance(error, SanddError):
                error.may_have_run = bool(result.raw.may_have_run)
                error.result = self.command_result(result) if result.raw.started else None
            raise error
        done = self.command_result(result)
        if result.timed_out:
            raise timeout_error(self.spec, result, done)
        return done


def shown(spec: Spec) -> str:
    """The command, for a message."""
    command = spec.command
    if command is None:
        return "the command"
    if isinstance(command, (str, bytes)):
        text = command if isinstance(command, str) else command.decode("utf-8", "replace")
    else:
        words = [w if isinstance(w, str) else repr(w) for w in command]
        text = " ".join(shlex.quote(word) for word in words)
    return repr(text) if len(text) <= 200 else repr(text[:200]) + "..."


def timeout_error(spec: Spec, result: Result | None, done: CommandResult | None) -> errors.CommandTimeout:
    """A command that its timeout ended."""
    raw = result.raw if result is not None else None
    idle = raw is not None and raw.exited and raw.reason == lib.SANDD_EXIT_IDLE
    seconds = (spec.config.idle_timeout_ns if idle else spec.config.timeout_ns) / 1e9
    why = f"timed out: no output for {seconds:g} s" if idle else f"timed out after {seconds:g} s"
    if raw is not None and not raw.exited:
        why += f", and daemon {spec.daemon_id!r} did not answer; the command {fate(raw)}"
    error = errors.CommandTimeout(f"{shown(spec)} {why}")
    error.cmd, error.timeout, error.result = spec.command, seconds, done
    if done is not None:
        error.output, error.stderr = done.stdout_bytes, done.stderr_bytes
    return error


def fate(raw: Any) -> str:
    """Whether the command of a result that is not known may have run."""
    return "may have run" if raw.may_have_run else "has not run"


def failed_error(spec: Spec, done: CommandResult) -> errors.CommandFailed:
    """For check=True."""
    if done.signal:
        why = f"was ended by {done.signal}"
    elif not done.complete:
        why = "did not give all of its output"
    else:
        why = f"ended with exit code {done.exit_code}"
    hint = done.stderr.strip().splitlines()[-1:] or [""]
    error = errors.CommandFailed(f"{shown(spec)} {why}" + (f": {hint[0][:200]}" if hint[0] else ""))
    error.returncode, error.cmd, error.result = done.exit_code, spec.command, done
    error.output, error.stderr = done.stdout, done.stderr
    return error

# SPDX-License-Identifier: MIT
"""What every module needs of the library: waiting so that signals get through, text, and errors."""

from __future__ import annotations

import math
import threading
import time
from datetime import datetime, timezone
from typing import Any, Optional

from . import errors
from ._error import SanddError
from ._ffi import ffi, lib

# A signal that comes just before the wait would be seen only at its end; only the main thread runs signal handlers.
_MAIN_THREAD_SLICE_MS = 500

Deadline = Optional[float]


def deadline_after(timeout: float | None) -> Deadline:
    """The moment that a wait of so many seconds ends; None for no end."""
    return None if timeout is None else time.monotonic() + max(timeout, 0.0)


def wait_ms(deadline: Deadline) -> int:
    """How long the next wait in C may last. It returns SANDD_E_TIMEOUT or _INTR: call again unless passed(deadline)."""
    left = -1 if deadline is None else max(0, math.ceil((deadline - time.monotonic()) * 1000))
    if threading.current_thread() is threading.main_thread():
        return _MAIN_THREAD_SLICE_MS if left < 0 else min(left, _MAIN_THREAD_SLICE_MS)
    return left


def passed(deadline: Deadline) -> bool:
    return deadline is not None and time.monotonic() >= deadline


def text_of(pointer: Any) -> str:
    """A C string as str; "" for NULL."""
    return "" if pointer == ffi.NULL else ffi.string(pointer).decode("utf-8", "replace")


def library_version() -> str:
    """The version of the C library, which is that of the package."""
    return text_of(lib.sandd_server_version())


def nanoseconds(seconds: float | None) -> int:
    """For a timeout of the library, where 0 means none: at least one."""
    if seconds is None or seconds == math.inf:
        return 0
    if seconds != seconds or seconds < 0:
        raise ValueError(f"a time can't be {seconds}")
    return min(max(1, round(seconds * 1e9)), 2**62)


def milliseconds(seconds: float) -> int:
    if seconds != seconds or seconds < 0:
        raise ValueError(f"a time can't be {seconds}")
    return min(math.ceil(seconds * 1000), 2**53)


def when(nanoseconds_since_1970: int) -> str:
    moment = datetime.fromtimestamp(nanoseconds_since_1970 / 1e9, timezone.utc)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def not_found(daemon_id: str) -> SanddError:
    return errors.DaemonNotFound(f"daemon {daemon_id!r} not found")


def away(daemon_id: str, since_ns: int, may_have_run: bool) -> SanddError:
    since = f" since {when(since_ns)}" if since_ns else ""
    fate = "may have run" if may_have_run else "has not run"
    error = errors.DaemonAway(f"daemon {daemon_id!r} not found: it is away{since}; the command {fate}")
    error.since = since_ns / 1e9 if since_ns else None
    error.may_have_run = may_have_run
    return error


_CLASSES: dict[int, type[SanddError]] = {
    lib.SANDD_E_INVALID: errors.InvalidArgument,
    lib.SANDD_E_STATE: errors.FailedPrecondition,
    lib.SANDD_E_CLOSED: errors.ServerClosed,
    lib.SANDD_E_TOO_LARGE: errors.MessageTooLarge,
    lib.SANDD_E_LIMIT: errors.ResourceExhausted,
    lib.SANDD_E_AGAIN: errors.ResourceExhausted,
    lib.SANDD_E_TIMEOUT: errors.CommandTimeout,
    lib.SANDD_E_UNSUPPORTED: errors.Unimplemented,
    lib.SANDD_E_INTERNAL: errors.InternalError,
    lib.SANDD_E_PROTOCOL: errors.ProtocolError,
    lib.SANDD_E_NOT_FOUND: errors.NotFound,
    lib.SANDD_E_AWAY: errors.DaemonAway,
    lib.SANDD_E_ADDRESS: errors.ListenError,
    lib.SANDD_E_TLS: errors.ListenError,
    lib.SANDD_E_SYSTEM: errors.SystemCallFailed,
}


def error_of(code: int, text: str = "") -> Exception:
    """The exception for a SANDD_E_* that a call returned."""
    if code == lib.SANDD_E_NOMEM:
        return MemoryError()
    text = text or text_of(lib.sandd_error_text(code))
    return _CLASSES.get(code, SanddError)(text)


def listen_error(code: int, failure: Any) -> Exception:
    """The exception for a server that could not begin."""
    text = text_of(failure.text)
    if code in (lib.SANDD_E_ADDRESS, lib.SANDD_E_TLS, lib.SANDD_E_SYSTEM):
        return errors.ListenError(text, text_of(failure.errno_name))
    return error_of(code, text)


def open_error(code: int, failure: Any, daemon_id: str) -> Exception:
    """The exception for a command that was not sent."""
    if code == lib.SANDD_E_NOT_FOUND:
        return not_found(daemon_id)
    if code == lib.SANDD_E_AWAY:
        return away(daemon_id, failure.away_since_ns, False)
    return error_of(code, text_of(failure.text))

# SPDX-License-Identifier: MIT
"""Everything that sandd raises: one tree under SanddError.

A member that has a built-in counterpart is that as well: a missing program is a FileNotFoundError, a timeout is a
TimeoutError, a daemon that is not there is a ValueError. The members that stand for a status of the protocol are made
from its list (see StatusCode); the others are below.
"""

from __future__ import annotations

import errno
import subprocess
from typing import Any

from . import _status
from ._error import SanddError
from ._status import *  # noqa: F403
from ._status import StatusCode


class ServerClosed(SanddError):
    """The server was closed, before the call or while it waited."""


class ListenError(SanddError, OSError):
    """The server can't listen there: the address is in use, unknown or not allowed; or its certificate is unusable."""


class DaemonNotFound(SanddError, ValueError):
    """No daemon of this id is connected, nor has a session that waits for one."""

    code = StatusCode.NOT_FOUND


class DaemonAway(DaemonNotFound, ConnectionError):
    """The daemon is known, but its connection is gone; its session waits for it.

    `since` is when it was lost (seconds since 1970), `may_have_run` whether the command may have been started.
    """

    code = StatusCode.UNAVAILABLE
    since: float | None = None


class CommandFailed(SanddError, subprocess.CalledProcessError):
    """With check=True: the command did not succeed. `result` is what it gave."""

    def __init__(self, message: str = "", errno_name: str = "") -> None:
        SanddError.__init__(self, message, errno_name)
        self.returncode = 0
        self.cmd = ""
        self.output = self.stderr = ""

    def __str__(self) -> str:
        return self.message


class CommandTimeout(_status.DeadlineExceeded, subprocess.TimeoutExpired):
    """A command or a wait took longer than it was allowed. Of a command, `result` is what it gave so far."""

    def __init__(self, message: str = "", errno_name: str = "") -> None:
        SanddError.__init__(self, message, errno_name)
        self.cmd = ""
        self.timeout = 0.0
        self.output = self.stderr = None

    def __str__(self) -> str:
        return self.message


_blends: dict[tuple[type[SanddError], type[OSError]], type[SanddError]] = {}


def from_status(code: int, message: str, errno_name: str = "") -> SanddError:
    """The exception for a status of the protocol; a code of a newer version is a plain SanddError."""
    kind = _status.ERRORS.get(code, SanddError)
    if errno_name:
        kind = _with_built_in(kind, errno_name)
    error = kind(message or kind.__doc__ or kind.__name__, errno_name)
    if error.code != code:
        error.code = code
    return error


def _reduce_blend(error: SanddError) -> tuple[Any, ...]:
    return from_status, (int(error.code), error.message, error.errno_name), dict(error.__dict__)


def _with_built_in(kind: type[SanddError], errno_name: str) -> type[SanddError]:
    """The same exception, but also the OSError of that errno (NotADirectoryError for ENOTDIR)."""
    number = getattr(errno, errno_name, None)
    built_in = type(OSError(number, "")) if isinstance(number, int) else OSError
    if issubclass(kind, built_in):
        return kind
    if (kind, built_in) not in _blends:
        blend = type(kind.__name__, (kind, built_in), {"__doc__": kind.__doc__, "__module__": kind.__module__})
        blend.__reduce__ = _reduce_blend  # type: ignore[method-assign,assignment]
        _blends[kind, built_in] = blend
    return _blends[kind, built_in]


__all__ = [
    "CommandFailed",
    "CommandTimeout",
    "DaemonAway",
    "DaemonNotFound",
    "ListenError",
    "SanddError",
    "ServerClosed",
    "from_status",
]
__all__ += _status.__all__

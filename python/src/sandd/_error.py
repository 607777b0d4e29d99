# SPDX-License-Identifier: MIT
"""The root of the exceptions."""

from __future__ import annotations

import errno as _errno
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .result import CommandResult


class SanddError(RuntimeError):
    """Anything that went wrong with a daemon, a command or the server.

    `message` is a sentence for people, `code` the status code of the protocol (0 where there is none), `errno` the
    system's number if a system call failed (on this machine's numbering), and `errno_name` its name.
    """

    code: int = 0
    #: False if the command certainly has not run.
    may_have_run: bool = False
    #: What the command gave before it failed, if it was started.
    result: CommandResult | None = None
    errno: Any
    strerror: Any
    errno_name: str

    def __init__(self, message: str = "", errno_name: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.errno_name = errno_name
        number = getattr(_errno, errno_name, None) if errno_name else None
        self.errno = number if isinstance(number, int) else self._default_errno()
        if isinstance(self, OSError):
            self.strerror = message

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.errno_name), dict(self.__dict__)

    def _default_errno(self) -> int | None:
        for kind, number in _OF_BUILT_IN:
            if isinstance(self, kind):
                return number
        return None


_OF_BUILT_IN: tuple[tuple[type[BaseException], int], ...] = (
    (FileNotFoundError, _errno.ENOENT),
    (FileExistsError, _errno.EEXIST),
    (PermissionError, _errno.EACCES),
    (TimeoutError, _errno.ETIMEDOUT),
    (ConnectionError, _errno.ENOTCONN),
)

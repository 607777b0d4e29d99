# SPDX-License-Identifier: MIT
"""The pipes of a Process, as raw streams; process.py puts buffers and text around them."""

from __future__ import annotations

import errno
import io
from typing import TYPE_CHECKING, Any

from ._exec import Exec
from ._ffi import ffi, lib
from ._lib import error_of, wait_ms

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

# What readall() asks for at once.
_CHUNK = 1024 * 1024


class OutputPipe(io.RawIOBase):
    """What the process writes to one of its outputs. A read waits for at least one byte, or the end."""

    def __init__(self, command: Exec, channel: int) -> None:
        super().__init__()
        self._command = command
        self._channel = channel
        self._length = ffi.new("uint64_t *")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        self._checkClosed()
        view = ffi.from_buffer(buffer, require_writable=True)
        room = len(view)
        if room == 0:
            return 0
        command, length = self._command, ffi.new("uint64_t *")
        while True:
            kind = lib.sandd_exec_read(command.handle, self._channel, view, room, length, wait_ms(None))
            if kind == lib.SANDD_READ_DATA:
                return int(length[0])
            if kind == lib.SANDD_READ_END:
                return 0
            if kind == lib.SANDD_E_CLOSED:
                raise command.result().error() or error_of(kind)
            if kind not in (lib.SANDD_READ_SKIP, lib.SANDD_E_INTR, lib.SANDD_E_TIMEOUT):
                raise error_of(kind)

    def readall(self) -> bytes:
        chunks = []
        view = memoryview(bytearray(_CHUNK))
        while count := self.readinto(view):
            chunks.append(bytes(view[:count]))
        return b"".join(chunks)

    def close(self) -> None:
        """What still comes is thrown away; the process is not held up by it, and gets no SIGPIPE either."""
        if not self.closed:
            super().close()
            if not self._command.freed:
                lib.sandd_exec_discard(self._command.handle, self._channel)


class InputPipe(io.RawIOBase):
    """What the process reads from its standard input. A write waits for room; close() is the end of file."""

    def __init__(self, command: Exec) -> None:
        super().__init__()
        self._command = command

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        self._checkClosed()
        view: Any = ffi.from_buffer(data)
        if len(view) == 0 or self._command.freed:
            return len(view)
        while True:
            count = lib.sandd_exec_write(self._command.handle, view, len(view), wait_ms(None))
            if count > 0:
                return int(count)
            if count in (lib.SANDD_E_CLOSED, lib.SANDD_E_STATE):
                raise self._command.result().error() or BrokenPipeError(
                    errno.EPIPE, "the process does not read its input any more"
                )
            if count not in (lib.SANDD_E_INTR, lib.SANDD_E_TIMEOUT):
                raise error_of(int(count))

    def close(self) -> None:
        if not self.closed:
            super().close()
            if not self._command.freed:
                lib.sandd_exec_close_stdin(self._command.handle)

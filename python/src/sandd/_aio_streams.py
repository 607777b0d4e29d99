# SPDX-License-Identifier: MIT
"""The pipes of an asyncio process."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from typing import Any

from ._aio_wait import Waits
from ._exec import Exec
from ._ffi import ffi, lib
from ._lib import error_of

_CHUNK = 256 * 1024
_CHANNELS = {1: (lib.SANDD_STDOUT, lib.SANDD_EXEC_READABLE), 2: (lib.SANDD_STDERR, lib.SANDD_EXEC_READABLE_ERR)}


class StreamReader:
    """What a process writes. One task reads at a time; what nobody reads holds the process up."""

    def __init__(self, command: Exec, waits: Waits, which: int) -> None:
        self._command = command
        self._waits = waits
        self._channel, self._mask = _CHANNELS[which]
        self._buffer = bytearray()
        self._ended = False

    def at_eof(self) -> bool:
        """True when everything has been read."""
        return self._ended and not self._buffer

    async def _fill(self) -> bool:
        """Adds some bytes to the buffer; False at the end."""
        chunk, length = bytearray(_CHUNK), ffi.new("uint64_t *")
        view: Any = ffi.from_buffer(chunk)
        while not self._ended:
            kind = lib.sandd_exec_read(self._command.handle, self._channel, view, _CHUNK, length, 0)
            if kind == lib.SANDD_READ_DATA:
                self._buffer += memoryview(chunk)[: length[0]]
                return True
            if kind == lib.SANDD_READ_END:
                self._ended = True
            elif kind == lib.SANDD_E_TIMEOUT:
                await self._waits.wait(self._command, self._mask)
            elif kind == lib.SANDD_E_CLOSED:
                raise self._command.result().error() or error_of(kind)
            elif kind not in (lib.SANDD_READ_SKIP, lib.SANDD_E_INTR):
                raise error_of(kind)
        return False

    def _take(self, count: int) -> bytes:
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    async def read(self, n: int = -1) -> bytes:
        """Up to n bytes, at least one unless at the end; all until the end with n=-1."""
        if n == 0:
            return b""
        if n < 0:
            while await self._fill():
                pass
            return self._take(len(self._buffer))
        if not self._buffer:
            await self._fill()
        return self._take(n)

    async def readexactly(self, n: int) -> bytes:
        """n bytes; asyncio.IncompleteReadError if the end comes before."""
        while len(self._buffer) < n:
            if not await self._fill():
                raise asyncio.IncompleteReadError(self._take(len(self._buffer)), n)
        return self._take(n)

    async def readline(self) -> bytes:
        """A line with its newline; what is left at the end; b"" at the end."""
        begin = 0
        while (at := self._buffer.find(b"\n", begin)) < 0:
            begin = len(self._buffer)
            if not await self._fill():
                return self._take(len(self._buffer))
        return self._take(at + 1)

    def discard(self) -> None:
        """Throws away what still comes."""
        if not self._command.freed:
            lib.sandd_exec_discard(self._command.handle, self._channel)

    def __aiter__(self) -> StreamReader:
        return self

    async def __anext__(self) -> bytes:
        line = await self.readline()
        if not line:
            raise StopAsyncIteration
        return line


class StreamWriter:
    """What a process reads."""

    def __init__(self, command: Exec, waits: Waits) -> None:
        self._command = command
        self._waits = waits
        self._buffer = bytearray()
        self._closing = False
        self._broken = False
        self._closer: asyncio.Task[None] | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Takes bytes; drain() sends them."""
        if self._closing:
            raise ValueError("write to a closed pipe")
        self._buffer += data
        if not self._broken:
            self._flush()

    def _flush(self) -> bool:
        """Sends what there is room for; True when all is sent."""
        while self._buffer:
            view: Any = ffi.from_buffer(self._buffer)
            try:
                count = lib.sandd_exec_write(self._command.handle, view, len(self._buffer), 0)
            finally:
                ffi.release(view)
            if count > 0:
                del self._buffer[:count]
            elif count in (lib.SANDD_E_TIMEOUT, lib.SANDD_E_AGAIN):
                return False
            elif count in (lib.SANDD_E_CLOSED, lib.SANDD_E_STATE):
                self._broken = True
                return True
            elif count != lib.SANDD_E_INTR:
                raise error_of(int(count))
        return True

    async def drain(self) -> None:
        """Waits until everything that was written is sent."""
        while not self._flush():
            await self._waits.wait(self._command, lib.SANDD_EXEC_WRITABLE)
        if self._broken:
            self._buffer.clear()
            raise self._command.result().error() or BrokenPipeError(
                errno.EPIPE, "the process does not read its input any more"
            )

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        """The end of file, behind what was written."""
        if self._closing:
            return
        self._closing = True
        if self._flush():
            self._end()
        else:
            self._closer = asyncio.ensure_future(self._drain_and_end())

    write_eof = close

    async def _drain_and_end(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            await self.drain()
        self._end()

    def _end(self) -> None:
        if not self._command.freed:
            lib.sandd_exec_close_stdin(self._command.handle)

    async def wait_closed(self) -> None:
        """Waits until close() has sent everything."""
        if self._closer is not None:
            await self._closer

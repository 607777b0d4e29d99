# SPDX-License-Identifier: MIT
"""Waiting for commands of the library in an asyncio loop: one descriptor for all commands of a server."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from . import errors
from ._exec import ENDED, Exec
from ._ffi import ffi, lib
from ._lib import error_of

_BATCH = 64


class Waits:
    """The wait set of one server in one loop. All methods are for the loop's thread."""

    def __init__(self, server_handle: Any, loop: asyncio.AbstractEventLoop) -> None:
        out = ffi.new("sandd_waitset **")
        code = lib.sandd_waitset_new(out, server_handle)
        if code != 0:
            raise error_of(code)
        self._set = ffi.gc(out[0], lib.sandd_waitset_free)
        self._loop = loop
        self._fd = lib.sandd_waitset_fd(self._set)
        self._pending: dict[int, tuple[Exec, list[tuple[int, asyncio.Future[int]]]]] = {}
        self._keys: dict[Exec, int] = {}
        self._next_key = 1
        self._ready = ffi.new("sandd_ready[]", _BATCH)
        loop.add_reader(self._fd, self._drain)

    async def wait(self, command: Exec, mask: int) -> int:
        """Waits until a bit of mask is so, or the command has ended: the bits that are so."""
        if self._fd < 0:
            raise errors.ServerClosed("the server was closed; the command may have run")
        key = self._keys.get(command)
        if key is None:
            key, self._next_key = self._next_key, self._next_key + 1
            self._keys[command] = key
            self._pending[key] = (command, [])
        future: asyncio.Future[int] = self._loop.create_future()
        self._pending[key][1].append((mask, future))
        self._arm(key)
        try:
            return await future
        finally:
            entry = self._pending.get(key)
            if entry is not None:
                with contextlib.suppress(ValueError):
                    entry[1].remove((mask, future))
                if not entry[1]:
                    self._forget(key)

    def _arm(self, key: int) -> None:
        command, waiters = self._pending[key]
        mask = 0
        for wanted, _ in waiters:
            mask |= wanted
        code = lib.sandd_waitset_add(self._set, command.handle, mask, ffi.cast("void *", key))
        if code == lib.SANDD_E_CLOSED:
            self.close()
        elif code != 0:
            raise error_of(code)

    def _forget(self, key: int) -> None:
        command, _ = self._pending.pop(key)
        del self._keys[command]
        lib.sandd_waitset_remove(self._set, command.handle)

    def _tell(self, key: int, bits: int) -> None:
        _, waiters = self._pending[key]
        for wanted, future in waiters:
            if bits & (wanted | ENDED) and not future.done():
                future.set_result(bits)

    def _drain(self) -> None:
        while True:
            count = lib.sandd_waitset_next(self._set, self._ready, _BATCH, 0)
            if count < 0:
                if count == lib.SANDD_E_CLOSED:
                    self.close()
                return
            for index in range(count):
                key = int(ffi.cast("uintptr_t", self._ready[index].user))
                if key in self._pending:
                    self._tell(key, int(self._ready[index].bits))
                    # Those whose bit is not yet so are told at the next change.
                    if any(not future.done() for _, future in self._pending[key][1]):
                        self._arm(key)

    def close(self) -> None:
        """Ends every wait."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._fd = -1
            for _, waiters in self._pending.values():
                for _, future in waiters:
                    if not future.done():
                        future.set_exception(errors.ServerClosed("the server was closed; the command may have run"))

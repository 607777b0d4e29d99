# SPDX-License-Identifier: MIT
"""A TCP proxy on loopback that fails on command: cuts, stalls, delays and refuses connections."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")
CHUNK = 256 * 1024
# What may be under way in a delayed direction.
IN_FLIGHT = 64 * 1024 * 1024


class Proxy:
    """Passes connections to host:port on. All methods may be called from any thread.

    delay: seconds that every byte takes, in each direction.
    """

    def __init__(self, port: int, host: str = "127.0.0.1", delay: float = 0.0) -> None:
        self.target = (host, port)
        self.delay = delay
        self.accepted = 0
        #: Bytes that were passed on, to the target and from it.
        self.up = self.down = 0
        self._pipes: set[_Pipe] = set()
        self._refuse = False
        self._limits: dict[str, int] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._server = self._call(self._listen())
        self.port: int = self._server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        """What a daemon dials."""
        return f"ws://127.0.0.1:{self.port}/ws"

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._pipes)

    def cut(self) -> int:
        """Ends every connection, in both directions, at once; returns how many."""
        return self._call(self._cut())

    def cut_after(self, count: int, direction: str = "down") -> None:
        """Cuts once the next `count` bytes have passed in that direction: "up" is to the target."""
        self._call(self._set_limit(direction, count))

    def blackhole(self) -> None:
        """From now on nothing passes, and nobody is told; new connections are accepted and hear nothing either."""
        self._call(self._set_flowing(False))

    def resume(self) -> None:
        """Ends blackhole() and refuse(); what was held back passes."""
        self._refuse = False
        self._call(self._set_flowing(True))

    def refuse(self) -> None:
        """From now on a new connection is closed at once."""
        self._refuse = True

    def close(self) -> None:
        """Ends everything."""
        if self._thread.is_alive():
            self._call(self._close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    async def _listen(self) -> asyncio.Server:
        self._flowing = asyncio.Event()
        self._flowing.set()
        return await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=CHUNK)

    async def _set_flowing(self, on: bool) -> None:
        if on:
            self._flowing.set()
        else:
            self._flowing.clear()

    async def _set_limit(self, direction: str, count: int) -> None:
        self._limits[direction] = count

    async def _cut(self) -> int:
        pipes, self._pipes = self._pipes, set()
        for pipe in pipes:
            pipe.abort()
        return len(pipes)

    async def _close(self) -> None:
        self._server.close()
        await self._cut()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuse:
            writer.transport.abort()
            return
        try:
            await self._flowing.wait()
            far_reader, far_writer = await asyncio.open_connection(*self.target, limit=CHUNK)
        except OSError:
            writer.transport.abort()
            return
        self.accepted += 1
        pipe = _Pipe(writer, far_writer)
        self._pipes.add(pipe)
        try:
            await asyncio.gather(
                self._pump(reader, far_writer, "up", pipe), self._pump(far_reader, writer, "down", pipe)
            )
        finally:
            self._pipes.discard(pipe)
            pipe.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: str, pipe: _Pipe
    ) -> None:
        try:
            if self.delay:
                await self._delayed(reader, writer, direction)
            else:
                while data := await reader.read(CHUNK):
                    await self._pass(data, writer, direction)
            if writer.can_write_eof():
                writer.write_eof()
        except (OSError, RuntimeError):
            pipe.abort()

    async def _pass(self, data: bytes, writer: asyncio.StreamWriter, direction: str) -> None:
        if not self._flowing.is_set():
            await self._flowing.wait()
        limit = self._limits.get(direction)
        if limit is not None:
            data, rest = data[:limit], data[limit:]
            self._limits[direction] = limit - len(data)
        setattr(self, direction, getattr(self, direction) + len(data))
        writer.write(data)
        await writer.drain()
        if limit is not None and (rest or limit == len(data)):
            del self._limits[direction]
            await self._cut()
            raise OSError("cut")

    async def _delayed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: str) -> None:
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(IN_FLIGHT // CHUNK)

        async def read() -> None:
            while data := await reader.read(CHUNK):
                await queue.put((self._loop.time() + self.delay, data))
            await queue.put((self._loop.time() + self.delay, b""))

        task = asyncio.ensure_future(read())
        try:
            while True:
                due, data = await queue.get()
                await asyncio.sleep(due - self._loop.time())
                if not data:
                    break
                await self._pass(data, writer, direction)
            await task
        finally:
            task.cancel()


class _Pipe:
    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self._writers = writers

    def abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


__all__ = ["Proxy"]

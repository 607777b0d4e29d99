# SPDX-License-Identifier: MIT
"""sandd.aio: the same, awaited."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable

import pytest
from helpers import marked, until

import sandd
import sandd.aio
from sandd.testing import local_daemon

Body = Callable[[sandd.aio.Server, str], Awaitable[None]]


def run(body: Body) -> None:
    """Runs the body of a test with a server and a daemon."""

    async def main() -> None:
        async with sandd.aio.Server("127.0.0.1", 0, heartbeat_interval=1) as server:
            with local_daemon(server.plain, wait=0) as daemon:
                assert await server.wait_for_daemon(daemon.id)
                await asyncio.wait_for(body(server, daemon.id), 60)

    asyncio.run(main())


def test_exec_is_awaited() -> None:
    async def body(server: sandd.aio.Server, daemon: str) -> None:
        result = await server.exec(daemon, "echo out; exit 3")
        assert (result.stdout, result.exit_code) == ("out\n", 3)
        with pytest.raises(FileNotFoundError):
            await server.exec(daemon, ["no-such-program"])
        with pytest.raises(sandd.CommandFailed):
            await server.exec(daemon, "false", check=True)
        with pytest.raises(sandd.CommandTimeout):
            await server.exec(daemon, "sleep 60", timeout=0.2)
        with pytest.raises(sandd.DaemonNotFound):
            await server.exec("nobody", "true")

    run(body)


def test_hundreds_run_at_once_in_one_thread() -> None:
    async def body(server: sandd.aio.Server, daemon: str) -> None:
        begin = time.monotonic()
        results = await asyncio.gather(*(server.exec(daemon, f"sleep 0.5; echo {n}") for n in range(300)))
        assert [result.stdout for result in results] == [f"{n}\n" for n in range(300)]
        assert time.monotonic() - begin < 15

    run(body)


def test_cancelling_the_task_cancels_the_command() -> None:
    async def body(server: sandd.aio.Server, daemon: str) -> None:
        mark = f"mark-{uuid.uuid4()}"
        task = asyncio.ensure_future(server.exec(daemon, "sleep 1000", env={"MARK": mark}))
        await asyncio.to_thread(until, lambda: marked(mark), "it runs")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(until, lambda: not marked(mark), "it is killed")
        assert (await server.exec(daemon, "true")).success

    run(body)


def test_streams_are_read_and_written_while_it_runs() -> None:
    async def body(server: sandd.aio.Server, daemon: str) -> None:
        async with await server.popen(daemon, "cat; echo err >&2; exit 4", stdin=sandd.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdin.write(b"one\n")
            assert await process.stdout.readline() == b"one\n"
            process.stdin.write(b"two\nthr")
            process.stdin.close()
            assert [line async for line in process.stdout] == [b"two\n", b"thr"]
            assert await process.stderr.read() == b"err\n"
            assert await process.wait() == process.returncode == 4

    run(body)


def test_big_data_goes_both_ways() -> None:
    async def body(server: sandd.aio.Server, daemon: str) -> None:
        data = bytes(range(256)) * 40_000
        process = await server.popen(daemon, ["cat"], stdin=sandd.PIPE, stderr=None)
        assert await process.communicate(data) == (data, None)

    run(body)


def test_a_process_can_be_killed() -> None:
    async def body(server: sandd.aio.Server, daemon: str) -> None:
        process = await server.popen(daemon, ["sleep", "1000"])
        assert process.returncode is None
        process.kill()
        assert await process.wait() == -9
        assert process.signal == "SIGKILL"

    run(body)


def test_broadcast_and_the_list() -> None:
    async def body(server: sandd.aio.Server, daemon: str) -> None:
        assert server.list_daemons() == [daemon]
        results = await server.broadcast(None, "echo x")
        assert {name: result.stdout for name, result in results.items()} == {daemon: "x\n"}
        assert (await server.broadcast(None, ["no-such-program"]))[daemon].exit_code == -1

    run(body)


def test_waiting_for_a_daemon_that_does_not_come() -> None:
    async def body(server: sandd.aio.Server, daemon: str) -> None:
        assert await server.wait_for_daemon("nobody", 0.1) is False

    run(body)


def test_closing_ends_what_waits() -> None:
    async def body(server: sandd.aio.Server, daemon: str) -> None:
        task = asyncio.ensure_future(server.exec(daemon, "sleep 1000"))
        await asyncio.to_thread(until, lambda: server.get_stats()["streams"], "it runs")
        await server.close()
        with pytest.raises(sandd.ServerClosed):
            await task

    run(body)

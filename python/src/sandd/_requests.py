# SPDX-License-Identifier: MIT
"""What exec() and popen() ask for: the same in the plain and in the asyncio API."""

from __future__ import annotations

import subprocess
from typing import Optional

from ._ffi import lib
from ._spec import Command, Env, Spec, Word
from .daemon_info import DaemonId, id_of

PIPE = subprocess.PIPE
STDOUT = subprocess.STDOUT
DEVNULL = subprocess.DEVNULL
Redirection = Optional[int]
#: Which of stdin, stdout and stderr is a pipe.
Pipes = tuple[bool, bool, bool]


def exec_spec(
    daemon_id: DaemonId,
    command: Command,
    timeout: float | None,
    env: Env | None,
    cwd: Word | None,
    user: str | int | None,
    input: str | bytes | bytearray | memoryview | None,
    idle_timeout: float | None,
    grace: float | None,
    max_output: int | None,
    replace_env: bool,
    merge_stderr: bool,
    exec_id: str | None,
    instance: str | None,
    age: float,
    wait: float,
) -> Spec:
    """For a command whose output the library gathers."""
    spec = Spec(id_of(daemon_id), command)
    spec.set_env(env, replace_env)
    spec.set_place(cwd, user)
    spec.set_times(timeout, idle_timeout, grace, wait)
    if exec_id is not None or instance is not None:
        spec.set_identity(exec_id, instance, age, None)
    spec.set_input(input)
    spec.config.merge_stderr = merge_stderr
    spec.set_collect(max_output)
    return spec


def popen_spec(
    daemon_id: DaemonId,
    command: Command | None,
    stdin: Redirection,
    stdout: Redirection,
    stderr: Redirection,
    env: Env | None,
    cwd: Word | None,
    user: str | int | None,
    timeout: float | None,
    idle_timeout: float | None,
    grace: float | None,
    replace_env: bool,
    exec_id: str | None,
    instance: str | None,
    age: float,
    mode: str | None,
    role: str | None,
    keep: bool,
    pty: tuple[int, int] | None,
    wait: float,
) -> tuple[Spec, Pipes]:
    """For a command with pipes."""
    for name, value, allowed in (
        ("stdin", stdin, (None, PIPE, DEVNULL)),
        ("stdout", stdout, (None, PIPE, DEVNULL)),
        ("stderr", stderr, (None, PIPE, DEVNULL, STDOUT)),
    ):
        if value not in allowed:
            raise ValueError(f"{name} is a pipe or nothing on another machine, not {value!r}")
    if command is None and mode != "attach":
        raise ValueError('only mode="attach" goes without a command')
    spec = Spec(id_of(daemon_id), command)
    spec.set_env(env, replace_env)
    spec.set_place(cwd, user)
    spec.set_times(timeout, idle_timeout, grace, wait)
    spec.set_identity(exec_id, instance, age, mode, role)
    config = spec.config
    if mode == "attach":
        config.stdout_at = config.stderr_at = lib.SANDD_EXEC_AT_EARLIEST
    config.keep = keep
    config.stdin_mode = lib.SANDD_EXEC_STDIN_STREAM if stdin == PIPE else lib.SANDD_EXEC_STDIN_NONE
    config.merge_stderr = stderr == STDOUT
    config.discard_stdout = stdout != PIPE
    config.discard_stderr = stderr != PIPE
    if pty is not None:
        config.pty_rows, config.pty_cols = pty
        config.discard_stderr = False
    return spec, (stdin == PIPE, stdout == PIPE, stderr == PIPE and pty is None)

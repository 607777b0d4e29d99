# SPDX-License-Identifier: MIT
"""From what a caller says about a command to the library's configuration of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Union

from ._ffi import ffi, lib
from ._lib import milliseconds, nanoseconds

Word = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]
#: A line for the daemon's shell, or a program with its arguments.
Command = Union[str, bytes, Sequence[Word]]
Env = Mapping[Union[str, bytes], Union[str, bytes]]

_MODES = {
    None: 0,
    "start": lib.SANDD_EXEC_START,
    "attach_or_start": lib.SANDD_EXEC_ATTACH_OR_START,
    "attach": lib.SANDD_EXEC_ATTACH,
}
_ROLES = {"hold": lib.SANDD_EXEC_HOLD, "share": lib.SANDD_EXEC_SHARE, "watch": lib.SANDD_EXEC_WATCH}


def encoded(word: Word, what: str) -> bytes:
    """The bytes of an argument or the like; 8-bit clean, as subprocess does it."""
    raw = os.fsencode(word)
    if b"\0" in raw:
        raise ValueError(f"{what} has a zero byte in it")
    return raw


class Spec:
    """A sandd_exec_config with what it points to."""

    def __init__(self, daemon_id: str, command: Command | None) -> None:
        self.config = ffi.new("sandd_exec_config *")
        self.config.size = ffi.sizeof("sandd_exec_config")
        self._kept: list[Any] = []
        self.daemon_id = daemon_id
        self.command = command
        self.config.daemon_id = self.string(daemon_id)
        if command is not None:
            self._set_command(command)

    def string(self, text: str) -> Any:
        """Text as a C string that lives as long as this."""
        if "\0" in text:
            raise ValueError(f"{text!r} has a zero byte in it")
        pointer = ffi.new("char[]", text.encode("utf-8", "surrogateescape"))
        self._kept.append(pointer)
        return pointer

    def set_bytes(self, target: Any, data: bytes) -> None:
        view = ffi.from_buffer(data)
        self._kept.append(view)
        target.data = view
        target.len = len(data)

    def _set_command(self, command: Command) -> None:
        if isinstance(command, (str, bytes)):
            line = encoded(command, "the command")
            if not line:
                raise ValueError("the command is empty")
            self.set_bytes(self.config.shell_line, line)
            return
        words = [encoded(word, "an argument") for word in command]
        if not words or not words[0]:
            raise ValueError("the command is empty")
        array = ffi.new("sandd_bytes[]", len(words))
        self._kept.append(array)
        for slot, word in zip(array, words):
            self.set_bytes(slot, word)
        self.config.argv = array
        self.config.n_argv = len(words)

    def set_env(self, env: Env | None, replace: bool) -> None:
        self.config.replace_env = replace
        if not env:
            return
        array = ffi.new("sandd_env_var[]", len(env))
        self._kept.append(array)
        for slot, (name, value) in zip(array, env.items()):
            raw = encoded(name, "the name of a variable")
            if not raw or b"=" in raw:
                raise ValueError(f"a variable can't be named {name!r}")
            self.set_bytes(slot.name, raw)
            self.set_bytes(slot.value, encoded(value, f"the variable {name!r}"))
        self.config.env = array
        self.config.n_env = len(env)

    def set_place(self, cwd: Word | None, user: str | int | None) -> None:
        if cwd is not None:
            self.set_bytes(self.config.cwd, encoded(cwd, "cwd"))
        if isinstance(user, bool):
            raise TypeError("user is a name or a number")
        if isinstance(user, int):
            self.config.has_uid = True
            self.config.uid = user
        elif user is not None:
            self.config.user_name = self.string(user)

    def set_times(
        self, timeout: float | None, idle_timeout: float | None, grace: float | None, wait: float | None
    ) -> None:
        self.config.timeout_ns = nanoseconds(timeout)
        self.config.idle_timeout_ns = nanoseconds(idle_timeout)
        self.config.grace_ns = nanoseconds(grace)
        if wait is not None:
            self.config.wait_ms = milliseconds(wait)

    def set_identity(
        self, exec_id: str | None, instance: str | None, age: float, mode: str | None, role: str | None = None
    ) -> None:
        """Without a mode, an exec_id of the caller's means that a second call attaches: a retry is safe."""
        if mode not in _MODES:
            raise ValueError(f"mode is one of start, attach_or_start, attach, not {mode!r}")
        if mode is None and exec_id is not None:
            mode = "attach_or_start"
        if mode in ("attach", "attach_or_start") and not exec_id:
            raise ValueError(f"mode {mode!r} needs an exec_id")
        self.config.mode = _MODES[mode]
        if exec_id is not None:
            self.config.exec_id = self.string(exec_id)
        if instance is not None:
            self.config.instance = self.string(instance)
        self.config.age_ns = nanoseconds(age) if age else 0
        if role is not None:
            if role not in _ROLES:
                raise ValueError(f"role is one of hold, share, watch, not {role!r}")
            self.config.role = _ROLES[role]

    def set_input(self, data: str | bytes | bytearray | memoryview | None) -> None:
        if data is None:
            return
        raw = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else bytes(data)
        self.config.stdin_mode = lib.SANDD_EXEC_STDIN_INPUT
        self.set_bytes(self.config.input, raw)

    def set_collect(self, max_output: int | None) -> None:
        """The library gathers the output."""
        self.config.collect = True
        if max_output is not None:
            if max_output < 1:
                raise ValueError("max_output is at least 1")
            self.config.max_output = max_output

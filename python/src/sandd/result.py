# SPDX-License-Identifier: MIT
"""What a command gave."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, eq=True, repr=False)
class CommandResult:
    """The outcome of one command.

    `stdout` and `stderr` are text, decoded with errors="replace"; `stdout_bytes` and `stderr_bytes` are what came.
    `exit_code` (alias `returncode`) is the exit code, or -N if signal N ended the command, whose name is then `signal`
    ("SIGKILL"); -1 without a signal means that the outcome is not known. `duration_ms` is from start to exit on the
    daemon, rounded up.
    """

    stdout: str = ""
    stderr: str = ""
    exit_code: int = 0
    duration_ms: int = 0
    timed_out: bool = False
    #: The middle of an output was left out (max_output), or its end never came.
    truncated: bool = False
    signal: str | None = None
    stdout_bytes: bytes = field(default=b"", compare=False)
    stderr_bytes: bytes = field(default=b"", compare=False)
    #: How many bytes the command wrote, those that were left out included.
    stdout_total: int = field(default=0, compare=False)
    stderr_total: int = field(default=0, compare=False)
    #: False if output is missing that nobody asked to have left out.
    complete: bool = field(default=True, compare=False)
    exec_id: str = field(default="", compare=False)
    instance: str = field(default="", compare=False)

    @property
    def returncode(self) -> int:
        """The same as exit_code."""
        return self.exit_code

    @property
    def success(self) -> bool:
        """True if the program itself ended with 0, in time, and its output is complete (but for a cap)."""
        return self.exit_code == 0 and self.signal is None and not self.timed_out and self.complete

    @property
    def stdout_dropped(self) -> int:
        """Bytes of stdout that were left out."""
        return self.stdout_total - len(self.stdout_bytes)

    @property
    def stderr_dropped(self) -> int:
        """Bytes of stderr that were left out."""
        return self.stderr_total - len(self.stderr_bytes)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        parts = [f"exit_code={self.exit_code}", f"duration_ms={self.duration_ms}"]
        if self.signal:
            parts.append(f"signal={self.signal}")
        parts += [name for name in ("timed_out", "truncated") if getattr(self, name)]
        parts += [f"stdout={_short(self.stdout)}", f"stderr={_short(self.stderr)}"]
        return f"CommandResult({', '.join(parts)})"


def _short(text: str, limit: int = 60) -> str:
    return repr(text) if len(text) <= limit else f"{text[:limit]!r}... ({len(text)} characters)"

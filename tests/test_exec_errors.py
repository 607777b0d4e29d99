# SPDX-License-Identifier: MIT
"""exec() and popen(): failures are typed, and told apart from what a program says itself."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

import sandd
from sandd.testing import LocalDaemon


@pytest.fixture(params=["exec", "popen"])
def run(request: pytest.FixtureRequest, server: sandd.Server) -> Any:
    return getattr(server, request.param)


def test_a_missing_program_is_a_file_not_found_error(run: Any, daemon: LocalDaemon) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-program") as caught:
        run(daemon.id, ["no-such-program"])
    assert isinstance(caught.value, sandd.NotFound)
    assert caught.value.errno == errno.ENOENT
    assert not isinstance(caught.value, sandd.DaemonNotFound)


def test_a_missing_directory_is_a_file_not_found_error(run: Any, daemon: LocalDaemon, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        run(daemon.id, ["true"], cwd=tmp_path / "gone")


def test_a_file_as_directory_is_a_not_a_directory_error(run: Any, daemon: LocalDaemon, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        run(daemon.id, ["true"], cwd=tmp_path / "file")


def test_a_program_without_the_right_is_a_permission_error(run: Any, daemon: LocalDaemon, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    with pytest.raises(PermissionError) as caught:
        run(daemon.id, [str(program)])
    assert isinstance(caught.value, sandd.PermissionDenied)
    assert caught.value.errno == errno.EACCES


def test_a_missing_user_is_told(run: Any, daemon: LocalDaemon) -> None:
    with pytest.raises((sandd.NotFound, sandd.Unimplemented, sandd.PermissionDenied)):
        run(daemon.id, ["true"], user="no-such-user")


def test_exit_127_is_the_shells_and_no_exception(server: sandd.Server, daemon: LocalDaemon) -> None:
    result = server.exec(daemon.id, "no-such-program")
    assert result.exit_code == 127
    assert "not found" in result.stderr


def test_an_unknown_daemon_is_a_value_error_that_says_not_found(run: Any) -> None:
    with pytest.raises(ValueError, match="not found") as caught:
        run("nobody", "true")
    assert type(caught.value) is sandd.DaemonNotFound
    assert isinstance(caught.value, sandd.SanddError)


def test_check_raises_what_subprocess_raises(server: sandd.Server, daemon: LocalDaemon) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        server.exec(daemon.id, "echo out; echo why >&2; exit 4", check=True)
    error = caught.value
    assert isinstance(error, sandd.CommandFailed)
    assert isinstance(error, sandd.SanddError)
    assert (error.returncode, error.stdout, error.stderr) == (4, "out\n", "why\n")
    assert error.result is not None
    assert error.result.exit_code == 4
    assert "exit code 4" in str(error)
    assert "why" in str(error)
    assert server.exec(daemon.id, "true", check=True).success


def test_check_counts_a_signal_as_failure(server: sandd.Server, daemon: LocalDaemon) -> None:
    with pytest.raises(sandd.CommandFailed, match="SIGTERM"):
        server.exec(daemon.id, "kill -TERM $$", check=True)


def test_a_command_above_the_message_limit_is_refused_and_does_not_run(
    server: sandd.Server, daemon: LocalDaemon
) -> None:
    with pytest.raises(sandd.SanddError):
        server.exec(daemon.id, ["true", "x" * 3_000_000])
    assert server.exec(daemon.id, ["true"]).success


def test_an_argument_list_too_long_for_the_system_is_a_system_error(server: sandd.Server, daemon: LocalDaemon) -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011
        server.exec(daemon.id, ["true", "x" * 200_000])
    assert caught.value.errno == errno.E2BIG


def test_a_failed_start_leaves_no_id_behind(server: sandd.Server, daemon: LocalDaemon) -> None:
    for _ in range(2):
        with pytest.raises(sandd.NotFound):
            server.exec(daemon.id, ["no-such-program"], exec_id="again")


def test_errors_survive_pickling(server: sandd.Server, daemon: LocalDaemon) -> None:
    import pickle

    with pytest.raises(sandd.NotFound) as caught:
        server.exec(daemon.id, [os.fspath("/no/such/program")])
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), str(copy), copy.errno) == (sandd.NotFound, str(caught.value), errno.ENOENT)

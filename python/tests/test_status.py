# SPDX-License-Identifier: MIT
"""The exceptions are those of the schema's list."""

from __future__ import annotations

import errno
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import sandd
from sandd._ffi import ffi, lib
from sandd._status import ERRORS

PYTHON = Path(__file__).resolve().parent.parent


def test_the_module_is_what_the_schema_gives() -> None:
    script = PYTHON / "scripts" / "gen_status.py"
    made = subprocess.run([sys.executable, str(script), "--stdout"], capture_output=True, text=True, check=True).stdout
    committed = (PYTHON / "src" / "sandd" / "_status.py").read_text()
    assert made == committed, "run python/scripts/gen_status.py"


def test_the_library_has_the_same_names() -> None:
    for code in sandd.StatusCode:
        assert ffi.string(lib.sandd_server_status_name(int(code))).decode() == code.name


def test_every_status_but_ok_has_an_exception_of_one_tree() -> None:
    assert set(ERRORS) == {int(code) for code in sandd.StatusCode} - {0, 1}
    for code, kind in ERRORS.items():
        error = sandd.from_status(code, "what happened")
        assert isinstance(error, kind)
        assert isinstance(error, sandd.SanddError)
        assert isinstance(error, RuntimeError)
        assert (error.code, str(error), error.message) == (code, "what happened", "what happened")


@pytest.mark.parametrize(
    ("code", "errno_name", "built_in", "number"),
    [
        (sandd.StatusCode.NOT_FOUND, "ENOENT", FileNotFoundError, errno.ENOENT),
        (sandd.StatusCode.NOT_FOUND, "", FileNotFoundError, errno.ENOENT),
        (sandd.StatusCode.PERMISSION_DENIED, "EPERM", PermissionError, errno.EPERM),
        (sandd.StatusCode.ALREADY_EXISTS, "", FileExistsError, errno.EEXIST),
        (sandd.StatusCode.DEADLINE_EXCEEDED, "", TimeoutError, errno.ETIMEDOUT),
        (sandd.StatusCode.SESSION_LOST, "", ConnectionError, errno.ENOTCONN),
        (sandd.StatusCode.INVALID_ARGUMENT, "", ValueError, None),
        (sandd.StatusCode.UNIMPLEMENTED, "", NotImplementedError, None),
        (sandd.StatusCode.SYSTEM, "ENOTDIR", NotADirectoryError, errno.ENOTDIR),
        (sandd.StatusCode.SYSTEM, "E2BIG", OSError, errno.E2BIG),
        (sandd.StatusCode.SYSTEM, "EWHATEVER", OSError, None),
    ],
)
def test_an_exception_is_also_the_built_in_that_fits(
    code: int, errno_name: str, built_in: type[Exception], number: int | None
) -> None:
    error = sandd.from_status(code, "text", errno_name)
    assert isinstance(error, built_in)
    assert (error.errno, error.errno_name, str(error)) == (number, errno_name, "text")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.errno, str(copy), copy.errno_name) == (type(error), number, "text", errno_name)


def test_a_code_of_a_newer_version_is_still_an_error() -> None:
    error = sandd.from_status(999, "new")
    assert (type(error), error.code) == (sandd.SanddError, 999)


def test_daemon_errors_are_what_callers_catch() -> None:
    assert issubclass(sandd.DaemonNotFound, ValueError)
    assert issubclass(sandd.DaemonAway, sandd.DaemonNotFound)
    assert issubclass(sandd.DaemonAway, ConnectionError)
    assert issubclass(sandd.CommandTimeout, TimeoutError)
    assert issubclass(sandd.CommandTimeout, subprocess.TimeoutExpired)
    assert issubclass(sandd.CommandFailed, subprocess.CalledProcessError)
    assert issubclass(sandd.ListenError, OSError)

# SPDX-License-Identifier: MIT
"""Small values of the package, without a server."""

from __future__ import annotations

import signal

import pytest

import sandd
from sandd._exec import signal_name, signal_number
from sandd._lib import milliseconds, nanoseconds
from sandd._spec import Spec


@pytest.mark.parametrize(
    ("which", "name"),
    [(15, "TERM"), (signal.SIGKILL, "KILL"), ("SIGHUP", "HUP"), ("usr1", "USR1"), (signal.SIGRTMIN + 3, "RTMIN+3")],
)
def test_signals_have_names(which: int | str, name: str) -> None:
    assert signal_name(which) == name


@pytest.mark.parametrize("name", ["TERM", "KILL", "RTMIN+3", "SEGV"])
def test_a_name_and_its_number_agree(name: str) -> None:
    assert signal_name(signal_number(name)) == name


def test_an_unknown_signal_has_no_number() -> None:
    assert signal_number("EMT") == 0
    assert signal_number("99") == 99


def test_success_is_the_programs_own() -> None:
    assert sandd.CommandResult("x").success
    assert sandd.CommandResult(truncated=True).success
    for failed in (
        sandd.CommandResult(exit_code=1),
        sandd.CommandResult(timed_out=True),
        sandd.CommandResult(complete=False),
        sandd.CommandResult(exit_code=-9, signal="SIGKILL"),
    ):
        assert not failed.success


def test_a_failed_broadcast_entry_is_equal_to_what_the_documentation_says() -> None:
    assert sandd.CommandResult("", "why", -1, 0).exit_code == -1
    assert sandd.CommandResult("", "why", -1, 0).returncode == -1


def test_a_result_is_shown_in_one_line() -> None:
    shown = repr(sandd.CommandResult("x" * 1000, "", 3, 5, timed_out=True))
    assert shown.startswith("CommandResult(exit_code=3, duration_ms=5, timed_out, stdout='xxx")
    assert len(shown) < 200


def test_an_info_needs_only_an_id() -> None:
    info = sandd.DaemonInfo("a")
    assert info == "a"
    assert info == sandd.DaemonInfo("a", version="other")
    assert info != sandd.DaemonInfo("b")
    assert len({info, "a", sandd.DaemonInfo("a")}) == 1
    with pytest.raises(AttributeError):
        info.id = "b"  # type: ignore[misc]


def test_times_become_whole_numbers() -> None:
    assert nanoseconds(None) == 0
    assert nanoseconds(0) == 1
    assert nanoseconds(1.5) == 1_500_000_000
    assert nanoseconds(1e12) == 2**62
    assert milliseconds(0.0001) == 1
    for bad in (-1, float("nan")):
        with pytest.raises(ValueError, match="can't be"):
            nanoseconds(bad)


def test_a_spec_holds_what_it_points_to() -> None:
    spec = Spec("id", ["a", b"\xff", "c d"])
    spec.set_env({"A": "1", b"\xfe": b"\xfd"}, False)
    spec.set_place("/tmp", "user")
    config = spec.config
    assert config.n_argv == 3
    words = [bytes(spec_bytes(config.argv[i])) for i in range(3)]
    assert words == [b"a", b"\xff", b"c d"]
    assert bytes(spec_bytes(config.env[1].name)) == b"\xfe"
    assert bytes(spec_bytes(config.cwd)) == b"/tmp"


def spec_bytes(value: object) -> bytes:
    from sandd._ffi import ffi

    return bytes(ffi.buffer(value.data, value.len))  # type: ignore[attr-defined]


def test_a_daemon_is_a_str_or_an_info() -> None:
    from sandd.daemon_info import id_of

    with pytest.raises(TypeError):
        id_of(5)  # type: ignore[arg-type]

# SPDX-License-Identifier: MIT
"""exec(): what each option does, on a real daemon."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

import sandd
from sandd.testing import LocalDaemon

# By these a daemon finds the processes that it started, whatever becomes of their parents.
MARKS = ("SANDD_EXEC=", "SANDD_DAEMON=")


def test_a_line_runs_in_the_shell(server: sandd.Server, daemon: LocalDaemon) -> None:
    result = server.exec(daemon.id, "echo out; echo err >&2; exit 3")
    assert (result.stdout, result.stderr, result.exit_code) == ("out\n", "err\n", 3)
    assert result.returncode == 3
    assert not result.success
    assert not result.timed_out
    assert not result.truncated
    assert result.signal is None


def test_a_list_is_a_program_with_its_arguments_as_they_are(server: sandd.Server, daemon: LocalDaemon) -> None:
    result = server.exec(daemon.id, ["printf", "%s|", "a b", "$HOME", "", "*"])
    assert result.stdout == "a b|$HOME||*|"


def test_arguments_and_environment_are_8_bit_clean(server: sandd.Server, daemon: LocalDaemon) -> None:
    everything = bytes(range(1, 256))
    result = server.exec(daemon.id, ["printenv", "RAW"], env={b"RAW": everything})
    assert result.stdout_bytes == everything + b"\n"
    result = server.exec(daemon.id, ["printf", "%s", everything])
    assert result.stdout_bytes == everything
    assert server.exec(daemon.id, ["printf", "%s", os.fsdecode(b"\xff\xfe")]).stdout_bytes == b"\xff\xfe"


def test_env_is_added_and_a_later_one_wins(server: sandd.Server, local: object) -> None:
    daemon = local(env={"INHERITED": "yes", "CHANGED": "old"})  # type: ignore[operator]
    result = server.exec(daemon.id, "echo $INHERITED $CHANGED $NEW", env={"CHANGED": "new", "NEW": "ä"})
    assert result.stdout == "yes new ä\n"


def test_replace_env_leaves_nothing_else(server: sandd.Server, daemon: LocalDaemon) -> None:
    result = server.exec(daemon.id, ["/usr/bin/env"], env={"ONLY": "1"}, replace_env=True)
    assert [line for line in result.stdout.splitlines() if not line.startswith(MARKS)] == ["ONLY=1"]


def test_cwd_is_where_it_runs(server: sandd.Server, daemon: LocalDaemon, tmp_path: Path) -> None:
    assert server.exec(daemon.id, "pwd", cwd=tmp_path).stdout == f"{tmp_path.resolve()}\n"


@pytest.mark.skipif(os.getuid() != 0, reason="needs root")
@pytest.mark.parametrize("by_name", [True, False])
def test_user_is_whom_it_runs_as(server: sandd.Server, daemon: LocalDaemon, by_name: bool) -> None:
    nobody = pwd.getpwnam("nobody")
    user = "nobody" if by_name else nobody.pw_uid
    result = server.exec(daemon.id, ["id", "-u"], user=user, cwd="/")
    assert result.stdout == f"{nobody.pw_uid}\n"


@pytest.mark.parametrize("text", ["", "one line\n", "äöü " * 100_000])
def test_input_is_all_that_it_reads(server: sandd.Server, daemon: LocalDaemon, text: str) -> None:
    result = server.exec(daemon.id, ["cat"], input=text)
    assert result.stdout == text
    assert result.success


def test_input_of_bytes_comes_as_it_is(server: sandd.Server, daemon: LocalDaemon) -> None:
    data = bytes(range(256)) * 1000
    assert server.exec(daemon.id, ["cat"], input=data).stdout_bytes == data


def test_input_that_nobody_reads_does_no_harm(server: sandd.Server, daemon: LocalDaemon) -> None:
    assert server.exec(daemon.id, "exec true", input=b"x" * 5_000_000).success


def test_without_input_stdin_is_empty(server: sandd.Server, daemon: LocalDaemon) -> None:
    assert server.exec(daemon.id, ["cat"], timeout=10).stdout == ""


def test_merged_stderr_keeps_the_order_of_writing(server: sandd.Server, daemon: LocalDaemon) -> None:
    result = server.exec(daemon.id, "for i in 1 2 3; do echo o$i; echo e$i >&2; done", merge_stderr=True)
    assert result.stdout == "o1\ne1\no2\ne2\no3\ne3\n"
    assert result.stderr == ""


def test_a_signal_is_not_an_exit_code(server: sandd.Server, daemon: LocalDaemon) -> None:
    result = server.exec(daemon.id, "kill -KILL $$")
    assert (result.returncode, result.signal, result.success) == (-9, "SIGKILL", False)
    result = server.exec(daemon.id, "exit 137")
    assert (result.returncode, result.signal) == (137, None)


def test_duration_is_a_whole_number_rounded_up(server: sandd.Server, daemon: LocalDaemon) -> None:
    result = server.exec(daemon.id, ["true"])
    assert isinstance(result.duration_ms, int)
    assert 1 <= result.duration_ms < 5000
    assert server.exec(daemon.id, "sleep 0.2").duration_ms >= 200


def test_execute_command_is_the_same_call(server: sandd.Server, daemon: LocalDaemon) -> None:
    result = server.execute_command(daemon.id, "echo $A; pwd", 10, {"A": "x"}, "/")
    assert result.stdout == "x\n/\n"


def test_a_daemon_info_is_taken_for_an_id(server: sandd.Server, daemon: LocalDaemon) -> None:
    info = server.get_daemon(daemon.id)
    assert info is not None
    assert server.exec(info, ["true"]).success


def test_an_exec_id_names_a_run_that_a_second_call_attaches_to(
    server: sandd.Server, daemon: LocalDaemon, tmp_path: Path
) -> None:
    command = f"echo once >> {tmp_path}/ran; echo done"
    first = server.exec(daemon.id, command, exec_id="job-1")
    again = server.exec(daemon.id, command, exec_id="job-1", instance=first.instance, age=1)
    assert first.stdout == again.stdout == "done\n"
    assert (tmp_path / "ran").read_text() == "once\n"
    with pytest.raises(sandd.AlreadyExists):
        server.exec(daemon.id, "echo other", exec_id="job-1")


def test_another_instance_than_the_one_meant_refuses(server: sandd.Server, daemon: LocalDaemon, tmp_path: Path) -> None:
    with pytest.raises(sandd.FailedPrecondition):
        server.exec(daemon.id, f"touch {tmp_path}/ran", exec_id="job-2", instance="somebody-else")
    assert not (tmp_path / "ran").exists()


def test_background_processes_of_a_normal_exit_live_on(server: sandd.Server, daemon: LocalDaemon) -> None:
    result = server.exec(daemon.id, "sleep 30 >/dev/null 2>&1 & echo $!")
    pid = int(result.stdout)
    os.kill(pid, 0)
    os.kill(pid, 9)


def test_the_token_and_the_variables_of_the_daemon_are_not_seen_by_commands(
    server: sandd.Server, local: object
) -> None:
    daemon = local(env={"SANDD_LOG_LEVEL": "warn"}, token="not-needed-here")  # type: ignore[operator]
    result = server.exec(daemon.id, ["env"])
    names = {line.partition("=")[0] for line in result.stdout.splitlines()}
    assert {name for name in names if name.startswith("SANDD_")} <= {"SANDD_EXEC", "SANDD_DAEMON"}
    assert "not-needed-here" not in result.stdout


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("", {}),
        ([], {}),
        ([""], {}),
        ("a\0b", {}),
        (["a\0b"], {}),
        ("true", {"env": {"A=B": "x"}}),
        ("true", {"env": {"": "x"}}),
        ("true", {"cwd": "/\0"}),
        ("true", {"timeout": -1}),
        ("true", {"wait": float("nan")}),
        ("true", {"max_output": 0}),
        ("true", {"exec_id": ""}),
    ],
)
def test_what_makes_no_sense_is_a_value_error(
    server: sandd.Server, daemon: LocalDaemon, command: object, options: dict[str, object]
) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        server.exec(daemon.id, command, **options)  # type: ignore[arg-type]

# SPDX-License-Identifier: MIT
"""exec(): output of every kind and size comes complete, or says what is missing."""

from __future__ import annotations

import hashlib

import sandd
from sandd.testing import LocalDaemon


def test_output_of_both_kinds_comes_whole(server: sandd.Server, daemon: LocalDaemon) -> None:
    result = server.exec(daemon.id, "head -c 3000000 /dev/zero; head -c 2000000 /dev/zero >&2")
    assert (len(result.stdout_bytes), len(result.stderr_bytes)) == (3_000_000, 2_000_000)
    assert result.success


def test_a_hundred_megabytes_arrive_byte_for_byte(server: sandd.Server, daemon: LocalDaemon) -> None:
    result = server.exec(daemon.id, "seq 1 12000000", max_output=None)
    digest = server.exec(daemon.id, "seq 1 12000000 | sha256sum").stdout.split()[0]
    assert hashlib.sha256(result.stdout_bytes).hexdigest() == digest


def test_binary_output_is_kept_as_bytes(server: sandd.Server, daemon: LocalDaemon) -> None:
    result = server.exec(daemon.id, r"printf '\377\000\376ok'")
    assert result.stdout_bytes == b"\xff\x00\xfeok"
    assert result.stdout == "�\0�ok"


def test_a_character_split_between_writes_is_one_character(server: sandd.Server, daemon: LocalDaemon) -> None:
    result = server.exec(daemon.id, r"printf 'a\303'; sleep 0.05; printf '\244b'")
    assert result.stdout == "aäb"


def test_a_cap_keeps_head_and_tail_and_counts_the_rest(server: sandd.Server, daemon: LocalDaemon) -> None:
    result = server.exec(daemon.id, "seq 1 100000", max_output=1000)
    whole = "".join(f"{n}\n" for n in range(1, 100_001)).encode()
    assert len(result.stdout_bytes) == 1000
    assert result.stdout_bytes == whole[:500] + whole[-500:]
    assert result.truncated
    assert result.stdout_total == len(whole)
    assert result.stdout_dropped == len(whole) - 1000
    # The cap was asked for: the program's own success is not touched by it.
    assert result.success
    assert result.exit_code == 0


def test_output_of_the_cap_exactly_is_not_truncated(server: sandd.Server, daemon: LocalDaemon) -> None:
    result = server.exec(daemon.id, "head -c 1000 /dev/zero", max_output=1000)
    assert (len(result.stdout_bytes), result.truncated) == (1000, False)


def test_the_cap_is_ten_mebibytes_unless_said(server: sandd.Server, daemon: LocalDaemon) -> None:
    result = server.exec(daemon.id, "head -c 11000000 /dev/zero")
    assert len(result.stdout_bytes) == 10 * 1024 * 1024
    assert result.truncated
    assert result.stdout_total == 11_000_000


def test_a_cut_inside_a_character_spoils_no_other(server: sandd.Server, daemon: LocalDaemon) -> None:
    result = server.exec(daemon.id, "for i in $(seq 1000); do printf 'ää'; done", max_output=101)
    assert set(result.stdout) == {"ä", "�"}
    assert result.stdout.startswith("ä")
    assert result.stdout.endswith("ä")


def test_output_after_the_exit_of_the_shell_still_comes(server: sandd.Server, daemon: LocalDaemon) -> None:
    result = server.exec(daemon.id, "(sleep 0.3; echo late) & echo early")
    assert result.stdout == "early\nlate\n"


def test_a_background_process_that_holds_the_pipe_does_not_hold_the_call(
    server: sandd.Server, daemon: LocalDaemon
) -> None:
    result = server.exec(daemon.id, "sleep 60 & echo $!", timeout=30)
    assert result.exit_code == 0
    assert result.duration_ms < 10_000
    server.exec(daemon.id, ["kill", result.stdout.strip()])

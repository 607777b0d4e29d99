# SPDX-License-Identifier: MIT
"""Tokens, TLS and the plain HTTP pages."""

from __future__ import annotations

import http.client
import json
import logging
import subprocess
from pathlib import Path
from typing import Any

import pytest
from helpers import until

import sandd
from sandd.testing import LocalDaemon, find_program, local_daemon

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Protocol": "sandd.v1",
}


def get(server: sandd.Server, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", path, headers=headers or {})
    response = connection.getresponse()
    body = b"" if response.status == 101 else response.read()
    connection.close()
    return response.status, body.decode()


@pytest.mark.parametrize("path", ["/healthz", "/health"])
def test_health_is_ok(server: sandd.Server, path: str) -> None:
    status, body = get(server, path)
    assert (status, body.strip()) == (200, "OK")


def test_stats_are_json(server: sandd.Server, daemon: LocalDaemon) -> None:
    status, body = get(server, "/stats")
    assert status == 200
    assert 1 in json.loads(body).values()


def test_another_path_is_not_found(server: sandd.Server) -> None:
    assert get(server, "/no-such-page")[0] == 404


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer ", "Basic c2VjcmV0", "Bearer secret-tokenx"])
def test_an_upgrade_without_the_token_is_401(header: str | None) -> None:
    with sandd.Server("127.0.0.1", 0, token="secret-token") as server:
        headers = dict(UPGRADE)
        if header is not None:
            headers["Authorization"] = header
        assert get(server, "/ws", headers)[0] == 401
        assert get(server, "/ws", {**UPGRADE, "Authorization": "Bearer secret-token"})[0] == 101
        assert get(server, "/healthz")[0] == 200


def test_a_daemon_with_the_token_is_let_in_and_the_token_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "sandd"), sandd.Server("127.0.0.1", 0, token="s3cr3t", verbose=True) as server:
        with local_daemon(server, token="s3cr3t", log_level="trace") as daemon:
            result = server.exec(daemon.id, "env; cat /proc/$PPID/cmdline /proc/$PPID/environ")
            assert "s3cr3t" not in result.stdout
            assert "s3cr3t" not in daemon.log()
    logging.getLogger("sandd").setLevel(logging.NOTSET)
    assert "s3cr3t" not in caplog.text


def test_a_daemon_without_the_token_ends_with_code_1() -> None:
    with sandd.Server("127.0.0.1", 0, token="right") as server:
        words = [find_program(), "--server-url", server.url, "--daemon-id", "x"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=30)
        assert done.returncode == 1
        assert "401" in done.stderr or "token" in done.stderr
        assert server.daemon_count() == 0


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ca.pem; server.pem for localhost and client.pem, signed by it; their keys."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test CA")
    for name in ("server", "client"):
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (folder / "ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                "-out", f"{name}.pem", "-days", "2", "-extfile", "ext")  # fmt: skip
    return folder


def tls(certificates: Path, client_ca: bool = False) -> sandd.TLS:
    names = ("server.pem", "server.key", *(["ca.pem"] if client_ca else []))
    return sandd.TLS(*(str(certificates / name) for name in names))


def test_wss_works_end_to_end(certificates: Path) -> None:
    with sandd.Server("127.0.0.1", 0, tls=tls(certificates)) as server:
        assert server.url.startswith("wss://")
        with local_daemon(server, ca=certificates / "ca.pem") as daemon:
            assert server.exec(daemon.id, ["cat"], input="over TLS").stdout == "over TLS"
            result = server.exec(daemon.id, "head -c 20000000 /dev/zero", max_output=None)
            assert len(result.stdout_bytes) == 20_000_000


def test_a_daemon_does_not_talk_to_a_server_that_it_can_not_trust(certificates: Path) -> None:
    with sandd.Server("127.0.0.1", 0, tls=tls(certificates)) as server, local_daemon(server, wait=0) as daemon:
        until(lambda: "certificate" in daemon.log().lower(), "it says why", 20, daemon.log)
        assert server.daemon_count() == 0
    with sandd.Server("127.0.0.1", 0, tls=tls(certificates)) as server, local_daemon(server, insecure=True) as daemon:
        assert server.exec(daemon.id, ["true"]).success


def test_client_certificates_are_asked_for(certificates: Path) -> None:
    ca = certificates / "ca.pem"
    with sandd.Server("127.0.0.1", 0, tls=tls(certificates, client_ca=True)) as server:
        own: dict[str, Any] = {"cert": certificates / "client.pem", "key": certificates / "client.key"}
        with local_daemon(server, ca=ca, wait=0) as without, local_daemon(server, ca=ca, **own) as daemon:
            assert server.exec(daemon.id, ["true"]).success
            until(lambda: without.log(), "the one without tries", 20)
            assert server.list_daemons() == [daemon.id]


@pytest.mark.parametrize("missing", ["cert", "key"])
def test_a_missing_certificate_is_an_error_that_names_it(certificates: Path, missing: str) -> None:
    files = tls(certificates)._replace(**{missing: "/no/such/file.pem"})
    with pytest.raises(sandd.ListenError, match=r"/no/such/file\.pem"):
        sandd.Server("127.0.0.1", 0, tls=files)

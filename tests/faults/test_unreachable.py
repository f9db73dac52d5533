"""Endpoints that can't be reached, or can't be trusted: each a target, all of them in one sweep."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.command import hps, keys_of, target_text
from tests.servers.certificate import make_certificate
from tests.servers.nginx_tls import TlsFront
from tests.servers.s3_server import S3Server

_SPEC = """\
api: hps/v1
name: unreachable
targets:
{targets}
data: {{size: 1MiB}}
matrix: {{target: [{names}]}}
order: {{kind: declared}}
timeout: 60s
steps: [upload]
results: {{target: fine}}
"""
# Why a target can't be used; empty: it can.
_CODES = {
    "fine": "",
    "trusted": "",
    "refused": "refused",
    "nameless": "bad_endpoint",
    "misnamed": "bad_certificate",
    "unknown_ca": "bad_certificate",
}


@contextmanager
def _closed_port() -> Iterator[str]:
    """A port of ours that nobody listens on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


@contextmanager
def _misnamed(folder: Path) -> Iterator[tuple[str, Path]]:
    """The address of a TLS server whose certificate is for another, and that certificate."""
    folder.mkdir()
    certificate = make_certificate(folder, host="192.0.2.1")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate.cert, certificate.key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_shake_hands, args=(listener, tls), daemon=True).start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}", certificate.cert
        listener.shutdown(socket.SHUT_RDWR)


def _shake_hands(listener: socket.socket, tls: ssl.SSLContext) -> None:
    """Until the listener is shut down."""
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            with suppress(OSError), client, tls.wrap_socket(client, server_side=True):
                client.recv(1)


@pytest.mark.prove
def test_what_is_said_of_an_endpoint_that_cannot_be_used(
    s3_server: S3Server, tls_front: Callable[..., TlsFront], tmp_path: Path
) -> None:
    front = tls_front(s3_server.endpoint)
    with _closed_port() as closed, _misnamed(tmp_path / "misnamed") as (misnamed, certificate):
        places: dict[str, tuple[str, Path | None]] = {
            "fine": (s3_server.endpoint, None),
            "trusted": (front.endpoint, front.ca_cert),
            "refused": (f"http://{closed}", None),
            "nameless": ("http://storage.hps.invalid", None),
            "misnamed": (misnamed, certificate),
            "unknown_ca": (front.endpoint, None),
        }
        targets = {
            name: target_text(name, endpoint, s3_server.bucket, ca_cert=ca_cert)
            for name, (endpoint, ca_cert) in places.items()
        }
        spec = tmp_path / "unreachable.yaml"
        spec.write_text(_SPEC.format(targets="\n".join(targets.values()), names=", ".join(targets)))
        arguments = (spec, "--no-check", "--output", tmp_path, "--format", "json")
        ran = hps("run", *arguments, env=keys_of(s3_server))

    assert ran.code == 1, ran.err
    ended = {record["target"]: record for record in ran.results()}
    statuses = {name: record["status"] for name, record in ended.items()}
    assert statuses == dict.fromkeys(targets, "failed") | {"fine": "ok", "trusted": "ok"}
    assert {name: record["reason_code"] for name, record in ended.items()} == _CODES
    assert f"PutObject: {closed} refuses connections" in ended["refused"]["reason"]
    assert "storage.hps.invalid" in ended["nameless"]["reason"]
    assert "(DNS)" in ended["nameless"]["reason"]
    assert "the certificate is for 192.0.2.1, not for 127.0.0.1" in ended["misnamed"]["reason"]
    assert "an authority that is not known here" in ended["unknown_ca"]["reason"]

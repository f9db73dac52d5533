"""The front answers as S3 does where the embedded server does not, and passes on the rest."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from hps.process import process
from hps.prove import certificate
from hps.prove.certificate import Certificate
from hps.prove.front import Front
from tests.servers.child import ask
from tests.servers.web import Asked, Page, serve_web


def _as_the_server_answers(asked: Asked) -> Page:
    if asked.method == "POST":
        body = b"<InitiateMultipartUpload><UploadId>7</UploadId></InitiateMultipartUpload>"
        return Page(body=body)
    if "Range" in asked.headers:
        return Page(body=b"abc", headers={"Content-Range": "bytes 0-2/9"})
    return Page(body=b"abcdefghi")


@pytest.mark.parametrize(
    ("method", "target", "headers", "status", "body"),
    [
        pytest.param("GET", "/b/k", {"Range": "bytes=0-2"}, 206, b"abc", id="range"),
        pytest.param("GET", "/b/k", {}, 200, b"abcdefghi", id="whole"),
        pytest.param(
            "POST",
            "/b/k?uploads=",
            {},
            200,
            b"<InitiateMultipartUploadResult><UploadId>7</UploadId>"
            b"</InitiateMultipartUploadResult>",
            id="start of an upload",
        ),
        pytest.param(
            "GET",
            "/b/k?attributes=",
            {},
            200,
            b"<GetObjectAttributesResponse/>",
            id="attributes",
        ),
        pytest.param(
            "POST",
            "/b/k?uploadId=7",
            {},
            200,
            b"<InitiateMultipartUpload><UploadId>7</UploadId></InitiateMultipartUpload>",
            id="anything else",
        ),
    ],
)
def test_the_front_answers_as_s3_does(
    method: str, target: str, headers: dict[str, str], status: int, body: bytes, tmp_path: Path
) -> None:
    with serve_web(tmp_path, _as_the_server_answers, tls=False) as web:
        upstream = urlsplit(web.endpoint)
        host, port = upstream.hostname or "", upstream.port or 0
        with Front(host, port, host="127.0.0.1") as front:
            assert ask(front.endpoint, method, target, headers=headers) == (status, body)
            (request,) = front.requests()
    assert (request.status, request.complete) == (status, True)


def test_the_framing_of_a_body_is_no_payload(tmp_path: Path) -> None:
    framed = b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"
    with serve_web(tmp_path, lambda _: Page(), tls=False) as web:
        upstream = urlsplit(web.endpoint)
        host, port = upstream.hostname or "", upstream.port or 0
        with Front(host, port, host="127.0.0.1") as front:
            headers = {"Content-Encoding": "aws-chunked", "x-amz-decoded-content-length": "3"}
            ask(front.endpoint, "PUT", "/b/k?partNumber=1&uploadId=7", framed, headers=headers)
            (request,) = front.requests()
    assert request.body_bytes == 3


# --- over TLS ------------------------------------------------------------------------------------


@pytest.fixture
def made(tmp_path: Path) -> Certificate:
    with process.Guard() as guard:
        found = certificate.make(tmp_path, "127.0.0.1", guard)
    if isinstance(found, str):
        pytest.skip(found)
    return found


def _offer(front: Front, made: Certificate, protocols: Sequence[str]) -> str | None:
    """Shake hands as a client that offers these protocols, and return the one agreed on."""
    context = ssl.create_default_context(cafile=str(made.path))
    context.set_alpn_protocols(protocols)
    port = urlsplit(front.endpoint).port or 0
    with (
        socket.create_connection(("127.0.0.1", port), 10.0) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as client,
    ):
        agreed = client.selected_alpn_protocol()
        if agreed == "h2":
            assert client.recv(1) == b""
        return agreed


def test_over_tls_it_serves_and_records_the_same(made: Certificate, tmp_path: Path) -> None:
    with serve_web(tmp_path, _as_the_server_answers, tls=False) as web:
        upstream = urlsplit(web.endpoint)
        with Front(upstream.hostname or "", upstream.port or 0, tls=made.context) as front:
            assert front.endpoint.startswith("https://")
            answer = ask(front.endpoint, "GET", "/b/k", ca_cert=made.path)
            assert answer == (200, b"abcdefghi")
            (request,) = front.requests()
            assert not front.refused_http2
    assert (request.version, request.body_bytes, request.complete) == ("HTTP/1.1", 9, True)


def test_who_offers_http_2_is_found_out(made: Certificate, tmp_path: Path) -> None:
    with serve_web(tmp_path, _as_the_server_answers, tls=False) as web:
        upstream = urlsplit(web.endpoint)
        with Front(upstream.hostname or "", upstream.port or 0, tls=made.context) as front:
            assert _offer(front, made, ["http/1.1"]) == "http/1.1"
            assert not front.refused_http2
            assert _offer(front, made, ["http/1.1", "h2"]) == "h2"
            assert front.refused_http2


def test_without_openssl_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with process.Guard() as guard:
        assert "no openssl" in str(certificate.make(tmp_path, "127.0.0.1", guard))


def test_an_openssl_that_makes_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "openssl"
    program.write_text("#!/bin/sh\nexit 7\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with process.Guard() as guard:
        why = certificate.make(tmp_path, "127.0.0.1", guard)
    assert why == f"{program} made no certificate: exit code 7"

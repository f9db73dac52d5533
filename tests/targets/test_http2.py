"""Whether an endpoint offers HTTP/2: yes, no, or nobody knows; and no answer is never a no."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from hps.model import Target
from hps.targets.http2 import check_offers, offers_http2
from tests.builders import make_operation
from tests.servers.nginx_tls import TlsFront
from tests.servers.s3_server import S3Server


@pytest.fixture
def refusing() -> str:
    """An endpoint on which nobody listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    return f"https://127.0.0.1:{port}"


@pytest.fixture
def without_tls() -> Iterator[str]:
    """An endpoint that takes connections and speaks no TLS."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(timeout=10)


@pytest.mark.parametrize("http2", [True, False])
def test_the_handshake_tells(
    http2: bool, s3_server: S3Server, tls_front: Callable[..., TlsFront]
) -> None:
    assert offers_http2(tls_front(s3_server.endpoint, http2=http2).endpoint) is http2


@pytest.mark.parametrize("endpoint", [None, "", "http://127.0.0.1:9", "https://"])
def test_without_tls_there_is_none(endpoint: str | None) -> None:
    assert offers_http2(endpoint) is False


def test_where_nobody_answers_it_is_not_known(refusing: str) -> None:
    assert offers_http2(refusing) is None


def test_where_the_handshake_fails_it_is_not_known(without_tls: str) -> None:
    assert offers_http2(without_tls) is None


def test_behind_a_proxy_it_is_not_known(refusing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be asked past the proxy, where another server may answer."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    assert offers_http2(refusing.replace("127.0.0.1", "storage.test")) is None


def test_only_those_are_asked_that_http2_is_wanted_from(refusing: str) -> None:
    """Where it is wanted and nobody answers, that is not known either."""
    operation = make_operation("upload", http2=True)
    wanted = operation.cell.knobs.target
    targets = {
        name: Target(name=name, provider="other", bucket="b", endpoint=refusing)
        for name in (wanted, "another")
    }
    assert check_offers([operation], targets) == {wanted: None, "another": False}
    assert check_offers([make_operation("upload", http2=False)], targets)[wanted] is False

"""nginx with TLS and HTTP/2 in front of an S3 server, and what its access log tells."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from hps.prove.http_head import Direction, RequestHead
from tests.servers.certificate import Certificate, make_certificate
from tests.servers.child import ask, running
from tests.servers.s3_server import S3Server

_SETTLED_PATH = "/-/settled"
# One worker: when it answers a request it has logged all that it answered before.
_CONFIG = Template("""
daemon off;
worker_processes 1;
$user
pid $folder/nginx.pid;
error_log stderr notice;
events { worker_connections 512; }
http {
  log_format records escape=json '{"connection": $$connection, "method": "$$request_method", '
    '"uri": "$$request_uri", "protocol": "$$server_protocol", "status": $$status, '
    '"range": "$$http_range", "bytes_sent": $$bytes_sent, "request_length": $$request_length}';
  access_log $folder/access.log records;
  client_body_temp_path $folder/body;
  proxy_temp_path $folder/proxy;
  fastcgi_temp_path $folder/fastcgi;
  scgi_temp_path $folder/scgi;
  uwsgi_temp_path $folder/uwsgi;
  upstream s3 { server $upstream; keepalive 64; }
  server {
    listen $address ssl $http2;
    ssl_certificate $cert;
    ssl_certificate_key $key;
    client_max_body_size 0;
    merge_slashes off;
    location = $settled { access_log off; return 204; }
    location / {
      proxy_pass http://s3;
      proxy_http_version 1.1;
      proxy_set_header Host $$http_host;
      proxy_set_header Connection "";
      proxy_request_buffering off;
      proxy_buffering off;
      proxy_read_timeout 300s;
    }
  }
}
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsRequest:
    """One request as nginx logged it. `protocol` is `HTTP/1.1` or `HTTP/2.0`.

    `connection` numbers the client's TCP connections; `request_length` and `bytes_sent` count
    heads too. `direction` is `none` for a request that carries no object's bytes.
    """

    connection: int
    method: str
    key: str
    direction: Direction
    protocol: str
    status: int
    bytes_sent: int
    request_length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFront:
    """A running nginx; `ca_cert` is the PEM file that a client must trust."""

    endpoint: str
    ca_cert: Path
    access_log: Path

    def before(self, server: S3Server) -> S3Server:
        """The server as clients see it from this side: the same keys, another address."""
        return replace(server, endpoint=self.endpoint, ca_cert=self.ca_cert)

    def requests(self) -> tuple[TlsRequest, ...]:
        """Every request that has been answered, in the order in which they were over."""
        ask(self.endpoint, "GET", _SETTLED_PATH, ca_cert=self.ca_cert)
        lines = self.access_log.read_text(encoding="utf-8").splitlines()
        return tuple(map(_parse, lines))

    def connections(self, direction: Literal["up", "down"]) -> int:
        """How many TCP connections of clients carried objects' bytes in this direction."""
        data = [request for request in self.requests() if request.direction == direction]
        return len({request.connection for request in data})


@contextmanager
def nginx_tls(
    upstream_endpoint: str,
    folder: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    http2: bool = True,
) -> Iterator[TlsFront]:
    """Run nginx on `host` before `upstream_endpoint` (plain HTTP), all its files in `folder`.

    It offers HTTP/2 (unless `http2` is False) and HTTP/1.1. Skips the test where there is no nginx.
    """
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if nginx is None:
        pytest.skip("nginx is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    certificate = make_certificate(folder, host=host)
    # nginx takes over a socket that is bound already, so that no other program can get its port.
    with socket.create_server((host, port), backlog=128) as listener:
        address = f"{host}:{listener.getsockname()[1]}"
        config = folder / "nginx.conf"
        config.write_text(_config(upstream_endpoint, folder, address, certificate, http2=http2))
        command = [nginx, "-p", str(folder), "-e", "stderr", "-c", str(config)]
        environment = {"NGINX": f"{listener.fileno()};"}
        with running(
            command, env=environment, log=folder / "nginx.log", pass_fds=[listener.fileno()]
        ) as child:
            front = TlsFront(
                endpoint=f"https://{address}",
                ca_cert=certificate.cert,
                access_log=folder / "access.log",
            )
            child.wait_for_answer(front.endpoint, front.ca_cert)
            yield front


def _config(
    upstream_endpoint: str, folder: Path, address: str, certificate: Certificate, *, http2: bool
) -> str:
    return _CONFIG.substitute(
        folder=folder,
        address=address,
        http2="http2" if http2 else "",
        upstream=urlsplit(upstream_endpoint).netloc,
        cert=certificate.cert,
        key=certificate.key,
        settled=_SETTLED_PATH,
        # Workers of a master that is root would run as another user, who cannot read the folder.
        user="user root;" if os.geteuid() == 0 else "",
    )


def _parse(line: str) -> TlsRequest:
    record = json.loads(line)
    url = urlsplit(record["uri"])
    head = RequestHead(
        raw=b"",
        method=record["method"],
        path=unquote(url.path),
        query=dict(parse_qsl(url.query, keep_blank_values=True)),
        headers={"range": record["range"]} if record["range"] else {},
    )
    return TlsRequest(
        connection=record["connection"],
        method=head.method,
        key=head.key,
        direction=head.direction,
        protocol=record["protocol"],
        status=record["status"],
        bytes_sent=record["bytes_sent"],
        request_length=record["request_length"],
    )

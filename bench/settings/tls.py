"""HTTPS on the outside of a link: nginx before the S3 server, offering HTTP/2 and HTTP/1.1."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

from bench.link import Link
from hps.errors import EXIT_NO_DATA, HpsError
from tests.servers.child import running

PORT = 8443  # free: the outside is a namespace of the link's own
_OPENSSL_TIMEOUT_S = 30.0
# One worker: the processors are few, and it is far from busy.
_CONFIG = Template("""
daemon off;
worker_processes 1;
user root;
pid $folder/nginx.pid;
error_log stderr warn;
events { worker_connections 512; }
http {
  access_log off;
  client_body_temp_path $folder/body;
  proxy_temp_path $folder/proxy;
  fastcgi_temp_path $folder/fastcgi;
  scgi_temp_path $folder/scgi;
  uwsgi_temp_path $folder/uwsgi;
  upstream s3 { server $upstream; keepalive 64; }
  server {
    listen $host:$port ssl http2;
    ssl_certificate $folder/cert.pem;
    ssl_certificate_key $folder/key.pem;
    client_max_body_size 0;
    merge_slashes off;
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


class NoTlsError(HpsError):
    """This machine lacks a program that HTTPS needs."""

    exit_code = EXIT_NO_DATA


@contextlib.contextmanager
def front(link: Link, upstream: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """Run nginx for a `with` block; yields its address, and the certificate to trust.

    Raises `NoTlsError` where nginx or openssl is missing.
    """
    folder.mkdir()
    certificate = _make_certificate(folder, link.host)
    config = folder / "nginx.conf"
    values = {"host": link.host, "port": PORT, "upstream": urlsplit(upstream).netloc}
    config.write_text(_CONFIG.substitute(values, folder=folder), encoding="utf-8")
    command = [_find("nginx"), "-p", str(folder), "-e", "stderr", "-c", str(config)]
    endpoint = f"https://{link.host}:{PORT}"
    with contextlib.ExitStack() as stack:
        with link.outside():
            child = stack.enter_context(running(command, env={}, log=folder / "nginx.log"))
            child.wait_for_answer(endpoint, certificate)
        yield endpoint, certificate


def _make_certificate(folder: Path, host: str) -> Path:
    """It signs itself, so it is what a client must trust."""
    certificate = folder / "cert.pem"
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    name = ["-subj", "/CN=link", "-addext", f"subjectAltName=IP:{host}"]
    place = ["-days", "2", "-keyout", str(folder / "key.pem"), "-out", str(certificate)]
    subprocess.run(
        [_find("openssl"), "req", *kind, *name, *place],
        check=True,
        capture_output=True,
        timeout=_OPENSSL_TIMEOUT_S,
    )
    return certificate


def _find(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        raise NoTlsError(f"there is no {name} on this machine", "HTTP/2 is measured with it")
    return found

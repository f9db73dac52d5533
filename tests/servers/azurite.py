"""Azurite: Microsoft's own server for tests that speaks as Azure's Blob Storage does.

It comes from npm, into a folder beside other caches of this user, and is kept there; its objects
are in memory. https://github.com/Azure/Azurite
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from tests.servers.certificate import Certificate, make_certificate
from tests.servers.child import ask, running

VERSION = "3.37.0"
ACCOUNT = "hpstests"
CONTAINER = "container"
_API = "2021-08-06"
_INSTALL_TIMEOUT_S = 300.0
# As they were before tests got a home folder of their own: npm has its settings there.
_ENVIRONMENT = dict(os.environ)
_CACHE = Path(_ENVIRONMENT.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hps-tests"
_LISTENS = re.compile(r"successfully listens on (https?://127\.0\.0\.1:\d+)")
_PERMISSIONS = "racwdl"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobServer:
    """A running Azurite with one empty container. `certificate` is None without TLS."""

    origin: str
    key: str = field(repr=False)
    container: str = CONTAINER
    account: str = ACCOUNT
    certificate: Certificate | None = None

    @property
    def ca_cert(self) -> Path | None:
        """What a client must trust, a PEM file; None without TLS."""
        return self.certificate.cert if self.certificate else None

    @property
    def endpoint(self) -> str:
        """The address of the account's blobs."""
        return f"{self.origin}/{self.account}"

    @property
    def host(self) -> str:
        """The host name or address in `endpoint`."""
        return urlsplit(self.origin).hostname or ""

    @property
    def port(self) -> int:
        """The TCP port in `endpoint`."""
        return urlsplit(self.origin).port or 0

    def sas(self, permissions: str = _PERMISSIONS, *, valid_s: float = 3600) -> str:
        """A shared access signature for the account's containers and their blobs."""
        now = datetime.now(UTC)
        start, end = (
            f"{moment:%Y-%m-%dT%H:%M:%SZ}"
            for moment in (now - timedelta(hours=1), now + timedelta(seconds=valid_s))
        )
        signed = (permissions, "b", "sco", start, end, "", "", _API, "")
        text = "\n".join((self.account, *signed, ""))
        fields = ("sp", "ss", "srt", "st", "se", "sip", "spr", "sv", "ses")
        known = {name: value for name, value in zip(fields, signed, strict=True) if value}
        return urlencode({**known, "sig": _signature(self.key, text)})

    def ask(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: bytes = b""
    ) -> tuple[int, bytes]:
        """One request, signed with the account's key; `path` begins with the container."""
        headers = {
            "x-ms-date": format_datetime(datetime.now(UTC), usegmt=True),
            "x-ms-version": _API,
            **({"x-ms-blob-type": "BlockBlob"} if body else {}),
        }
        words = [method, "", "", str(len(body) or ""), *[""] * 8]
        words += [f"{name}:{value}" for name, value in sorted(headers.items())]
        words += [f"/{self.account}/{self.account}/{path}"]
        words += [f"{name}:{value}" for name, value in sorted((query or {}).items())]
        signed = f"SharedKey {self.account}:{_signature(self.key, chr(10).join(words))}"
        target = f"/{self.account}/{path}" + (f"?{urlencode(query)}" if query else "")
        headers = {**headers, "Authorization": signed, "Content-Length": str(len(body))}
        return ask(self.origin, method, target, body or None, headers=headers, ca_cert=self.ca_cert)

    def names(self) -> list[str]:
        """The names of all blobs that were committed."""
        query = {"restype": "container", "comp": "list"}
        _, listed = self.ask("GET", self.container, query)
        return re.findall(r"<Name>([^<]*)</Name>", listed.decode())


def find_azurite() -> str:
    """The script that starts Azurite; skips the test where node and npm can't give it.

    `HPS_AZURITE` names one.
    """
    named = _ENVIRONMENT.get("HPS_AZURITE")
    if named:
        return named
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("Azurite needs node and npm, or HPS_AZURITE with its script")
    folder = _CACHE / f"azurite-{VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "node_modules" / ".bin" / "azurite-blob"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "whole").exists():
            _install(folder)
    return str(script)


def _install(folder: Path) -> None:
    call = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder)]
    try:
        done = subprocess.run(
            [*call, f"azurite@{VERSION}"],
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_INSTALL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm did not give azurite {VERSION} within {_INSTALL_TIMEOUT_S:g} s")
    if done.returncode != 0:
        pytest.skip(f"npm gives no azurite {VERSION}: {done.stderr.strip()[-300:]}")
    (folder / "whole").touch()


@contextmanager
def serve_azurite(folder: Path, *, tls: bool = False) -> Iterator[BlobServer]:
    """Run Azurite on loopback with one empty container; `folder` takes its log and certificate.

    With TLS it also takes any bearer token that is well formed. Raises `ServerStartError` where it
    does not answer in time.
    """
    script, key = find_azurite(), base64.b64encode(secrets.token_bytes(64)).decode()
    folder.mkdir(parents=True, exist_ok=True)
    certificate = make_certificate(folder) if tls else None
    command = ["node", script, "--blobHost", "127.0.0.1", "--blobPort", "0"]
    command += ["--skipApiVersionCheck", "--disableTelemetry", "--inMemoryPersistence"]
    if certificate:
        command += ["--oauth", "basic"]
        command += ["--cert", str(certificate.cert), "--key", str(certificate.key)]
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(folder),
        "AZURITE_ACCOUNTS": f"{ACCOUNT}:{key}",
    }
    with running(command, env=environment, log=folder / "azurite.log") as child:
        server = BlobServer(
            origin=child.wait_for_output(_LISTENS)[1],
            key=key,
            certificate=certificate,
        )
        child.wait_for_answer(server.origin, server.ca_cert)
        status, answer = server.ask("PUT", server.container, {"restype": "container"})
        if status != 201:
            raise RuntimeError(f"Azurite makes no container: it answered {status} {answer!r}")
        yield server


def _signature(key: str, text: str) -> str:
    digest = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()

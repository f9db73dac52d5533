"""A TLS certificate for an address of this machine, made by the `openssl` command."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Two PEM files. The certificate signs itself, so `cert` is what a client must trust."""

    cert: Path
    key: Path


def make_certificate(
    folder: Path, *, host: str = "127.0.0.1", name: str = "localhost", others: tuple[str, ...] = ()
) -> Certificate:
    """Write a certificate for the address `host` and names, and its key, into `folder`.

    Skips the test where there is no `openssl`.
    """
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    made = Certificate(cert=folder / "cert.pem", key=folder / "key.pem")
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    # Rust's TLS refuses a server whose certificate is one of an authority.
    names = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=IP:{host},DNS:{name}"]
    names[-1] += "".join(f",DNS:{other}" for other in others)
    names += ["-addext", "basicConstraints=critical,CA:FALSE"]
    place = ["-days", "2", "-keyout", str(made.key), "-out", str(made.cert)]
    subprocess.run(
        [openssl, "req", *kind, *names, *place], check=True, capture_output=True, timeout=30
    )
    return made

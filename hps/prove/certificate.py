"""A TLS certificate for loopback, made for the occasion by the program `openssl`."""

from __future__ import annotations

import shutil
import ssl
from dataclasses import dataclass
from pathlib import Path

from hps.process import process
from hps.tools.invocation import bare_environment

_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A PEM file that a client must trust, since it signs itself, and what a server speaks by."""

    path: Path
    context: ssl.SSLContext


def make(
    folder: Path, host: str, guard: process.Guard, names: tuple[str, ...] = ("localhost",)
) -> Certificate | str:
    """Write a certificate for an address and names, and its key, into a folder; or say why not.

    The server prefers HTTP/2, so that a client which offers it is found out.
    """
    program = shutil.which("openssl")
    if program is None:
        return "there is no openssl on this machine to make a certificate with"
    cert, key = folder / "cert.pem", folder / "key.pem"
    kind = ("-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    # Rust's TLS refuses a server whose certificate is one of an authority.
    no_authority = ("-addext", "basicConstraints=critical,CA:FALSE")
    known = ",".join((f"IP:{host}", *(f"DNS:{name}" for name in names)))
    name = ("-subj", "/CN=localhost", "-addext", f"subjectAltName={known}")
    place = ("-days", "2", "-keyout", str(key), "-out", str(cert))
    command = process.Command(
        argv=(program, "req", *kind, *name, *no_authority, *place), env=bare_environment()
    )
    done = process.run(command, timeout_s=_TIMEOUT_S, guard_process=guard)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert, key)
    except OSError:  # an `SSLError` is one
        return f"{program} made no certificate: exit code {done.returncode}"
    context.set_alpn_protocols(["h2", "http/1.1"])
    return Certificate(path=cert, context=context)

"""azcopy on the wire: as declared, by a service principal, over TLS; and what it leaves unsaid.

The proxy speaks TLS on both sides, for Azurite takes tokens over nothing else. Microsoft's own
address gives them, as far as azcopy can tell: it is reached by a proxy.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from hps.catalog.providers import MIB
from hps.tools.azcopy import AzCopy
from hps.tools.base import Missing
from tests.command import Ran, azure_target_text, hps
from tests.secrets.watched import watch
from tests.servers.authority import Authority, serve_authority
from tests.servers.azurite import BlobServer
from tests.servers.faults import Respond, Rule
from tests.servers.proxy import RecordingProxy, Request, data_requests, peak_in_flight

_FOUND = AzCopy().find(os.environ)
pytestmark = pytest.mark.skipif(
    isinstance(_FOUND, Missing), reason=_FOUND.why if isinstance(_FOUND, Missing) else ""
)
SIZE_BYTES = 33 * MIB
_SPEC = """\
api: hps/v1
name: azcopy
targets:
{target}
{store}
results: {{target: store}}
data: {{size: {size}, files: {files}}}
matrix:
  tool: [azcopy]
  chunk_size: [{chunk}]
  concurrency: [{concurrency}]
  transfers: [{transfers}]
  checksum: [{checksum}]
steps: [upload, download, verify, delete]
"""
_ASKED: dict[str, object] = {
    **{"size": "33MiB", "files": 1, "chunk": "8MiB", "concurrency": 4},
    **{"transfers": 1, "checksum": "true"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Azurite behind a proxy, who gives tokens for it, and a folder."""

    server: BlobServer
    authority: Authority
    proxy: RecordingProxy
    folder: Path

    @property
    def env(self) -> dict[str, str]:
        """With the way to Microsoft's name; what is on this machine is reached without it."""
        program = "" if isinstance(_FOUND, Missing) else _FOUND.program
        proxy = self.authority.proxy
        return {**self.authority.environment, "HTTPS_PROXY": proxy, "HPS_AZCOPY": program}

    def spec(self, **more: object) -> Path:
        """An experiment whose data goes through the proxy, and its results straight to Azurite."""
        path = self.folder / "azcopy.yaml"
        by_token, ca_cert = self.authority.credentials, self.authority.ca_cert
        server, through = self.server, f"{self.proxy.endpoint}/{self.server.account}"
        text = _SPEC.format(
            target=azure_target_text("az", through, server, credentials=by_token, ca_cert=ca_cert),
            store=azure_target_text(
                "store", server.endpoint, server, credentials=by_token, ca_cert=ca_cert
            ),
            **{**_ASKED, **more},
        )
        path.write_text(text)
        return path

    def run(self, spec: Path) -> Ran:
        arguments = (spec, "--no-check", "--output", self.folder / "out", "--format", "json")
        return hps("run", *arguments, env=self.env)

    def data(self) -> tuple[tuple[Request, ...], tuple[Request, ...]]:
        """What went up, and what came down."""
        seen = [one for one in self.proxy.requests() if one.key.startswith("tests/data/")]
        return data_requests(seen, "up"), data_requests(seen, "down")


@pytest.fixture
def stage(azurite_tls: BlobServer, tmp_path: Path) -> Iterator[Stage]:
    assert azurite_tls.ca_cert is not None
    with ExitStack() as stack:
        authority = stack.enter_context(serve_authority(tmp_path, azurite_tls.ca_cert))
        proxy = RecordingProxy(azurite_tls.host, azurite_tls.port, tls=azurite_tls.certificate)
        stack.enter_context(proxy)
        yield Stage(server=azurite_tls, authority=authority, proxy=proxy, folder=tmp_path)


@pytest.mark.parametrize(
    ("chunk_mib", "concurrency", "checksum"),
    [
        (8, 4, "true"),
        pytest.param(5, 1, "true", marks=pytest.mark.prove),
        pytest.param(1, 10, "false", marks=pytest.mark.prove),
        pytest.param(16, 2, "false", marks=pytest.mark.prove),
    ],
)
def test_every_cell_is_on_the_wire_as_declared(
    chunk_mib: int, concurrency: int, checksum: str, stage: Stage
) -> None:
    stage.proxy.min_data_s, stage.proxy.gather = 0.3, concurrency
    spec = stage.spec(chunk=f"{chunk_mib}MiB", concurrency=concurrency, checksum=checksum)

    ran = stage.run(spec)

    assert ran.code == 0, ran.err
    up, down = stage.data()
    starts = range(0, SIZE_BYTES, chunk_mib * MIB)
    ranges = [(start, min(start + chunk_mib * MIB, SIZE_BYTES) - 1) for start in starts]
    sizes = sorted(end - start + 1 for start, end in ranges)
    assert {request.kind for request in up} == {"part"}
    assert sorted(request.body_bytes for request in up) == sizes
    assert sorted(request.range for request in down if request.range) == ranges
    assert peak_in_flight(up) == peak_in_flight(down) == concurrency
    results = {record["step"]: record for record in ran.results()}
    assert results["verify"]["status"] == "ok"
    for step in ("upload", "download"):
        result = results[step]
        assert result["status"] == "ok", result["reason"]
        assert result["tool"] == "azcopy"
        assert result["effective"]["chunk_size_bytes"] == chunk_mib * MIB
        assert result["effective"]["checksum"] == (checksum == "true")
        assert result["observed"]["chunks"] == len(ranges)
        assert result["observed"]["bytes"] == SIZE_BYTES
        assert 1 <= result["observed"]["peak_in_flight"] <= concurrency
        assert result["retries"] == 0
        # It ends on a tick, after its last byte.
        assert 0 < result["moved_s"] < result["duration_s"]
    assert results["upload"]["observed"]["peak_in_flight"] == concurrency


@pytest.mark.parametrize(
    "asked",
    [
        {"size": "5MiB"},
        {"size": "16MiB"},
        {"size": "1MiB", "files": 5, "transfers": 3, "concurrency": 1},
    ],
)
def test_requests_are_as_planned(asked: dict[str, object], stage: Stage) -> None:
    spec = stage.spec(**asked)
    planned = json.loads(hps("plan", spec, "--format", "json").out)["estimate"]["requests"]

    ran = stage.run(spec)

    assert ran.code == 0, ran.err
    assert Counter(_class_of(request) for request in stage.proxy.requests()) == planned


def _class_of(request: Request) -> str:
    if request.method == "DELETE":
        return "free"
    lists = "comp=list" in request.query.split("&")
    return "class_a" if lists or request.method == "PUT" else "class_b"


@pytest.mark.parametrize("method", ["PUT", "GET"])
def test_requests_that_are_sent_again_are_counted(method: str, stage: Stage) -> None:
    busy = Respond(status=503, headers={"x-ms-error-code": "ServerBusy"})
    stage.proxy.rules = [
        Rule(
            action=busy,
            match=lambda head: head.method == method and head.kind in {"part", "range"},
            times=2,
        )
    ]
    ran = stage.run(stage.spec())
    assert ran.code == 0, ran.err
    retries = {record["step"]: record["retries"] for record in ran.results()}
    again = "upload" if method == "PUT" else "download"
    assert retries == {"upload": 0, "download": 0, "verify": 0, "delete": 0, again: 2}


def test_a_refusal_is_explained(stage: Stage) -> None:
    denied = Respond(status=403, headers={"x-ms-error-code": "AuthorizationPermissionMismatch"})
    stage.proxy.rules = [Rule(action=denied, match=lambda head: head.kind == "part", times=None)]
    ran = stage.run(stage.spec())
    assert ran.code == 1
    upload = ran.results()[0]
    assert (upload["status"], upload["reason_code"]) == ("failed", "no_permission")
    assert "the server answered 403" in upload["reason"]


def test_no_secret_is_anywhere(stage: Stage) -> None:
    arguments = ("run", stage.spec(), "--no-check", "--output", stage.folder / "out")
    seen = watch(*arguments, env=stage.env, folder=stage.folder)
    assert seen.code == 0, seen.places["file stderr"]
    assert stage.authority.given
    for secret in (stage.authority.client_secret, *stage.authority.given):
        assert not [place for place, text in seen.places.items() if secret in text]

"""The plan's count of requests is what goes over the wire, request by request.

moto stands for the storage: as with real providers, an object that came in parts has an ETag that
is not its MD5.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import pytest
from _pytest.mark import ParameterSet

from hps.data import payload
from hps.data.shape import Payload, Shape, shape_of
from hps.model import KnobValue, Operation, Plan, Provider, ResultsPlace, Step, Target
from hps.plan.estimate import Requests, estimate, requests
from hps.plan.expand import expand
from hps.process.process import Guard
from hps.process.stop import SignalStop
from hps.results.record import new_run_id
from hps.run_folder import run_folder
from hps.steps import STEPS, Places, StepContext
from hps.tools import TOOLS, proofs
from hps.tools.rclone import command
from tests.builders import MIB, S3, axis, make_spec, step, steps
from tests.conftest import ProxyFor
from tests.servers.for_tool import needs
from tests.servers.proxy import RecordingProxy, Request
from tests.servers.rclone_s3 import serve_s3
from tests.servers.s3_server import S3Server

Knobs = dict[str, KnobValue]
COPY = ("upload", "list", "download", "delete")
SYNC = ("sync_up", "list", "sync_down", "delete")
PARTS: Knobs = {"size": 10 * MIB, "chunk_size": 5 * MIB, "concurrency": 2}
S5CMD: Knobs = {**PARTS, "tool": "s5cmd"}
AWS: Knobs = {**PARTS, "tool": "aws"}
S3PARCP: Knobs = {**PARTS, "tool": "s3parcp"}
WHOLE: Knobs = {"size": MIB, "chunk_size": 5 * MIB}
WHOLE_UPLOAD = step("upload", chunk_size_bytes=64 * MIB)


def _s3parcp(knobs: Knobs, what: str) -> ParameterSet:
    return pytest.param(knobs, steps(*COPY), id=f"s3parcp, {what}", marks=needs("s3parcp"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Everything that an operation needs, with a proxy in front of the storage."""

    plan: Plan
    context: StepContext
    proxy: RecordingProxy

    def seen(self, operation: Operation) -> Requests:
        """Do the operation, and count its requests by class."""
        self.proxy.clear()
        measurement = STEPS[operation.step.kind](operation, self.context)
        assert measurement.status in {"ok", "invalid"}, measurement.failure
        return sum((_class_of(request) for request in self.proxy.requests()), Requests())


def _class_of(request: Request) -> Requests:
    """Writes and lists are class A, reads class B, and deletes cost nothing."""
    lists = request.method == "GET" and not request.key
    if request.method == "DELETE":
        return Requests(free=1)
    if lists or request.method in {"PUT", "POST"}:
        return Requests(class_a=1)
    assert request.method in {"GET", "HEAD"}
    return Requests(class_b=1)


@contextmanager
def _bench(
    knobs: Knobs,
    kinds: tuple[Step, ...],
    server: S3Server,
    proxy: RecordingProxy,
    folder: Path,
    provider: Provider = "other",
) -> Iterator[Bench]:
    target = replace(S3, endpoint=proxy.endpoint, bucket=server.bucket, provider=provider)
    plan = expand(
        make_spec(
            *(axis(name, value) for name, value in knobs.items()),
            targets=MappingProxyType({"s3": target}),
            results=ResultsPlace(target="s3"),
            steps=kinds,
        )
    )
    with Guard() as guard:
        shape = shape_of(plan.cells[0].knobs)
        made = payload.make(shape, folder / "payload", command.find_binary(os.environ), guard)
        context = _context(target, server, {shape: made}, folder, guard)
        yield Bench(plan=plan, context=context, proxy=proxy)


def _context(
    target: Target,
    server: S3Server,
    payloads: Mapping[Shape, Payload],
    folder: Path,
    guard: Guard,
) -> StepContext:
    tools = {name: tool.find(os.environ) for name, tool in TOOLS.items()}
    return StepContext(
        binary=command.find_binary(os.environ),
        tools=tools,
        proofs=proofs.find_all(tools, os.environ),
        places=Places(
            targets={"s3": target},
            data_folder=run_folder("requests", new_run_id(datetime.now(UTC))).key,
            payload_root=str(folder / "payload"),
            local_root=str(folder / "down"),
        ),
        secrets={"TEST_KEY_ID": server.access_key_id, "TEST_SECRET": server.secret_access_key},
        offers_http2={"s3": False},
        payloads=payloads,
        scratch=folder,
        guard=guard,
        stop=SignalStop(),
    )


@pytest.mark.prove
@pytest.mark.parametrize(
    ("knobs", "kinds"),
    [
        pytest.param({**PARTS, "chunk_size": 10 * MIB}, steps(*COPY), id="one chunk"),
        pytest.param({**PARTS, "size": 20 * MIB}, steps(*COPY), id="four chunks"),
        pytest.param({**PARTS, "concurrency": 1}, steps(*COPY), id="one stream"),
        pytest.param({**PARTS, "checksum": False}, steps(*COPY), id="no checksums"),
        pytest.param({**WHOLE, "layout": "nested"}, steps(*COPY), id="one nested file"),
        pytest.param({**WHOLE, "files": 12}, steps(*COPY), id="folder"),
        pytest.param({**PARTS, "files": 2}, steps(*COPY), id="folder in parts"),
        pytest.param(
            {**PARTS, "files": 2, "concurrency": 1}, steps(*COPY), id="folder by one stream"
        ),
        pytest.param({**WHOLE, "files": 12, "layout": "nested"}, steps(*COPY), id="ten folders"),
        pytest.param(
            {**PARTS, "files": 2}, steps(WHOLE_UPLOAD, *COPY[1:]), id="folder that came whole"
        ),
        pytest.param(PARTS, steps(*SYNC), id="sync of one file"),
        pytest.param({**S5CMD, "chunk_size": 10 * MIB}, steps(*COPY), id="s5cmd, one chunk"),
        pytest.param(S5CMD, steps(*COPY), id="s5cmd, parts"),
        pytest.param({**S5CMD, "concurrency": 1}, steps(*COPY), id="s5cmd, one stream"),
        pytest.param({**S5CMD, "files": 2}, steps(*COPY), id="s5cmd, folder in parts"),
        pytest.param(
            {**S5CMD, "size": 1, "files": 12, "layout": "nested"},
            steps(*COPY),
            id="s5cmd, ten folders",
        ),
        pytest.param({**AWS, "chunk_size": 10 * MIB}, steps(*COPY), id="aws, one chunk"),
        pytest.param(AWS, steps(*COPY), id="aws, parts"),
        pytest.param({**AWS, "concurrency": 1}, steps(*COPY), id="aws, one stream"),
        pytest.param(
            {**WHOLE, "tool": "aws", "files": 12, "layout": "nested"},
            steps(*COPY),
            id="aws, ten folders",
        ),
        _s3parcp({**S3PARCP, "chunk_size": 10 * MIB}, "one chunk"),
        _s3parcp(S3PARCP, "parts"),
        _s3parcp({**S3PARCP, "concurrency": 1}, "one stream"),
        _s3parcp({**S3PARCP, "files": 3, "transfers": 2}, "folder in parts"),
        _s3parcp(
            {**WHOLE, "tool": "s3parcp", "files": 12, "layout": "nested"},
            "ten folders",
        ),
        pytest.param(
            {**WHOLE, "files": 12, "layout": "nested"}, steps(*SYNC), id="sync of ten folders"
        ),
    ],
)
def test_requests_are_as_planned(
    knobs: Knobs,
    kinds: tuple[Step, ...],
    moto_server: S3Server,
    proxy_for: ProxyFor,
    tmp_path: Path,
) -> None:
    with _bench(knobs, kinds, moto_server, proxy_for(moto_server), tmp_path) as bench:
        up, *others = bench.plan.operations
        seen = {operation.step.kind: bench.seen(operation) for operation in (up, *others)}
    assert seen == {op.step.kind: requests(op, up) for op in bench.plan.operations}
    assert sum(seen.values(), Requests()) == estimate(bench.plan).requests


def test_cloudflare_is_asked_the_same(
    moto_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(moto_server)
    with _bench(PARTS, steps(*COPY), moto_server, proxy, tmp_path, "cloudflare") as bench:
        seen = [bench.seen(operation) for operation in bench.plan.operations]
    up, *others = bench.plan.operations
    assert seen == [requests(operation, up) for operation in (up, *others)]


def test_lists_have_pages(proxy_for: ProxyFor, tmp_path: Path) -> None:
    knobs: Knobs = {"size": 1, "files": 1001}
    with serve_s3(tmp_path / "served") as server:
        proxy = proxy_for(server)
        with _bench(knobs, steps("upload", "list", "delete"), server, proxy, tmp_path) as bench:
            _, *operations = bench.plan.operations
            # As if it had been uploaded, one by one.
            folder = Path(S3.folder) / bench.context.places.key(operations[0])
            source = bench.context.places.payload(operations[0])
            shutil.copytree(source, tmp_path / "served" / server.bucket / folder)
            seen = [bench.seen(operation) for operation in operations]
    assert seen == [Requests(class_a=2), Requests(class_a=2, free=1001)]
    assert seen == [requests(operation) for operation in operations]

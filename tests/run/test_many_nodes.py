"""A thousand nodes store in one bucket at the same time: nothing is overwritten, nothing lost.

What is simulated of a thousand: their processes, and what they measure. Each node's lines are those
of one real run, under an identity of its own; identities, journals, tables and the sending of it
all are the code that a run uses, in several threads at once. Some nodes are real, all at once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hps.cli import run as running
from hps.cli import validate
from hps.model import Operation, Spec
from hps.process.stop import SignalStop
from hps.redaction import Scrubber
from hps.results import journal
from hps.results.record import Record, RunIdentity
from hps.run import recorder as recording
from hps.run.run import identify
from hps.run.session import open_tools
from hps.targets.sender import BucketCopy
from hps.tools import serve_courier
from hps.tools.client import Courier
from tests.command import REPOSITORY
from tests.results.conftest import Bucket, bucket_of
from tests.servers.s3_server import S3Server

_AT_ONCE = 8
_SAME, _NAMELESS = 50, 50
_REAL = 12
_PATIENCE_S = 280.0
_OPERATIONS = 2
_HOW = running.How(fresh=True, rerun=(), resume="", check=True, wait_s=0.0, most_equal_failures=3)
_SPEC = """\
api: hps/v1
name: many-nodes
targets:
  store:
    provider: other
    endpoint: {endpoint}
    bucket: {bucket}
    folder: {folder}
    force_path_style: true
    access_key_id: {{env: AWS_ACCESS_KEY_ID}}
    secret_access_key: {{env: AWS_SECRET_ACCESS_KEY}}
data: {{size: 1KiB}}
steps: [upload, delete]
"""


def _write(bucket: Bucket) -> Path:
    """The experiment, for this bucket and folder."""
    server, path = bucket.server, bucket.work / "many.yaml"
    text = _SPEC.format(
        endpoint=server.endpoint, bucket=server.bucket, folder=bucket.folder
    )  # fmt: skip
    path.write_text(text)
    return path


def _run(bucket: Bucket, machines: Sequence[str]) -> dict[str, bytes]:
    """Real nodes, all at once, each with a disk of its own; what they stored there, by name.

    `machines` are their ids; empty for one that has none.
    """
    spec, disks = _write(bucket), [bucket.work / f"disk-{n}" for n in range(len(machines))]
    nodes = [_started(bucket, spec, *node) for node in zip(disks, machines, strict=True)]
    try:
        for node, disk in zip(nodes, disks, strict=True):
            assert node.wait(timeout=_PATIENCE_S) == 0, (disk / "said").read_text()
    finally:
        for node in nodes:
            node.kill()
            node.wait(timeout=10)
    kept = [_files(disk) for disk in disks]
    assert [len(files) for files in kept] == [3] * len(machines)
    return {name: text for files in kept for name, text in files.items()}


def _started(bucket: Bucket, spec: Path, disk: Path, machine: str) -> subprocess.Popen[bytes]:
    disk.mkdir()
    with (disk / "said").open("wb") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "hps", "run", str(spec), "--output", str(disk)],
            env={**os.environ, **bucket.env(), "SALAD_MACHINE_ID": machine},
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )


def _files(folder: Path) -> dict[str, bytes]:
    """What is in a folder of results, by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Simulated:
    """What simulated nodes have in common. `lines` are those of a run; `told` are events."""

    output: Path
    lines: Sequence[Record]
    told: list[str] = field(default_factory=list)

    def event(self, name: str, **fields: object) -> None:
        self.told.append(f"{name} {fields}")

    def told_why(self, name: str, reason: str) -> None:
        self.event(name, reason=reason)

    def started(self, operation: Operation) -> None:
        raise AssertionError("nothing is measured here")

    def stored(self, record: Record) -> None:
        assert record["kind"] in {"run", "result"}

    def store(self, identity: RunIdentity, copies: Courier) -> str:
        """One node stores a line after the other, then its tables. Why any is missing, or ``."""
        path = self.output / f"{identity.path}.jsonl"
        bucket = BucketCopy(
            courier=copies, folder=f"results/{Path(identity.path).parent}", report=self.told_why
        )
        render = running.options_of(self.output, {}, **_HOW).render
        with journal.Journal(path) as own:
            recorder = recording.Recorder(own, bucket, Scrubber({}), self)
            for line in self.lines:
                recorder.append({**line, **asdict(identity)})
            return recording.publish(path, bucket, render, SignalStop())

    def store_all(self, spec: Spec, env: Mapping[str, str], nodes: Sequence[RunIdentity]) -> None:
        """Every node, several at once, each of those through a daemon of its own."""
        with (
            open_tools(spec, env) as tools,
            ExitStack() as stack,
            ThreadPoolExecutor(_AT_ONCE) as pool,
        ):
            places = [tools.scratch / str(number) for number in range(_AT_ONCE)]
            for place in places:
                place.mkdir()
            target, secrets = tools.targets[spec.results.target], dict(tools.secrets)
            copies = [
                stack.enter_context(
                    serve_courier(target, place, tools.binary, secrets, tools.guard)
                )
                for place in places
            ]
            shares = [nodes[number::_AT_ONCE] for number in range(_AT_ONCE)]
            for problems in pool.map(self._store_share, shares, copies):
                assert set(problems) == {""}

    def _store_share(self, nodes: Sequence[RunIdentity], copies: Courier) -> list[str]:
        return [self.store(node, copies) for node in nodes]


def _identities(spec: Spec, now: datetime, count: int) -> Iterator[RunIdentity]:
    """A new run on each of the nodes, as a run names itself.

    The first have the same machine id, the next have none and one host name; all of these begin in
    the same millisecond.
    """
    for number in range(count):
        if number < _SAME:
            yield identify(spec, {"SALAD_MACHINE_ID": "the-same"}, now)
        elif number < _SAME + _NAMELESS:
            yield identify(spec, {}, now)
        else:
            moment = now + timedelta(milliseconds=number // 4)
            yield identify(spec, {"SALAD_MACHINE_ID": f"node-{number:04d}"}, moment)


def _check(bucket: Bucket, kept: Mapping[str, bytes]) -> None:
    """The bucket holds what the nodes have on their disks, and nothing else; all can be had."""
    assert bucket.files() == kept
    journals = {name: text for name, text in kept.items() if name.endswith(".jsonl")}
    pulled = bucket.hps("pull", "--from", "s3", "--format", "json")
    assert pulled.code == 0, pulled.err
    assert json.loads(pulled.out)["new"] == len(journals)
    cache = _files(bucket.work / "hps-cache")
    assert {name: text for name, text in cache.items() if name.endswith(".jsonl")} == journals
    listed = bucket.hps("list", "--format", "json")
    assert listed.code == 0, listed.err
    rows = json.loads(listed.out)
    assert {(row["machine_id"], row["run_id"]) for row in rows} == {
        (Path(name).parent.name, Path(name).stem) for name in journals
    }
    assert Counter(row["ok"] for row in rows) == {_OPERATIONS: len(journals)}


@pytest.mark.prove
@pytest.mark.parametrize(("server", "count"), [("s3_server", 1000), ("moto_server", 200)])
def test_a_thousand_nodes_store_at_the_same_time(
    server: str, count: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    bucket = bucket_of(request.getfixturevalue(server), tmp_path)
    sample = _run(Bucket(server=bucket.server, folder="sample", work=tmp_path), ["sample"])
    (text,) = (text for name, text in sample.items() if name.endswith(".jsonl"))
    lines = [json.loads(line) for line in text.splitlines()]
    spec = validate.check(str(_write(bucket)), (), bucket.env(), None).spec
    assert spec is not None
    nodes = list(_identities(spec, datetime.now(UTC), count))
    assert len({node.machine_id for node in nodes}) == count - _SAME - _NAMELESS + 2

    simulated = _Simulated(output=tmp_path / "out", lines=lines)
    simulated.store_all(spec, bucket.env(), nodes)

    kept = _files(simulated.output)
    assert len(kept) == 3 * count
    assert simulated.told == []
    _check(bucket, kept)


@pytest.mark.prove
def test_real_nodes_store_at_the_same_time(s3_server: S3Server, tmp_path: Path) -> None:
    """Some have no machine id, and one host name: two containers of one image, say."""
    bucket = bucket_of(s3_server, tmp_path)
    machines = [f"node-{number}" if number % 3 else "" for number in range(_REAL)]
    kept = _run(bucket, machines)
    assert len(kept) == 3 * len(machines)
    assert len({Path(name).parent for name in kept}) == len(set(machines))
    _check(bucket, kept)

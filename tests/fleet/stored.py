"""A bucket with what the nodes of a fleet have stored: the real code's names and lines.

The bucket is a folder that `rclone serve s3` serves, so that an object is as old as its file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from hps.catalog.failures import failure
from hps.model import Failure, Measurement, Plan, Spec, known
from hps.node.verdict import Readings, judge
from hps.plan import share
from hps.plan.expand import expand
from hps.results.record import (
    Record,
    RunIdentity,
    failed_record,
    new_run_id,
    result_record,
    run_record,
    utc_text,
)
from hps.spec.load import load
from hps.spec.source import SpecText
from tests.command import keys_of, target_text
from tests.servers.s3_server import S3Server

CELLS = 4
STEPS = 3
_SPEC = """\
api: hps/v1
name: {name}
targets:
{target}
node: {{min_upload: 20Mbps, max_rtt: 300ms}}
matrix: {{size: [1MiB, 2MiB, 3MiB, 4MiB]}}
fleet: {fleet}
steps: [upload, download, delete]
"""
OLD_S = 1000.0


@dataclass(kw_only=True)
class StoredFleet:
    """An experiment with a fleet, and what its nodes have put into the folder that is served."""

    server: S3Server
    served: Path
    file: Path
    name: str = "stored"
    endpoint: str = ""
    described: str = "{nodes: 6, per_node: {cells: 2}}"
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    runs: dict[tuple[str, str], str] = field(default_factory=dict)

    @cached_property
    def spec(self) -> Spec:
        """The experiment, which is also written to its file."""
        target = target_text("store", self.endpoint or self.server.endpoint, self.server.bucket)
        text = _SPEC.format(name=self.name, target=target, fleet=self.described)
        self.file.write_text(text)
        return load(SpecText(name=str(self.file), content=text.encode()), env=self.env)

    def write(self) -> Path:
        """The experiment's file."""
        assert self.spec.fleet is not None
        return self.file

    @property
    def env(self) -> dict[str, str]:
        return keys_of(self.server)

    @property
    def fleet(self) -> str:
        return self.spec.sha256[:12]

    @cached_property
    def results(self) -> Path:
        return self.served / self.server.bucket / "tests/results" / self.spec.name

    def put(self, key: str, content: str | bytes, age_s: float = 0.0) -> Path:
        """An object in the experiment's folder that was stored so long ago."""
        path = self.results / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        at = self.now.timestamp() - age_s
        os.utime(path, (at, at))
        return path

    def announce(self, machine: str, *words: str, age_s: float = 0.0) -> None:
        for word in words:
            self.put(f".fleet/{self.fleet}/{machine}/{word}", "{}\n", age_s)

    def identity(self, machine: str, fleet: str = "") -> RunIdentity:
        """That of the run of a machine for a fleet: the same each time."""
        return RunIdentity(
            run_id=self.runs.setdefault((machine, fleet), new_run_id(self.now)),
            machine_id=machine,
            experiment=self.spec.name,
            spec_sha256=self.spec.sha256,
        )

    def node(
        self,
        machine: str,
        cells: Sequence[int],
        *,
        done: int | None = None,
        wrong: Mapping[int, Failure] | None = None,
        age_s: float = 0.0,
        ahead_s: float = 0.0,
        fleet: str = "",
    ) -> Path:
        """A node with so many operations done (None: all, and it has said so), 10 s each.

        `wrong` are those that failed, by number. The clock of the node is ahead of the bucket's.
        """
        plan, identity = expand(self.spec, only=cells), self.identity(machine, fleet)
        count = len(plan.operations) if done is None else done
        began = self.now - timedelta(seconds=age_s + 10 * count) + timedelta(seconds=ahead_s)
        lines = [self._run(identity, plan, cells, began, fleet or self.fleet)]
        for number, operation in enumerate(plan.operations[:count]):
            why = (wrong or {}).get(number)
            measured = Measurement(
                status="ok" if why is None else "failed",
                failure=why,
                started_at=utc_text(began + timedelta(seconds=10 * number)),
                duration_s=10.0,
            )
            lines.append(result_record(identity, operation, measured))
        if not fleet:
            words = (share.as_text(cells, CELLS), *(("done",) if done is None else ()))
            self.announce(machine, *words, age_s=age_s + 10 * count)
        return self._journal(identity, lines, age_s)

    def turned_down(
        self, machine: str, upload_mbps: float, rtt_s: float = 0.1, age_s: float = 0.0
    ) -> Path:
        """A node that was judged, and has measured nothing."""
        plan, identity = expand(self.spec, only=(0, 1)), self.identity(machine)
        readings = Readings(
            upload_mbps=known(upload_mbps), download_mbps=known(200.0), rtt_s=known(rtt_s)
        )
        verdict = judge(self.spec.node, readings)
        assert not verdict.accepted
        line = self._run(identity, plan, (0, 1), self.now, self.fleet)
        self.announce(machine, "0.1", "rejected", age_s=age_s)
        return self._journal(identity, [line | {"verdict": asdict(verdict)}], age_s)

    def not_begun(self, machine: str, code: str, reason: str) -> Path:
        """A node whose run could not begin, so that it has announced nothing."""
        identity, why = self.identity(machine), failure(code, reason)
        line = failed_record(identity, self.spec, why, started_at=self.now, facts={})
        return self._journal(identity, [line], 0.0)

    def _run(
        self, identity: RunIdentity, plan: Plan, cells: Sequence[int], at: datetime, fleet: str
    ) -> Record:
        member = {"name": fleet, "cells": list(cells), "of": CELLS}
        return run_record(identity, plan, started_at=at, facts={"hps": "0", "fleet": member})

    def _journal(self, identity: RunIdentity, lines: Sequence[Record], age_s: float) -> Path:
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        key = f"{identity.machine_id}/{identity.run_id}"
        self.put(f"{key}.csv", "", age_s)
        self.put(f"{key}.txt", "", age_s)
        return self.put(f"{key}.jsonl", text, age_s)

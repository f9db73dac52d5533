"""One node of a simulated fleet: it joins, waits in place of measuring, and leaves or dies."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from hps.errors import MachineError
from hps.model import Measurement, Operation, Plan
from hps.node.probe.checked import TargetCheck
from hps.process.stop import SignalStop
from hps.results.lock import RunLock
from hps.results.record import Record, result_record, run_record, utc_text
from hps.run import fleet
from hps.run.run import identify
from hps.run.session import Preflight, RememberingListener, Session, Tools

# A journal is renewed so often while a node works; dead is one that is silent for three minutes
# of ten.
_RENEWALS = 5
_PUT_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What all nodes share: the plan, the tools, and turns to reach for the storage.

    `folder` is that of the results below the target's; `began_s` is by `time.monotonic`.
    """

    plan: Plan
    env: Mapping[str, str]
    tools: Tools
    lock: RunLock
    turns: threading.BoundedSemaphore
    began_s: float
    folder: str


@dataclass(slots=True, kw_only=True)
class Node:
    """A node as it was drawn, and what has become of it; `lag_s`: how long it waited for turns."""

    name: str
    begins_s: float
    works_s: float
    dies_after: float | None
    clock_off_s: float
    cells: tuple[int, ...] = ()
    measured: tuple[int, ...] = ()
    ended: Literal["", "done", "died", "over"] = ""
    lag_s: float = 0.0

    @contextmanager
    def turn(self, shared: Shared) -> Iterator[None]:
        """For the length of a `with` block, one of the few that reach for the storage."""
        asked_s = time.monotonic()
        with shared.turns:
            self.lag_s = max(self.lag_s, time.monotonic() - asked_s)
            yield


class _Silent:
    """Listens to a node, and says nothing."""

    def event(self, name: str, **fields: object) -> None:
        """A simulation that can't reach its own storage is none."""
        if name in {"fleet_unknown", "fleet_not_told"}:
            raise MachineError(f"{name}: {fields}", "is the machine too busy?")

    def started(self, operation: Operation) -> None:
        """Nothing is shown."""

    def stored(self, record: Record) -> None:
        """Nothing is shown."""


def live(node: Node, shared: Shared) -> None:
    """The life of a node, from when it begins to its end."""
    _sleep_until(node.begins_s)
    session = _session(node, shared)
    with node.turn(shared):
        joined = fleet.join(session, again=False)
    if isinstance(joined, fleet.FleetOver) or joined.member is None:
        node.ended = "over"
        return
    node.cells = joined.member.cells
    _work(node, shared, joined)
    if not node.ended:
        with node.turn(shared):
            fleet.leave(joined, done=True)
        node.ended = "done"


def _work(node: Node, shared: Shared, session: Session) -> None:
    """Wait in place of measuring, and store the journal now and then, till the end or death."""
    began_s, watch = time.monotonic(), fleet.EndWatch(session=session)
    whole = 1.0 if node.dies_after is None else node.dies_after
    for renewal in range(_RENEWALS):
        part = whole * renewal / (_RENEWALS - 1)
        _sleep_until(began_s + part * node.works_s)
        node.measured = node.cells[: int(part * len(node.cells))]
        with node.turn(shared):
            _store_journal(node, session)
            if whole == 1.0 and 0 < part < 1 and watch.is_over():
                node.ended = "over"
                return
    if node.dies_after is not None:
        node.ended = "died"


def _store_journal(node: Node, session: Session) -> None:
    identity, plan = session.identity, session.plan
    at = utc_text(session.started_at)
    records = [run_record(identity, plan, started_at=session.started_at, facts={})]
    done = Measurement(status="ok", started_at=at, duration_s=1.0)
    measured = len(node.measured)
    records += [
        result_record(identity, operation, done)
        for operation in sorted(plan.operations, key=lambda one: one.cell.knobs.size_bytes)[
            :measured
        ]
    ]
    local = session.tools.scratch / "journal.jsonl"
    local.write_text("".join(json.dumps(record) + "\n" for record in records))
    link = session.tools.link(session.results_target, session.bucket_folder, session.stop)
    call = link.put(str(local), f"{link.key}/{node.name}/{identity.run_id}.jsonl")
    ended = link.run(call, timeout_s=_PUT_TIMEOUT_S, name="journal")
    if ended.failure:
        raise MachineError(f"{node.name}: {ended.failure.reason}", "is the machine too busy?")


def _session(node: Node, shared: Shared) -> Session:
    scratch = shared.tools.scratch / node.name
    scratch.mkdir()
    env = {**shared.env, "SALAD_MACHINE_ID": node.name}
    now = datetime.now(UTC)
    checked = TargetCheck(target="store", calls=(), clock_offset_s=node.clock_off_s)
    return Session(
        plan=shared.plan,
        env=env,
        render=_render_nothing,
        tools=replace(shared.tools, scratch=scratch),
        stop=SignalStop(),
        listener=RememberingListener(_Silent()),
        started_at=now,
        identity=identify(shared.plan.spec, env, now),
        home=scratch,
        lock=shared.lock,
        preflight=Preflight(checked=(checked,)),
    )


def _render_nothing(_: Path) -> Mapping[str, str]:
    return {}


def _sleep_until(at_s: float) -> None:
    time.sleep(max(0.0, at_s - time.monotonic()))

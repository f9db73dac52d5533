"""How far a fleet is, by its bucket alone, from any machine.

One list of the experiment's folder says which nodes there are and which are at work. Why nodes were
turned down, what failed, and how many operations are done is in the journals: only those that have
changed since the last look are fetched, and never more often than every `READ_EVERY_S`.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hps.errors import HpsError, MachineError
from hps.fleet import progress
from hps.fleet.journals import MOST_JOURNAL_BYTES, JournalFacts, JournalReader
from hps.fleet.progress import FleetFailure, FleetProgress, NodeProgress
from hps.fleet.turned_down import TurnedDown, summarize
from hps.model import Fleet, Spec
from hps.node.probe.check import ask
from hps.plan import share
from hps.plan.expand import expand
from hps.process import process, temporary
from hps.run.fleet import DEAD_S, Others, end_of, name_of, until_of, why_ended
from hps.run.together import START_ENV, moment_of
from hps.spec import odd_values
from hps.targets.bucket import Link
from hps.targets.copy import BucketPlace, fetch, place_of
from hps.tools.client import Listed

READ_EVERY_S = 30.0
# Without being asked, no more than a fleet of some tens stores.
MOST_BYTES_UNASKED = 32 * 1024**2
_ASK_TIMEOUT_S = 5.0
_LIST_TIMEOUT_S = 60.0
_JOURNAL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,254}/[A-Za-z0-9][A-Za-z0-9._-]{0,254}\.jsonl")
_ANNOUNCED = re.compile(r"\.fleet/(?P<fleet>[^/]+)/(?P<machine>[^/]+)/[^/]+")
# What a run that has measured nothing stores at most.
_SHORT_BYTES = 64 * 1024
_BEFORE_THE_FIRST = timedelta(hours=1)
# Shares whose operations are planned one by one; that takes some ms each.
_MOST_PLANS = 100
_NAMES_OF_A_RULE = 500
# A node's state, in the order in which they are shown.
STATES: Mapping[str, str] = {
    "done": "have measured their cells",
    "at_work": "are at work",
    "lost": f"have not been heard of for {DEAD_S / 60:g} min, and had not finished",
    "rejected": "were turned down",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStatus:
    """A machine of a fleet, its state by `STATES`, and when something of it was last stored."""

    machine_id: str
    state: str
    cells: tuple[int, ...]
    seen_at: datetime | None
    progress: NodeProgress


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalsRead:
    """How many journals of the fleet were read, now or before, of how many, with so many bytes.

    `is_whole`: all that there were. One that is new since then is not read yet; `too_large` ones
    never are.
    """

    read: int
    listed: int
    bytes: int
    too_large: int
    is_whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetStatus:
    """What is known of a fleet `at` a time, by the bucket's clock.

    `covered`: how many nodes, done or at work, have each cell. `why_over` is empty where the fleet
    goes on. What is only in journals is that of the `journals` that were read.
    """

    fleet: str
    experiment: str
    at: datetime
    wanted: int | None
    nodes: tuple[NodeStatus, ...]
    covered: tuple[int, ...]
    began_at: datetime | None
    progress: FleetProgress
    turned_down: tuple[TurnedDown, ...]
    failures: tuple[FleetFailure, ...]
    journals: JournalsRead
    ends_at: datetime | None = None
    why_over: str = ""

    def count(self, state: str) -> int:
        """How many nodes are in a state."""
        return sum(node.state == state for node in self.nodes)


# -------------------------------------------------------------------------------------------------
# Looking, again and again.

# Brings journals, and returns the folder where they lie by their names.
Bring = Callable[[Sequence[Listed]], Path]


@dataclass(slots=True, kw_only=True)
class FleetObserver:
    """Looks at a fleet. `details`: journals are read (None: as long as they are not too many)."""

    spec: Spec
    fleet: Fleet
    name: str
    until: datetime | None
    starts_at: datetime | None
    cells: int
    link: Link
    bring: Bring
    details: bool | None
    _reader: JournalReader = field(default_factory=JournalReader)
    _read_s: float | None = None
    _is_whole: bool = False
    _ended: str = ""
    _offset_s: float | None = None
    _planned: dict[tuple[int, ...], int] = field(default_factory=dict)
    _history: list[tuple[datetime, int]] = field(default_factory=list)

    def look(self) -> FleetStatus:
        """List the folder, and read what has changed. Raises `HpsError` where that fails."""
        if self._offset_s is None:
            self._offset_s = ask(self.link.target, timeout_s=_ASK_TIMEOUT_S).clock_offset_s
        others, journals, elsewhere = self._list()
        now = datetime.now(UTC) + timedelta(seconds=self._offset_s or 0.0)
        since = min(others.announced, default=now) - _BEFORE_THE_FIRST
        foreign = elsewhere - (others.shares.keys() | others.done | others.rejected)
        of_late = [
            item
            for item in journals
            if (item.at is None or item.at >= since)
            and (item.size_bytes <= _SHORT_BYTES or _machine(item) not in foreign)
        ]
        fitting = [item for item in of_late if item.size_bytes <= MOST_JOURNAL_BYTES]
        ends_at = self.until or self._find_end(others, now)
        why_over = _why_over(self.fleet, others, ends_at, now)
        if others.over:
            self._ended = why_over = self._ended or why_ended(self.link, self.name)
        self._read(fitting, others, is_last=bool(why_over))
        known = [item.key for item in fitting if item.key in self._reader.facts]
        read = JournalsRead(
            read=len(known),
            listed=len(fitting),
            bytes=sum(item.size_bytes for item in fitting),
            too_large=len(of_late) - len(fitting),
            is_whole=self._is_whole,
        )
        facts = [fact for key in known if self._is_ours(fact := self._reader.facts[key])]
        found = self._status(others, fitting, facts, read, now)
        return replace(found, ends_at=ends_at, why_over=why_over)

    def _find_end(self, others: Others, now: datetime) -> datetime | None:
        """As the nodes reckon it: from the instant at which all begin, else from the first."""
        if self.starts_at is not None:
            return end_of(self.fleet, None, self.starts_at)
        return end_of(self.fleet, others, now) if others.announced else None

    def _list(self) -> tuple[Others, list[Listed], set[str]]:
        """What the names of all objects say, the journals, and the machines of other fleets."""
        others, journals, elsewhere = Others(), list[Listed](), set[str]()
        for item in self.link.list_objects("fleet", timeout_s=_LIST_TIMEOUT_S, stop=self.link.stop):
            others.add(item, self.name, self.cells)
            if _JOURNAL.fullmatch(item.key):
                journals.append(item)
            elif (found := _ANNOUNCED.fullmatch(item.key)) and found["fleet"] != self.name:
                elsewhere.add(found["machine"])
        return others, journals, elsewhere

    def _read(self, journals: Sequence[Listed], others: Others, *, is_last: bool) -> None:
        early = self._read_s is not None and time.monotonic() - self._read_s < READ_EVERY_S
        if self.details is False or (early and not is_last):
            return
        wanted = journals
        if self.details is None and _bytes(journals) > MOST_BYTES_UNASKED:
            # Those of nodes that have measured nothing are short.
            no_member = (one for one in journals if _machine(one) not in others.shares)
            of_rejected = (one for one in journals if _machine(one) in others.rejected)
            wanted = [one for one in (*no_member, *of_rejected) if one.size_bytes <= _SHORT_BYTES]
            wanted = wanted if _bytes(wanted) <= MOST_BYTES_UNASKED else []
        changed = self._reader.find_changed(wanted)
        if changed:
            self._reader.read(self.bring(changed), changed)
        self._is_whole = wanted is journals
        self._read_s = time.monotonic()

    def _is_ours(self, facts: JournalFacts) -> bool:
        """Of this fleet, or of a run of this very experiment that never began."""
        alike = facts.why is not None and facts.spec_sha256 == self.spec.sha256
        return facts.fleet == self.name or (alike and not facts.fleet)

    def _status(
        self,
        others: Others,
        journals: Sequence[Listed],
        facts: Sequence[JournalFacts],
        read: JournalsRead,
        now: datetime,
    ) -> FleetStatus:
        nodes = self._nodes(others, journals, facts, read, now)
        counted = [node for node in nodes if node.state in {"done", "at_work"}]
        began_at = min(others.announced, default=None)
        judged = [
            node.checks for node in facts if node.checks and node.machine_id in others.rejected
        ]
        return FleetStatus(
            fleet=self.name,
            experiment=self.spec.name,
            at=now,
            wanted=self.fleet.nodes,
            nodes=nodes,
            covered=tuple(share.count((node.cells for node in counted), self.cells)),
            began_at=began_at,
            progress=self._progress(counted, facts, read, began_at, now),
            turned_down=summarize(judged, rejects_unknown=self.spec.node.on_unknown == "reject"),
            failures=progress.find_failures(facts),
            journals=read,
        )

    def _nodes(
        self,
        others: Others,
        journals: Sequence[Listed],
        facts: Sequence[JournalFacts],
        read: JournalsRead,
        now: datetime,
    ) -> tuple[NodeStatus, ...]:
        machines = sorted(others.shares.keys() | others.done | others.rejected)
        by_machine: dict[str, list[JournalFacts]] = {}
        for one in facts:
            by_machine.setdefault(one.machine_id, []).append(one)
        planned = {
            name: self._plan(others.shares.get(name, ()), by_machine.get(name, ()))
            for name in machines
        }
        done = (
            {name: progress.count_done(by_machine.get(name, ())) for name in machines}
            if read.is_whole
            else progress.estimate_done(_sizes(journals), planned, others.done)
        )
        return tuple(
            NodeStatus(
                machine_id=name,
                state=_state(name, others, now),
                cells=others.shares.get(name, ()),
                seen_at=others.seen.get(name),
                progress=NodeProgress(planned=planned[name], done=done.get(name)),
            )
            for name in machines
        )

    def _plan(self, cells: tuple[int, ...], facts: Iterable[JournalFacts]) -> int:
        """How many operations a share has, as its journal says, else as it is planned."""
        stored = [one.planned for one in facts if one.planned is not None]
        if stored and self.fleet.for_s is None:  # else the journal has all that may ever come
            return max(stored)
        if cells and cells not in self._planned:
            if len(self._planned) >= _MOST_PLANS:
                total = sum(self._planned.values()) / sum(map(len, self._planned))
                return round(total * len(cells))
            self._planned[cells] = len(expand(self.spec, only=cells).operations)
        return self._planned.get(cells, 0)

    def _planned_in_all(self, counted: Sequence[NodeStatus]) -> int:
        """Of these nodes, and of those that are still wanted, which will do as much in the mean."""
        planned = sum(node.progress.planned for node in counted)
        lacking = max(0, (self.fleet.nodes or 0) - len(counted))
        return planned + round(planned / len(counted) * lacking) if counted else planned

    def _progress(
        self,
        counted: Sequence[NodeStatus],
        facts: Sequence[JournalFacts],
        read: JournalsRead,
        began_at: datetime | None,
        now: datetime,
    ) -> FleetProgress:
        known = [node.progress.done for node in counted if node.progress.done is not None]
        done = sum(known) if len(known) == len(counted) else None
        if read.is_whole:
            per_min, bytes_per_min, window_s = progress.rates(facts, began_at, now)
        else:
            (per_min, window_s), bytes_per_min = self._rate_between_looks(done, now), None
        at_work = [node.progress for node in counted if node.state == "at_work"]
        wanted = self.fleet.nodes
        needed = None if wanted is None else wanted - (len(counted) - len(at_work))
        left_s, why_not_left = progress.time_to_end(at_work, needed, per_min)
        return FleetProgress(
            done=done,
            planned=self._planned_in_all(counted),
            is_estimate=not read.is_whole,
            per_min=per_min,
            bytes_per_min=bytes_per_min,
            window_s=window_s,
            left_s=left_s,
            why_not_left=why_not_left,
        )

    def _rate_between_looks(self, done: int | None, now: datetime) -> tuple[float | None, float]:
        """Operations a minute since the first look of late, and over how many seconds that is."""
        if done is None:
            return None, 0.0
        oldest = now - timedelta(seconds=progress.WINDOW_S)
        self._history = [*(one for one in self._history if one[0] >= oldest), (now, done)]
        window_s = (now - self._history[0][0]).total_seconds()
        if window_s < progress.LEAST_WINDOW_S:
            return None, window_s
        return max(0.0, (done - self._history[0][1]) * 60 / window_s), window_s


@contextlib.contextmanager
def open_fleet(
    spec: Spec,
    env: Mapping[str, str],
    stop: process.Stop,
    *,
    details: bool | None = None,
    bring: Bring | None = None,
) -> Iterator[FleetObserver]:
    """What looks at the fleet of an experiment, for the length of a `with` block.

    Only the keys of the bucket with the results are needed. `bring` is how journals are fetched,
    where they are wanted elsewhere as well. Raises `HpsError` where the experiment has no fleet, or
    no bucket that all nodes reach.
    """
    if spec.fleet is None:
        hint = "add fleet: {nodes: 10}; without it each node measures all, and none knows of others"
        raise HpsError(f"'{spec.name}' has no fleet", hint)
    if spec.targets[spec.results.target].provider == "embedded":
        hint = "name a bucket in results.target that all nodes reach"
        raise HpsError(f"'{spec.name}' keeps its results in a server that ends with each run", hint)
    name, until = name_of(spec.sha256, env), until_of(env)
    place = place_of(spec, None, env).inside(spec.name)
    with process.Guard() as guard, temporary.folder() as folder:
        guard.send("remove", str(folder))
        yield FleetObserver(
            spec=spec,
            fleet=spec.fleet,
            name=name,
            until=until,
            starts_at=_starts_at(spec.fleet, env),
            cells=len(expand(spec).cells),
            link=_link(place, env, guard, folder, stop),
            bring=bring or _Fetched(place=place, folder=folder / "journals", stop=stop),
            details=details,
        )


def _starts_at(fleet: Fleet, env: Mapping[str, str]) -> datetime | None:
    """Where it isn't known here, as it is for the nodes, the end is reckoned from the first."""
    return (moment_of(START_ENV, env) or fleet.starts_at) if fleet.together else None


def _link(
    place: BucketPlace,
    env: Mapping[str, str],
    guard: process.Guard,
    folder: Path,
    stop: process.Stop,
) -> Link:
    """Raises `HpsError` for keys that are not set, or odd."""
    names = sorted(reference.env for reference in place.target.secrets)
    if missing := [name for name in names if not env.get(name)]:
        hint = f"export {missing[0]}=…: the bucket of the results is listed with it"
        raise HpsError(f"not set in the environment: {', '.join(missing)}", hint)
    secrets = {name: odd_values.checked(name, env[name], is_key=True) for name in names}
    return Link(
        target=place.target,
        key=place.folder,
        binary=place.binary,
        secrets=secrets,
        guard=guard,
        scratch=folder,
        stop=stop,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fetched:
    """Brings journals into a folder of this process alone, which has only the newest."""

    place: BucketPlace
    folder: Path
    stop: process.Stop

    def __call__(self, journals: Sequence[Listed]) -> Path:
        for path in self.folder.glob("*/*.jsonl"):
            path.unlink()
        names = [item.key for item in journals]
        parts = (names[at : at + _NAMES_OF_A_RULE] for at in range(0, len(names), _NAMES_OF_A_RULE))
        rules = (*(f"+ /{{{','.join(part)}}}" for part in parts), "- **")
        copied = fetch(self.place, self.folder, lambda _: None, rules=rules, stop=self.stop)
        if copied.error:
            what = f"journals of {self.place.name} can't be read: {copied.error}"
            raise MachineError(what, "check the keys: may they read the bucket?")
        return self.folder


def _why_over(fleet: Fleet, others: Others, ends_at: datetime | None, now: datetime) -> str:
    if fleet.nodes is not None and len(others.done) >= fleet.nodes:
        return "as many as are wanted have measured their cells"
    # Nodes that are at work end after the operation that they are in.
    at_work = (name for name in others.shares if _state(name, others, now) == "at_work")
    is_over = ends_at is not None and now >= ends_at and next(at_work, None) is None
    return "its time is over" if is_over else ""


def _state(machine: str, others: Others, now: datetime) -> str:
    if machine in others.done:
        return "done"
    if machine in others.rejected:
        return "rejected"
    return "at_work" if others.is_alive(machine, now) else "lost"


def _machine(journal: Listed) -> str:
    return journal.key.partition("/")[0]


def _bytes(journals: Iterable[Listed]) -> int:
    return sum(item.size_bytes for item in journals)


def _sizes(journals: Iterable[Listed]) -> dict[str, int]:
    """The bytes of each machine's journals."""
    sizes: dict[str, int] = {}
    for item in journals:
        sizes[_machine(item)] = sizes.get(_machine(item), 0) + item.size_bytes
    return sizes

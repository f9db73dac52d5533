"""A run as one of a fleet: which cells it measures, what it announces, and when all is over.

The bucket is all that the nodes of a fleet share. In the experiment's folder of results each node
puts an object whose name says which cells it measures, `.fleet/<fleet>/<machine>/<cells>`, and
another, `done`, once it has measured them: one list tells a node that begins what the others do. A
node whose journal is not renewed any more is dead, and counts with what it has done. Two nodes that
begin in the same second may choose alike: that costs a little balance, and no result. The object
`.fleet/<fleet>/over` ends it for all: none begins, and those at work end after their operation.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from hps.errors import HpsError, MachineError, printable
from hps.model import FLEET_AGAIN_ENV as AGAIN_ENV
from hps.model import FLEET_ENV as NAME_ENV
from hps.model import FLEET_UNTIL_ENV as UNTIL_ENV
from hps.model import REJECT, Failure, Fleet, Plan
from hps.node.verdict import Verdict
from hps.plan import share
from hps.plan.expand import expand
from hps.results import journal
from hps.run import resume, together
from hps.run.session import Membership, Session
from hps.targets.bucket import Link
from hps.tools.client import Listed

# A node whose journal is not renewed for so long is dead; renewed it is every `HEARTBEAT_S`.
DEAD_S = 180.0
_MOST_SKEW_S = 900.0
_FOLDER = ".fleet"
_DONE, _REJECTED, _OVER = "done", "rejected", "over"
# A machine that goes on with the cells that it had announced.
_BACK = "back"
_CALL = "fleet"
_LIST_TIMEOUT_S = 60.0
_PUT_TIMEOUT_S = 20.0
# How often a node at work asks whether the fleet was ended, by one request.
_ASK_EVERY_S = 60.0
# Rejected so long ago is lately.
_LATELY_S = 120.0
_ASK_TIMEOUT_S = 10.0
_MOST_OVER_BYTES = 4096
_MOST_OF_A_REASON = 200
_NO_REASON = "it was ended for all"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")
_SHA_CHARACTERS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOver:
    """This node has nothing to do for its fleet, and why; nor has any other, if `everywhere`.

    `rejected`: whoever starts nodes wants to be told so. `not_stored`: as in `run.Outcome`.
    """

    fleet: str
    why: str
    everywhere: bool
    rejected: bool = False
    not_stored: str = ""


def join(session: Session, *, again: bool) -> Session | FleetOver:
    """Choose the cells of this node, or those that it had chosen before, and announce them.

    `again`: also where it has measured them. A session of an experiment without a fleet is returned
    as it is. Raises `HpsError` for a variable of a fleet that is not valid.
    """
    fleet = session.plan.spec.fleet
    if fleet is None:
        return session
    name, until = name_of(session.plan.spec.sha256, session.env), until_of(session.env)
    starts_at = together.start_of(fleet, session.env)
    clock = together.read_clock(session, exact=starts_at is not None)
    link, now = _link(session), clock.now()
    known = None if link is None else _look(link, session, name)
    ends_at = until or end_of(fleet, None if starts_at else known, starts_at or now)
    why = _why_over(fleet, known, ends_at, now) or together.why_late(starts_at, now)
    if link is not None and known is not None and known.over:
        why = why_ended(link, name)
    if why:
        return FleetOver(fleet=name, why=why, everywhere=True)
    if known and session.identity.machine_id in known.done and not again:
        why = "this machine has measured its share; --fresh measures it again"
        rejected = session.env.get(AGAIN_ENV) == REJECT
        return FleetOver(fleet=name, why=why, everywhere=False, rejected=rejected)
    member = Membership(
        fleet=name,
        cells=_choose_first(session, fleet, known, now),
        of=len(session.plan.cells),
        ends_at=ends_at,
        skew=clock.skew,
        for_s=fleet.for_s,
        starts_at=starts_at,
        clock_error_s=clock.error_s,
    )
    return _announce_joined(session, member, link, known)


def choose_more(
    session: Session, taken: Collection[int], most: int, measured: dict[str, set[int]]
) -> tuple[int, ...]:
    """Choose at most so many cells beside those that this node has `taken`, and announce them.

    `measured` keeps what dead nodes have measured, which is read but once.
    """
    member, link = session.member, _link(session)
    if member is None:
        return ()
    known = None if link is None else _look(link, session, member.fleet)
    now = datetime.now(UTC) + member.skew
    cells = _choose(session, known, now, most=most, taken=taken, measured=measured)
    if link is not None and cells:
        _put(session, link, share.as_text(cells, member.of), cells=sorted({*taken, *cells}))
    return cells


def _announce_joined(
    session: Session, member: Membership, link: Link | None, known: Others | None
) -> Session:
    """The session of a member, whose share is announced; what it had announced before stays."""
    spec, cells = session.plan.spec, member.cells
    timed = member.for_s is not None
    plan = expand(spec, apart=True) if timed else expand(spec, only=cells)
    session = replace(session, plan=plan, member=member)
    was_here = known is not None and session.identity.machine_id in known.shares
    if link is not None:
        # What it had announced stays as it is: by the first of them the fleet's end is reckoned.
        word = _BACK if was_here else share.as_text(cells, member.of)
        _put(session, link, word, cells=sorted(cells))
    operations = len(plan.operations)
    if timed:
        operations = operations * len(cells) // member.of
    session.listener.event(
        "fleet_joined", fleet=member.fleet, cells=len(cells), of=member.of, operations=operations
    )
    return session


def leave(session: Session, *, done: bool, rejected: Verdict | None = None) -> int:
    """Tell the others how this node ended; one that tells nothing counts as dead before long.

    Why it is rejected is stored with that. Returns how many others were rejected lately, 0 where
    this node is not.
    """
    link = None if session.member is None else _link(session)
    if link is None:
        return 0
    if rejected is not None:
        _put(session, link, _REJECTED, verdict=asdict(rejected))
        return _count_rejected(session, link)
    if done:
        _put(session, link, _DONE)
        if not session.stop.is_set():
            _end_if_enough(session, link)
    return 0


def name_of(sha256: str, env: Mapping[str, str]) -> str:
    """`HPS_FLEET`, else the beginning of the experiment's digest. Raises `HpsError`."""
    name = env.get(NAME_ENV) or sha256[:_SHA_CHARACTERS]
    if not _NAME.fullmatch(name):
        hint = "names are at most 63 of a-z, 0-9, '.', '_' and '-', but for both ends"
        raise HpsError(f"{NAME_ENV} is {name[:80]!r}, which is no name of a fleet", hint)
    return name


def until_of(env: Mapping[str, str]) -> datetime | None:
    """`HPS_FLEET_UNTIL`; None where it is not set. Raises `HpsError`."""
    return together.moment_of(UNTIL_ENV, env)


def why_long_over(env: Mapping[str, str]) -> str:
    """That the fleet's end by the clock has long passed; empty where it hasn't, or none is set.

    By this machine's own clock: one that is further off can't sign a request to a bucket.
    """
    try:
        until = until_of(env)
    except HpsError:
        return ""
    if until is None or datetime.now(UTC) < until + timedelta(seconds=_MOST_SKEW_S):
        return ""
    return f"its fleet has ended at {until:%Y-%m-%d %H:%M:%S} UTC, so nothing is to start it again"


# -------------------------------------------------------------------------------------------------
# What the bucket says of the others.


@dataclass(slots=True)
class Others:
    """The nodes of a fleet: their shares by machine, and when something of each was last stored."""

    shares: dict[str, tuple[int, ...]] = field(default_factory=dict)
    seen: dict[str, datetime] = field(default_factory=dict)
    announced: list[datetime] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    rejected: set[str] = field(default_factory=set)
    rejected_at: dict[str, datetime] = field(default_factory=dict)
    over: bool = False

    def add(self, item: Listed, fleet: str, cells: int) -> None:
        """Take in an object below the experiment's folder of results, of any fleet."""
        parts = item.key.split("/")
        if len(parts) == 2 and parts[1].endswith(".jsonl"):
            self._see(parts[0], item.at)
        self.over |= parts == [_FOLDER, fleet, _OVER]
        if len(parts) != 4 or parts[:2] != [_FOLDER, fleet]:
            return
        machine, word = parts[2:]
        if word in {_DONE, _REJECTED}:
            (self.done if word == _DONE else self.rejected).add(machine)
            if word == _REJECTED and item.at is not None:
                self.rejected_at[machine] = item.at
        elif word == _BACK:
            self._see(machine, item.at)
        elif (found := share.from_text(word, cells)) is not None:
            # A node that measures for some time announces one block after the other.
            self.shares[machine] = tuple(sorted({*self.shares.get(machine, ()), *found}))
            self._see(machine, item.at)
            self.announced += [item.at] if item.at else []

    def is_alive(self, machine: str, now: datetime) -> bool:
        """True where something of it was stored lately."""
        seen = self.seen.get(machine)
        return seen is not None and now - seen < timedelta(seconds=DEAD_S)

    def _see(self, machine: str, at: datetime | None) -> None:
        if at is not None:
            self.seen[machine] = max(at, self.seen.get(machine, at))


def look(link: Link, fleet: str, cells: int) -> Others:
    """What the experiment's folder of results says of a fleet. Raises `HpsError`."""
    others = Others()
    for item in link.list_objects(_CALL, timeout_s=_LIST_TIMEOUT_S, stop=link.stop):
        others.add(item, fleet, cells)
    return others


def _look(link: Link, session: Session, fleet: str) -> Others | None:
    """The same; None, and an event, where the bucket can't be listed."""
    try:
        return look(link, fleet, len(session.plan.cells))
    except HpsError as error:
        session.listener.event("fleet_unknown", fleet=fleet, reason=error.message)
        return None


def _link(session: Session) -> Link | None:
    """The experiment's results in the bucket; None where no other node could see them."""
    target, tools = session.results_target, session.tools
    if session.preflight.why_unusable(target) or tools.targets[target].provider == "embedded":
        return None
    return tools.link(target, session.bucket_folder, session.stop)


# -------------------------------------------------------------------------------------------------
# The end of a fleet, for all of its nodes.


def end_for_all(link: Link, fleet: str, why: str) -> None:
    """End a fleet: no node begins any more, and those at work end after their operation.

    `link` is to the experiment's folder of results. Raises `HpsError`.
    """
    local = link.scratch / "fleet-over.json"
    local.write_text(json.dumps({"why": printable(why, _MOST_OF_A_REASON)}) + "\n")
    key = f"{link.key}/{_FOLDER}/{fleet}/{_OVER}"
    ended = link.run(link.put(str(local), key), timeout_s=_PUT_TIMEOUT_S, name=_CALL)
    if ended.failure:
        raise MachineError(
            f"the fleet {fleet} can't be ended in {link.name}: {ended.failure.reason}",
            "check the endpoint, the bucket, and the keys: may they write there?",
        )


@dataclass(slots=True, kw_only=True)
class EndWatch:
    """Whether the fleet of a node at work is over: by the clock, or since somebody has ended it.

    The bucket is asked once a minute. Where it can't be, the node goes on, and one event says so.
    """

    session: Session
    why: str = ""
    _next_s: float = field(default_factory=lambda: time.monotonic() + _ASK_EVERY_S)
    _unread: bool = False

    def is_over(self) -> bool:
        """True once nothing more is to begin."""
        member = self.session.member
        if member is None or self.why:
            return bool(self.why)
        if member.is_over():
            self.why = _why_past(member.ends_at)
        elif time.monotonic() >= self._next_s:
            self._ask(member.fleet)
            self._next_s = time.monotonic() + _ASK_EVERY_S
        if self.why:
            self.session.listener.event("fleet_over", fleet=member.fleet, reason=self.why)
        return bool(self.why)

    def _ask(self, fleet: str) -> None:
        link = _link(self.session)
        if link is None:
            return
        found = _read_over(link, fleet)
        if not isinstance(found, Failure):
            self.why = found
        elif not (self._unread or self.session.stop.is_set()):
            self._unread = True
            event = self.session.listener.event
            event("fleet_unknown", fleet=fleet, reason=f"was it ended? {found.reason}")


def _count_rejected(session: Session, link: Link) -> int:
    """How many other nodes of the fleet were rejected lately."""
    member = session.member
    if member is None or session.stop.is_set():
        return 0
    known = _look(link, session, member.fleet)
    since = datetime.now(UTC) + member.skew - timedelta(seconds=_LATELY_S)
    times = known.rejected_at if known is not None else {}
    return sum(at >= since for name, at in times.items() if name != session.identity.machine_id)


def _end_if_enough(session: Session, link: Link) -> None:
    """End the fleet for all where as many machines as were wanted are done, with this one."""
    fleet, member = session.plan.spec.fleet, session.member
    if fleet is None or fleet.nodes is None or member is None:
        return
    known = _look(link, session, member.fleet)
    if known is None or known.over:
        return
    why = _why_enough(fleet, known.done | {session.identity.machine_id})
    if why:
        try:
            end_for_all(link, member.fleet, why)
        except HpsError as error:
            session.listener.event("fleet_not_told", fleet=member.fleet, reason=error.message)


def why_ended(link: Link, fleet: str) -> str:
    """The reason that was given for the end of a fleet that was ended for all."""
    told = _read_over(link, fleet)
    return told if isinstance(told, str) and told else _NO_REASON


def _read_over(link: Link, fleet: str) -> str | Failure:
    """The reason for which a fleet was ended for all; empty where it was not.

    Anybody may have written it.
    """
    found = link.get_if_there(
        f"{_FOLDER}/{fleet}",
        _OVER,
        most_bytes=_MOST_OVER_BYTES,
        timeout_s=_ASK_TIMEOUT_S,
        name=_CALL,
    )
    if not isinstance(found, bytes):
        return found or ""
    try:
        why = json.loads(found)["why"]
    except (ValueError, LookupError, TypeError, RecursionError):
        why = ""
    text = why.strip() if isinstance(why, str) else ""
    return printable(text, _MOST_OF_A_REASON) or _NO_REASON


# -------------------------------------------------------------------------------------------------
# What follows from that.


def end_of(fleet: Fleet, known: Others | None, now: datetime) -> datetime | None:
    """When the fleet ends: so long after its first node has announced itself."""
    if fleet.until_s is None:
        return None
    first = min(known.announced, default=now) if known else now
    return first + timedelta(seconds=fleet.until_s)


def _why_over(fleet: Fleet, known: Others | None, ends_at: datetime | None, now: datetime) -> str:
    """Why there is nothing left to do for any node; empty where there is."""
    if ends_at is not None and now >= ends_at:
        return _why_past(ends_at)
    return _why_enough(fleet, known.done if known else set())


def _why_past(ends_at: datetime | None) -> str:
    return f"it has ended at {ends_at:%Y-%m-%d %H:%M:%S} UTC"


def _why_enough(fleet: Fleet, done: Collection[str]) -> str:
    """Why no more machines are wanted, if so many are done; empty where more are."""
    if fleet.nodes is None or len(done) < fleet.nodes:
        return ""
    return f"{len(done)} machines have measured their shares, and {fleet.nodes} were wanted"


def _choose_first(
    session: Session, fleet: Fleet, known: Others | None, now: datetime
) -> tuple[int, ...]:
    """The numbers of this node's cells: what it took before, else the least covered.

    Of a node that measures for some time, those of its first block.
    """
    me, cells = session.identity.machine_id, len(session.plan.cells)
    if known is not None and me in known.shares:
        return known.shares[me]
    most = cells if fleet.cells is None else min(fleet.cells, cells)
    if fleet.together:
        return share.by_hash(cells, most, f"{fleet.seed}")  # the same on each node
    most = most if fleet.for_s is None else share.block_size(0, 0.0, fleet.for_s)
    return _choose(session, known, now, most=most)


def _choose(
    session: Session,
    known: Others | None,
    now: datetime,
    *,
    most: int,
    taken: Collection[int] = (),
    measured: dict[str, set[int]] | None = None,
) -> tuple[int, ...]:
    """The least covered cells but those that are taken; by a hash where nothing is known."""
    fleet, me, cells = session.plan.spec.fleet, session.identity.machine_id, len(session.plan.cells)
    if known is None or fleet is None:
        return share.by_hash(cells, most, me, taken)
    turned_down = (known.rejected - known.done) | {me}
    others = {name: part for name, part in known.shares.items() if name not in turned_down}
    counted = {name for name in others if name in known.done or known.is_alive(name, now)}
    covered = share.count((others[name] for name in counted), cells)
    if most < cells:
        dead = sorted(set(others) - counted)
        for number in _done_by(session, dead, {} if measured is None else measured):
            covered[number] += 1
    chance = Random(f"{fleet.seed} {me}")  # noqa: S311 - no secret
    return share.least_covered(covered, most, chance, taken)


def _done_by(
    session: Session, machines: Iterable[str], measured: dict[str, set[int]]
) -> Iterator[int]:
    """The cells that machines which are dead had measured, once for each that did.

    What is not in `measured` yet is read, and put there.
    """
    names = [name for name in machines if re.fullmatch(r"[A-Za-z0-9._-]+", name)]
    unknown = [name for name in names if name not in measured]
    unread = resume.fetch(session, f"/{{{','.join(unknown)}}}/*.jsonl") if unknown else ""
    if unread:
        session.listener.event("fleet_unknown", reason=unread)
    else:
        for name in unknown:
            journals = sorted((session.fetched / name).glob("*.jsonl"))
            measured[name] = _measured(session.plan, journals)
    for name in names:
        yield from measured.get(name, ())


def _measured(plan: Plan, journals: Iterable[Path]) -> set[int]:
    """The cells of which some journals have a result in each repetition."""
    numbers = share.cell_numbers(plan)
    seen: dict[int, set[object]] = {}
    for path in journals:
        for record in journal.each(path, {}):
            if record.get("kind") != "result" or record.get("warmup"):
                continue
            number = numbers.get(share.cell_name(record["cell"]))
            if number is not None and record["status"] not in {"interrupted", "skipped"}:
                seen.setdefault(number, set()).add(record["repetition"])
    return {number for number, times in seen.items() if len(times) >= plan.spec.repetitions}


def _put(session: Session, link: Link, word: str, **told: object) -> None:
    """Store a word of this node's; that it can't be is an event, and costs balance alone."""
    member, me = session.member, session.identity.machine_id
    if member is None:
        return
    local = session.tools.scratch / "fleet.json"
    body = session.tools.scrubber.record({"machine_id": me, **told})
    local.write_text(json.dumps(body) + "\n")
    key = f"{link.key}/{_FOLDER}/{member.fleet}/{me}/{word}"
    ended = link.run(link.put(str(local), key), timeout_s=_PUT_TIMEOUT_S, name=_CALL)
    if ended.failure:
        session.listener.event("fleet_not_told", fleet=member.fleet, reason=ended.failure.reason)

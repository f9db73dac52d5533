"""One run from its first to its last breath: everything that is held open, opened and closed.

binary -> guard, scratch -> embedded servers -> lock -> which run goes on -> earlier runs in order
-> its work
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from hps import __version__
from hps.errors import HpsError
from hps.model import Failure, Plan, Spec
from hps.node.machine_id import machine_id
from hps.node.probe.check import Waiting
from hps.process import orphans
from hps.process.stop import SignalStop
from hps.results import lock as alive
from hps.results.journal import Journal
from hps.results.lock import RunLock
from hps.results.record import RunIdentity, failed_record, new_run_id
from hps.run import admission, finish, recorder, resume
from hps.run.environment import Tools, opened
from hps.run.finish import Settler
from hps.run.preflight import NOT_CHECKED, Preflight, check_targets
from hps.run.recorder import Listener
from hps.run.resume import TakenUp, Wish
from hps.run.work import Noting, Outcome, Work, collect_facts
from hps.run_folder import is_run_id

# That a run did not begin is worth no longer wait.
_SEND_MOST_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a run is carried out. `env` is where secrets and `HPS_RCLONE` are looked up.

    `wish` says what is wanted of earlier runs. Targets are not checked first where `check` is
    False; one that can't be reached is tried for `wait_s`. After so many operations in a row that
    fail with one mistake of the experiment the rest is left; 0: never.
    """

    output: Path
    env: Mapping[str, str] = field(repr=False)
    render: Callable[[Path], Mapping[str, str]]
    wish: Wish = field(default_factory=Wish)
    check: bool = True
    wait_s: float = 30.0
    most_equal_failures: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """There was nothing to do: on this machine the run `run_id` has done it all.

    `not_stored` is that of `Outcome`.
    """

    run_id: str
    not_stored: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotBegun:
    """Nothing was measured, since a target of the plan can't be used, and no other node can help.

    `not_stored` says why the bucket lacks the record of it; empty: it has it.
    """

    identity: RunIdentity
    failure: Failure
    not_stored: str = ""


def run(
    plan: Plan, options: Options, stop: SignalStop, listener: Listener
) -> Outcome | Finished | NotBegun:
    """Carry out a plan on this machine, or what an earlier run has left of it.

    Raises `HpsError` where it can't begin, and `NotStoredError` where the journal can't go on.
    """
    started_at = datetime.now(UTC)
    resume.check(options.wish)
    identity = identify(plan.spec, options.env, started_at)
    home = options.output / identity.experiment / identity.machine_id
    with opened(plan.spec, options.env) as tools, _locked(home, tools) as lock:
        session = _Session(
            plan=plan,
            options=options,
            tools=tools,
            stop=stop,
            listener=Noting(listener),
            started_at=started_at,
        )
        session.check(home / f"{identity.run_id}.jsonl")
        why = session.preflight.failure
        if why is not None and not _turns_down(plan.spec, why):
            _put_down(lock, home, besides=home)
            return session.not_begun(identity, home, why)
        taken = session.take_up(identity)
        _put_down(lock, home, besides=taken.journal)
        if taken.journal.parent == home:
            return session.go_on(taken, lock, home)
        with _locked(taken.journal.parent, tools) as other:
            return session.go_on(taken, other, home)


@contextlib.contextmanager
def _locked(folder: Path, tools: Tools) -> Iterator[RunLock]:
    """The lock on a folder; what was killed in it has ended on this machine, too."""
    with RunLock(folder) as lock:
        orphans.end(str(lock.before.get("scratch", "")), tools.binary)
        kept = ("run_id", "operation_id", "operation_started_at", "if_interrupted")
        before = {name: lock.before[name] for name in kept if name in lock.before}
        lock.tell(**before, scratch=str(tools.scratch))
        yield lock


@dataclass(slots=True, kw_only=True)
class _Session:
    """What a run works with from when its folder is locked.

    `unread` says why the bucket's journals could not be read, when that was last tried.
    """

    plan: Plan
    options: Options
    tools: Tools
    stop: SignalStop
    listener: Noting
    started_at: datetime
    unread: str = ""
    preflight: Preflight = NOT_CHECKED

    def check(self, journal: Path) -> None:
        """Try the targets, unless that was not wanted; the next run removes what is left of it."""
        if self.options.check and not self.stop.is_set():
            finish.begin(journal)
            event = self.listener.event
            waiting = Waiting(most_s=self.options.wait_s, sleep=self.stop.wait, event=event)
            self.preflight = check_targets(self.plan, journal.stem, self.tools, self.stop, waiting)
            if not self.preflight.left:
                finish.end(journal)
        for one in self.preflight.checked:
            if one.left:
                late = "the check was not given the time"
                why = late if one.failure is None else one.failure.reason
                self.listener.event("clean_up_failed", what="check", key=one.left, reason=why)
        away = self.preflight.away
        if away is not None:
            place, told = self.plan.spec.results.target, "results are kept here, and sent later"
            self.listener.event("results_target_away", target=place, reason=away.reason, told=told)

    def not_begun(self, identity: RunIdentity, home: Path, why: Failure) -> NotBegun:
        """Store that nothing was begun, here and where the bucket lets us."""
        if self.stop.is_set():
            return NotBegun(identity=identity, failure=why)
        path, tools, spec = home / f"{identity.run_id}.jsonl", self.tools, self.plan.spec
        finish.begin(path)
        facts = collect_facts(self.options.env, tools, measure_disk=False)
        known = {"hps": __version__, "node": asdict(facts)}
        record = failed_record(identity, spec, why, started_at=self.started_at, facts=known)
        with Journal(path) as stored:
            stored.append(tools.scrubber.record(record))
        not_stored = self.unusable() or self._send_alone(path, home)
        if not (not_stored or self.preflight.left):
            finish.end(path)
        return NotBegun(identity=identity, failure=why, not_stored=not_stored)

    def unusable(self) -> str:
        """Why the results' target can't be used, as far as it was checked."""
        place = self.plan.spec.results.target
        found = (one.failure for one in self.preflight.checked if one.target == place)
        return next((why.reason for why in found if why is not None), "")

    def _send_alone(self, path: Path, home: Path) -> str:
        """Returns why the bucket lacks the file, or nothing."""
        folder = f"{_experiment_folder(self.plan)}/{home.name}"
        place = self.plan.spec.results.target
        copy = recorder.bucket_copy(place, folder, self.tools, self.listener, self.stop)
        with copy as bucket:
            return bucket.send_all([path], wait=self.stop.wait, most_s=_SEND_MOST_S)

    @property
    def fetched(self) -> Path:
        """Where the journals are that the bucket has, by machine."""
        return self.tools.scratch / "fetched"

    @property
    def settler(self) -> Settler:
        return Settler(
            plan=self.plan,
            tools=self.tools,
            render=self.options.render,
            stop=self.stop,
            listener=self.listener,
            fetched=self.fetched,
        )

    def take_up(self, identity: RunIdentity) -> TakenUp:
        """Which run goes on."""
        wish, output, event = self.options.wish, self.options.output, self.listener.event
        machine = "*" if wish.run_id else identity.machine_id
        self.fetch(f"/{machine}/{wish.run_id or '*'}.jsonl")
        if self.unread:
            event("earlier_runs_unknown", reason=self.unread)
        return resume.take_up(self.plan, identity, output, wish, event, self.fetched)

    def fetch(self, wanted: str) -> None:
        """Bring journals from the bucket; `unread` says why that failed.

        The embedded target forgets everything: of it only what is on disk counts.
        """
        place = self.plan.spec.results.target
        self.unread = self.unusable()
        if not self.unread and self.tools.targets[place].provider != "embedded":
            link = self.tools.link(place, _experiment_folder(self.plan), self.stop)
            wrong = admission.fetch_journals(link, wanted, self.fetched)
            self.unread = wrong.reason if wrong else ""

    def go_on(self, taken: TakenUp, lock: RunLock, home: Path) -> Outcome | Finished:
        """Put earlier runs in order, then do what this one has left, and store it.

        One that another process goes on with, in another folder, is left to that.
        """
        if taken.tasks:
            resume.restore(taken)
        earlier_runs = [
            journal
            for journal in finish.open_journals(home)
            if not ((taken.tasks and journal == taken.journal) or alive.is_alive(journal.stem))
        ]
        looked = self.unread or not self.options.wish.run_id
        if self.preflight.failure is not None:
            earlier_runs = []  # from here a target is away: another start puts them in order
        lacking = self.settle(earlier_runs, home, again=not looked)
        if not taken.tasks:
            return Finished(run_id=taken.identity.run_id, not_stored=_said("", lacking))
        outcome = self.work(taken, lock).do()
        if lacking and not outcome.not_stored and not self.stop.is_set():
            left = [home / f"{run_id}.jsonl" for run_id in lacking]
            lacking = self.settle(left, home, again=True)
        return replace(outcome, not_stored=_said(outcome.not_stored, lacking))

    def work(self, taken: TakenUp, lock: RunLock) -> Work:
        return Work(
            plan=self.plan,
            taken=taken,
            env=self.options.env,
            tools=self.tools,
            lock=lock,
            stop=self.stop,
            listener=self.listener,
            settler=self.settler,
            folder=f"{_experiment_folder(self.plan)}/{taken.machine_folder}",
            started_at=self.started_at,
            preflight=self.preflight,
            most_equal_failures=self.options.most_equal_failures,
        )

    def settle(self, journals: Sequence[Path], home: Path, *, again: bool) -> dict[str, str]:
        """Why the bucket lacks results of earlier runs, by their ids.

        It is looked `again` what the bucket has of them, for that may be more than is here. That
        they can't be sent is no reason not to do this one.
        """
        if journals and again:
            self.fetch(f"/{home.name}/*.jsonl")
        if self.unread:
            return {journal.stem: self.unread for journal in journals}
        folder = f"{_experiment_folder(self.plan)}/{home.name}"
        try:
            return self.settler.settle(journals, folder) if journals else {}
        except HpsError as error:
            return {journal.stem: error.message for journal in journals}


def _put_down(lock: RunLock, home: Path, *, besides: Path) -> None:
    """Store what another run was ended in, for it does not go on. Raises `NotStoredError`."""
    run_id = str(lock.before.get("run_id"))
    journal = home / f"{run_id}.jsonl"
    if journal == besides or not is_run_id(run_id) or alive.is_alive(run_id):
        return
    readable = resume.read(journal) is not None
    record = resume.interrupted(lock, journal) if readable else None
    if record is not None:
        with Journal(journal) as stored:
            stored.append(record)


def identify(spec: Spec, env: Mapping[str, str], now: datetime) -> RunIdentity:
    """A new run of an experiment on this machine."""
    return RunIdentity(
        run_id=new_run_id(now),
        machine_id=machine_id(env),
        experiment=spec.name,
        spec_sha256=spec.sha256,
    )


def _turns_down(spec: Spec, why: Failure) -> bool:
    """True where another node may do better, and the experiment says that it wants one."""
    return why.may_reject and admission.has_rules(spec.node)


def _experiment_folder(plan: Plan) -> str:
    return "/".join(part for part in (plan.spec.results.folder, plan.spec.name) if part)


def _said(not_stored: str, lacking: Mapping[str, str]) -> str:
    """What the bucket lacks of this run, and which earlier ones."""
    earlier_runs = [f"of run {run_id}: {why}" for run_id, why in lacking.items()]
    return "; ".join([*([not_stored] if not_stored else []), *earlier_runs])

"""One run: lock, check targets, join the fleet, resume, admit, execute, publish, clean up.

`run` raises `HpsError` where it can't begin or another process works on the same run,
`NotStoredError` where the journal can't be written, and `MachineError`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from hps import __version__
from hps.model import Failure, Plan, Spec
from hps.node.facts import machine_id
from hps.node.probe.check import Waiting
from hps.process import orphans
from hps.process.stop import SignalStop
from hps.results import lock as alive
from hps.results.journal import Journal
from hps.results.lock import RunLock
from hps.results.record import RunIdentity, failed_record, new_run_id, utc_text
from hps.run import admission, blocks, execute, finish, fleet, recorder, resume, together
from hps.run.admission import check_targets
from hps.run.fleet import FleetOver
from hps.run.recorder import LockNote, Recorder
from hps.run.resume import ResumeRequest, ThisRun
from hps.run.session import Listener, RememberingListener, Session, Tools, open_tools
from hps.tools import TOOLS

# For the record of a run that did not begin.
_SEND_MOST_S = 10.0
# After a signal, for removing what remains in buckets.
_CLEAN_UP_S = 10.0
_AWAY_MOST_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a run is done. Secrets and `HPS_RCLONE` are looked up in `env`.

    `resume` is what is to be done of earlier runs. Targets are not checked first where `check` is
    False; one that can't be reached is tried for `wait_s`. After `most_equal_failures` operations
    in a row that fail with the same mistake of the experiment the rest is not tried; 0: it is.
    """

    output: Path
    env: Mapping[str, str] = field(repr=False)
    render: Callable[[Path], Mapping[str, str]]
    resume: ResumeRequest = field(default_factory=ResumeRequest)
    check: bool = True
    wait_s: float = 30.0
    most_equal_failures: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of a run. `not_stored` is why the bucket lacks results; empty: it has them.

    `leftovers` names what of this run may still be in a bucket, and why; `unproved` the tools, each
    with its version, that nobody has proved. `crowd` is how many other nodes of the fleet were
    rejected lately, where this one is; None: it is of no fleet.
    """

    identity: RunIdentity
    journal: Path
    tally: execute.Tally
    not_stored: str
    decision: admission.Admission
    leftovers: tuple[str, ...] = ()
    unproved: tuple[tuple[str, str], ...] = ()
    crowd: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """There was nothing to do, for the run `run_id` of this machine has done it all.

    `not_stored`: as in `Outcome`.
    """

    run_id: str
    not_stored: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotBegun:
    """Nothing was measured, for a target of the plan can't be used, and no other node would help.

    `not_stored` is why the bucket lacks the record of this; empty: it has it.
    """

    identity: RunIdentity
    failure: Failure
    not_stored: str = ""


Ending = Outcome | Finished | NotBegun | FleetOver


def run(plan: Plan, options: Options, stop: SignalStop, listener: Listener) -> Ending:
    """Carry out a plan on this machine, or what an earlier run has not done of it."""
    with contextlib.ExitStack() as stack:
        opened = _lock(plan, options, stop, listener, stack)
        session = _join_fleet(_check_targets(opened, options), options.resume)
        if not isinstance(session, Session):
            return session
        this = _resume(session, options, stack)
        lacking = _publish_earlier(session, this, options)
        if not this.tasks:
            return _record_finished(session, this, lacking)
        with _record(session, this) as recording:
            decision = _admit(session, this, recording)
            tally = execute.Tally(has_leftovers=decision.runs)
            try:
                if decision.runs and not stop.is_set():
                    tally = _execute(session, this, recording, options)
            finally:
                # Also where a full disk or a bug ends the run: the results so far are sent.
                not_stored = _publish(session, recording, alone=not decision.runs)
                is_clean = _clean_up(session, this, tally)
            if is_clean and not not_stored:
                finish.mark_finished(this.journal)
            crowd = _leave_fleet(session, decision, tally, is_stored=not not_stored)
        lacking = lacking if not_stored else _publish_again(session, lacking)
    return Outcome(
        identity=this.identity,
        journal=this.journal,
        tally=tally,
        not_stored=_join(not_stored, lacking),
        decision=decision,
        leftovers=tuple(session.listener.leftovers),
        crowd=crowd if session.member else None,
        unproved=session.unproved if decision.runs else (),
    )


# -------------------------------------------------------------------------------------------------
# The parts of a run, in their order.


def identify(spec: Spec, env: Mapping[str, str], now: datetime) -> RunIdentity:
    """The identity of a new run of an experiment on this machine."""
    return RunIdentity(
        run_id=new_run_id(now),
        machine_id=machine_id(env),
        experiment=spec.name,
        spec_sha256=spec.sha256,
    )


def _lock(
    plan: Plan,
    options: Options,
    stop: SignalStop,
    listener: Listener,
    stack: contextlib.ExitStack,
) -> Session:
    """Open the tools of a run, and lock the folder of this machine's results."""
    resume.check_request(options.resume)
    started_at = datetime.now(UTC)
    identity = identify(plan.spec, options.env, started_at)
    home = options.output / identity.experiment / identity.machine_id
    tools = stack.enter_context(open_tools(plan.spec, options.env))
    return Session(
        plan=plan,
        env=options.env,
        render=options.render,
        tools=tools,
        stop=stop,
        listener=RememberingListener(listener),
        started_at=started_at,
        identity=identity,
        home=home,
        lock=stack.enter_context(_locked(home, tools)),
    )


@contextlib.contextmanager
def _locked(folder: Path, tools: Tools) -> Iterator[RunLock]:
    """The lock on a folder, for a `with` block; processes of a run killed there are ended."""
    with RunLock(folder) as lock:
        orphans.end(str(lock.before.get("scratch", "")), (tools.binary, *TOOLS))
        kept = ("run_id", "operation_id", "operation_started_at", "if_interrupted")
        before = {name: lock.before[name] for name in kept if name in lock.before}
        lock.record(**before, scratch=str(tools.scratch))
        yield lock


def _check_targets(session: Session, options: Options) -> Session:
    """Check the targets, unless the options say not to; the next run removes what remains."""
    stop, event = session.stop, session.listener.event
    if options.check and not stop.is_set():
        journal = session.home / f"{session.identity.run_id}.jsonl"
        finish.mark_unfinished(journal)
        waiting = Waiting(most_s=options.wait_s, sleep=stop.wait, event=event)
        found = check_targets(session.plan, journal.stem, session.tools, stop, waiting)
        session = replace(session, preflight=found)
        if not found.has_leftovers:
            finish.mark_finished(journal)
    for check in session.preflight.checked:
        if check.leftover:
            late = "the check was not given the time"
            why = late if check.failure is None else check.failure.reason
            event("clean_up_failed", what="check", key=check.leftover, reason=why)
    away = session.preflight.away
    if away is not None:
        kept = "results are kept here, and sent later"
        target = session.results_target
        event("results_target_away", target=target, reason=away.reason, told=kept)
    return session


def _record_not_begun(session: Session, why: Failure) -> NotBegun:
    """Store that the run did not begin, here and, where that is possible, in the bucket."""
    resume.record_interrupted(session)
    identity, tools, spec = session.identity, session.tools, session.plan.spec
    if session.stop.is_set():
        return NotBegun(identity=identity, failure=why)
    path = session.home / f"{identity.run_id}.jsonl"
    finish.mark_unfinished(path)
    facts = admission.collect_facts(session.env, tools, measure_disk=False)
    known = {"hps": __version__, "node": asdict(facts)}
    record = failed_record(identity, spec, why, started_at=session.started_at, facts=known)
    with Journal(path) as stored:
        stored.append(tools.scrubber.record(record))
    not_stored = session.preflight.why_unusable(session.results_target)
    if not not_stored:
        with recorder.bucket_copy(session, session.home.name) as bucket:
            not_stored = bucket.send_all([path], wait=session.stop.wait, most_s=_SEND_MOST_S)
    if not (not_stored or session.preflight.has_leftovers):
        finish.mark_finished(path)
    return NotBegun(identity=identity, failure=why, not_stored=not_stored)


def _join_fleet(session: Session, request: ResumeRequest) -> Session | NotBegun | FleetOver:
    """The session with this node's cells alone; or why nothing is measured here.

    Where a fleet has nothing to do for this node, what is here of earlier runs is stored.
    """
    why = session.preflight.failure
    if why is not None and not admission.can_reject(session.plan.spec.node, why):
        return _record_not_begun(session, why)
    again = bool(request.fresh or request.rerun or request.run_id)
    joined = fleet.join(session, again=again)
    if isinstance(joined, Session):
        return joined
    journals = [
        path for path in finish.find_unfinished(session.home) if not alive.is_alive(path.stem)
    ]
    return replace(joined, not_stored=_join("", finish.publish_earlier(session, journals)))


def _record_finished(session: Session, this: ThisRun, lacking: Mapping[str, str]) -> Finished:
    fleet.leave(session, done=not lacking)
    return Finished(run_id=this.identity.run_id, not_stored=_join("", lacking))


def _leave_fleet(
    session: Session, decision: admission.Admission, tally: execute.Tally, *, is_stored: bool
) -> int:
    """Tell the fleet that this node has measured its share, or was rejected, and why.

    Returns how many others were rejected lately, where this node is.
    """
    tried = sum(tally.counts.values()) >= tally.asked > 0
    # A node with minutes that was stopped between two blocks goes on when it comes back.
    is_timed = session.member is not None and session.member.for_s is not None
    tried = tried and not (is_timed and session.stop.is_set())
    done = tried and is_stored and decision.runs and tally.given_up is None
    rejected = decision.verdict if decision.rejected else None
    return fleet.leave(session, done=done, rejected=rejected)


def _resume(session: Session, options: Options, stack: contextlib.ExitStack) -> ThisRun:
    """Find out which run this is, and lock its folder.

    The operation in which another run was ended is stored now: its record is in the lock, which
    will be overwritten.
    """
    this = resume.find_run(session, options.resume)
    resume.record_interrupted(session, this.journal)
    if this.journal.parent != session.home:
        this = replace(this, lock=stack.enter_context(_locked(this.journal.parent, session.tools)))
    if this.tasks:
        resume.restore_journal(this)
    return this


def _publish_earlier(session: Session, this: ThisRun, options: Options) -> Mapping[str, str]:
    """Finish earlier runs of this machine. Returns why the bucket lacks results, by their ids.

    A run that another process has resumed, in another folder, is not touched.
    """
    if session.preflight.failure is not None:
        return {}  # a target can't be reached from here: another start finishes them
    journals = [
        journal
        for journal in finish.find_unfinished(session.home)
        if not ((this.tasks and journal == this.journal) or alive.is_alive(journal.stem))
    ]
    # Where a run is named, only its own journal has been read.
    known = this.unread or not options.resume.run_id
    return finish.publish_earlier(session, journals, this.unread if known else None)


@contextlib.contextmanager
def _record(session: Session, this: ThisRun) -> Iterator[Recorder]:
    """Open the journal and its sender, for the length of a `with` block.

    The operation in which an earlier start of the run was ended is stored first: its record is in
    the lock, which is then overwritten.
    """
    with alive.announced(this.identity.run_id):
        finish.mark_unfinished(this.journal)
        with (
            Journal(this.journal) as journal,
            recorder.bucket_copy(session, this.machine_folder) as bucket,
            bucket.renewed(journal.path),
        ):
            recording = Recorder(journal, bucket, session.tools.scrubber, session.listener)
            if this.before is not None:
                interrupted = resume.find_interrupted(this.lock, journal.path)
                if interrupted is not None:
                    recording.append(interrupted)
            _lock_note(session, this).write(started_at=utc_text(session.started_at))
            yield recording


def _lock_note(session: Session, this: ThisRun) -> LockNote:
    tools = session.tools
    return LockNote(
        lock=this.lock,
        identity=this.identity,
        scratch=tools.scratch,
        scrubber=tools.scrubber,
        listener=session.listener,
    )


def _admit(session: Session, this: ThisRun, recording: Recorder) -> admission.Admission:
    """Judge the node, after removing what an earlier start of the run left in the buckets."""
    if this.before is not None and session.preflight.failure is None:
        finish.remove_leftovers(session, this.identity.run_id, session.stop)
    return admission.admit(session, this, recording.append)


def _execute(
    session: Session, this: ThisRun, recording: Recorder, options: Options
) -> execute.Tally:
    context = execute.context_of(session, this.identity)
    share = blocks.open_share(session, this, fleet.choose_more)
    hooks = execute.Hooks(
        store=recording.append,
        started=_lock_note(session, this).start,
        event=session.listener.event,
        most_equal_failures=options.most_equal_failures,
        is_over=fleet.EndWatch(session=session).is_over,
        more=share.more,
    )
    if not together.wait_for_start(session):
        return execute.Tally(over=not session.stop.is_set())
    return execute.run(share.begin(), this.identity, context, hooks)


def _publish(session: Session, recording: Recorder, *, alone: bool) -> str:
    """Send the results. Returns why the bucket lacks any. `alone`: there is just a run line."""
    recording.keep()
    with contextlib.suppress(OSError):  # the sender needs it, should somebody have removed it
        session.tools.scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    path, bucket, stop = recording.journal.path, recording.bucket, session.stop
    if alone:
        # It may have been sent just now; this waits for the answer. Where no target could be
        # reached, that was tried for long enough.
        most_s = None if session.preflight.failure is None else _AWAY_MOST_S
        return bucket.send_all([path], wait=stop.wait, most_s=most_s)
    return recorder.publish(path, bucket, session.render, stop)


@dataclass(frozen=True, slots=True, kw_only=True)
class _CleanUpEnd:
    """The stop of the clean-up: it is set some seconds after the run's own."""

    stop: SignalStop

    def is_set(self) -> bool:
        return self.stop.over(_CLEAN_UP_S)


def _clean_up(session: Session, this: ThisRun, tally: execute.Tally) -> bool:
    """Remove what may remain in buckets, after the results, which matter more, are sent."""
    leftovers = session.listener.leftovers
    if session.preflight.failure is not None:
        # A target can't be reached from here: the next run looks.
        return not session.preflight.has_leftovers
    if not (tally.has_leftovers or leftovers):
        return True
    leftovers.clear()  # all of them are tried once more
    end = _CleanUpEnd(stop=session.stop)
    return finish.remove_leftovers(session, this.identity.run_id, end)


def _publish_again(session: Session, lacking: Mapping[str, str]) -> Mapping[str, str]:
    """Send the results of earlier runs that could not be sent before this run."""
    if session.stop.is_set():
        return lacking
    journals = [session.home / f"{run_id}.jsonl" for run_id in lacking]
    return finish.publish_earlier(session, journals)


def _join(not_stored: str, lacking: Mapping[str, str]) -> str:
    """Why the bucket lacks results of this run, and of which earlier runs."""
    earlier = [f"of run {run_id}: {why}" for run_id, why in lacking.items()]
    return "; ".join([*([not_stored] if not_stored else []), *earlier])

"""Running from the command line: signals, events, the bar, the answer, and leaving the node."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict, Unpack

from hps import log
from hps.cli.output import configure_log
from hps.cli.progress import RunListener
from hps.compare.summary import summarize
from hps.errors import (
    EXIT_NODE_REJECTED,
    EXIT_NOT_STORED,
    EXIT_OK,
    EXIT_OPERATION_FAILED,
    EXIT_USAGE,
    HpsError,
)
from hps.model import Failure, NodeRules, Plan
from hps.node.salad import SaladNode
from hps.process.stop import on_signals
from hps.redaction import Scrubber
from hps.report import as_csv, table
from hps.report.tools_text import not_proved
from hps.results import journal
from hps.results.record import reason_fields
from hps.run import run
from hps.run.fleet import FleetOver, why_long_over
from hps.run.resume import ResumeRequest
from hps.spec import odd_values

_WORDS = (
    "these secrets are words of the experiment's own text, or names by which results are found, "
    "and are not kept out of what is written"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A run that is over. `stopped` is the exit code where a signal ended it, else None.

    `fleet_over`: why nothing is to start it again; empty where something may.
    """

    outcome: run.Ending
    stopped: int | None
    scrubber: Scrubber = field(repr=False)
    fleet_over: str = ""

    @property
    def code(self) -> int:
        outcome = self.outcome
        if self.stopped is not None:
            return self.stopped
        if self.failure is not None:
            return self._code_of(self.failure)
        if not isinstance(outcome, run.Outcome):
            rejected = isinstance(outcome, FleetOver) and outcome.rejected
            well = EXIT_NODE_REJECTED if rejected else EXIT_OK
            return EXIT_NOT_STORED if outcome.not_stored else well
        # Before the next test, since a node that is rejected has measured nothing to be stored.
        if outcome.decision.rejected:
            return EXIT_NODE_REJECTED
        if outcome.not_stored:
            return EXIT_NOT_STORED
        return EXIT_OK if outcome.tally.all_ok else EXIT_OPERATION_FAILED

    def _code_of(self, why: Failure) -> int:
        if self.fleet_over and isinstance(self.outcome, run.NotBegun):
            return EXIT_OK
        return EXIT_USAGE if why.is_of_the_experiment else EXIT_OPERATION_FAILED

    @property
    def failure(self) -> Failure | None:
        """Why the run could not begin, or gave up; None for a node that is rejected."""
        outcome = self.outcome
        if isinstance(outcome, run.NotBegun):
            return outcome.failure
        if isinstance(outcome, run.Outcome):
            return outcome.decision.failure or outcome.tally.given_up
        return None

    def answer(self, style: str) -> str:
        """The answer for standard output: `text`, `markdown`, `csv` or `json` (one a line)."""
        if not isinstance(self.outcome, run.Outcome):
            return ""
        records = journal.read_latest(self.outcome.journal)
        if style == "csv":
            return as_csv.render_records(records)
        if style == "json":
            return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        rows = summarize(records)
        return table.render(rows, "github" if style == "markdown" else "simple") + "\n"

    def remarks(self) -> list[str]:
        """Lines for standard error, without secrets: why it ended, and what is not stored."""
        outcome = self.outcome
        remarks = []
        if isinstance(outcome, run.Finished):
            done = f"this machine has done it all in run {outcome.run_id}"
            remarks = [f"{done}; --fresh measures again"]
        elif self.failure is not None and self.stopped is None:
            over = self.fleet_over if isinstance(outcome, run.NotBegun) else ""
            remarks = [*self._why_failed(self.failure), *([over] if over else [])]
        elif isinstance(outcome, run.NotBegun):
            return []
        elif isinstance(outcome, FleetOver):
            remarks = [f"nothing to do for the fleet {outcome.fleet}: {outcome.why}"]
        elif outcome.decision.rejected and self.stopped is None:
            remarks = ["this node is rejected", *outcome.decision.verdict.reasons]
        if outcome.not_stored and not isinstance(outcome, run.NotBegun):
            remarks.append(f"the bucket lacks results: {outcome.not_stored}")
        if isinstance(outcome, run.Outcome) and outcome.leftovers:
            first, more = outcome.leftovers[0], len(outcome.leftovers) - 1
            what = f"{first}; and {more} more" if more else first
            remarks.append(f"some may be left behind, and `hps clean` lists it: {what}")
        return [self.scrubber.text(remark) for remark in remarks]

    def warnings(self) -> list[str]:
        """A line for each tool whose log counted for nothing."""
        if not isinstance(self.outcome, run.Outcome):
            return []
        return [f"! {not_proved(*named)}" for named in self.outcome.unproved]

    def _why_failed(self, why: Failure) -> list[str]:
        if isinstance(self.outcome, run.Outcome) and self.outcome.tally.given_up is not None:
            return [why.reason, "the same command goes on with the rest once that is mended"]
        return [why.reason]

    def why_leave(self, rules: NodeRules) -> str:
        """The reason to ask for another node; empty where this one is to stay.

        Results that are not stored yet are a reason to stay, unless the node is rejected.
        """
        outcome = self.outcome
        if self.stopped is not None or self.failure is not None:
            return ""
        if isinstance(outcome, run.Outcome) and outcome.decision.rejected:
            verdict = outcome.decision.verdict
            lacks = [f"not stored: {outcome.not_stored}"] if outcome.not_stored else []
            reason = self.scrubber.text("; ".join([*verdict.reasons, *lacks]))
            return reason if verdict.action == "reallocate" else ""
        if isinstance(outcome, FleetOver) and outcome.everywhere:
            return ""  # another machine would have nothing to do either
        stored = not outcome.not_stored
        return "the experiment is done" if stored and rules.on_complete == "reallocate" else ""


def run_here(
    plan: Plan,
    options: run.Options,
    log_style: log.Format,
    *,
    announce: Callable[[Ended], None],
) -> int:
    """Run a plan on this machine, `announce` how it ended, and only then leave the node.

    Returns the exit code. Raises `HpsError` where it can't start.
    """
    scrubber = configure_log(plan.spec, options.env, log_style)
    with on_signals() as stop, RunListener(len(plan.operations)) as listener:
        if scrubber.words:
            listener.event("secrets_are_words", names=scrubber.words, reason=_WORDS)
        node = SaladNode.find(options.env, listener.event)
        with node.protected():
            outcome = run.run(plan, options, stop, listener)
        _report_end(outcome, listener)
        ended = Ended(
            outcome=outcome,
            stopped=stop.exit_code if stop.is_set() else None,
            scrubber=scrubber,
            fleet_over=why_long_over(options.env),
        )
        listener.close()
        announce(ended)
        reason = ended.why_leave(plan.spec.node)
        if reason:
            crowd = outcome.crowd if isinstance(outcome, run.Outcome) else None
            node.leave(reason, stop.wait, crowd)
    return ended.code


class How(TypedDict):
    """Options of `hps run`, by the names that the command line gives them."""

    fresh: bool
    rerun: tuple[str, ...]
    resume: str
    check: bool
    wait_s: float
    most_equal_failures: int


def options_of(output: Path, env: Mapping[str, str], **how: Unpack[How]) -> run.Options:
    """The options of a run on this machine. Raises `HpsError` where they exclude each other.

    On a platform that gives its machines ids, an experiment that this machine has done is not
    measured again, since the platform restarts containers. A person who repeats a command wants
    it measured again.
    """
    if str(output) == env.get("HPS_OUTPUT"):
        odd_values.checked("HPS_OUTPUT", str(output))
    fresh, rerun, resume = how["fresh"], how["rerun"], how["resume"]
    if fresh and (rerun or resume):
        what = "--rerun" if rerun else "--resume"
        raise HpsError(
            f"--fresh begins a new run, {what} goes on with one", "leave one of them out"
        )
    once = bool(env.get("SALAD_MACHINE_ID")) and not fresh
    request = ResumeRequest(once=once, fresh=fresh, rerun=rerun, run_id=resume)
    return run.Options(
        output=output,
        env=env,
        render=_render,
        resume=request,
        check=how["check"],
        wait_s=how["wait_s"],
        most_equal_failures=how["most_equal_failures"],
    )


def _render(path: Path) -> Mapping[str, str]:
    """The files that are stored beside a journal, by suffix: the CSV and the table."""
    records = journal.read_latest(path)
    return {".csv": as_csv.render_records(records), ".txt": table.render(summarize(records)) + "\n"}


def _report_end(outcome: run.Ending, listener: RunListener) -> None:
    if isinstance(outcome, run.NotBegun):
        why, run_id = reason_fields(outcome.failure), outcome.identity.run_id
        listener.event("run_not_begun", **why, run_id=run_id, not_stored=outcome.not_stored)
    elif isinstance(outcome, run.Finished):
        listener.event("run_skipped", finished_by=outcome.run_id)
    elif isinstance(outcome, FleetOver):
        listener.event("run_not_needed", fleet=outcome.fleet, reason=outcome.why)
    else:
        listener.event("run_done", **outcome.tally.counts, run_id=outcome.identity.run_id)

"""Running a plan from the command line: signals, events, the bar, and the answer in the end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hps import log, session
from hps.analyze.summary import summarize
from hps.model import Plan
from hps.progress import RunListener
from hps.report import csv_text, table
from hps.scrub import Scrubber
from hps.stop import on_signals
from hps.store import journal
from hps.targets import remote_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A run that is over. `stopped` is the exit code where a signal ended it, else None."""

    outcome: session.Outcome
    stopped: int | None

    def answer(self, style: str) -> str:
        """The answer for standard output: `text`, `markdown`, `csv` or `json` (one a line)."""
        records = list(journal.read(self.outcome.journal))
        if style == "csv":
            return csv_text.render(records)
        if style == "json":
            return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        rows = summarize(records)
        return table.render(rows, "github" if style == "markdown" else "simple") + "\n"


def run_here(plan: Plan, output: Path, env: Mapping[str, str], log_style: log.Format) -> Ended:
    """Run a plan on this machine. Raises `HpsError` where it can't start."""
    names = {
        reference.env
        for target in plan.spec.targets.values()
        for reference in remote_of(target).secret_env.values()
    }
    log.configure(log_style, Scrubber({name: env.get(name, "") for name in names}))
    options = session.Options(output=output, env=env, render=_render)
    with on_signals() as stop, RunListener(len(plan.operations)) as listener:
        outcome = session.run(plan, options, stop, listener)
        listener.event("run_done", **outcome.tally.counts, run_id=outcome.identity.run_id)
    return Ended(outcome=outcome, stopped=stop.exit_code if stop.is_set() else None)


def _render(path: Path) -> Mapping[str, str]:
    """What is stored beside a journal: the CSV and the table."""
    records = list(journal.read(path))
    return {".csv": csv_text.render(records), ".txt": table.render(summarize(records)) + "\n"}

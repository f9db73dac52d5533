"""The progress of a run for people: events, and on a terminal one live line."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from hps.log import events
from hps.model import Operation
from hps.report.table import cell_name
from hps.results.record import Record
from hps.units import format_rate

# Drawn twice a second: a thread that draws more often takes time from what is measured.
_REFRESH_PER_S = 2
_WARNINGS = {
    "results_delayed",
    "results_of_another_start",
    "results_sender_restarted",
    "clean_up_failed",
    "deletion_cost_not_set",
    "fleet_not_told",
    "fleet_over",
    "fleet_start_missed",
    "fleet_unknown",
    "lines_passed_over",
    "node_leaving",
    "secrets_are_words",
}


# Those that say how many operations there are to be.
_SHARES = {"fleet_joined", "fleet_cells_taken"}


class RunListener:
    """A `session.Listener` that logs events.

    On a terminal it shows a bar, and of the results only those that are not ok are events.
    """

    def __init__(self, operations: int) -> None:
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._operations = operations

    def __enter__(self) -> RunListener:
        if self._console.is_terminal:
            self._bar = _bar(self._console)
            self._task = self._bar.add_task("starting", total=self._operations, rate="")
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the bar; events go on being logged."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
            sys.stderr.flush()

    def event(self, name: str, **fields: object) -> None:
        if name in _SHARES and self._bar is not None and self._task is not None:
            self._bar.update(self._task, total=float(str(fields["operations"])))
        if name in _WARNINGS or fields.get("accepted") is False:
            events().warning(name, **fields)
        else:
            events().info(name, **fields)

    def started(self, operation: Operation) -> None:
        if self._bar is not None and self._task is not None:
            name = f"{operation.step.kind} {cell_name(operation.cell.axes)}"
            self._bar.update(self._task, description=name)

    def stored(self, record: Record) -> None:
        """Log a result, and advance the bar."""
        if record["kind"] != "result":
            return
        mbps = record["throughput_mbps"]
        if self._bar is not None and self._task is not None:
            if isinstance(mbps, float):
                self._bar.update(self._task, rate=format_rate(mbps))
            self._bar.advance(self._task)
        if self._bar is None or record["status"] != "ok":
            self._log_result(record)

    def _log_result(self, record: Record) -> None:
        names = ("operation_id", "step", "cell", "repetition", "warmup", "status", "reason")
        fields = {name: record[name] for name in names if record[name] not in ("", None)}
        numbers = {name: record[name] for name in ("duration_s", "throughput_mbps", "retries")}
        level = events().info if record["status"] == "ok" else events().warning
        level("operation_done", **fields, **{k: v for k, v in numbers.items() if v is not None})


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.completed}/{task.total}"),
        BarColumn(bar_width=24),
        TextColumn("{task.description}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console,
        refresh_per_second=_REFRESH_PER_S,
        redirect_stdout=False,
    )

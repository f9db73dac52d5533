"""Stored results and a question -> findings: the only way from files to comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hps.compare import changes, fleet, grouping, panels
from hps.compare.comparison import Change, Findings, Panel, Provenance, TimePoint
from hps.compare.decide import compare
from hps.compare.selection import (
    Asked,
    CellBaseline,
    PathBaseline,
    Question,
    RowsBaseline,
    read,
    sentences,
)
from hps.errors import EXIT_NO_DATA, HpsError
from hps.results import tables

if TYPE_CHECKING:
    from hps.results.database import Connection
    from hps.results.tables import Tables


# -------------------------------------------------------------------------------------------------
# When rates were high and low: each result over the mean of its own node and cell.

# The mean is the geometric one: of few results the median is one of them, so that most ratios would
# be 1. A result that is alone in its cell is left out: it is its own mean, which would say that
# nothing ever changes. `tenths` is the tenth of its run's time in which a result began.
_RATIOS = """
CREATE OR REPLACE TEMP TABLE ratios AS
SELECT s.step, t.mbps / m.mbps AS ratio, hour(t.started_at) AS hours,
  CASE WHEN r.last_at > r.first_at THEN least(9, floor(
    10 * (epoch(t.started_at) - epoch(r.first_at)) / (epoch(r.last_at) - epoch(r.first_at))
  ))::INTEGER END AS tenths
FROM counted t JOIN steps s USING (kind)
  JOIN (
    SELECT kind, node_no, exp(avg(ln(mbps))) AS mbps FROM counted
    WHERE ok AND NOT filled AND mbps > 0
    GROUP BY kind, node_no HAVING count(*) > 1
  ) m USING (kind, node_no)
  JOIN (
    SELECT run_no, min(started_at) AS first_at, max(started_at) AS last_at FROM counted
    WHERE NOT filled GROUP BY run_no
  ) r USING (run_no)
WHERE t.ok AND NOT t.filled AND t.started_at IS NOT NULL
"""


def hours_and_tenths(
    connection: Connection,
) -> tuple[tuple[TimePoint, ...], tuple[TimePoint, ...]]:
    """Rates by hour of the day (UTC), and by tenths of the run; needs `fleet.prepare`."""
    connection.execute(_RATIOS)
    return _points(connection, "hours"), _points(connection, "tenths")


def _points(connection: Connection, slot: str) -> tuple[TimePoint, ...]:
    rows = connection.execute(
        f"SELECT step, {slot}, count(*), quantile_cont(ratio, [0.25, 0.5, 0.75]) FROM ratios"
        f" WHERE {slot} IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2"
    ).fetchall()
    return tuple(
        TimePoint(step=step, at=at, n=n, median_ratio=middle, low_ratio=low, high_ratio=high)
        for step, at, n, (low, middle, high) in rows
    )


# -------------------------------------------------------------------------------------------------
# From files and a question to findings.


class NoDataError(HpsError):
    """Nothing is stored that the question is about."""

    exit_code = EXIT_NO_DATA


@dataclass(frozen=True, slots=True, kw_only=True)
class _Baseline:
    """The panels that are stored of the baseline, and where their numbers come from."""

    panels: tuple[Panel, ...]
    provenance: Provenance


def find(inputs: Sequence[Path], question: Question) -> Findings:
    """The answer to a question from the results in `inputs`, files and folders.

    Raises `HpsError` for a question that can't be read, and `NoDataError` where there is nothing to
    answer it with.
    """
    asked = read(question)
    now, baseline, found = _collect(inputs, asked)
    comparisons = tuple(compare(panel, asked.rule) for panel in now)
    return replace(
        found,
        comparisons=comparisons,
        changes=_changes(now, baseline, asked),
        sentences=sentences(comparisons),
    )


def _collect(
    inputs: Sequence[Path], asked: Asked
) -> tuple[tuple[Panel, ...], _Baseline | None, Findings]:
    """All that needs the database: the panels, the baseline, and findings without comparisons."""
    baseline = _stored_baseline(asked)
    with tables.opened(inputs) as opened:
        places = grouping.prepare(opened.connection)
        extra: list[str] = []
        if isinstance(asked.baseline, RowsBaseline):
            of_baseline = [grouping.meets(condition) for condition in asked.baseline.conditions]
            baseline = _baseline(opened, places, asked, of_baseline)
            extra = [f"NOT ({' AND '.join(of_baseline)})"]
            if asked.baseline.is_in_time:
                extra.append(grouping.began_after(baseline.provenance.last_run_at))
        elif isinstance(asked.baseline, CellBaseline):
            extra = _without_earlier(opened, places, asked, asked.baseline)
        selected = panels.select(opened.connection, places, asked, extra)
        if not selected.panels:
            raise _no_data(opened, asked, inputs, baseline)
        return selected.panels, baseline, _uncompared(opened, asked, selected, baseline)


def _uncompared(
    opened: Tables, asked: Asked, selected: panels.Selected, baseline: _Baseline | None
) -> Findings:
    connection = opened.connection
    fleet.prepare(connection, asked, selected.kinds)
    nodes = fleet.nodes(connection)
    provenance = fleet.provenance(connection, selected.kinds, opened.skipped)
    hours, tenths = hours_and_tenths(connection)
    notes = (*selected.notes, *fleet.remarks(connection, asked, nodes))
    if baseline is not None:
        notes = (*fleet.of_baseline(baseline.provenance, provenance), *notes)
    return Findings(
        by=asked.by,
        rule=asked.rule,
        comparisons=(),
        nodes=nodes,
        rejected=tuple(node for node in nodes if not node.accepted),
        hours=hours,
        tenths=tenths,
        provenance=provenance,
        notes=notes,
        thresholds=fleet.thresholds(connection),
        never_began=fleet.never_began(connection),
        baseline=baseline.provenance if baseline else None,
    )


def _stored_baseline(asked: Asked) -> _Baseline | None:
    """The panels that are stored at the path that is the baseline; None where no path is."""
    if not isinstance(asked.baseline, PathBaseline):
        return None
    path = Path(asked.baseline.path)
    if not path.exists():
        raise HpsError(
            f"--baseline: there is no file or folder {path}",
            "name one, or what the baseline's rows have: date=2026-09-01",
        )
    with tables.opened([path]) as opened:
        return _baseline(opened, grouping.prepare(opened.connection), asked, [])


def _baseline(
    opened: Tables, places: Sequence[grouping.TargetPlace], asked: Asked, conditions: Sequence[str]
) -> _Baseline:
    selected = panels.select(opened.connection, places, asked, conditions)
    if not selected.panels:
        raise NoDataError(
            "--baseline: no results are of it", "hps results list shows what is stored"
        )
    return _Baseline(
        panels=selected.panels,
        provenance=fleet.provenance(opened.connection, selected.kinds, opened.skipped),
    )


def _without_earlier(
    opened: Tables, places: Sequence[grouping.TargetPlace], asked: Asked, cell: CellBaseline
) -> list[str]:
    """SQL that leaves out what was measured before a baseline that is a day, or a version."""
    if not cell.in_time:
        return []
    of_cell = [grouping.meets(condition) for condition in cell.in_time]
    if not panels.select(opened.connection, places, asked, of_cell).panels:
        return []
    last = fleet.last_run_at(opened.connection)
    return [f"(({' AND '.join(of_cell)}) OR {grouping.began_after(last)})"]


def _changes(now: Sequence[Panel], baseline: _Baseline | None, asked: Asked) -> tuple[Change, ...]:
    if isinstance(asked.baseline, CellBaseline):
        if not changes.has_cell(now, asked.baseline.key):
            key = ", ".join(f"{name}={value}" for name, value in asked.baseline.key.items())
            raise NoDataError(f"--baseline: no cell has {key}", "hps compare shows the cells")
        return changes.against_cell(now, asked.baseline.key, asked.rule)
    return changes.against_rows(now, baseline.panels, asked.rule) if baseline else ()


def _no_data(
    opened: Tables, asked: Asked, inputs: Sequence[Path], baseline: _Baseline | None
) -> NoDataError:
    if baseline is not None and isinstance(asked.baseline, RowsBaseline):
        last = baseline.provenance.last_run_at or "a time that is not known"
        return NoDataError(
            "--baseline: nothing is stored that could be held against it",
            f"its last run began at {last}, and of a day, a run or a version only what began after"
            " that counts as now",
        )
    message, hint = fleet.nothing(opened.connection, asked)
    places = ", ".join(str(path) for path in inputs[:3])
    return NoDataError(f"{message} in {places}", hint)

"""Stored results and a question -> what was found. The one way from files to comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hps.analyze import changes
from hps.analyze.compare import compare
from hps.analyze.comparison import Change, Findings, FleetNode, Panel, Provenance, TimePoint
from hps.analyze.question import (
    Asked,
    CellBaseline,
    PathBaseline,
    Question,
    RowsBaseline,
    read,
)
from hps.analyze.reasons import NeverBegan
from hps.analyze.strata import sentences
from hps.collect import dimensions, facts, fleet, panels, remarks, tables, times
from hps.errors import EXIT_NO_DATA, HpsError

if TYPE_CHECKING:
    from hps.collect.tables import Tables


class NoDataError(HpsError):
    """Nothing is stored that the question is about."""

    exit_code = EXIT_NO_DATA


@dataclass(frozen=True, slots=True, kw_only=True)
class _Baseline:
    """What is stored of earlier times."""

    panels: tuple[Panel, ...]
    provenance: Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class _Collected:
    """All that the database is needed for."""

    panels: tuple[Panel, ...]
    notes: tuple[str, ...]
    nodes: tuple[FleetNode, ...]
    never_began: tuple[NeverBegan, ...]
    hours: tuple[TimePoint, ...]
    tenths: tuple[TimePoint, ...]
    provenance: Provenance
    thresholds: dict[str, tuple[str, ...]]
    baseline: _Baseline | None


def find(inputs: Sequence[Path], question: Question) -> Findings:
    """What the results that `inputs` (files and folders) hold say to the question.

    Raises `HpsError` for a question that can't be read, and `NoDataError` where there is nothing
    to answer it with.
    """
    asked = read(question)
    collected = _collect(inputs, asked)
    comparisons = tuple(compare(panel, asked.rule) for panel in collected.panels)
    return Findings(
        by=asked.by,
        rule=asked.rule,
        comparisons=comparisons,
        nodes=collected.nodes,
        rejected=tuple(node for node in collected.nodes if not node.accepted),
        hours=collected.hours,
        tenths=collected.tenths,
        provenance=collected.provenance,
        notes=collected.notes,
        changes=_changes(collected, asked),
        sentences=sentences(comparisons),
        thresholds=collected.thresholds,
        never_began=collected.never_began,
        baseline=collected.baseline.provenance if collected.baseline else None,
    )


def _collect(inputs: Sequence[Path], asked: Asked) -> _Collected:
    baseline = _stored_baseline(asked)
    with tables.opened(inputs) as opened:
        places = facts.prepare(opened.connection)
        extra: list[str] = []
        if isinstance(asked.baseline, RowsBaseline):
            of_baseline = [dimensions.meets(condition) for condition in asked.baseline.conditions]
            baseline = _baseline(opened, places, asked, of_baseline)
            extra = [f"NOT ({' AND '.join(of_baseline)})"]
            if asked.baseline.is_in_time:
                extra.append(dimensions.began_after(baseline.provenance.last_run_at))
        elif isinstance(asked.baseline, CellBaseline):
            extra = _without_earlier(opened, places, asked, asked.baseline)
        selected = panels.select(opened.connection, places, asked, extra)
        if not selected.panels:
            raise _no_data(opened, asked, inputs, baseline)
        return _read_out(opened, asked, selected, baseline)


def _read_out(
    opened: Tables, asked: Asked, selected: panels.Selected, baseline: _Baseline | None
) -> _Collected:
    connection = opened.connection
    fleet.prepare(connection, asked, selected.kinds)
    nodes = fleet.nodes(connection)
    provenance = fleet.provenance(connection, selected.kinds, opened.skipped)
    hours, tenths = times.hours_and_tenths(connection)
    notes = (*selected.notes, *remarks.remarks(connection, asked, nodes))
    if baseline is not None:
        notes = (*remarks.of_baseline(baseline.provenance, provenance), *notes)
    return _Collected(
        panels=selected.panels,
        notes=notes,
        nodes=nodes,
        never_began=fleet.never_began(connection),
        hours=hours,
        tenths=tenths,
        provenance=provenance,
        thresholds=fleet.thresholds(connection),
        baseline=baseline,
    )


def _stored_baseline(asked: Asked) -> _Baseline | None:
    """What is stored at the path that is the baseline."""
    if not isinstance(asked.baseline, PathBaseline):
        return None
    path = Path(asked.baseline.path)
    if not path.exists():
        raise HpsError(
            f"--baseline: there is no file or folder {path}",
            "name one, or what the baseline's rows have: date=2026-09-01",
        )
    with tables.opened([path]) as opened:
        return _baseline(opened, facts.prepare(opened.connection), asked, [])


def _baseline(
    opened: Tables, places: Sequence[facts.TargetPlace], asked: Asked, conditions: Sequence[str]
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
    opened: Tables, places: Sequence[facts.TargetPlace], asked: Asked, cell: CellBaseline
) -> list[str]:
    """Conditions that leave out what was measured before a baseline that is a day, or a version."""
    if not cell.in_time:
        return []
    of_cell = [dimensions.meets(condition) for condition in cell.in_time]
    if not panels.select(opened.connection, places, asked, of_cell).panels:
        return []
    last = fleet.last_run_at(opened.connection)
    return [f"(({' AND '.join(of_cell)}) OR {dimensions.began_after(last)})"]


def _changes(collected: _Collected, asked: Asked) -> tuple[Change, ...]:
    if isinstance(asked.baseline, CellBaseline):
        if not changes.has_cell(collected.panels, asked.baseline.key):
            told = ", ".join(f"{name}={value}" for name, value in asked.baseline.key.items())
            raise NoDataError(f"--baseline: no cell has {told}", "hps compare shows the cells")
        return changes.against_cell(collected.panels, asked.baseline.key, asked.rule)
    if collected.baseline is None:
        return ()
    return changes.against_rows(collected.panels, collected.baseline.panels, asked.rule)


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
    message, hint = remarks.nothing(opened.connection, asked)
    places = ", ".join(str(path) for path in inputs[:3])
    return NoDataError(f"{message} in {places}", hint)

"""Kinds of results: those that nothing that may tell results apart tells apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hps.analyze.names import UNKNOWN
from hps.analyze.question import Asked
from hps.analyze.reasons import Reason, summed
from hps.collect import dimensions
from hps.collect.database import texts
from hps.collect.facts import KNOBS
from hps.model import SIZE_KNOBS
from hps.units import format_size

if TYPE_CHECKING:
    from hps.collect.database import Connection

Value = str | int | bool
# What always keeps results apart, unless `--by` names it. The rest is taken together.
APART = (
    *("experiment", "target", "tool", "tool_version", "size", "files", "content", "layout"),
    *KNOBS,
)
_RESULT = tuple(
    f"r.{name}"
    for name in (
        "run_id",
        "machine_id",
        "experiment",
        "spec_sha256",
        "repetition",
        "step",
        "step_index",
        "cell",
        "status",
        "reason_code",
        "reason_owner",
        "tool",
        "tool_version",
        "target",
        "throughput_mbps",
        "duration_s",
        "started_at",
        "file_size_bytes",
        "files",
        "content",
        "layout",
        "effective_chunk_size_bytes",
        "effective_concurrency",
        "effective_transfers",
        "effective_http2",
        "effective_checksum",
        "disturbed",
    )
)
# Each knob of a transfer, and the column that has it.
COLUMNS = {knob: "chunk_size_bytes" if knob == "chunk_size" else knob for knob in KNOBS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind. `number` is what its rows in the table `told` carry.

    `values` has a value of every name in `APART`, `--by` and `--strata`, as cells are named by it.
    `effective` is None where nothing was `ok`; in it, what can't be told is unknown. `filled`:
    these are the results of another cell, `twin`, that stand for this one's. `statuses` counts the
    results by their status, `reasons` those that are not ok and have a code.
    """

    number: int
    step: str
    step_no: int
    place: int | None
    settings: str
    values: Mapping[str, Value]
    effective: Mapping[str, Value] | None
    filled: bool
    twin: Mapping[str, Value]
    statuses: Mapping[str, int]
    reasons: tuple[Reason, ...]

    @property
    def ok(self) -> int:
        """How many results are `ok`."""
        return self.statuses.get("ok", 0)


def select(connection: Connection, asked: Asked, extra: Sequence[str] = ()) -> tuple[Kind, ...]:
    """Put what is asked for in the table `told`, a row for each counted result of a transfer.

    Its columns: kind, run_no, node_no, repetition, ok, mbps, duration_s, started_at, filled,
    disturbed.
    `extra` are further conditions, as SQL.
    """
    names = tuple(dict.fromkeys((*APART, *asked.by, *asked.strata)))
    keys = _keys(names)
    named, listed = ", ".join(f"{made} AS {name}" for name, made in keys.items()), ", ".join(keys)
    # A view, and not a table, which would hold every text of every row.
    connection.execute(
        f"CREATE OR REPLACE TEMP VIEW joined AS SELECT {named}, r.status, r.reason_code,"
        " r.reason_owner, f.run_no, f.node_no,"
        " r.repetition, r.throughput_mbps AS mbps, r.duration_s, r.started_at, r.disturbed"
        f" {_joined(connection, asked, extra)}"
    )
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE told AS SELECT hash({listed}) AS kind, run_no, node_no,"
        " repetition, status = 'ok' AND coalesce(mbps > 0, false) AS ok, mbps, duration_s,"
        " started_at, filled, coalesce(disturbed, false) AS disturbed FROM joined"
    )
    rows = connection.execute(
        f"SELECT hash({listed}), list([status, reason_code, reason_owner, n::VARCHAR]), {listed}"
        f" FROM (SELECT {listed}, status, reason_code, reason_owner, count(*) AS n FROM joined"
        " GROUP BY ALL) GROUP BY ALL"
    ).fetchall()
    kinds = tuple(
        _kind(names, dict(zip(("number", "counts", *keys), row, strict=True))) for row in rows
    )
    if len({kind.number for kind in kinds}) < len(kinds):
        raise AssertionError("two kinds of results share a hash")
    return kinds


def _keys(names: Sequence[str]) -> dict[str, str]:
    """The columns that tell kinds apart, and their SQL."""
    return {
        "step": "r.step",
        "step_no": "s.step_no",
        "place": "p.place",
        # The settings of this step are no knobs, and stand in the experiment alone.
        "settings": "CASE WHEN r.step = 'load' THEN coalesce(r.spec_sha256, '') ELSE '' END",
        "filled": "r.filled",
        **{name: dimensions.sql(name) for name in names},
        **{f"of_{knob}": f"r.of_{knob}" for knob in KNOBS},
        **{
            f"effective_{knob}": f"CASE WHEN r.status = 'ok' THEN r.effective_{column} END"
            for knob, column in COLUMNS.items()
        },
    }


def _joined(connection: Connection, asked: Asked, extra: Sequence[str]) -> str:
    """FROM and WHERE of the results that are asked for, each with its run and its place."""
    conditions = [dimensions.meets(condition) for condition in asked.where]
    if asked.experiments:
        conditions.append(f"list_contains({texts(asked.experiments)}, r.experiment)")
    return (
        f"FROM ({_results(connection)}) r"
        " JOIN facts f ON f.run_id = r.run_id AND f.machine_id = r.machine_id"
        " LEFT JOIN places p ON p.targets_no = f.targets_no AND p.target = r.target"
        " LEFT JOIN step_numbers s ON s.spec_sha256 = r.spec_sha256 AND s.step = r.step"
        f" AND s.step_index = r.step_index WHERE {' AND '.join((*conditions, *extra, 'true'))}"
    )


def _results(connection: Connection) -> str:
    """What was measured, and what stands for what was not, since it comes to the same."""
    moved = connection.execute(
        "SELECT DISTINCT step FROM results WHERE throughput_mbps IS NOT NULL ORDER BY step"
    ).fetchall()
    steps = texts(dict.fromkeys((*dimensions.TRANSFERS, "load", *(step for (step,) in moved))))
    counted = f"NOT r.warmup AND list_contains({steps}, r.step)"
    knobs = [f"r.{column}" for column in COLUMNS.values()]
    nothing = [f"NULL::{kind} AS of_{knob}" for knob, kind in KNOBS.items()]
    measured = ", ".join((*_RESULT, *knobs, "false AS filled", *nothing))
    query = f"SELECT {measured} FROM results r WHERE {counted}"
    if connection.execute("SELECT count(*) FROM twins").fetchall() == [(0,)]:
        return query
    applies = {
        knob: f"coalesce(r.{column} = t.from_{knob}, false)" for knob, column in COLUMNS.items()
    }
    changed = [
        f"CASE WHEN {applies[knob]} THEN t.to_{knob} ELSE r.{column} END AS {column}"
        for knob, column in COLUMNS.items()
    ]
    twin = [f"r.{column} AS of_{knob}" for knob, column in COLUMNS.items()]
    filled = ", ".join((*_RESULT, *changed, "true AS filled", *twin))
    return (
        f"{query} UNION ALL SELECT {filled} FROM results r"
        " JOIN facts f ON f.run_id = r.run_id AND f.machine_id = r.machine_id"
        " JOIN twins t ON t.merged_no = f.merged_no AND t.step_index = r.step_index"
        f" AND t.cell = r.cell::VARCHAR WHERE {counted} AND ({' OR '.join(applies.values())})"
    )


def _kind(names: Sequence[str], row: Mapping[str, Any]) -> Kind:
    effective = {knob: _shown(knob, row[f"effective_{knob}"]) for knob in KNOBS}
    known = row["effective_chunk_size"] is not None
    return Kind(
        number=row["number"],
        step=row["step"],
        step_no=row["step_no"] or 1,
        place=row["place"],
        settings=row["settings"],
        values={name: _shown(name, row[name]) for name in names},
        effective=effective if known else None,
        filled=row["filled"],
        twin={knob: _shown(knob, row[f"of_{knob}"]) for knob in KNOBS} if row["filled"] else {},
        statuses=_statuses(row["counts"]),
        reasons=summed(
            Reason(code=code, owner=owner or "", count=int(count))
            for status, code, owner, count in row["counts"]
            if status != "ok" and code
        ),
    )


def _statuses(counts: Sequence[Sequence[str]]) -> dict[str, int]:
    statuses: Counter[str] = Counter()
    for status, _, _, count in counts:
        statuses[status] += int(count)
    return dict(statuses)


def _shown(name: str, value: Value | None) -> Value:
    """A value as cells are named by it."""
    if value is None:
        return UNKNOWN
    return format_size(int(value)) if name in SIZE_KNOBS else value

"""Stored results -> kinds: those of one kind are alike in everything by which cells are named."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hps.catalog.steps import STEP_KINDS
from hps.compare.comparison import Reason, summed
from hps.compare.names import CLASSES, UNKNOWN, WHERE
from hps.compare.selection import Asked, Condition
from hps.errors import UnitError
from hps.model import BOOLEAN_KNOBS, DEFAULT, SIZE_KNOBS, STEP_KNOBS, Knobs
from hps.results.database import text, texts
from hps.units import format_size, parse_size_bytes

if TYPE_CHECKING:
    from hps.results.database import Connection


# -------------------------------------------------------------------------------------------------
# What results are told apart by, as SQL over a result `r` and its run's facts `f`.

_DIGITS = 12
_DEFAULT_TOOL = str(Knobs(target="", size_bytes=0).tool)
TRANSFERS = tuple(name for name, kind in STEP_KINDS.items() if kind.direction != "none")
# A result that never came to a command, or to a version, is one of the tool that it was meant for.
_MEANT_FOR_TOOL = f"list_contains({texts(TRANSFERS)}, r.step) AND coalesce(r.tool_version, '') = ''"
_TOOL = f"coalesce(json_extract_string(r.cell, '$.tool'), {text(_DEFAULT_TOOL)})"


def _classes(name: str, column: str) -> str:
    classes = CLASSES[name]
    low, middle, high = (text(label) for label in classes.labels)
    return (
        f"CASE WHEN {column} < {classes.low} THEN {low} WHEN {column} <= {classes.high}"
        f" THEN {middle} WHEN {column} > {classes.high} THEN {high} ELSE {text(UNKNOWN)} END"
    )


def _or_unknown(column: str) -> str:
    return f"coalesce({column}, {text(UNKNOWN)})"


@dataclass(frozen=True, slots=True)
class _Name:
    """The SQL of a name's value; NULL only where the result's line lacks it.

    `sought` is what conditions look at, where that is another value. `of_run` is true of what is
    known of a run alone, so that nodes without results can be chosen by it.
    """

    sql: str
    sought: str = ""
    of_run: bool = False


_NAMES: Mapping[str, _Name] = MappingProxyType(
    {
        "target": _Name(_or_unknown("r.target")),
        "tool": _Name(f"CASE WHEN {_MEANT_FOR_TOOL} THEN {_TOOL} ELSE r.tool END"),
        "size": _Name("r.file_size_bytes"),
        "chunk_size": _Name("r.chunk_size_bytes"),
        **{
            name: _Name(f"r.{name}")
            for name in (
                *("files", "content", "layout", "concurrency", "transfers", "http2", "checksum"),
                "step",
            )
        },
        "settings": _Name("coalesce(r.settings, 'declared')"),
        "experiment": _Name("r.experiment", of_run=True),
        "spec": _Name(f"r.spec_sha256[:{_DIGITS}]", "r.spec_sha256", of_run=True),
        "commit": _Name(
            _or_unknown(f"f.spec_commit[:{_DIGITS}]"), "coalesce(f.spec_commit, '')", of_run=True
        ),
        "date": _Name("strftime(f.started_at, '%Y-%m-%d')", of_run=True),
        "run": _Name("r.run_id", of_run=True),
        "node": _Name("r.machine_id", of_run=True),
        "tool_version": _Name(
            f"CASE WHEN NOT ({_MEANT_FOR_TOOL}) THEN coalesce(r.tool_version, '')"
            f" WHEN {_TOOL} = {text(_DEFAULT_TOOL)} THEN {_or_unknown('f.rclone_version')}"
            f" ELSE {text(UNKNOWN)} END"
        ),
        "country": _Name(_or_unknown("f.country"), of_run=True),
        "gpu": _Name(_or_unknown("f.gpu"), of_run=True),
        "rtt": _Name(_classes("rtt", "f.rtt_s"), "f.rtt_s", of_run=True),
        "bandwidth": _Name(
            _classes("bandwidth", "f.probe_download_mbps"), "f.probe_download_mbps", of_run=True
        ),
        "proxied": _Name(_or_unknown("f.proxied::VARCHAR"), of_run=True),
        "accepted": _Name("coalesce(f.accepted, true)", of_run=True),
        "disturbed": _Name("coalesce(r.disturbed, false)"),
        "reason_code": _Name("coalesce(r.reason_code, '')"),
        "reason_owner": _Name("coalesce(r.reason_owner, '')"),
    }
)
OF_RUNS = frozenset(name for name, known in _NAMES.items() if known.of_run)


def sql(name: str) -> str:
    """The SQL of the value that a result has of a name; NULL only where its line lacks it."""
    return _NAMES[name].sql


def meets(condition: Condition) -> str:
    """A condition as SQL, which is true or false and never NULL."""
    literals = [_literal(value) for value in condition.values]
    prefix = WHERE[condition.name] == "prefix"
    classes = condition.name in CLASSES and isinstance(condition.values[0], str)
    known = _NAMES[condition.name]
    expression = known.sql if classes else known.sought or known.sql
    if condition.op not in {"=", "!="}:
        return f"coalesce({expression} {condition.op} {literals[0]}, false)"
    equal = [
        f"starts_with({expression}, {literal})" if prefix else f"{expression} = {literal}"
        for literal in literals
    ]
    if condition.name in KNOBS and DEFAULT in condition.values:
        at = condition.values.index(DEFAULT)
        equal[at] = f"({expression} IS NULL AND r.settings IS NOT NULL)"
    any_of = f"coalesce({' OR '.join(equal)}, false)"
    return any_of if condition.op == "=" else f"NOT {any_of}"


def began_after(at: str) -> str:
    """SQL that is true of results whose run began after `at` (ISO 8601, UTC); empty: of none."""
    if not at:
        return "false"
    return f"coalesce(f.started_at > TIMESTAMP {text(at.removesuffix('Z'))}, false)"


def _literal(value: str | float | bool) -> str:
    return text(value) if isinstance(value, str) else repr(value).lower()


# -------------------------------------------------------------------------------------------------
# Tables beside the views that results are looked up in: runs, places, steps, merged cells.

# The knobs of a transfer, in which merged cells differ, and their types.
KNOBS: Mapping[str, str] = MappingProxyType(
    {knob: "BOOLEAN" if knob in BOOLEAN_KNOBS else "BIGINT" for knob in STEP_KNOBS}
)
_FACTS = """
CREATE OR REPLACE TEMP TABLE facts AS
SELECT i.run_id, i.machine_id, i.first_at, coalesce(n.started_at, i.first_at) AS started_at,
  row_number() OVER () AS run_no, dense_rank() OVER (ORDER BY i.machine_id) AS node_no,
  dense_rank() OVER (ORDER BY n.targets::VARCHAR) AS targets_no,
  dense_rank() OVER (ORDER BY n.merged::VARCHAR) AS merged_no,
  n.run_id IS NOT NULL AS has_run_line, n.targets, n.merged, n.spec_commit, n.accepted,
  n.rtt_s, n.proxied, n.probe_download_mbps, n.country, n.gpu, n.rclone_version
FROM (
  SELECT run_id, machine_id, min(started_at) AS first_at FROM results GROUP BY run_id, machine_id
) i LEFT JOIN (SELECT DISTINCT ON (run_id, machine_id) * FROM runs) n USING (run_id, machine_id)
"""
# Repeated steps of a trial are told apart by their number among those of their kind.
_STEPS = """
CREATE OR REPLACE TEMP TABLE step_numbers AS
SELECT spec_sha256, step, step_index,
  dense_rank() OVER (PARTITION BY spec_sha256, step ORDER BY step_index) AS step_no
FROM (SELECT DISTINCT spec_sha256, step, step_index FROM results)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetPlace:
    """Where a target leads, whatever it is called. Empty: the run does not say."""

    provider: str = ""
    endpoint: str = ""
    account: str = ""
    region: str = ""
    bucket: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in astuple(self) if part) or UNKNOWN


def prepare(connection: Connection) -> tuple[TargetPlace, ...]:
    """Make the tables `facts`, `step_numbers`, `twins` and `places`, which `select` joins.

    Returns the places; they are numbered from 0, as in the table.
    """
    connection.execute(_FACTS)
    connection.execute(_STEPS)
    _make_twins(connection)
    return _make_places(connection)


def _make_places(connection: Connection) -> tuple[TargetPlace, ...]:
    numbers: dict[TargetPlace, int] = {}
    rows: list[tuple[int, str, int]] = []
    distinct = "SELECT DISTINCT targets_no, targets::VARCHAR FROM facts WHERE targets IS NOT NULL"
    for targets_no, targets in connection.execute(distinct).fetchall():
        for name, target in _mapping(json.loads(targets)).items():
            place = _place(_mapping(target))
            rows.append((targets_no, name, numbers.setdefault(place, len(numbers))))
    fill(connection, "places", ("targets_no BIGINT", "target VARCHAR", "place BIGINT"), rows)
    return tuple(numbers)


def _place(target: Mapping[str, object]) -> TargetPlace:
    parts = (field.name for field in fields(TargetPlace))
    return TargetPlace(**{name: str(target.get(name) or "") for name in parts})


def _make_twins(connection: Connection) -> None:
    """For each step that a run left out: the cell that stands for it, and what differs.

    A row has the knobs' values in base units in the cell that was measured (`from_…`) and in the
    one that was not (`to_…`), NULL where the two have the same.
    """
    merged = connection.execute(
        "SELECT DISTINCT merged_no, merged::VARCHAR FROM facts WHERE merged IS NOT NULL"
    ).fetchall()
    spellings = _spellings(connection) if any(text != "[]" for _, text in merged) else {}
    rows = [
        (merged_no, entry["step_index"], cell, *_changes(entry))
        for merged_no, text in merged
        for entry in _entries(json.loads(text))
        for cell in spellings.get(_frozen(entry["same_as"]), ())
    ]
    knobs = [f"{side}_{knob} {kind}" for knob, kind in KNOBS.items() for side in ("from", "to")]
    columns = ("merged_no BIGINT", "step_index BIGINT", "cell VARCHAR", *knobs)
    fill(connection, "twins", columns, rows)


def _spellings(connection: Connection) -> dict[str, list[str]]:
    """Each cell, and how the lines spell it."""
    found: dict[str, list[str]] = {}
    for (spelled,) in connection.execute("SELECT DISTINCT cell::VARCHAR FROM results").fetchall():
        found.setdefault(_frozen(json.loads(spelled)), []).append(spelled)
    return found


def _entries(merged: object) -> Iterator[Mapping[str, object]]:
    for entry in merged if isinstance(merged, list) else ():
        if isinstance(entry, dict) and {"cell", "same_as", "step_index"} <= set(entry):
            yield entry


def _changes(entry: Mapping[str, object]) -> list[int | bool | None]:
    """For each knob its value in the twin and in the cell; twice None where it is the same."""
    twin, cell = _mapping(entry["same_as"]), _mapping(entry["cell"])
    values: list[int | bool | None] = []
    for knob in KNOBS:
        before, after = _base(knob, twin.get(knob)), _base(knob, cell.get(knob))
        values += [None, None] if before == after else [before, after]
    return values


def _base(knob: str, value: object) -> int | bool | None:
    if knob in SIZE_KNOBS and isinstance(value, str):
        try:
            return parse_size_bytes(value)
        except UnitError:
            return None  # no size that this program writes: the cell stays unfilled
    return value if isinstance(value, int) else None


def _frozen(cell: object) -> str:
    return json.dumps(cell, sort_keys=True)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def fill(
    connection: Connection, name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    """Make a temporary table of rows; `columns` are names with their types, as SQL has them."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} ({', '.join(columns)})")
    rows = list(rows)
    if rows:
        lists = [list(column) for column in zip(*rows, strict=True)]
        unnested = ", ".join(f"unnest(?::{column.split()[1]}[])" for column in columns)
        connection.execute(f"INSERT INTO {name} SELECT {unnested}", lists)


# -------------------------------------------------------------------------------------------------
# The kinds themselves, and the results that they count.

Value = str | int | bool
# What always keeps results apart, unless `--by` names it. The rest is taken together.
APART = (
    *("experiment", "target", "tool", "tool_version", "size", "files", "content", "layout"),
    *("settings", *KNOBS),
)
_RESULT = tuple(
    f"r.{name}"
    for name in (
        *("run_id", "machine_id", "experiment", "spec_sha256", "repetition", "step", "step_index"),
        *("cell", "status", "reason_code", "reason_owner", "tool", "tool_version", "target"),
        *("throughput_mbps", "duration_s", "started_at", "file_size_bytes", "files", "content"),
        *("layout", "settings", "effective_chunk_size_bytes", "effective_concurrency"),
        *("effective_transfers", "effective_http2", "effective_checksum", "disturbed"),
    )
)
# Each knob of a transfer, and the column that has it.
COLUMNS = {knob: "chunk_size_bytes" if knob == "chunk_size" else knob for knob in KNOBS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """The results of one kind. `number` is what their rows in the table `counted` carry.

    `values` has a value of every name in `APART`, `--by` and `--strata`, as cells are named by it.
    `effective` has the settings that the tool applied; None: nothing was `ok`. `filled` is true
    where these are the results of another cell, `twin`, that stand for this one's. `statuses`
    counts the results by their status, `reasons` those that are not ok and have a code.
    """

    number: int
    step: str
    step_no: int
    place: int | None
    step_settings: str
    values: Mapping[str, Value]
    effective: Mapping[str, Value] | None
    filled: bool
    twin: Mapping[str, Value]
    statuses: Mapping[str, int]
    reasons: tuple[Reason, ...]

    @property
    def ok(self) -> int:
        return self.statuses.get("ok", 0)


def select(connection: Connection, asked: Asked, extra: Sequence[str] = ()) -> tuple[Kind, ...]:
    """Make the table `counted` of the results that are asked for, and return their kinds.

    A row for each counted result of a transfer has these columns: kind, run_no, node_no,
    repetition, ok, mbps, duration_s, started_at, filled, disturbed. `extra` are further conditions,
    as SQL. Raises `AssertionError` where two kinds share a hash, of which there are 2**64.
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
        f"CREATE OR REPLACE TEMP TABLE counted AS SELECT hash({listed}) AS kind, run_no, node_no,"
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
    """The columns that tell kinds apart, by name, with their SQL."""
    return {
        "step": "r.step",
        "step_no": "s.step_no",
        "place": "p.place",
        # The settings of this step are no knobs, and stand in the experiment alone.
        "step_settings": "CASE WHEN r.step = 'load' THEN coalesce(r.spec_sha256, '') ELSE '' END",
        "filled": "r.filled",
        "names_settings": "r.settings IS NOT NULL",
        **{name: sql(name) for name in names},
        **{f"of_{knob}": f"r.of_{knob}" for knob in KNOBS},
        **{
            f"effective_{knob}": f"CASE WHEN r.status = 'ok' THEN r.effective_{column} END"
            for knob, column in COLUMNS.items()
        },
    }


def _joined(connection: Connection, asked: Asked, extra: Sequence[str]) -> str:
    """FROM and WHERE of the results that are asked for, each with its run and its place."""
    conditions = [meets(condition) for condition in asked.where]
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
    steps = texts(dict.fromkeys((*TRANSFERS, "load", *(step for (step,) in moved))))
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
    known = any(row[f"effective_{knob}"] is not None for knob in KNOBS)
    return Kind(
        number=row["number"],
        step=row["step"],
        step_no=row["step_no"] or 1,
        place=row["place"],
        step_settings=row["step_settings"],
        values={name: _asked(name, row, row[name]) for name in names},
        effective=effective if known else None,
        filled=row["filled"],
        twin={knob: _asked(knob, row, row[f"of_{knob}"]) for knob in KNOBS}
        if row["filled"]
        else {},
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


def _asked(name: str, row: Mapping[str, Any], value: Value | None) -> Value:
    """As `_shown`; a knob without a value was left to the tool, unless the line has none at all."""
    own = value is None and name in KNOBS and row["names_settings"]
    return DEFAULT if own else _shown(name, value)


def _shown(name: str, value: Value | None) -> Value:
    """A value as cells are named by it."""
    if value is None:
        return UNKNOWN
    return format_size(int(value)) if name in SIZE_KNOBS else value

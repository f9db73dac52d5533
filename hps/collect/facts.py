"""Tables beside the views that results are looked up in: runs, places, steps, merged cells."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from hps.analyze.names import UNKNOWN
from hps.errors import UnitError
from hps.model import BOOLEAN_KNOBS, SIZE_KNOBS, STEP_KNOBS
from hps.units import parse_size_bytes

if TYPE_CHECKING:
    from hps.collect.database import Connection

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
  n.run_id IS NOT NULL AS told, n.targets, n.merged, n.spec_commit, n.accepted, n.rtt_s, n.proxied,
  n.probe_download_mbps, n.country, n.gpu, n.rclone_version
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
    region: str = ""
    bucket: str = ""

    def __str__(self) -> str:
        told = (self.provider, self.endpoint, self.region, self.bucket)
        return " ".join(part for part in told if part) or UNKNOWN


def prepare(connection: Connection) -> tuple[TargetPlace, ...]:
    """Make the tables; the places are numbered as in the table `places`, from 0."""
    connection.execute(_FACTS)
    connection.execute(_STEPS)
    _make_twins(connection)
    return _make_places(connection)


def _make_places(connection: Connection) -> tuple[TargetPlace, ...]:
    numbers: dict[TargetPlace, int] = {}
    rows: list[tuple[int, str, int]] = []
    distinct = "SELECT DISTINCT targets_no, targets::VARCHAR FROM facts WHERE targets IS NOT NULL"
    for targets_no, told in connection.execute(distinct).fetchall():
        for name, target in _mapping(json.loads(told)).items():
            place = _place(_mapping(target))
            rows.append((targets_no, name, numbers.setdefault(place, len(numbers))))
    fill(connection, "places", ("targets_no BIGINT", "target VARCHAR", "place BIGINT"), rows)
    return tuple(numbers)


def _place(target: Mapping[str, object]) -> TargetPlace:
    return TargetPlace(
        **{
            name: str(target.get(name) or "")
            for name in ("provider", "endpoint", "region", "bucket")
        }
    )


def _make_twins(connection: Connection) -> None:
    """For each step that a run left out: the cell that stands for it, and what differs.

    A row has the knobs' values in base units in the cell that was measured (`from_…`) and in the
    one that was not (`to_…`), NULL where the two have the same.
    """
    merged = connection.execute(
        "SELECT DISTINCT merged_no, merged::VARCHAR FROM facts WHERE merged IS NOT NULL"
    ).fetchall()
    spellings = _spellings(connection) if any(told != "[]" for _, told in merged) else {}
    rows = [
        (merged_no, entry["step_index"], text, *_changes(entry))
        for merged_no, told in merged
        for entry in _entries(json.loads(told))
        for text in spellings.get(_frozen(entry["same_as"]), ())
    ]
    knobs = [f"{side}_{knob} {kind}" for knob, kind in KNOBS.items() for side in ("from", "to")]
    columns = ("merged_no BIGINT", "step_index BIGINT", "cell VARCHAR", *knobs)
    fill(connection, "twins", columns, rows)


def _spellings(connection: Connection) -> dict[str, list[str]]:
    """Each cell, and how the lines spell it."""
    found: dict[str, list[str]] = {}
    for (text,) in connection.execute("SELECT DISTINCT cell::VARCHAR FROM results").fetchall():
        found.setdefault(_frozen(json.loads(text)), []).append(text)
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
    """Make a table of rows; `columns` are names with types."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} ({', '.join(columns)})")
    rows = list(rows)
    if rows:
        lists = [list(column) for column in zip(*rows, strict=True)]
        unnested = ", ".join(f"unnest(?::{column.split()[1]}[])" for column in columns)
        connection.execute(f"INSERT INTO {name} SELECT {unnested}", lists)

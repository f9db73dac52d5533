"""The nodes and runs behind a comparison: who took part, and where the numbers come from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from hps.analyze.comparison import FleetNode, Provenance
from hps.analyze.question import Asked
from hps.analyze.reasons import NeverBegan
from hps.collect import dimensions, facts
from hps.collect.database import texts
from hps.collect.kinds import Kind
from hps.step_kinds import STEP_KINDS

if TYPE_CHECKING:
    from hps.collect.database import Connection

# Of its newest run, and of all that it measured. Some lines may lack their run.
_NODES = """
SELECT coalesce(c.machine_id, m.machine_id) AS machine_id, c.rtt_s, m.up, m.down, c.country, c.gpu,
  coalesce(c.accepted, true), coalesce(c.reasons, []), coalesce(c.checks, '[]'),
  coalesce(c.code, ''), coalesce(c.owner, '')
FROM (
  SELECT machine_id, arg_max(rtt_s, started_at) AS rtt_s, arg_max(country, started_at) AS country,
    arg_max(gpu, started_at) AS gpu, arg_max(accepted, started_at) AS accepted,
    arg_max(reasons, started_at) AS reasons, arg_max(checks::VARCHAR, started_at) AS checks,
    arg_max(coalesce(reason_code, ''), started_at) AS code,
    arg_max(coalesce(reason_owner, ''), started_at) AS owner
  FROM chosen WHERE status IS NULL OR accepted IS NOT NULL GROUP BY machine_id
) c FULL JOIN (
  SELECT machine_id, median(mbps) FILTER (ok AND direction = 'up') AS up,
    median(mbps) FILTER (ok AND direction = 'down') AS down
  FROM told JOIN steps USING (kind) JOIN names USING (node_no) WHERE NOT filled GROUP BY machine_id
) m ON m.machine_id = c.machine_id
ORDER BY 1
"""
# A node that was turned down is counted among those.
_NEVER_BEGAN = """
SELECT coalesce(reason_code, ''), coalesce(reason_owner, ''), count(*) AS runs,
  count(DISTINCT machine_id), coalesce(arg_max(reason, started_at), '')
FROM {} WHERE status = 'failed' AND accepted IS NOT false
GROUP BY ALL HAVING runs > 0 ORDER BY runs DESC, 1
"""
_PROVENANCE = """
SELECT list(DISTINCT n.spec_sha256), list(DISTINCT n.spec_source), list(DISTINCT n.hps_version)
FROM runs n JOIN facts f ON f.run_id = n.run_id AND f.machine_id = n.machine_id
WHERE f.run_no IN (SELECT run_no FROM told)
"""
_RUNS = """
SELECT list(DISTINCT run_id), min(started_at), max(started_at) FROM facts
WHERE run_no IN (SELECT run_no FROM told)
"""
_COUNTS = """
SELECT count(DISTINCT run_no), count(DISTINCT node_no), count(*), min(started_at), max(started_at)
FROM told WHERE NOT filled
"""


def prepare(connection: Connection, asked: Asked, kinds: Sequence[Kind]) -> None:
    """Make what the functions below read: after `kinds.select`, whose table they need too.

    `chosen` has the runs that the question is about, those without results too.
    """
    conditions = [
        dimensions.meets(condition)
        for condition in asked.where
        if condition.name in dimensions.OF_RUNS
    ]
    if asked.experiments:
        conditions.append(f"list_contains({texts(asked.experiments)}, r.experiment)")
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE chosen AS SELECT r.* FROM runs r JOIN runs f"
        " ON f.run_id = r.run_id AND f.machine_id = r.machine_id"
        f" WHERE {' AND '.join((*conditions, 'true'))}"
    )
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE names AS SELECT DISTINCT node_no, machine_id FROM facts"
    )
    facts.fill(
        connection,
        "steps",
        ("kind UBIGINT", "step VARCHAR", "direction VARCHAR"),
        [(kind.number, kind.step, _direction(kind.step)) for kind in kinds],
    )


def nodes(connection: Connection) -> tuple[FleetNode, ...]:
    """Every node that ran, or was to run, what the question is about."""
    return tuple(
        FleetNode(
            machine_id=machine_id,
            rtt_s=rtt_s,
            upload_mbps=up,
            download_mbps=down,
            country=country,
            gpu=gpu,
            accepted=accepted,
            reasons=tuple(reasons),
            checks=_checks(checks),
            code=code,
            owner=owner,
        )
        for machine_id, rtt_s, up, down, country, gpu, accepted, reasons, checks, code, owner in (
            connection.execute(_NODES).fetchall()
        )
    )


def never_began(connection: Connection, table: str = "chosen") -> tuple[NeverBegan, ...]:
    """The runs that did not begin, one for each reason, the most frequent first."""
    rows = connection.execute(_NEVER_BEGAN.format(table)).fetchall()
    return tuple(
        NeverBegan(code=code, owner=owner, runs=runs, nodes=nodes, text=text)
        for code, owner, runs, nodes, text in rows
    )


def provenance(
    connection: Connection, kinds: Sequence[Kind], skipped: Mapping[str, str]
) -> Provenance:
    """Where the results in `told` come from."""
    (origins,) = connection.execute(_PROVENANCE).fetchall()
    (counts,) = connection.execute(_COUNTS).fetchall()
    (runs,) = connection.execute(_RUNS).fetchall()
    tools = {f"{kind.values['tool']} {kind.values['tool_version']}".strip() for kind in kinds}
    return Provenance(
        experiments=tuple(sorted({str(kind.values["experiment"]) for kind in kinds})),
        specs=_sorted(origins[0]),
        sources=_sorted(origins[1]),
        hps_versions=_sorted(origins[2]),
        tools=tuple(sorted(tools)),
        runs=counts[0],
        nodes=counts[1],
        results=counts[2],
        first_at=_utc(counts[3]),
        last_at=_utc(counts[4]),
        skipped_files=dict(sorted(skipped.items())),
        run_ids=_sorted(runs[0]),
        first_run_at=_utc(runs[1]),
        last_run_at=_utc(runs[2]),
    )


def last_run_at(connection: Connection) -> str:
    """When the last run began that has results in `told`."""
    (runs,) = connection.execute(_RUNS).fetchall()
    return _utc(runs[2])


def thresholds(connection: Connection) -> dict[str, tuple[str, ...]]:
    """The gates that each experiment's newest run declares."""
    rows = connection.execute(
        "SELECT experiment, arg_max(thresholds, started_at) FROM chosen"
        " WHERE status IS NULL GROUP BY experiment ORDER BY experiment"
    ).fetchall()
    return {experiment: tuple(declared) for experiment, declared in rows if declared}


def _direction(step: str) -> str:
    return STEP_KINDS[step].direction if step in STEP_KINDS else "none"


def _checks(text: str) -> tuple[Mapping[str, object], ...]:
    found = json.loads(text)
    return (
        tuple(item for item in found if isinstance(item, dict)) if isinstance(found, list) else ()
    )


def _sorted(values: Sequence[str | None] | None) -> tuple[str, ...]:
    return tuple(sorted(value for value in values or () if value))


def _utc(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment.isoformat(timespec='microseconds')}Z"

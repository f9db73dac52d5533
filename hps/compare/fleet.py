"""The nodes and runs behind a comparison, its provenance, and remarks on both."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING

from hps.catalog.steps import DOWNLOADS
from hps.catalog.tools import TOOL_FACTS
from hps.compare import grouping, words
from hps.compare.comparison import FleetNode, NeverBegan, Provenance, direction_of
from hps.compare.grouping import Kind
from hps.compare.selection import Asked
from hps.results.database import texts

if TYPE_CHECKING:
    from hps.results.database import Connection


# Of its newest run, and of all that it measured. Some lines may lack their run.
_NODES = """
SELECT coalesce(c.machine_id, m.machine_id) AS machine_id, c.rtt_s, m.upload_mbps, m.download_mbps,
  c.country, c.gpu, coalesce(c.accepted, true) AS accepted, coalesce(c.reasons, []) AS reasons,
  coalesce(c.checks, '[]') AS checks, coalesce(c.code, '') AS code, coalesce(c.owner, '') AS owner
FROM (
  SELECT machine_id, arg_max(rtt_s, started_at) AS rtt_s, arg_max(country, started_at) AS country,
    arg_max(gpu, started_at) AS gpu, arg_max(accepted, started_at) AS accepted,
    arg_max(reasons, started_at) AS reasons, arg_max(checks::VARCHAR, started_at) AS checks,
    arg_max(coalesce(reason_code, ''), started_at) AS code,
    arg_max(coalesce(reason_owner, ''), started_at) AS owner
  FROM chosen WHERE status IS NULL OR accepted IS NOT NULL GROUP BY machine_id
) c FULL JOIN (
  SELECT machine_id, median(mbps) FILTER (ok AND direction = 'up') AS upload_mbps,
    median(mbps) FILTER (ok AND direction = 'down') AS download_mbps
  FROM counted JOIN steps USING (kind) JOIN names USING (node_no) WHERE NOT filled
  GROUP BY machine_id
) m ON m.machine_id = c.machine_id
ORDER BY 1
"""
# Runs whose node was rejected are counted as such, and not here.
_NEVER_BEGAN = """
SELECT coalesce(reason_code, ''), coalesce(reason_owner, ''), count(*) AS runs,
  count(DISTINCT machine_id), coalesce(arg_max(reason, started_at), '')
FROM {} WHERE status = 'failed' AND accepted IS NOT false
GROUP BY ALL HAVING runs > 0 ORDER BY runs DESC, 1
"""
_PROVENANCE = """
SELECT list(DISTINCT n.spec_sha256), list(DISTINCT n.spec_source), list(DISTINCT n.hps_version)
FROM runs n JOIN facts f ON f.run_id = n.run_id AND f.machine_id = n.machine_id
WHERE f.run_no IN (SELECT run_no FROM counted)
"""
_RUNS = """
SELECT list(DISTINCT run_id), min(started_at), max(started_at) FROM facts
WHERE run_no IN (SELECT run_no FROM counted)
"""
_COUNTS = """
SELECT count(DISTINCT run_no), count(DISTINCT node_no), count(*), min(started_at), max(started_at)
FROM counted WHERE NOT filled
"""


def prepare(connection: Connection, asked: Asked, kinds: Sequence[Kind]) -> None:
    """Make the tables that the functions below read; `grouping.select` has to come first.

    `chosen` has the runs that the question is about, also those without results; `names` the
    machine ids, and `steps` the step and the direction of each kind.
    """
    conditions = [
        grouping.meets(condition) for condition in asked.where if condition.name in grouping.OF_RUNS
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
    grouping.fill(
        connection,
        "steps",
        ("kind UBIGINT", "step VARCHAR", "direction VARCHAR"),
        [(kind.number, kind.step, direction_of(kind.step)) for kind in kinds],
    )


def nodes(connection: Connection) -> tuple[FleetNode, ...]:
    """Every node that ran, or was to run, what the question is about, by machine id.

    What is said of a node is from its newest run; its rates are over all that it measured.
    """
    found = connection.execute(_NODES)
    names = [name for name, *_ in found.description]
    rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    return tuple(
        FleetNode(**{**row, "reasons": tuple(row["reasons"]), "checks": _checks(row["checks"])})
        for row in rows
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
    """Where the results in `counted` come from."""
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
    """When the last run began that has results in `counted`, as ISO 8601 in UTC; empty: unknown."""
    (runs,) = connection.execute(_RUNS).fetchall()
    return _utc(runs[2])


def thresholds(connection: Connection) -> dict[str, tuple[str, ...]]:
    """The gates that each experiment's newest run declares, by experiment; those with none lack."""
    rows = connection.execute(
        "SELECT experiment, arg_max(thresholds, started_at) FROM chosen"
        " WHERE status IS NULL GROUP BY experiment ORDER BY experiment"
    ).fetchall()
    return {experiment: tuple(declared) for experiment, declared in rows if declared}


def _checks(text: str) -> tuple[Mapping[str, object], ...]:
    found = json.loads(text)
    return (
        tuple(item for item in found if isinstance(item, dict)) if isinstance(found, list) else ()
    )


def _sorted(values: Sequence[str | None] | None) -> tuple[str, ...]:
    return tuple(sorted(value for value in values or () if value))


def _utc(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment.isoformat(timespec='microseconds')}Z"


# -------------------------------------------------------------------------------------------------
# Sentences about the results behind a comparison.

_VERSIONS = """
SELECT n.experiment, count(DISTINCT n.spec_sha256) AS versions FROM runs n JOIN facts f
  ON f.run_id = n.run_id AND f.machine_id = n.machine_id
WHERE f.run_no IN (SELECT run_no FROM counted) GROUP BY n.experiment HAVING versions > 1 ORDER BY 1
"""
# With more runs than these their ids are not listed.
_MOST_RUNS = 4
_MEASURED = "SELECT DISTINCT machine_id FROM counted JOIN names USING (node_no)"
_PROXIED = """
SELECT coalesce(proxied, false) AS proxied, count(DISTINCT node_no) FROM facts
WHERE run_no IN (SELECT run_no FROM counted) GROUP BY ALL
"""
_DISTURBED = "SELECT count(*) FILTER (disturbed), count(*) FROM counted WHERE ok AND NOT filled"
_UNCOMPARED = texts(name for name, facts in TOOL_FACTS.items() if not facts.compares_downloads)
_UNVERIFIED = f"""
SELECT r.tool, count(*) FROM results r JOIN facts f
  ON f.run_id = r.run_id AND f.machine_id = r.machine_id
WHERE f.run_no IN (SELECT run_no FROM counted) AND NOT r.warmup AND r.status = 'ok'
  AND list_contains({texts(DOWNLOADS)}, r.step) AND list_contains({_UNCOMPARED}, r.tool)
  AND NOT EXISTS (
    SELECT 1 FROM results v WHERE v.run_id = r.run_id AND v.machine_id = r.machine_id
      AND v.trial_id = r.trial_id AND v.step = 'verify' AND v.step_index > r.step_index
      AND v.status = 'ok'
  )
GROUP BY 1 ORDER BY 1
"""
_WITHOUT_RUN_LINE = (
    "SELECT count(*) FROM facts WHERE NOT has_run_line AND run_no IN (SELECT run_no FROM counted)"
)


def remarks(connection: Connection, asked: Asked, nodes: Sequence[FleetNode]) -> tuple[str, ...]:
    """Sentences on what differs between results that are compared as if they were alike.

    Needs the table `counted` and `fleet.prepare`.
    """
    return (
        *_versions(connection, asked),
        *_continued(connection, nodes),
        *_proxied(connection, asked),
        *_without_run_line(connection),
        *_unverified(connection),
        *_disturbed(connection),
    )


def nothing(connection: Connection, asked: Asked) -> tuple[str, str]:
    """Why there is nothing to compare: what was looked for, and as a hint what there is instead."""
    sought = ", ".join((*asked.experiments, *(str(condition) for condition in asked.where)))
    message = f"no results of {sought}" if sought else "no results to compare"
    (counts,) = connection.execute(
        "SELECT (SELECT count(*) FROM results WHERE NOT warmup), (SELECT count(*) FROM runs),"
        " (SELECT count(*) FROM runs WHERE NOT accepted)"
    ).fetchall()
    results, runs, rejected = counts
    if not runs and not results:
        return message, "nothing at all is stored there"
    there = f"stored there: {words.plural(results, 'result')} of {words.plural(runs, 'run')}"
    if rejected:
        there += f", {rejected:,} of them on nodes that were rejected"
    began = never_began(connection, "runs")
    there += "".join(f"; {words.never_began(one)}" for one in began)
    return message, f"{there}{_known(connection, asked)}"


def of_baseline(before: Provenance, now: Provenance) -> tuple[str, ...]:
    """Sentences on what the baseline is, what is compared with it, and in what the two differ."""
    compared = (
        ("experiment", before.experiments, now.experiments),
        ("experiment file", _short(before.specs), _short(now.specs)),
        ("source", before.sources, now.sources),
        ("hps", before.hps_versions, now.hps_versions),
        ("tool", before.tools, now.tools),
    )
    return (
        f"the baseline: {_side(before)}",
        f"now: {_side(now)}",
        *(
            f"{name}: {words.listed(old) or 'unknown'} in the baseline,"
            f" {words.listed(new) or 'unknown'} now"
            for name, old, new in compared
            if old != new
        ),
    )


def _side(known: Provenance) -> str:
    """`2 runs on 1 node, 2026-11-01 to 2026-11-02 (…)`: the days on which they began, UTC."""
    days = words.days(known.first_run_at, known.last_run_at)
    counted = f"{words.plural(known.runs, 'run')} on {words.plural(known.nodes, 'node')}"
    few = f" ({', '.join(known.run_ids)})" if len(known.run_ids) <= _MOST_RUNS else ""
    return f"{counted}{f', {days}' if days else ''}{few}"


def _versions(connection: Connection, asked: Asked) -> Iterator[str]:
    if "spec" in asked.by:
        return
    for experiment, versions in connection.execute(_VERSIONS).fetchall():
        yield (
            f"{experiment}: {versions} versions of the experiment file, taken together where they"
            " measure the same; add spec to --by to compare them"
        )


def _continued(connection: Connection, nodes: Sequence[FleetNode]) -> Iterator[str]:
    measured = {name for (name,) in connection.execute(_MEASURED).fetchall()}
    rejected = [n.machine_id for n in nodes if not n.accepted and n.machine_id in measured]
    if rejected:
        yield (
            f"{words.plural(len(rejected), 'node')} measured although the experiment rejects"
            f" {'it' if len(rejected) == 1 else 'them'}: {words.listed(rejected)}; leave"
            f" {'it' if len(rejected) == 1 else 'them'} out with --where accepted=true"
        )


def _proxied(connection: Connection, asked: Asked) -> Iterator[str]:
    """Behind a proxy other things are measured; lines of older versions don't mention it."""
    if "proxied" in asked.by:
        return
    counts = dict(connection.execute(_PROXIED).fetchall())
    behind, others = counts.pop(True, 0), sum(counts.values())
    if behind and others:
        yield (
            f"{words.plural(behind, 'node')} behind a proxy, and {words.plural(others, 'node')}"
            " not, taken together; --strata proxied answers for each, --where proxied=false"
            " leaves those behind one out"
        )


def _without_run_line(connection: Connection) -> Iterator[str]:
    for (count,) in connection.execute(_WITHOUT_RUN_LINE).fetchall():
        if count:
            yield (
                f"{words.plural(count, 'run')} without a first line: what"
                f" {'it' if count == 1 else 'they'} ran on is unknown"
            )


def _unverified(connection: Connection) -> Iterator[str]:
    for tool, count in connection.execute(_UNVERIFIED).fetchall():
        yield (
            f"{words.plural(count, 'download')} by {tool} not verified: nothing shows that {tool}"
            " compares what it downloads, and no verify step did"
        )


def _disturbed(connection: Connection) -> Iterator[str]:
    for disturbed, count in connection.execute(_DISTURBED).fetchall():
        if disturbed:
            yield (
                f"{disturbed:,} of {words.plural(count, 'measurement')} made while the machine was"
                " short of processor time; leave them out with --where disturbed=false"
            )


def _known(connection: Connection, asked: Asked) -> str:
    """The stored experiments, where the question names one that is not stored."""
    rows = connection.execute("SELECT DISTINCT experiment FROM runs ORDER BY 1").fetchall()
    stored = [name for (name,) in rows]
    unknown = [name for name in asked.experiments if name not in stored]
    if not unknown:
        return ""
    near = get_close_matches(unknown[0], stored, n=1, cutoff=0.6)
    meant = f"; did you mean {near[0]}?" if near else ""
    return f"; experiments: {words.listed(stored)}{meant}"


def _short(digests: Sequence[str]) -> tuple[str, ...]:
    return tuple(digest[:12] for digest in digests)

"""What a reader of a comparison has to know of the results behind it, in a line each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from hps.analyze import words
from hps.analyze.comparison import FleetNode, Provenance
from hps.analyze.question import Asked
from hps.collect import fleet

if TYPE_CHECKING:
    from hps.collect.database import Connection

_VERSIONS = """
SELECT n.experiment, count(DISTINCT n.spec_sha256) AS versions FROM runs n JOIN facts f
  ON f.run_id = n.run_id AND f.machine_id = n.machine_id
WHERE f.run_no IN (SELECT run_no FROM told) GROUP BY n.experiment HAVING versions > 1 ORDER BY 1
"""
# More ids of runs than these are not told in a line.
_MOST_RUNS = 4
_MEASURED = "SELECT DISTINCT machine_id FROM told JOIN names USING (node_no)"
_PROXIED = """
SELECT coalesce(proxied, false) AS proxied, count(DISTINCT node_no) FROM facts
WHERE run_no IN (SELECT run_no FROM told) GROUP BY ALL
"""
_DISTURBED = "SELECT count(*) FILTER (disturbed), count(*) FROM told WHERE ok AND NOT filled"
_UNTOLD = "SELECT count(*) FROM facts WHERE NOT told AND run_no IN (SELECT run_no FROM told)"


def remarks(connection: Connection, asked: Asked, nodes: Sequence[FleetNode]) -> tuple[str, ...]:
    """On what was taken together, and on runs that are not as they should be.

    Needs the table `told` and `fleet.prepare`.
    """
    return (
        *_versions(connection, asked),
        *_continued(connection, nodes),
        *_proxied(connection, asked),
        *_untold(connection),
        *_disturbed(connection),
    )


def nothing(connection: Connection, asked: Asked) -> tuple[str, str]:
    """Why there is nothing to compare, in two lines: what was looked for, and what there is."""
    sought = ", ".join((*asked.experiments, *(str(condition) for condition in asked.where)))
    message = f"no results of {sought}" if sought else "no results to compare"
    (counts,) = connection.execute(
        "SELECT (SELECT count(*) FROM results WHERE NOT warmup), (SELECT count(*) FROM runs),"
        " (SELECT count(*) FROM runs WHERE NOT accepted)"
    ).fetchall()
    results, runs, rejected = counts
    if not runs and not results:
        return message, "nothing at all is stored there"
    there = f"stored there: {words.count(results, 'result')} of {words.count(runs, 'run')}"
    if rejected:
        there += f", {rejected:,} of them on nodes that were rejected"
    began = fleet.never_began(connection, "runs")
    there += "".join(f"; {words.never_began(one)}" for one in began)
    return message, f"{there}{_known(connection, asked)}"


def of_baseline(before: Provenance, now: Provenance) -> tuple[str, ...]:
    """What the baseline is, and what is held against it; and what of them differs."""
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
    days = " to ".join(
        dict.fromkeys(at[:10] for at in (known.first_run_at, known.last_run_at) if at)
    )
    counted = f"{words.count(known.runs, 'run')} on {words.count(known.nodes, 'node')}"
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
            f"{words.count(len(rejected), 'node')} measured although the experiment rejects"
            f" {'it' if len(rejected) == 1 else 'them'}: {words.listed(rejected)}; leave"
            f" {'it' if len(rejected) == 1 else 'them'} out with --where accepted=true"
        )


def _proxied(connection: Connection, asked: Asked) -> Iterator[str]:
    """Behind a proxy other things are measured; lines of older versions say nothing of it."""
    if "proxied" in asked.by:
        return
    counts = dict(connection.execute(_PROXIED).fetchall())
    behind, others = counts.pop(True, 0), sum(counts.values())
    if behind and others:
        yield (
            f"{words.count(behind, 'node')} behind a proxy, and {words.count(others, 'node')} not,"
            " taken together; --strata proxied answers for each, --where proxied=false leaves"
            " those behind one out"
        )


def _untold(connection: Connection) -> Iterator[str]:
    for (count,) in connection.execute(_UNTOLD).fetchall():
        if count:
            yield (
                f"{words.count(count, 'run')} without a first line: what"
                f" {'it' if count == 1 else 'they'} ran on is unknown"
            )


def _disturbed(connection: Connection) -> Iterator[str]:
    for disturbed, count in connection.execute(_DISTURBED).fetchall():
        if disturbed:
            yield (
                f"{disturbed:,} of {words.count(count, 'measurement')} made while the machine was"
                " short of processor time; leave them out with --where disturbed=false"
            )


def _known(connection: Connection, asked: Asked) -> str:
    """The experiments that are stored, where one was named that is not."""
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

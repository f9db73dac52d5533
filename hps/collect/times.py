"""When rates were high and low: each result against the mean of its own node and cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hps.analyze.comparison import TimePoint

if TYPE_CHECKING:
    from hps.collect.database import Connection

# The geometric mean: of few results the median is one of them, so that most ratios would be 1. A
# result that is alone in its cell is its own mean, which would say that nothing ever changes.
# Of a run's time, the tenth in which a result began.
_RATIOS = """
CREATE OR REPLACE TEMP TABLE ratios AS
SELECT s.step, t.mbps / m.mbps AS ratio, hour(t.started_at) AS hours,
  CASE WHEN r.last_at > r.first_at THEN least(9, floor(
    10 * (epoch(t.started_at) - epoch(r.first_at)) / (epoch(r.last_at) - epoch(r.first_at))
  ))::INTEGER END AS tenths
FROM told t JOIN steps s USING (kind)
  JOIN (
    SELECT kind, node_no, exp(avg(ln(mbps))) AS mbps FROM told
    WHERE ok AND NOT filled AND mbps > 0
    GROUP BY kind, node_no HAVING count(*) > 1
  ) m USING (kind, node_no)
  JOIN (
    SELECT run_no, min(started_at) AS first_at, max(started_at) AS last_at FROM told
    WHERE NOT filled GROUP BY run_no
  ) r USING (run_no)
WHERE t.ok AND NOT t.filled AND t.started_at IS NOT NULL
"""


def hours_and_tenths(
    connection: Connection,
) -> tuple[tuple[TimePoint, ...], tuple[TimePoint, ...]]:
    """By hour of the day, and by tenths of the run; needs `fleet.prepare`.

    Low and high are the quartiles.
    """
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

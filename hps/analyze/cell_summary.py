"""One cell of a panel in numbers, over its units of sampling. Pure."""

from __future__ import annotations

import numpy as np

from hps import prices
from hps.analyze import intervals
from hps.analyze.comparison import CellSummary, Floats, Panel, PanelCell, Rule


def summarize(cell: PanelCell, panel: Panel, rule: Rule) -> CellSummary:
    """Everything that is said of a cell by itself."""
    ended = sum(count for status, count in cell.statuses.items() if status != "interrupted")
    ok = cell.statuses.get("ok", 0)
    requests = cell.requests_class_a, cell.requests_class_b
    return CellSummary(
        key=cell.key,
        units=int(np.count_nonzero(~np.isnan(cell.mbps))),
        ok=ok,
        statuses=cell.statuses,
        median_mbps=intervals.quantile(cell.mbps, 0.5),
        interval=intervals.median_interval(cell.mbps, rule),
        p10_mbps=intervals.quantile(cell.mbps, 0.1),
        p90_mbps=intervals.quantile(cell.mbps, 0.9),
        min_mbps=intervals.quantile(cell.mbps, 0.0),
        max_mbps=intervals.quantile(cell.mbps, 1.0),
        first_done_s=intervals.quantile(cell.duration_s, 0.0),
        last_done_s=intervals.quantile(cell.duration_s, 1.0),
        p50_duration_s=intervals.quantile(cell.duration_s, 0.5),
        failure_rate=(ended - ok) / ended if ended else None,
        failure_interval=intervals.rate_interval(ended - ok, ended, rule) if ended else None,
        requests_per_gb=prices.requests_per_gb(*requests, cell.size_bytes),
        dollars_per_gb=prices.dollars_per_gb(
            cell.provider or panel.provider, *requests, cell.size_bytes, panel.direction
        ),
        same_as=cell.same_as,
        reasons=cell.reasons,
    )


def has_values(values: Floats) -> bool:
    """True where at least one unit has one."""
    return bool(np.any(~np.isnan(values)))

"""The fleet beside the published one, as Markdown. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np
from scipy import stats
from tabulate import tabulate

from bench import grid
from bench.fleet.draw import LEAST_MBPS, MOST_MBPS, Node, published
from bench.fleet.gather import Seen
from bench.fleet.measure import LEAST_DOWN_MBPS, LEAST_UP_MBPS
from hps.report.pictures import correlation

Values = Sequence[float | None]
_HEADERS = ("", "nodes", "RTT, ms", "download, Mbps", "upload, Mbps", "upload =", "r")
_LEVEL = 0.95
_LATE_S = 0.05


def text(
    nodes: Sequence[Node],
    entries: Sequence[Mapping[str, Any]],
    seen: Mapping[str, Seen],
    size_mib: int,
) -> str:
    """The table and what has to be known of it; `entries` are those of `measure`."""
    known = [(node, seen[node.machine_id]) for node in nodes if node.machine_id in seen]
    ran = [(node, one) for node, one in known if _moved(one)]
    rows = [
        _published(),
        _of_nodes("drawn", nodes, capped=False),
        _of_nodes(f"links, at most {MOST_MBPS:g} Mbps", nodes, capped=True),
        _of_probes([one for _, one in known]),
        _of_nodes("links of the nodes that ran", [node for node, _ in ran], capped=True),
        _of_operations(f"`hps`, {size_mib} MiB", [one for _, one in ran]),
    ]
    table = tabulate(rows, headers=_HEADERS, tablefmt="github", disable_numparse=True)
    return "\n\n".join((table, _NOTES, _counts(nodes, entries), _shares(ran)))


_NOTES = (
    "Means over nodes. The line is fitted by least squares, its slope with a "
    f"{100 * _LEVEL:.0f} % interval. Nodes are drawn so that round-trip times, downloads and "
    "uploads follow the published histograms and r is the published one, no rate below "
    f"{LEAST_MBPS:g} Mbps. A link's rate counts whole packets: at most "
    f"{100 * grid.PAYLOAD_SHARE:.1f} % of it is payload."
)


def _moved(one: Seen) -> bool:
    return one.up_mbps is not None and one.down_mbps is not None


def _published() -> list[str]:
    data = published()
    line = data["trend"]
    return [
        "published",
        str(sum(data["rtt_ms"]["counts"])),
        *(f"{data[name]['mean']:.1f}" for name in ("rtt_ms", "download_mbps", "upload_mbps")),
        f"{line['intercept']:.1f} + {line['slope']:.3f} x download",
        f"{line['r']:.2f}",
    ]


def _of_nodes(name: str, nodes: Sequence[Node], *, capped: bool) -> list[str]:
    down = [node.link.down_mbps if capped else node.down_mbps for node in nodes]
    up = [node.link.up_mbps if capped else node.up_mbps for node in nodes]
    return _row(name, [node.rtt_ms for node in nodes], down, up)


def _of_probes(seen: Sequence[Seen]) -> list[str]:
    down, up = [one.probe_down_mbps for one in seen], [one.probe_up_mbps for one in seen]
    return _row("`hps`, probe", [one.rtt_ms for one in seen], down, up)


def _of_operations(name: str, seen: Sequence[Seen]) -> list[str]:
    down, up = [one.down_mbps for one in seen], [one.up_mbps for one in seen]
    return _row(name, [one.rtt_ms for one in seen], down, up)


def _row(name: str, rtt_ms: Values, down: Values, up: Values) -> list[str]:
    return [name, str(len(rtt_ms)), *(_mean(values) for values in (rtt_ms, down, up)),
            *_line(down, up)]  # fmt: skip


def _mean(values: Values) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.1f}" if known else "-"


def _line(down: Values, up: Values) -> tuple[str, str]:
    """The fitted line, and r; dashes where there are too few nodes."""
    fitted = correlation.fit(np.array(down, dtype=float), np.array(up, dtype=float))
    if fitted is None:
        return "-", "-"
    quantile = float(stats.t.ppf((1 + _LEVEL) / 2, fitted.n - 2))
    half = quantile * fitted.residual_sd / fitted.sum_squares_x**0.5
    sign = "-" if fitted.slope < 0 else "+"
    slope = f"{sign} {abs(fitted.slope):.3f} (± {half:.3f}) x download"
    return f"{fitted.intercept:.1f} {slope}", f"{fitted.r:.2f}"


def _counts(nodes: Sequence[Node], entries: Sequence[Mapping[str, Any]]) -> str:
    outcomes = Counter(entry["outcome"] for entry in entries)
    slower = sum(
        node.link.up_mbps < LEAST_UP_MBPS or node.link.down_mbps < LEAST_DOWN_MBPS for node in nodes
    )
    capped = sum(node.capped for node in nodes)
    dropped = sum(entry["kernel_drops"] > 0 for entry in entries)
    late = sum(entry["most_late_s"] > _LATE_S for entry in entries)
    void = sum(bool(entry["void"]) for entry in entries)
    lines = [
        f"nodes drawn: {len(nodes)}, {capped} of them with a rate above {MOST_MBPS:g} Mbps, "
        f"which is cut to that",
        f"rejected by the filters ({LEAST_UP_MBPS} Mbps up, {LEAST_DOWN_MBPS} Mbps down): "
        f"{outcomes['rejected']}; links slower than these: {slower}",
        f"ran: {outcomes['ran']}; with an operation that is not ok: {outcomes['not ok']}; "
        f"without an end: {len(nodes) - len(entries)}",
        f"links that this machine was too slow for (packets dropped unseen): {dropped}; "
        f"with packets more than {1000 * _LATE_S:.0f} ms late at some time: {late}; "
        f"void, since it had too little to spare during a transfer: {void}",
    ]
    return "\n".join(f"- {line}" for line in lines)


def _shares(ran: Sequence[tuple[Node, Seen]]) -> str:
    """What part of the links' payload rates the operations came to."""
    if not ran:
        return "No node moved its file."
    up = [(one.up_mbps or 0) / grid.payload_mbps(node.link, "up") for node, one in ran]
    down = [(one.down_mbps or 0) / grid.payload_mbps(node.link, "down") for node, one in ran]
    return (
        f"Median share of what the link can carry: uploads {100 * median(up):.0f} %, downloads "
        f"{100 * median(down):.0f} %; the rest is starting, the first round trips, and ending."
    )

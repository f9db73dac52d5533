"""Measured cases -> the table of what settings gain. Pure."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tabulate import tabulate

from bench.link.settings import WAYS
from bench.settings import gain
from bench.settings.cases import MIB, Setting

Case = Mapping[str, Any]
PUBLISHED = "published"
CORES = os.cpu_count() or 1
_HEADERS = ("link", "", "MiB", "published ran", "Mbps", "declared ran", "Mbps", "times",
            "best ran", "Mbps", "times the published", "least idle")  # fmt: skip
_HTTP_HEADERS = ("link", "", "setting", "HTTP/1.1, Mbps", "conns", "HTTP/2, Mbps", "conns",
                 "HTTP/1.1 over HTTP/2")  # fmt: skip
_NOTE = (
    "Ran: streams in flight x chunk, as the log shows, and TCP connections where they were others. "
    "Mbps: geometric means over {blocks} blocks (slowest to fastest), of the whole process. "
    "Times: ratios within blocks, with 95 % intervals; the best setting of each block is that of "
    "the other blocks. Least idle: of {cores} processors, during any of these transfers."
)


def text(measured: Sequence[Case]) -> str:
    """The gains, and HTTP/1.1 against HTTP/2 where it was measured."""
    rows = [row for case in measured for way in WAYS for row in _row(case, way)]
    parts = [drawn(rows, _HEADERS), _note(measured)]
    http = [row for case in measured for way in WAYS for row in _http_rows(case, way)]
    if http:
        parts.append(drawn(http, _HTTP_HEADERS))
    return "\n\n".join(parts)


def failures(measured: Sequence[Case]) -> list[str]:
    """A line for each transfer that failed, and for each link that lost packets unseen."""
    lines = [
        f"{case['name']}, {one['way']}, {_name(one)}: {one['why']}"
        for case in measured
        for one in case["transfers"]
        if one["mbps"] is None
    ]
    return lines + [
        f"{case['name']}: {case['kernel_drops']} packets were dropped before the link"
        for case in measured
        if case["kernel_drops"]
    ]


def rates(case: Case, way: str) -> dict[str, list[float | None]]:
    """Mbps by the name of the setting, one for each block."""
    found: dict[str, list[float | None]] = {}
    for one in case["transfers"]:
        if one["way"] == way:
            of_setting = found.setdefault(_name(one), [None] * case["case"]["blocks"])
            of_setting[one["block"]] = one["mbps"]
    return found


def _row(case: Case, way: str) -> Iterator[list[str]]:
    """The best is looked for among all that `hps` ran, the declared setting too."""
    found = rates(case, way)
    published = found.pop(PUBLISHED)
    declared = Setting(**case["declared"]).name
    best = gain.best(found)
    yield [
        case["name"],
        way,
        f"{case['case']['size_bytes'] // MIB}",
        _ran(case, way, PUBLISHED),
        _mbps(published),
        _ran(case, way, declared),
        _mbps(found.get(declared, [])),
        _times(gain.gain(found[declared], published) if declared in found else None),
        "" if best is None else _ran(case, way, best),
        "" if best is None else _mbps(found[best]),
        _times(gain.gain_of_best(found, published)),
        _least_idle(case, way),
    ]


def _http_rows(case: Case, way: str) -> Iterator[list[str]]:
    found = rates(case, way)
    for name, plain in found.items():
        folded = found.get(f"{name}, HTTP/2")
        if folded is not None:
            yield [
                case["name"],
                way,
                name,
                _mbps(plain),
                _most_common(case, way, name, "connections"),
                _mbps(folded),
                _most_common(case, way, f"{name}, HTTP/2", "connections"),
                _times(gain.gain(plain, folded)),
            ]


def _name(transfer: Mapping[str, Any]) -> str:
    return PUBLISHED if transfer["setting"] is None else Setting(**transfer["setting"]).name


def _ran(case: Case, way: str, name: str) -> str:
    """What really ran, in most of the blocks: `4 x 10 MiB`."""
    kinds: Counter[str] = Counter(
        f"{one['streams']} x {one['chunk_bytes'] / MIB:.3g} MiB" + _folded(one)
        for one in case["transfers"]
        if one["way"] == way and _name(one) == name and one["mbps"] is not None
    )
    return kinds.most_common(1)[0][0] if kinds else "nothing"


def _folded(transfer: Mapping[str, Any]) -> str:
    count = transfer["connections"]
    if count is None or count == transfer["streams"]:
        return ""
    return f" on {count} connection{'' if count == 1 else 's'}"


def _most_common(case: Case, way: str, name: str, what: str) -> str:
    values = Counter(
        one[what] for one in case["transfers"] if one["way"] == way and _name(one) == name
    )
    return f"{values.most_common(1)[0][0]}"


def _mbps(found: gain.Rates) -> str:
    mean, known = gain.mean(found), [rate for rate in found if rate]
    return "" if mean is None else f"{mean:.1f} ({min(known):.1f} to {max(known):.1f})"


def _times(found: gain.Gain | None) -> str:
    return "" if found is None else found.text()


def _least_idle(case: Case, way: str) -> str:
    return f"{min(one['idle_cores'] for one in case['transfers'] if one['way'] == way):.2f}"


def _note(measured: Sequence[Case]) -> str:
    late_s = max(case["mean_late_s"] for case in measured)
    return (
        _NOTE.format(blocks=_blocks(measured), cores=CORES)
        + f" Packets left at most {1000 * late_s:.2f} ms late, as a mean of a link."
    )


def _blocks(measured: Sequence[Case]) -> str:
    return " or ".join(map(str, sorted({case["case"]["blocks"] for case in measured})))


def drawn(rows: Sequence[Sequence[str]], headers: Sequence[str]) -> str:
    """A table for a terminal and for Markdown, its cells as they are."""
    return tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True)

"""Throughput over concurrency, a line for each class of round-trip time, with its interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hps.compare.comparison import Comparison, Findings, Key
from hps.report import tables, values
from hps.report.pictures import marks
from hps.report.pictures.picture import Drawn, Gap, Layer, Paint, Picture, Row, colours, number, tip

AXIS = "concurrency"
RTT = "RTT "
_TIPS = (
    tip("of", "nodes"),
    tip("streams", "concurrency"),
    tip("mbps", "median Mbps", ",.1f"),
    tip("low", "from", ",.1f"),
    tip("high", "to", ",.1f"),
    tip("units", "n"),
)


def draw(findings: Findings, paint: Paint) -> Sequence[Drawn]:
    """A picture for each kind of operation; its lines are the classes of `--strata rtt`, or one."""
    if AXIS not in findings.by:
        return (_gap("concurrency is not among what is compared"),)
    shown: list[Comparison] = []
    pictures: list[Picture] = []
    for comparison in tables.main(findings):
        if not any(tables.same_kind(comparison, other) for other in shown):
            shown.append(comparison)
            pictures.extend(_picture(comparison, _classes(comparison, findings), paint))
    return pictures or (_gap("no comparison has two values of concurrency"),)


def _gap(reason: str) -> Gap:
    sentence = f"Throughput over concurrency is not drawn: {reason}."
    return Gap(name="concurrency", section="settings", reason=sentence)


def _classes(comparison: Comparison, findings: Findings) -> list[Comparison]:
    """The comparisons of this kind by class of round-trip time; without any, this one alone."""
    alike = [one for one in findings.comparisons if tables.same_kind(one, comparison)]
    return [one for one in alike if one.stratum.startswith(RTT)] or [comparison]


def _picture(whole: Comparison, classes: Sequence[Comparison], paint: Paint) -> Iterator[Picture]:
    """The picture, if at least two values of concurrency have been measured."""
    rest = values.without(tables.best(whole) or {}, AXIS)
    rows = [row for one in classes for row in _rows(one, rest)]
    streams = sorted({int(str(row["streams"])) for row in rows})
    if len(streams) < 2:
        return
    by_class = any(one.stratum for one in classes)
    kind = tables.name(whole) if not whole.stratum else whole.step
    at = f" at {values.phrase(rest)}" if rest else ""
    yield Picture(
        name=tables.slug("concurrency", kind),
        section="settings",
        title=f"{kind}: throughput over concurrency" + (" by round-trip time" * by_class),
        note=f"Median over nodes{at}. Bands: intervals of the median"
        f"{'; none where nodes are too few' if any(row['low'] is None for row in rows) else ''}.",
        finding=f"{kind}{at}: {_tops(rows)}.",
        layers=_layers(rows, streams, paint),
        height=320,
    )


def _rows(comparison: Comparison, rest: Key) -> Iterator[Row]:
    """The cells that differ from the chosen one in nothing but a number for concurrency."""
    for cell in tables.measured(comparison):
        if cell.median_mbps is None or values.without(cell.key, AXIS) != rest:
            continue
        if not isinstance(cell.key[AXIS], int):
            continue  # the tool's own, or unknown: it has no place on the axis
        span = cell.interval
        yield {
            "of": comparison.stratum or "all nodes",
            "streams": cell.key[AXIS],
            "mbps": round(cell.median_mbps, 2),
            "low": None if span is None else round(span.low, 2),
            "high": None if span is None else round(span.high, 2),
            "units": cell.units,
        }


def _tops(rows: Sequence[Row]) -> str:
    tops: dict[str, Row] = {}
    for row in rows:
        name = str(row["of"])
        if name not in tops or float(str(row["mbps"])) > float(str(tops[name]["mbps"])):
            tops[name] = row
    of_each = (f"{name} {top['mbps']} Mbps with {top['streams']}" for name, top in tops.items())
    return f"the highest median by concurrency is, for {'; for '.join(of_each)}"


def _layers(rows: Sequence[Row], streams: Sequence[int], paint: Paint) -> list[Layer]:
    classes = list(dict.fromkeys(str(row["of"]) for row in rows))
    shown = [paint.series[place % len(paint.series)] for place in range(len(classes))]
    colour = colours("of", classes, shown)
    scale = {"type": "log", "base": 2, "domain": [streams[0], streams[-1]], "nice": False}
    axis = {"values": list(streams), "format": "d", "grid": False}
    x = number("streams", "concurrency (chunks of one file in flight)", scale=scale, axis=axis)
    y = number("mbps", "Throughput Mbps", scale={"zero": True}, axis={"tickCount": 6})
    return [
        marks.band(rows, x, number("low"), "high", colour),
        marks.line(rows, x, y, colour),
        marks.dots(rows, x, y, colour, _TIPS, size=70),
    ]

"""The two histograms of the published benchmark, of any fleet: same axes, same bins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from hps.compare.comparison import Findings, FleetNode, Floats
from hps.report.pictures import correlation, histogram, marks
from hps.report.pictures.histogram import Histogram
from hps.report.pictures.picture import Drawn, Gap, Layer, Paint, Picture, Row, colours, number

BIN_MS = 20.0
BIN_MBPS = 20.0
RTT_AXIS = "RTT ms"
RATE_AXIS = "Throughput Mbps"


def draw(findings: Findings, paint: Paint) -> Sequence[Drawn]:
    """The histograms of round-trip time and throughput, and upload over download."""
    nodes = [node for node in findings.nodes if _is_measured(node)]
    return (rtt(nodes, paint), throughput(nodes, paint), correlation.draw(nodes, paint))


def _is_measured(node: FleetNode) -> bool:
    """A node that was rejected has a round-trip time, and is not of the fleet."""
    return node.accepted or node.upload_mbps is not None or node.download_mbps is not None


def rtt(nodes: Sequence[FleetNode], paint: Paint) -> Drawn:
    """The histogram of the nodes' round-trip times, with density and mean."""
    rtts_ms = _known([None if node.rtt_s is None else node.rtt_s * 1000 for node in nodes])
    if not len(rtts_ms):
        return Gap(name="rtt", section="fleet", reason="No round-trip times: no node's is known.")
    mean = float(rtts_ms.mean())
    bins = histogram.count(rtts_ms, histogram.bin_width(rtts_ms, BIN_MS))
    title = f"Average Round-Trip Time (RTT): {mean:.0f} ms"
    return Picture(
        name="rtt",
        section="fleet",
        title=title,
        note=f"n = {len(rtts_ms):,} nodes, bins of {bins.width:g} ms; curve: density; "
        f"dashed: mean.{bins.not_drawn('ms')}",
        finding=f"{title}. Half of {len(rtts_ms):,} nodes lie below {np.median(rtts_ms):.0f} ms, "
        f"nine tenths below {np.quantile(rtts_ms, 0.9):.0f} ms.",
        layers=[
            marks.bins(list(_bars(bins)), RTT_AXIS, paint.green),
            *_curve(rtts_ms, bins, paint.green),
            marks.rule("x", [mean], number("low", RTT_AXIS), paint.ink, dashed=True),
        ],
    )


def throughput(nodes: Sequence[FleetNode], paint: Paint) -> Drawn:
    """The histograms of the nodes' download and upload throughput, one over the other."""
    download = _known([node.download_mbps for node in nodes])
    upload = _known([node.upload_mbps for node in nodes])
    rates = {name: way for name, way in (("DL", download), ("UL", upload)) if len(way)}
    if not rates:
        nothing = "No rates of nodes: none finished an upload or a download."
        return Gap(name="throughput", section="fleet", reason=nothing)
    width = histogram.bin_width(np.concatenate(list(rates.values())), BIN_MBPS)
    bins = {name: histogram.count(values, width) for name, values in rates.items()}
    means = ", ".join(f"{values.mean():.0f} Mbps" for values in rates.values())
    title = f"Average {' and '.join(rates)} Throughput: {means}"
    sizes = ", ".join(f"{len(values):,} ({name})" for name, values in rates.items())
    beyond = "".join(bins[name].not_drawn(f"Mbps ({name})") for name in rates)
    return Picture(
        name="throughput",
        section="fleet",
        title=title,
        note=f"n = {sizes} nodes, each with its median; bins of {width:g} Mbps; "
        f"curves: density.{beyond}",
        finding=f"{title}. {_halves(rates)}",
        layers=_overlaid(rates, bins, {"DL": paint.red, "UL": paint.blue}),
    )


def _overlaid(
    rates: Mapping[str, Floats], bins: Mapping[str, Histogram], shown: Mapping[str, str]
) -> list[Layer]:
    words = {"DL": "Download", "UL": "Upload"}
    rows = [{**bar, "way": words[name]} for name in rates for bar in _bars(bins[name])]
    colour = colours("way", [words[name] for name in rates], [shown[name] for name in rates])
    curves = [_curve(values, bins[name], shown[name]) for name, values in rates.items()]
    return [marks.bins(rows, RATE_AXIS, colour), *(layer for curve in curves for layer in curve)]


def _known(values: Sequence[float | None]) -> Floats:
    return np.array([value for value in values if value is not None], dtype=np.float64)


def _bars(bins: Histogram) -> Iterator[Row]:
    for place, nodes in enumerate(bins.counts.tolist()):
        low = bins.start + place * bins.width
        yield {"low": low, "high": low + bins.width, "nodes": nodes}


def _curve(values: Floats, bins: Histogram, colour: str) -> list[Layer]:
    curve = histogram.curve(values, bins)
    if curve is None:
        return []
    x, y = curve
    rows = [
        {"low": round(at, 2), "nodes": round(height, 3)}
        for at, height in zip(x.tolist(), y.tolist(), strict=True)
    ]
    return [marks.line(rows, number("low"), number("nodes"), colour)]


def _halves(rates: Mapping[str, Floats]) -> str:
    words = {"DL": "download", "UL": "upload"}
    halves = (f"{np.median(values):.0f} Mbps in {words[name]}" for name, values in rates.items())
    return f"Half of the nodes reach {' and '.join(halves)}."

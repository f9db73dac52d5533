"""Upload against download, node by node, with the trend and the band of its mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from hps.analyze import histogram, trend
from hps.analyze.comparison import FleetNode, Floats
from hps.analyze.trend import Trend
from hps.report.pictures import marks
from hps.report.pictures.paint import Paint
from hps.report.pictures.picture import Channel, Drawn, Gap, Layer, Picture, number, tip

# More points than this hide one another, and make a page slow to open.
MOST_POINTS = 2000
X_AXIS = "Download Throughput Mbps"
Y_AXIS = "Upload Throughput Mbps"
_FAINT = {"type": "sqrt", "range": [0.08, 1]}
TITLE = "Correlation between Download and Upload Throughput"


def draw(nodes: Sequence[FleetNode], paint: Paint) -> Drawn:
    """The picture; each node has a dot, and a large fleet is counted in squares."""
    both = [(node, node.download_mbps, node.upload_mbps) for node in nodes]
    known = [(node, x, y) for node, x, y in both if x is not None and y is not None]
    download = np.array([x for _, x, _ in known], dtype=np.float64)
    upload = np.array([y for _, _, y in known], dtype=np.float64)
    fitted = trend.fit(download, upload)
    if fitted is None:
        few = "No correlation: fewer than three nodes have both a download and an upload."
        return Gap(name="correlation", section="fleet", reason=few)
    says = f"upload = {fitted.intercept:.1f} + {fitted.slope:.3f}·download, r = {fitted.r:.2f}"
    dense = len(known) > MOST_POINTS
    how = "squares: how many nodes" if dense else "a dot for each node"
    places = _squares(download, upload) if dense else _dots(known)
    return Picture(
        name="correlation",
        section="fleet",
        title=TITLE,
        note=f"{says}, n = {fitted.n:,} nodes; {how}; band: 95 % interval of the trend.",
        finding=f"Over {fitted.n:,} nodes {says}.",
        layers=[
            _density(places, paint) if dense else _scatter(places, paint),
            *_trend(fitted, download, paint),
        ],
        height=360,
    )


def _trend(fitted: Trend, x: Floats, paint: Paint) -> list[Layer]:
    at = np.linspace(x.min(), x.max(), 40)
    low, high = trend.band(fitted, at)
    columns = (at, trend.line(fitted, at), low, high)
    rows = [
        dict(zip(("download", "upload", "low", "high"), np.round(values, 2).tolist(), strict=True))
        for values in zip(*columns, strict=True)
    ]
    return [
        marks.band(rows, number("download"), number("low"), "high", paint.red),
        marks.line(rows, number("download"), number("upload"), paint.red),
    ]


def _dots(
    known: Sequence[tuple[FleetNode, float, float]],
) -> list[Mapping[str, object]]:
    return [
        {
            "download": round(download, 2),
            "upload": round(upload, 2),
            "node": node.machine_id,
            "country": node.country or "unknown",
        }
        for node, download, upload in known
    ]


def _squares(download: Floats, upload: Floats) -> list[Mapping[str, object]]:
    across, up = histogram.bin_width(download, 20.0), histogram.bin_width(upload, 20.0)
    places = zip((download // across).tolist(), (upload // up).tolist(), strict=True)
    return [
        {
            "download": x * across,
            "right": (x + 1) * across,
            "upload": y * up,
            "top": (y + 1) * up,
            "nodes": nodes,
        }
        for (x, y), nodes in sorted(Counter(places).items())
    ]


def _scatter(rows: Sequence[Mapping[str, object]], paint: Paint) -> Layer:
    tips = [tip("node", "node"), tip("country", "country"), *_rates()]
    size = 36 if len(rows) <= 500 else 16
    return marks.dots(rows, *_axes(), paint.blue, tips, size=size, opacity=0.55)


def _density(rows: Sequence[Mapping[str, object]], paint: Paint) -> Layer:
    x, y = _axes()
    return Layer(
        rows=rows,
        mark={"type": "rect", "color": paint.blue},
        channels={
            "x": {**x, "bin": {"binned": True}},
            "x2": {"field": "right"},
            "y": {**y, "bin": {"binned": True}},
            "y2": {"field": "top"},
            "opacity": number("nodes", "nodes", scale=_FAINT, legend={"tickCount": 3}),
            "tooltip": [tip("nodes", "nodes"), *_rates()],
        },
    )


def _axes() -> tuple[Channel, Channel]:
    across = number("download", X_AXIS, axis={"tickCount": 8, "grid": False})
    return across, number("upload", Y_AXIS, axis={"tickCount": 6})


def _rates() -> list[Channel]:
    return [tip("download", "download Mbps", ",.1f"), tip("upload", "upload Mbps", ",.1f")]

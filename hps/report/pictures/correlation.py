"""Upload against download, node by node, with the trend and the band of its mean."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from hps.compare.comparison import FleetNode, Floats
from hps.report.pictures import histogram, marks
from hps.report.pictures.picture import Channel, Drawn, Gap, Layer, Paint, Picture, number, tip

# -------------------------------------------------------------------------------------------------
# A straight line through points, and how sure its mean is. Pure.

FEWEST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """The line y = `intercept` + `slope` x, fitted to `n` points by least squares.

    `r` is Pearson's correlation, 0 where all y are alike. `mean_x`, `sum_squares_x` (of the
    distances from that mean) and `residual_sd` are what the band is made of.
    """

    n: int
    intercept: float
    slope: float
    r: float
    mean_x: float
    sum_squares_x: float
    residual_sd: float


def fit(x: Floats, y: Floats) -> Trend | None:
    """The trend of y over x, both of shape (n,); a pair with a NaN is left out.

    None where fewer than three points remain or all x are alike.
    """
    known = ~(np.isnan(x) | np.isnan(y))
    x, y = x[known], y[known]
    if len(x) < FEWEST or np.ptp(x) == 0:
        return None
    from_mean_x, from_mean_y = x - x.mean(), y - y.mean()
    squares_x, squares_y = float(from_mean_x @ from_mean_x), float(from_mean_y @ from_mean_y)
    products = float(from_mean_x @ from_mean_y)
    slope = products / squares_x
    residuals = from_mean_y - slope * from_mean_x
    return Trend(
        n=len(x),
        intercept=float(y.mean() - slope * x.mean()),
        slope=slope,
        r=products / math.sqrt(squares_x * squares_y) if squares_y > 0 else 0.0,
        mean_x=float(x.mean()),
        sum_squares_x=squares_x,
        residual_sd=math.sqrt(float(residuals @ residuals) / (len(x) - 2)),
    )


def line(trend: Trend, at: Floats) -> Floats:
    """The fitted mean at each x, shape (n,)."""
    return trend.intercept + trend.slope * at


def band(trend: Trend, at: Floats, level: float = 0.95) -> tuple[Floats, Floats]:
    """The lower and upper limits of the fitted mean at each x, each of shape (n,).

    At any one x they hold the true mean at `level`, where the points scatter normally about a
    straight line: fit ± t(n - 2) · s · sqrt(1/n + (x - mean)² / sum of squares).
    """
    quantile = float(special.stdtrit(trend.n - 2, (1 + level) / 2))
    distance = (at - trend.mean_x) ** 2 / trend.sum_squares_x
    half = quantile * trend.residual_sd * np.sqrt(1 / trend.n + distance)
    middle = line(trend, at)
    return middle - half, middle + half


# -------------------------------------------------------------------------------------------------

# More points than this hide one another, and make a page slow to open.
MOST_POINTS = 2000
X_AXIS = "Download Throughput Mbps"
Y_AXIS = "Upload Throughput Mbps"
_FAINT = {"type": "sqrt", "range": [0.08, 1]}
TITLE = "Correlation between Download and Upload Throughput"


def draw(nodes: Sequence[FleetNode], paint: Paint) -> Drawn:
    """Upload over download, a dot for each node; a large fleet is counted in squares."""
    both = [(node, node.download_mbps, node.upload_mbps) for node in nodes]
    known = [(node, x, y) for node, x, y in both if x is not None and y is not None]
    download = np.array([x for _, x, _ in known], dtype=np.float64)
    upload = np.array([y for _, _, y in known], dtype=np.float64)
    fitted = fit(download, upload)
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
    low, high = band(fitted, at)
    columns = (at, line(fitted, at), low, high)
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

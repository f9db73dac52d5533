"""A straight line through points, and how sure its mean is. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from hps.analyze.comparison import Floats

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
    quantile = float(stats.t.ppf((1 + level) / 2, trend.n - 2))
    distance = (at - trend.mean_x) ** 2 / trend.sum_squares_x
    half = quantile * trend.residual_sd * np.sqrt(1 / trend.n + distance)
    middle = line(trend, at)
    return middle - half, middle + half

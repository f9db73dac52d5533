"""The line through points: known ones are found, and its band holds as often as it says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from hps.compare.comparison import Floats
from hps.report.pictures import correlation
from hps.report.pictures.correlation import Trend
from tests.report.published import DATA, centres

INTERCEPT, SLOPE, R = (DATA["trend"][name] for name in ("intercept", "slope", "r"))
FLEETS = 1000
# Where the band is looked at, Mbps: at both ends and in the middle.
AT = np.array([20.0, 239.0, 520.0])


def _fleet(seed: int) -> tuple[Floats, Floats]:
    """As many nodes as were published, with their downloads and their trend."""
    rng = np.random.default_rng(seed)
    download = centres("download_mbps") + rng.uniform(-10, 10, 224)
    noise = SLOPE * download.std() * math.sqrt(1 / R**2 - 1)
    return download, INTERCEPT + SLOPE * download + rng.normal(0, noise, 224)


def _fitted(x: Floats, y: Floats) -> Trend:
    fitted = correlation.fit(x, y)
    assert fitted is not None
    return fitted


@pytest.fixture(scope="module")
def fits() -> list[Trend]:
    return [_fitted(*_fleet(seed)) for seed in range(FLEETS)]


def test_the_published_trend_is_recovered(fits: list[Trend]) -> None:
    for name, true in (("intercept", INTERCEPT), ("slope", SLOPE), ("r", R)):
        found = np.array([getattr(fit, name) for fit in fits])
        error = found.std() / math.sqrt(FLEETS)
        # The sample correlation is a little too low on average, by r (1 - r²) / 2n.
        bias = R * (1 - R**2) / (2 * 224) if name == "r" else 0.0
        assert abs(found.mean() - true) < 4 * error + bias, name


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_band_holds_the_true_mean_as_often_as_it_says(fits: list[Trend], level: float) -> None:
    true = INTERCEPT + SLOPE * AT
    held = np.zeros(len(AT))
    for fit in fits:
        low, high = correlation.band(fit, AT, level)
        held += (low <= true) & (true <= high)
    error = math.sqrt(level * (1 - level) / FLEETS)
    assert np.all(np.abs(held / FLEETS - level) < 4 * error), held / FLEETS


def test_the_fit_is_the_one_that_scipy_finds() -> None:
    x, y = _fleet(7)
    fitted, known = _fitted(x, y), stats.linregress(x, y)
    assert fitted.slope == pytest.approx(known.slope)
    assert fitted.intercept == pytest.approx(known.intercept)
    assert fitted.r == pytest.approx(known.rvalue)
    # At x = 0 the band is the interval of the intercept.
    low, high = correlation.band(fitted, np.array([0.0]))
    assert high - low == pytest.approx(2 * stats.t.ppf(0.975, 222) * known.intercept_stderr)


def test_points_on_a_line_leave_no_doubt() -> None:
    x = np.array([1.0, 2.0, 3.0, 4.0])
    fitted = _fitted(x, 3 - 2 * x)
    assert (fitted.intercept, fitted.slope, fitted.r) == pytest.approx((3, -2, -1))
    low, high = correlation.band(fitted, x)
    assert high - low == pytest.approx(np.zeros(4), abs=1e-9)
    assert correlation.line(fitted, x) == pytest.approx(3 - 2 * x)


def test_values_all_alike_have_no_correlation() -> None:
    fitted = _fitted(np.array([1.0, 2.0, 3.0]), np.array([5.0, 5.0, 5.0]))
    assert (fitted.slope, fitted.r, fitted.residual_sd) == (0, 0, 0)


def test_what_is_not_known_is_left_out() -> None:
    x = np.array([1.0, 2.0, np.nan, 3.0, 4.0])
    y = np.array([1.0, np.nan, 9.0, 3.0, 4.0])
    assert _fitted(x, y).n == 3


@pytest.mark.parametrize("x", [[], [1.0, 2.0], [2.0, 2.0, 2.0], [1.0, 2.0, np.nan]])
def test_too_little_has_no_trend(x: list[float]) -> None:
    assert correlation.fit(np.array(x), np.array(x)) is None

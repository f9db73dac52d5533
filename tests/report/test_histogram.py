"""Counts in bins, and the curve through them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.report.pictures import histogram
from tests.report.published import DATA, centres


@pytest.mark.parametrize("name", ["rtt_ms", "download_mbps", "upload_mbps"])
def test_published_bins_come_out_as_they_went_in(name: str) -> None:
    bins = histogram.count(centres(name), 20.0)
    counts = np.trim_zeros(np.array(DATA[name]["counts"]), "b")
    assert bins.counts.tolist() == counts.tolist()
    assert (bins.start, bins.width, bins.beyond) == (0, 20, 0)


def test_a_bin_holds_its_lower_edge_alone() -> None:
    assert histogram.count(np.array([0.0, 19.9, 20.0, 40.0]), 20.0).counts.tolist() == [2, 1, 1]


@given(st.lists(st.floats(0, 1e7), min_size=1, max_size=200))
def test_no_value_is_lost(values: list[float]) -> None:
    array = np.array(values)
    bins = histogram.count(array, histogram.bin_width(array, 20.0))
    assert bins.counts.sum() + bins.beyond == len(values)
    assert len(bins.counts) <= histogram.MOST_BINS


def test_bins_grow_with_rates_that_would_need_too_many() -> None:
    rng = np.random.default_rng(1)
    fast = rng.uniform(5_000, 9_000, 1000)
    assert histogram.bin_width(fast, 20.0) == 100
    assert histogram.bin_width(np.append(rng.uniform(0, 900, 999), 1e6), 20.0) == 20


def test_a_far_value_is_counted_beyond_the_bins() -> None:
    bins = histogram.count(np.array([1.0, 2.0, 1e6]), 20.0)
    assert (len(bins.counts), bins.beyond, bins.end) == (100, 1, 2000)


def test_the_curve_encloses_as_much_as_the_bars() -> None:
    values = np.random.default_rng(3).normal(300, 40, 5000)
    bins = histogram.count(values, 20.0)
    curve = histogram.curve(values, bins)
    assert curve is not None
    x, y = curve
    area = (y[1:] + y[:-1]) @ np.diff(x) / 2
    assert area == pytest.approx(bins.counts.sum() * bins.width, rel=0.01)
    # And it is high where they are: at 300 the density of the normal distribution is known.
    peak = 5000 * 20 / (40 * np.sqrt(2 * np.pi))
    assert np.interp(300, x, y) == pytest.approx(peak, rel=0.1)


@pytest.mark.parametrize("values", [[], [5.0, 6.0], [5.0, 5.0, 5.0], [5.0, 5.0, 5.0 + 1e-12]])
def test_too_little_has_no_curve(values: list[float]) -> None:
    array = np.array(values)
    assert histogram.curve(array, histogram.count(array, 20.0)) is None

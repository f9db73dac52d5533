"""The statistics of comparisons in one place: intervals, tests of pairs, and sample sizes. Pure."""

from hps.analyze.intervals import median_interval, quantile, rate_interval
from hps.analyze.pair_tests import (
    PairTest,
    adjust,
    compare_all_paired,
    compare_paired,
    compare_unpaired,
)
from hps.analyze.sample_sizes import needed, smallest_n, smallest_n_unpaired

__all__ = [
    "PairTest",
    "adjust",
    "compare_all_paired",
    "compare_paired",
    "compare_unpaired",
    "median_interval",
    "needed",
    "quantile",
    "rate_interval",
    "smallest_n",
    "smallest_n_unpaired",
]

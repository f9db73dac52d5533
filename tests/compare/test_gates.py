"""Gates held against findings: pass, fail, no data, inconclusive, and never a pass by accident."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.compare.comparison import CellSummary, Change, Interval
from hps.compare.gates import GateResult, exit_code, judge, judge_all
from hps.spec.gates import parse
from tests.report.builders import (
    FAR,
    FAST,
    NEAR,
    SLOW,
    TWIN,
    WIDE,
    cell,
    change,
    comparison,
    findings,
    key,
)

EMPTY: dict[str, object] = {
    "units": 0,
    "ok": 0,
    "statuses": {},
    "interval": None,
    "failure_rate": None,
    "failure_interval": None,
    "dollars_per_gb": None,
}
GATES = (
    "throughput.p50>=0Mbps",
    "throughput.min<=100Gbps",
    "duration.last<=720h",
    "failures<=100%",
    "invalid<=100%",
    "cost<=1000000",
    "regression<=100%",
)


def _judge(gate: str, *cells: CellSummary) -> GateResult:
    return judge(parse(gate), findings(comparison(cells=cells)))


def _changed(gate: str, *changes: Change) -> GateResult:
    return judge(parse(gate), findings(comparison(), changes=changes))


def test_a_gate_holds_where_every_cell_meets_it() -> None:
    result = _judge("throughput.p50>=100Mbps", cell(SLOW, 100.0), cell(FAST, 200.0))
    assert result.outcome == "pass"
    assert result.reason == "in all 2 cells"
    assert [place.value for place in result.where] == [100.0, 200.0]


def test_one_cell_below_fails_it_and_comes_first() -> None:
    result = _judge("throughput.p50>=150Mbps", cell(FAST, 200.0), cell(SLOW, 100.0))
    assert result.outcome == "fail"
    assert result.reason == "in 1 of 2 cells"
    assert result.where[0].key == SLOW
    assert result.where[0].outcome == "fail"


def test_the_worst_of_an_upper_bound_is_the_largest() -> None:
    rates = (cell(SLOW, failure_rate=0.02), cell(FAST, failure_rate=0.2), cell(WIDE))
    result = _judge("failures<=1%", *rates)
    assert [place.value for place in result.where] == [0.2, 0.02, 0.0]
    assert result.reason == "in 2 of 3 cells"


@pytest.mark.parametrize(
    ("gate", "holds"),
    [
        ("throughput.min>=100Mbps", True),
        ("throughput.min>100Mbps", False),
        ("throughput.p10>=121Mbps", False),
        ("throughput.p90<=280Mbps", True),
        ("throughput.max<=299Mbps", False),
        ("duration.first<=5s", True),
        ("duration.p50<=8s", False),
        ("duration.last<20s", False),
        ("cost<=0.0375", True),
        ("cost<=0.0374", False),
        ("invalid<=1%", False),
        ("invalid<=2%", True),
        ("upload.throughput>=1Mbps", None),
    ],
)
def test_each_metric_is_its_own_number(gate: str, holds: bool | None) -> None:
    statuses = {"ok": 98, "invalid": 2, "interrupted": 900}
    expected = {True: "pass", False: "fail", None: "no data"}[holds]
    assert _judge(gate, cell(FAST, 200.0, statuses=statuses)).outcome == expected


def test_a_failure_outweighs_missing_data_and_missing_data_outweighs_a_pass() -> None:
    slow, fast, missing = cell(SLOW, 10.0), cell(FAST, 200.0), cell(WIDE, None, **EMPTY)
    assert _judge("throughput>=100Mbps", slow, fast, missing).outcome == "fail"
    result = _judge("throughput>=100Mbps", fast, missing)
    assert result.outcome == "no data"
    assert result.where[0].reason == "nothing was measured"
    assert result.where[0].value is None


def test_a_cell_in_which_everything_failed_does_not_pass() -> None:
    failed = cell(FAST, None, ok=0, statuses={"failed": 9}, failure_rate=1.0)
    result = _judge("throughput>=1Mbps", failed)
    assert (result.outcome, result.where[0].reason) == ("no data", "no operation was ok")
    assert _judge("failures<=1%", failed).outcome == "fail"


def test_what_was_measured_as_another_cell_is_judged_there() -> None:
    twin = cell(TWIN, None, same_as=SLOW, **EMPTY)
    assert _judge("throughput>=1Mbps", cell(SLOW), twin).outcome == "pass"
    assert _judge("throughput>=1Mbps", twin).outcome == "no data"


def test_unknown_prices_are_no_data() -> None:
    result = _judge("cost<=1000", cell(FAST, dollars_per_gb=None))
    assert (result.outcome, result.where[0].reason) == ("no data", "no prices are known")


def test_without_a_step_rates_are_asked_of_what_moves_payload() -> None:
    loaded = comparison(step="load", direction="none", cells=(cell(FAST, None),))
    both = findings(comparison(), loaded)
    assert judge(parse("throughput>=1Mbps"), both).outcome == "pass"
    assert judge(parse("load.throughput>=1Mbps"), both).outcome == "no data"
    assert judge(parse("duration<=1h"), both).outcome == "no data"
    assert judge(parse("download.duration<=1h"), both).outcome == "pass"


def test_every_stratum_has_to_meet_it() -> None:
    far = comparison(stratum=FAR, cells=(cell(FAST, 20.0),))
    result = judge(parse("throughput>=50Mbps"), findings(comparison(), far))
    assert result.outcome == "fail"
    assert result.where[0].stratum == FAR


@pytest.mark.parametrize(
    ("low", "high", "outcome"),
    [
        (0.96, 1.02, "pass"),
        (0.95, 1.02, "pass"),
        (0.94, 1.02, "inconclusive"),
        (0.90, 0.95, "inconclusive"),
        (0.80, 0.94, "fail"),
    ],
)
def test_a_regression_is_judged_by_where_its_interval_lies(
    low: float, high: float, outcome: str
) -> None:
    given_change = change((low + high) / 2, interval=Interval(low=low, high=high))
    assert _changed("regression<=5%", given_change).outcome == outcome


def test_a_regression_without_a_baseline_has_no_data() -> None:
    result = _changed("regression<=5%")
    assert result.outcome == "no data"
    assert "--baseline" in result.reason


def test_a_cell_without_a_counterpart_is_no_data_and_without_an_interval_inconclusive() -> None:
    alone = change(None, reason="not in the baseline")
    result = _changed("regression<=5%", change(), alone)
    assert (result.outcome, result.where[0].reason) == ("no data", "not in the baseline")
    assert _changed("regression<=5%", change(interval=None)).outcome == "inconclusive"


def test_a_regression_of_another_step_is_not_asked_for() -> None:
    slower = change(0.5)
    assert _changed("download.regression<=5%", slower).outcome == "fail"
    assert _changed("upload.regression<=5%", slower).outcome == "no data"


def test_declared_gates_are_about_their_own_experiment() -> None:
    first = replace(comparison(), shared={"experiment": "first"}, cells=(cell(FAST, 200.0),))
    second = replace(comparison(), shared={"experiment": "second"}, cells=(cell(FAST, 20.0),))
    both = findings(
        first,
        second,
        thresholds={"first": ("throughput>=100Mbps",), "second": ("throughput>=10Mbps",)},
    )
    assert [result.outcome for result in judge_all((), both)] == ["pass", "pass"]
    assert [result.source for result in judge_all((), both)] == ["first", "second"]
    given_gate = judge_all([parse("throughput>=100Mbps")], both)
    assert [result.outcome for result in given_gate] == ["fail", "pass", "pass"]


def test_cells_that_name_their_experiment_are_told_apart() -> None:
    cells = (
        cell({**key(), "experiment": "first"}, 200.0),
        cell({**key(), "experiment": "second"}, 20.0),
    )
    declared = {"first": ("throughput>=100Mbps",), "second": ("throughput>=100Mbps",)}
    found = findings(comparison(shared={}, cells=cells), thresholds=declared)
    assert [result.outcome for result in judge_all((), found)] == ["pass", "fail"]


def test_a_change_knows_its_experiment_from_its_comparison() -> None:
    one = comparison(shared={"experiment": "first"})
    found = findings(
        one, changes=(change(0.5),), thresholds={"second": ("regression<=5%",), "first": ()}
    )
    assert [result.outcome for result in judge_all((), found)] == ["no data"]


def test_a_declared_gate_that_cannot_be_read_has_no_data() -> None:
    found = findings(comparison(), thresholds={"sweep": ("latency<=5ms",)})
    (result,) = judge_all((), found)
    assert (result.outcome, result.metric) == ("no data", None)
    assert "unknown metric" in result.reason


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ((), 0),
        (("pass", "pass"), 0),
        (("pass", "no data"), 5),
        (("inconclusive",), 5),
        (("fail", "no data", "pass"), 4),
    ],
)
def test_exit_codes(outcomes: tuple[str, ...], code: int) -> None:
    plain = _judge("failures<=1%", cell())
    results = [replace(plain, outcome=outcome) for outcome in outcomes]  # type: ignore[arg-type]
    assert exit_code(results) == code


numbers = st.none() | st.floats() | st.just(math.nan)
intervals = st.none() | st.builds(Interval, low=st.floats(), high=st.floats())


@st.composite
def _empty_cells(draw: st.DrawFn) -> CellSummary:
    """A cell without a single measured value: None or NaN everywhere."""
    nothing = st.sampled_from([None, math.nan])
    names = ("p10_mbps", "p90_mbps", "first_done_s", "last_done_s", "p50_duration_s")
    values = {name: draw(nothing) for name in (*names, "min_mbps", "max_mbps")}
    rates = {"failure_rate": draw(nothing), "dollars_per_gb": draw(nothing)}
    return cell(FAST, None, **{**EMPTY, "median_mbps": draw(nothing), **values, **rates})


@given(st.lists(_empty_cells(), max_size=4), st.sampled_from(GATES), st.booleans())
def test_no_data_never_passes(cells: list[CellSummary], gate: str, missing: bool) -> None:
    panels = () if missing else (comparison(cells=tuple(cells)),)
    result = judge(parse(gate), findings(*panels))
    assert result.outcome == "no data"
    assert exit_code([result]) == 5


@given(
    st.lists(st.floats(0, 1000) | st.none(), min_size=1, max_size=6),
    st.floats(0, 1000, allow_subnormal=False).map(lambda bound: round(bound, 3)),
)
def test_a_pass_means_that_every_value_is_known_and_good(
    rates: list[float | None], bound: float
) -> None:
    cells = [cell(key(concurrency=n), rate) for n, rate in enumerate(rates, 1)]
    outcome = _judge(f"throughput>={bound:.3f}Mbps", *cells).outcome
    known = [rate for rate in rates if rate is not None]
    if any(rate < bound for rate in known):
        assert outcome == "fail"
    elif len(known) < len(rates):
        assert outcome == "no data"
    else:
        assert outcome == "pass"


@given(numbers, intervals)
def test_a_regression_passes_only_with_its_whole_interval(
    ratio: float | None, interval: Interval | None
) -> None:
    result = _changed("regression<=5%", change(1.0, interval=interval))
    if result.outcome == "pass":
        assert interval is not None
        assert interval.low >= 0.95
    lost = _changed("regression<=5%", replace(change(1.0), ratio=ratio, interval=interval))
    if ratio is None or math.isnan(ratio):
        assert lost.outcome == "no data"


def test_places_keep_title_and_stratum() -> None:
    (place,) = _judge("throughput>=1Mbps", cell()).where
    assert (place.title, place.stratum) == ("download", NEAR)

"""Gates as text: what can be written, and what is said about what can't."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.spec.gates import STEPS, Gate, GateError, parse, value_text

METRICS = ("throughput", "duration", "failures", "invalid", "cost", "regression")


@pytest.mark.parametrize(
    ("text", "step", "metric", "stat", "op", "bound"),
    [
        ("throughput.p50>=100Mbps", "", "throughput", "p50", ">=", 100.0),
        ("throughput >= 1MiB/s", "", "throughput", "p50", ">=", 8.388608),
        ("download.throughput.p10 > 2 Gbps", "download", "throughput", "p10", ">", 2000.0),
        ("sync_up.throughput.min>=5Mbps", "sync_up", "throughput", "min", ">=", 5.0),
        ("throughput.max<1Gbps", "", "throughput", "max", "<", 1000.0),
        ("duration<=300ms", "", "duration", "p50", "<=", 0.3),
        ("load.duration.last <= 5m", "load", "duration", "last", "<=", 300.0),
        ("duration.first<=1s", "", "duration", "first", "<=", 1.0),
        ("failures<=1%", "", "failures", "", "<=", 0.01),
        ("failures<=0.5 %", "", "failures", "", "<=", 0.005),
        ("sync_down.failures<=0", "sync_down", "failures", "", "<=", 0.0),
        ("invalid <= 0%", "", "invalid", "", "<=", 0.0),
        ("cost<=0.02", "", "cost", "", "<=", 0.02),
        ("  upload.cost < $1  ", "upload", "cost", "", "<", 1.0),
        ("regression<=5%", "", "regression", "", "<=", 0.05),
    ],
)
def test_a_gate_is_read(
    text: str, step: str, metric: str, stat: str, op: str, bound: float
) -> None:
    gate = parse(text)
    assert (gate.step, gate.metric, gate.stat, gate.op) == (step, metric, stat, op)
    assert gate.bound == pytest.approx(bound)
    assert gate.text == text.strip()


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("fast", "is no gate", "expected [STEP.]METRIC"),
        ("", "is no gate", "such as"),
        ("throughput>=", "is no gate", "such as"),
        ("throughput.p50", "is no gate", "such as"),
        ("throughput>=100Mbps and more of it than fits into this", "is no gate", "such as"),
        ("failures<=1%" + " " * 200, "is no gate", "such as"),
        ("troughput>=1Mbps", "unknown metric", "did you mean 'throughput'?"),
        ("downlod.throughput>=1Mbps", "unknown step", "did you mean 'download'?"),
        ("verify.duration<=1s", "moves no payload", "expected one of upload, download"),
        ("delete.failures<=1%", "moves no payload", "sync_up"),
        ("download>=1Mbps", "a step and no metric", "throughput, duration"),
        ("download.fast>=1Mbps", "unknown metric", "throughput"),
        ("throughput.p99>=1Mbps", "statistic", "p10, p90, min, max"),
        ("throughput.p50.p10>=1Mbps", "statistic", "p50"),
        ("failures.p50<=1%", "statistic", "write failures alone"),
        ("failures==1%", "operator", ">=, <=, > or <"),
        ("failures!=1%", "operator", ">=, <=, > or <"),
        ("regression>=5%", "asks for a loss", "regression<=5%"),
        ("failures<=1", "no share", "such as 1%"),
        ("failures<=101%", "no share", "100%"),
        ("failures<=-1%", "no share", "0%"),
        ("cost<=2 cents", "no price", "0.02"),
        ("duration<=30", "no time", "ms, s, m or h"),
        ("throughput>=100", "no rate", "Mbps"),
    ],
)
def test_what_is_wrong_is_said(text: str, message: str, hint: str) -> None:
    with pytest.raises(GateError) as caught:
        parse(text)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


def test_a_missing_unit_is_named_with_what_to_write() -> None:
    with pytest.raises(GateError) as caught:
        parse("throughput>=100")
    assert caught.value.unit_error is not None
    assert "100Mbps" in caught.value.unit_error.hint


@given(st.text(max_size=60))
def test_any_text_is_a_gate_or_an_error_that_quotes_nothing(text: str) -> None:
    try:
        assert isinstance(parse(text), Gate)
    except GateError as error:
        said = error.message + error.hint
    else:
        said = ""
    assert len(text) < 12 or text not in said


@given(
    st.sampled_from(["", *STEPS]),
    st.sampled_from(METRICS),
    st.sampled_from(["<", "<="]),
    st.integers(0, 100),
)
def test_every_metric_can_be_asked_of_every_step(
    step: str, metric: str, op: str, number: int
) -> None:
    unit = {"throughput": "Mbps", "duration": "s", "cost": ""}.get(metric, "%")
    gate = parse(f"{step}{'.' if step else ''}{metric} {op} {number}{unit}")
    assert (gate.step, gate.metric, gate.op) == (step, metric, op)
    assert gate.meets(gate.bound) == (op == "<=")


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("throughput", 212.34, "212 Mbps"),
        ("duration", 75.0, "1 m 15 s"),
        ("cost", 0.01234, "$0.0123"),
        ("failures", 0.0417, "4.17 %"),
        ("regression", -0.02, "-2 %"),
    ],
)
def test_values_read_well(metric: str, value: float, text: str) -> None:
    assert value_text(metric, value) == text  # type: ignore[arg-type]

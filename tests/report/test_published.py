"""The three published figures come out of their own data, with their axes, bins and numbers."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from hps.compare.comparison import Findings, FleetNode
from hps.report.pictures import correlation
from hps.report.pictures.picture import FILES, Picture
from tests.report import seen
from tests.report.fleet import make_findings
from tests.report.published import DATA, nodes

# The mean of 224 nodes in the middle of their bins of 20 is that near to their own.
BIN_ERROR = 10


@pytest.fixture(scope="module")
def drawn() -> dict[str, Picture]:
    findings = replace(make_findings(6), nodes=tuple(nodes()), rejected=())
    return seen.pictures(findings)


def _titled(picture: Picture) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", picture.title)]


def test_round_trip_time(drawn: dict[str, Picture]) -> None:
    picture = drawn["rtt"]
    assert re.fullmatch(r"Average Round-Trip Time \(RTT\): \d+ ms", picture.title)
    assert _titled(picture) == [pytest.approx(DATA["rtt_ms"]["mean"], abs=BIN_ERROR)]
    assert "n = 224 nodes, bins of 20 ms" in picture.note
    (bars,) = seen.layers(picture, "bar")
    assert seen.column(bars, "nodes") == DATA["rtt_ms"]["counts"]
    assert seen.column(bars, "low") == [20.0 * place for place in range(16)]
    assert bars.mark["color"] == FILES.green
    assert seen.title(bars, "x") == "RTT ms"
    assert seen.title(bars, "y") == "Number of Samples"


def test_the_mean_of_round_trips_is_a_rule(drawn: dict[str, Picture]) -> None:
    (rule,) = seen.layers(drawn["rtt"], "rule")
    (mean,) = seen.column(rule, "low")
    assert mean == pytest.approx(np.mean([(node.rtt_s or 0) * 1000 for node in nodes()]))


def test_the_density_is_scaled_to_counts(drawn: dict[str, Picture]) -> None:
    (curve,) = seen.layers(drawn["rtt"], "line")
    x, y = (np.array(seen.column(curve, field)) for field in ("low", "nodes"))
    # It stops at the least and the greatest value, so a part of it is cut off at each end.
    assert 0.8 * 224 * 20 < (y[1:] + y[:-1]) @ np.diff(x) / 2 < 224 * 20


def test_throughput(drawn: dict[str, Picture]) -> None:
    picture = drawn["throughput"]
    assert re.fullmatch(r"Average DL and UL Throughput: \d+ Mbps, \d+ Mbps", picture.title)
    published = [DATA[name]["mean"] for name in ("download_mbps", "upload_mbps")]
    assert _titled(picture) == pytest.approx(published, abs=BIN_ERROR)
    (bars,) = seen.layers(picture, "bar")
    for way, name in (("Download", "download_mbps"), ("Upload", "upload_mbps")):
        counts = [row["nodes"] for row in bars.rows if row["way"] == way]
        assert counts == np.trim_zeros(np.array(DATA[name]["counts"]), "b").tolist()
    assert bars.mark["opacity"] == 0.5
    assert seen.channel(bars, "color")["scale"] == {
        "domain": ["Download", "Upload"],
        "range": [FILES.red, FILES.blue],
    }
    assert len(seen.layers(picture, "line")) == 2


def test_correlation(drawn: dict[str, Picture]) -> None:
    picture = drawn["correlation"]
    assert picture.title == "Correlation between Download and Upload Throughput"
    (dots,) = seen.layers(picture, "point")
    assert len(dots.rows) == 224
    assert seen.title(dots, "x") == "Download Throughput Mbps"
    assert seen.title(dots, "y") == "Upload Throughput Mbps"


def test_trend_and_band_are_those_of_a_fleet_drawn_with_the_published_trend() -> None:
    rng = np.random.default_rng(5)
    fleet = nodes()
    download = np.array([node.download_mbps or 0.0 for node in fleet])
    noise = 0.456 * download.std() * np.sqrt(1 / 0.39**2 - 1)
    upload = 24.2 + 0.456 * download + rng.normal(0, noise, len(fleet))
    moved = [
        replace(node, upload_mbps=float(rate)) for node, rate in zip(fleet, upload, strict=True)
    ]
    picture = correlation.draw(moved, FILES)
    assert isinstance(picture, Picture)
    (line,), (band,) = seen.layers(picture, "line"), seen.layers(picture, "area")
    x, y, low, high = (
        np.array(seen.column(line, field)) for field in ("download", "upload", "low", "high")
    )
    slope, intercept = np.polyfit(download, upload, 1)
    assert y == pytest.approx(intercept + slope * x, abs=0.01)
    assert f"upload = {intercept:.1f} + {slope:.3f}" in picture.note
    assert f"r = {np.corrcoef(download, upload)[0, 1]:.2f}, n = 224 nodes" in picture.note
    assert np.all((low < y) & (y < high))
    assert abs(x[np.argmin(high - low)] - download.mean()) < 20, "narrowest at the mean"
    assert band.rows is line.rows


def test_nodes_that_were_left_out_are_not_in_the_figures() -> None:
    fleet = nodes()
    bare = [
        replace(node, accepted=False, upload_mbps=None, download_mbps=None) for node in fleet[:24]
    ]
    drawn = seen.pictures(_with((*bare, *fleet[24:])))
    assert "n = 200 nodes" in drawn["rtt"].note
    assert "n = 200 nodes" in drawn["correlation"].note


def test_a_large_fleet_is_counted_in_squares() -> None:
    picture = seen.pictures(make_findings(2500))["correlation"]
    (squares,) = seen.layers(picture, "rect")
    assert sum(seen.column(squares, "nodes")) == 2500
    assert len(squares.rows) < 1000
    assert "squares: how many nodes" in picture.note
    assert "n = 2,500 nodes" in picture.note


def _with(fleet: tuple[FleetNode, ...]) -> Findings:
    return replace(make_findings(6), nodes=fleet, rejected=())

"""A comparison as CSV: a row per cell and panel, below a header that only `--by` changes."""

from __future__ import annotations

import csv
import io

import pytest

from hps.report import as_csv
from tests.report.builders import FAR, NEAR, cell, comparison, far, findings

HEADER = (
    "title,stratum,step,direction,provider,shared,unit,decision,units,ok,failed,invalid,timeout,"
    "skipped,interrupted,min_mbps,p10_mbps,median_mbps,median_low_mbps,median_high_mbps,p90_mbps,"
    "max_mbps,first_done_s,p50_duration_s,last_done_s,failure_rate,failure_rate_low,"
    "failure_rate_high,requests_per_gb,dollars_per_gb,is_answer,same_as,"
    "cell.chunk_size,cell.concurrency"
)
# What the fast cell has, each number in a column of its own.
EXPECTED = {
    "units": 40,
    "ok": 120,
    "min_mbps": 100,
    "p10_mbps": 120,
    "median_low_mbps": 180,
    "median_high_mbps": 220,
    "p90_mbps": 280,
    "max_mbps": 300,
    "first_done_s": 5,
    "p50_duration_s": 8.39,
    "last_done_s": 20,
    "failure_rate": 0,
    "failure_rate_low": 0,
    "failure_rate_high": 0.03,
    "requests_per_gb": 110,
    "dollars_per_gb": 0.0375,
}


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_header_is_stable() -> None:
    assert as_csv.render(findings(comparison())).splitlines()[0] == HEADER
    assert as_csv.render(findings()) == f"{HEADER}\r\n"
    by_country = as_csv.render(findings(by=("country",))).splitlines()[0]
    assert by_country == HEADER.replace("cell.chunk_size,cell.concurrency", "cell.country")


def test_a_row_for_each_cell_of_each_panel() -> None:
    rows = _rows(as_csv.render(findings(comparison(), far())))
    assert [row["stratum"] for row in rows] == [NEAR] * 4 + [FAR] * 4
    fast = rows[1]
    assert (fast["cell.chunk_size"], fast["cell.concurrency"]) == ("10MiB", "8")
    assert float(fast["median_mbps"]) == 200.0
    numbers = {name: float(fast[name]) for name in EXPECTED}
    assert numbers == {name: pytest.approx(value) for name, value in EXPECTED.items()}
    assert [row["is_answer"] for row in rows] == ["false", "true", *["false"] * 6]
    assert fast["shared"] == "size=200MiB files=1"
    assert (rows[2]["ok"], rows[2]["failed"], rows[2]["invalid"]) == ("115", "3", "2")
    assert rows[3]["same_as"] == "chunk_size=10MiB concurrency=1"
    assert rows[3]["median_mbps"] == ""


def test_text_with_commas_and_quotes_stays_one_value() -> None:
    odd = comparison(title='a,"b"\nc', cells=(cell(),))
    (row,) = _rows(as_csv.render(findings(odd)))
    assert row["title"] == 'a,"b"\nc'

"""The gates that an experiment declares, judged on the page."""

from __future__ import annotations

from dataclasses import replace

from hps.report import page
from tests.report.fleet import make_findings


def _page(*gates: str) -> str:
    findings = replace(make_findings(), thresholds={"fleet <b>": gates})
    return page.render(findings, version="1.2.3", made_at="2026-09-02 10:00 UTC")


def test_each_gate_has_a_row_with_what_came_of_it() -> None:
    text = _page("download.throughput.p50>=1Mbps", "download.throughput.p50>=900Gbps")
    (passed, failed) = (row for row in text.split("<tr>") if "throughput.p50&gt;=" in row)
    assert "<td>PASS</td>" in passed
    assert "<td>FAIL</td>" in failed
    assert "fleet &lt;b&gt;" in passed
    assert "<b>" not in text.split("Gates that the experiment declares")[1]


def test_without_gates_there_is_no_table() -> None:
    assert "Gates that the experiment declares" not in _page()

"""The link's comparison with its own settings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.link import Link, LinkSettings
from bench.link.check import Report, Row, _connects, check
from bench.link.tcp import TcpSettings
from tests.bench.machine import needs_link

SETTINGS = LinkSettings(rtt_s=0.05, up_mbps=20, down_mbps=20)


@pytest.mark.parametrize(
    ("measured", "good"), [(95.1, True), (104.9, True), (94.9, False), (105.1, False)]
)
def test_off_by_more_than_five_per_cent_is_wrong(measured: float, good: bool) -> None:
    row = Row(what="payload", expected=100, measured=measured, allowed=5)
    assert row.good is good
    tcp = TcpSettings(congestion_control="reno", receive_buffer_bytes=1, send_buffer_bytes=1)
    report = Report(settings=SETTINGS, tcp=tcp, rows=(row,), copies=())
    assert report.good is good
    assert ("WRONG" in report.text()) is not good


@needs_link
def test_a_link_of_another_delay_is_found_out() -> None:
    with Link(SETTINGS) as link:
        link.settings = replace(SETTINGS, rtt_s=0.03)
        assert not _connects(link).good


@needs_link
def test_lost_packets_are_compared_where_some_are() -> None:
    report = check(replace(SETTINGS, loss=0.02), windows=1)
    lost = [row for row in report.rows if "lost" in row.what]
    assert [row.what.partition(":")[0] for row in lost] == ["up", "down"]
    assert all(row.good and row.measured > 0 for row in lost)
    assert not any("payload" in row.what for row in report.rows)
    assert [way for way, _ in report.copies] == ["up", "down"]

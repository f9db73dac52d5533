"""What ten chunks at once gain, by round-trip time: each number stands in its own column."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from bench import grid
from bench.settings import by_distance, cases


def _measured(case: cases.Case, published: list[float], declared: list[float]) -> dict[str, Any]:
    """As `bench.settings` stores it, the same both ways."""
    transfers = [
        {"block": block, "way": way, "setting": setting, "mbps": mbps}
        for way in ("up", "down")
        for setting, rates in ((None, published), (asdict(case.declared), declared))
        for block, mbps in enumerate(rates)
    ]
    return {
        "case": dict(case.key(len(published), 0)),
        "declared": asdict(case.declared),
        "transfers": transfers,
    }


def _rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


NEAR, FAR = grid.make(10, (130, 240), 0.0), grid.make(250, (130, 240), 0.0)
LOSSY = grid.make(250, (130, 240), 0.1)


def test_a_link_has_a_row_each_way_and_a_column_for_its_distance() -> None:
    text = by_distance.text(
        [
            _measured(cases.make(FAR), [10.0, 10.0], [20.0, 20.2]),
            _measured(cases.make(NEAR), [100.0, 120.0], [110.0, 110.0]),
            _measured(cases.make(LOSSY), [8.0, 8.0], [2.0, 2.02]),
            _measured(cases.with_http2(NEAR), [50.0, 50.0], [50.0, 60.0]),
        ]
    )
    head, _, *rows = _rows(text)
    assert head == ["link", "", "10 ms", "250 ms"]
    assert [row[:2] for row in rows[::2]] == [
        ["130/240 Mbps, no loss, cubic, queue 1 RTT", "up"],
        ["130/240 Mbps, 0.1 % loss, cubic, queue 1 RTT", "up"],
        ["130/240 Mbps, no loss, cubic, HTTPS, queue 1 RTT", "up"],
    ]
    assert rows[1][2].startswith("110 → 110<br>1.00 (")
    assert rows[1][3].startswith("10 → 20.1<br>**2.01 (")
    assert rows[3][2] == ""
    assert rows[3][3].startswith("8 → 2.01<br>**0.25 (")


def test_what_failed_says_so_and_one_distance_is_no_table() -> None:
    failed = _measured(cases.make(FAR), [10.0], [10.0])
    for transfer in failed["transfers"]:
        transfer["mbps"] = None if transfer["setting"] else transfer["mbps"]
    near = _measured(cases.make(NEAR), [10.0], [12.0])
    *_, down = _rows(by_distance.text([near, failed]))
    assert down[2:] == ["10 → 12<br>1.20<br>best 1.20", "failed"]
    assert by_distance.text([near]) == ""

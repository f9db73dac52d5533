"""Now against a baseline: earlier rows, what is stored elsewhere, or another cell."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hps.compare.comparing import NoDataError
from hps.compare.comparison import Change, Findings, Rule
from hps.compare.gates import Outcome, exit_code, judge
from hps.errors import EXIT_NO_DATA, HpsError
from hps.spec.gates import parse
from tests.compare.stored import Record, findings_of, medians, results, rewrite
from tests.results.fleet import MIB, Cell, SimNode, grid, write_fleet

CELLS = grid(chunk_size=["5MiB", "10MiB"], concurrency=[1, 4])
THEN, NOW = datetime(2026, 1, 5, 9, tzinfo=UTC), datetime(2026, 2, 6, 9, tzinfo=UTC)
OLD = "git+https://example.com/e.git@" + "a" * 40 + "#fleet.yaml"
NEW = "git+https://example.com/e.git@" + "b" * 40 + "#fleet.yaml"


def _slower(node: SimNode, cell: Cell, step: str) -> float:
    """Downloads with four streams lose a fifth."""
    return 0.8 if step == "download" and cell["concurrency"] == 4 else 1.0


def _fleets(folder: Path, nodes: int = 40, **now: Any) -> None:
    write_fleet(folder, nodes, CELLS, started_at=THEN, spec_source=OLD)
    settings = {"effect": _slower, "spec_source": NEW, **now}
    write_fleet(folder, nodes, CELLS, started_at=NOW, **settings)


def _of(found: Findings, step: str, **key: str | int | bool) -> Change:
    (change,) = [one for one in found.changes if one.step == step and one.key == key]
    return change


@pytest.mark.parametrize("baseline", ["date=2026-01-05", f"commit={'a' * 8}"])
def test_each_cell_is_compared_with_itself_at_an_earlier_time(
    tmp_path: Path, baseline: str
) -> None:
    _fleets(tmp_path)
    found = findings_of(tmp_path, baseline=baseline)
    assert len(found.changes) == 8
    lost = _of(found, "download", chunk_size="5MiB", concurrency=4)
    assert (lost.verdict, lost.n) == ("slower", 40)
    assert lost.ratio == pytest.approx(0.8, abs=0.05)
    kept = _of(found, "download", chunk_size="5MiB", concurrency=1)
    assert kept.verdict in {"alike", "inconclusive"}
    # The baseline is not part of what is compared now.
    assert all(cell.statuses == {"ok": 120} for one in found.comparisons for cell in one.cells)
    assert (found.provenance.runs, found.provenance.nodes) == (40, 40)
    assert "the baseline: 40 runs on 40 nodes, 2026-01-05" in found.notes
    assert "now: 40 runs on 40 nodes, 2026-02-06" in found.notes
    assert f"source: {OLD} in the baseline, {NEW} now" in found.notes


def test_changes_are_within_nodes_as_plain_python_finds_them(tmp_path: Path) -> None:
    write_fleet(tmp_path / "old", 20, CELLS, started_at=THEN)
    write_fleet(tmp_path / "new", 20, CELLS, started_at=NOW, effect=_slower)
    found = findings_of(tmp_path / "new", baseline=str(tmp_path / "old"))
    for change in found.changes:
        before = medians(tmp_path / "old", change.step, **change.key)
        after = medians(tmp_path / "new", change.step, **change.key)
        logs = [np.log(after[node] / before[node]) for node in before]
        assert change.ratio == pytest.approx(float(np.exp(np.median(logs))))


def test_what_is_stored_at_a_path_is_the_baseline(tmp_path: Path) -> None:
    write_fleet(tmp_path / "main", 30, CELLS, started_at=THEN)
    write_fleet(tmp_path / "branch", 30, CELLS, started_at=NOW, effect=_slower)
    found = findings_of(tmp_path / "branch", baseline=str(tmp_path / "main"))
    assert _of(found, "download", chunk_size="10MiB", concurrency=4).verdict == "slower"
    assert found.provenance.runs == 30


def test_other_nodes_can_not_be_told_from_another_time(tmp_path: Path) -> None:
    def fast(chance: Any, number: int) -> SimNode:
        return SimNode(machine_id=f"new-{number}", download_mbps=chance.uniform(190, 210))

    def slow(chance: Any, number: int) -> SimNode:
        return SimNode(machine_id=f"old-{number}", download_mbps=chance.uniform(90, 110))

    write_fleet(tmp_path / "old", 20, CELLS, started_at=THEN, draw=slow)
    write_fleet(tmp_path / "new", 30, CELLS, started_at=NOW, draw=fast)
    found = findings_of(tmp_path / "new", baseline=str(tmp_path / "old"))
    change = _of(found, "download", chunk_size="5MiB", concurrency=4)
    assert (change.verdict, change.n, change.ratio, change.p) == ("inconclusive", 0, None, None)
    assert not change.comparable
    assert change.reason == "can't be told: other nodes (0 nodes in both, of 30 and 20)"
    result = judge(parse("regression<=5%"), found)
    assert result.outcome == "inconclusive"
    assert exit_code([result]) == EXIT_NO_DATA


def test_another_cell_can_be_the_baseline(tmp_path: Path) -> None:
    write_fleet(tmp_path, 40, CELLS, effect=_slower)
    whole = findings_of(tmp_path, baseline="chunk_size=5MiB,concurrency=1")
    keys = {tuple(change.key.values()) for change in whole.changes}
    assert keys == {("5MiB", 4), ("10MiB", 1), ("10MiB", 4)}
    assert _of(whole, "download", chunk_size="10MiB", concurrency=4).verdict == "slower"
    # Of some names: each cell against the one that differs from it in these alone.
    streams = findings_of(tmp_path, baseline="concurrency=1")
    assert {change.key["concurrency"] for change in streams.changes} == {4}
    change = _of(streams, "download", chunk_size="10MiB", concurrency=4)
    one = medians(tmp_path, "download", chunk_size="10MiB", concurrency=1)
    four = medians(tmp_path, "download", chunk_size="10MiB", concurrency=4)
    logs = [np.log(four[node] / one[node]) for node in one]
    assert change.ratio == pytest.approx(float(np.exp(np.median(logs))))


def test_changes_are_corrected_for_all_of_a_panel(tmp_path: Path) -> None:
    _fleets(tmp_path)
    found = findings_of(tmp_path, baseline="date=2026-01-05")
    uploads = sorted(
        (change.p, change.p_adjusted) for change in found.changes if change.step == "upload"
    )
    greatest = 0.0
    for place, (p, adjusted) in enumerate(uploads):
        assert p is not None
        greatest = max(greatest, min(1.0, p * (4 - place)))
        assert adjusted == pytest.approx(greatest)


# --- before and after ----------------------------------------------------------------------------

OCTOBER, FIRST, EIGHTH = (
    datetime(2026, month, day, 9, tzinfo=UTC) for month, day in ((10, 5), (11, 1), (11, 8))
)


def _commit(letter: str) -> str:
    return f"git+https://example.com/e.git@{letter * 40}#fleet.yaml"


def _three_times(folder: Path, nodes: int = 30) -> None:
    """October 1.3 times as fast as 1 November, 8 November a fifth slower."""
    for at, effect, letter in ((OCTOBER, 1.3, "a"), (FIRST, 1.0, "b"), (EIGHTH, 0.8, "c")):
        settings: dict[str, Any] = {"started_at": at, "spec_source": _commit(letter)}
        digest = letter * 64
        write_fleet(
            folder,
            nodes,
            CELLS,
            effect=lambda node, cell, step, effect=effect: effect,
            spec_sha256=digest,
            **settings,
        )


def _regression(found: Findings) -> Outcome:
    return judge(parse("regression<=5%"), found).outcome


@pytest.mark.parametrize("baseline", ["date=2026-11-01", "commit=bbbb", "spec=bbbb"])
def test_now_is_what_came_after_the_baseline(tmp_path: Path, baseline: str) -> None:
    _three_times(tmp_path)
    found = findings_of(tmp_path, baseline=baseline)
    assert _regression(found) == "fail"
    for change in found.changes:
        assert change.ratio == pytest.approx(0.8, abs=0.06)
        assert change.verdict == "slower"
    assert found.notes[:2] == (
        "the baseline: 30 runs on 30 nodes, 2026-11-01",
        "now: 30 runs on 30 nodes, 2026-11-08",
    )
    assert found.baseline is not None
    assert len(found.baseline.run_ids) == 30
    assert {run_id[:8] for run_id in found.baseline.run_ids} == {"20261101"}
    assert {run_id[:8] for run_id in found.provenance.run_ids} == {"20261108"}


def test_after_a_run_is_what_began_later(tmp_path: Path) -> None:
    _three_times(tmp_path, nodes=1)
    (first,) = {line["run_id"] for line in results(tmp_path) if line["run_id"][:8] == "20261101"}
    (last,) = {line["run_id"] for line in results(tmp_path) if line["run_id"][:8] == "20261108"}
    found = findings_of(tmp_path, baseline=f"run={first}")
    assert found.notes[:2] == (
        f"the baseline: 1 run on 1 node, 2026-11-01 ({first})",
        f"now: 1 run on 1 node, 2026-11-08 ({last})",
    )


@pytest.mark.parametrize("by", ["date", "commit"])
def test_cells_that_are_older_than_their_baseline_are_left_out(tmp_path: Path, by: str) -> None:
    _three_times(tmp_path)
    named = {"date": "2026-11-01", "commit": "b" * 12}[by]
    found = findings_of(tmp_path, by=(by, "concurrency"), baseline=f"{by}={named}")
    later = {"date": "2026-11-08", "commit": "c" * 12}[by]
    assert {change.key[by] for change in found.changes} == {later}
    assert _regression(found) == "fail"


def test_a_baseline_after_which_nothing_came_says_so(tmp_path: Path) -> None:
    _three_times(tmp_path, nodes=4)
    with pytest.raises(NoDataError, match="nothing is stored that could be held") as caught:
        findings_of(tmp_path, baseline="date=2026-11-08")
    assert "its last run began at 2026-11-08T" in (caught.value.hint or "")


def test_a_run_is_of_the_day_on_which_it_began(tmp_path: Path) -> None:
    late = datetime(2026, 11, 1, 23, tzinfo=UTC)
    write_fleet(tmp_path, 20, CELLS, repetitions=40, started_at=late)
    write_fleet(tmp_path, 20, CELLS, started_at=datetime(2026, 11, 2, 9, tzinfo=UTC))
    assert any(line["started_at"].startswith("2026-11-02T00") for line in results(tmp_path))
    found = findings_of(tmp_path, baseline="date=2026-11-01")
    assert found.notes[:2] == (
        "the baseline: 20 runs on 20 nodes, 2026-11-01",
        "now: 20 runs on 20 nodes, 2026-11-02",
    )
    assert all(cell.statuses == {"ok": 60} for one in found.comparisons for cell in one.cells)


def test_what_does_not_follow_in_time_is_held_against_all_else(tmp_path: Path) -> None:
    for at, version in ((NOW, "1.75.2"), (THEN, "1.80.0")):
        write_fleet(tmp_path, 20, CELLS, started_at=at, tool_version=version)
    found = findings_of(tmp_path, baseline="tool_version=1.75.2")
    assert found.notes[1] == "now: 20 runs on 20 nodes, 2026-01-05"


# --- what may differ, and what may not -----------------------------------------------------------


def test_another_version_of_the_tool_is_compared_and_named(tmp_path: Path) -> None:
    _fleets(tmp_path, tool_version="1.80.0")
    found = findings_of(tmp_path, baseline="date=2026-01-05")
    change = _of(found, "download", chunk_size="5MiB", concurrency=4)
    assert change.verdict == "slower"
    assert change.notes == ("tool version: 1.75.2 in the baseline, 1.80.0 now",)
    assert "tool: rclone 1.75.2 in the baseline, rclone 1.80.0 now" in found.notes


def test_the_same_version_is_taken_where_the_baseline_has_several(tmp_path: Path) -> None:
    for number, version in enumerate(("1.70.3", "1.75.2")):
        started_at = datetime(2026, 1, 5 + number, tzinfo=UTC)
        write_fleet(tmp_path / "old", 10, CELLS, started_at=started_at, tool_version=version)
    write_fleet(tmp_path / "new", 10, CELLS, started_at=NOW, tool_version="1.75.2")
    found = findings_of(tmp_path / "new", baseline=str(tmp_path / "old"))
    assert all(change.ratio is not None and not change.notes for change in found.changes)
    write_fleet(tmp_path / "other", 10, CELLS, started_at=NOW, tool_version="1.80.0")
    found = findings_of(tmp_path / "other", baseline=str(tmp_path / "old"))
    assert {change.ratio for change in found.changes} == {None}
    assert "the baseline has several: " in found.changes[0].reason
    assert "tool version 1.70.3" in found.changes[0].reason


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        ({"size_bytes": 100 * MIB}, "the baseline has size 200MiB, not size 100MiB"),
        ({"content": "zeros"}, "the baseline has content random, not content zeros"),
        ({"requested": {"files": 2}}, "the baseline has files 1, not files 2"),
        ({"requested": {"layout": "nested"}}, "layout flat, not layout nested"),
        ({"requested": {"checksum": False}}, "checksum true, not checksum false"),
        ({"provider": "aws"}, "provider cloudflare, not provider aws"),
    ],
)
def test_unlike_things_have_no_counterpart(
    tmp_path: Path, now: dict[str, Any], reason: str
) -> None:
    _fleets(tmp_path, nodes=8, **now)
    found = findings_of(tmp_path, baseline="date=2026-01-05")
    assert len(found.changes) == 8
    for change in found.changes:
        assert (change.ratio, change.verdict, change.p) == (None, "inconclusive", None)
        assert reason in change.reason


def test_other_effective_settings_have_no_counterpart(tmp_path: Path) -> None:
    _fleets(tmp_path, nodes=8)

    def clamp(line: Record) -> Record:
        later = line["started_at"].startswith("2026-02")
        if later and line["kind"] == "result" and line["cell"]["concurrency"] == 4:
            line["effective"]["concurrency"] = 2
        return line

    rewrite(tmp_path, clamp)
    found = findings_of(tmp_path, baseline="date=2026-01-05")
    changed = _of(found, "upload", chunk_size="5MiB", concurrency=4)
    assert changed.ratio is None
    assert changed.reason == "the baseline ran with effective concurrency 4, not 2"
    assert _of(found, "upload", chunk_size="5MiB", concurrency=1).ratio is not None


def test_unknown_effective_settings_are_no_others(tmp_path: Path) -> None:
    _fleets(tmp_path, nodes=8)

    def forget(line: Record) -> Record:
        if line["started_at"].startswith("2026-02") and line["kind"] == "result":
            line["effective"]["concurrency"] = None
        return line

    rewrite(tmp_path, forget)
    found = findings_of(tmp_path, baseline="date=2026-01-05")
    assert _of(found, "upload", chunk_size="5MiB", concurrency=4).ratio is not None


def test_a_cell_that_is_new_or_failed_has_no_counterpart(tmp_path: Path) -> None:
    write_fleet(tmp_path / "old", 8, grid(concurrency=[1, 4]), started_at=THEN)
    write_fleet(tmp_path / "new", 8, grid(concurrency=[1, 4, 8]), started_at=NOW)

    def fail(line: Record) -> Record:
        if line["kind"] == "result" and line["cell"]["concurrency"] == 4:
            line.update(status="failed", reason="503", throughput_mbps=None)
        return line

    rewrite(tmp_path / "new", fail)
    by = ("concurrency",)
    found = findings_of(tmp_path / "new", by=by, baseline=str(tmp_path / "old"))
    assert _of(found, "upload", concurrency=8).reason == "the baseline does not have this cell"
    assert _of(found, "upload", concurrency=4).reason == "no operation was ok now"
    assert _of(found, "upload", concurrency=1).ratio is not None


def test_of_one_node_repetitions_are_compared_with_repetitions(tmp_path: Path) -> None:
    write_fleet(tmp_path / "old", 1, CELLS, repetitions=20, started_at=THEN)
    write_fleet(tmp_path / "new", 1, CELLS, repetitions=20, started_at=NOW, effect=_slower)
    found = findings_of(tmp_path / "new", baseline=str(tmp_path / "old"))
    change = _of(found, "download", chunk_size="5MiB", concurrency=4)
    assert (change.verdict, change.n, change.notes) == ("slower", 20, ())
    write_fleet(tmp_path / "elsewhere", 1, CELLS, repetitions=20, seed=5, started_at=THEN)
    found = findings_of(tmp_path / "new", baseline=str(tmp_path / "elsewhere"))
    assert "can't be told: other nodes" in found.changes[0].reason
    assert _regression(found) == "inconclusive"


def test_one_node_is_not_compared_with_a_fleet(tmp_path: Path) -> None:
    write_fleet(tmp_path / "old", 1, CELLS, repetitions=9, started_at=THEN)
    write_fleet(tmp_path / "new", 9, CELLS, started_at=NOW)
    found = findings_of(tmp_path / "new", baseline=str(tmp_path / "old"))
    assert {change.ratio for change in found.changes} == {None}
    assert "the baseline has one node and now there are several" in found.changes[0].reason


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        ("date=2025-01-01", "--baseline: no results are of it"),
        ("concurrency=3", "--baseline: no cell has concurrency=3"),
    ],
)
def test_a_baseline_that_is_not_there_is_no_data(
    tmp_path: Path, baseline: str, message: str
) -> None:
    write_fleet(tmp_path, 2, CELLS)
    with pytest.raises(NoDataError) as caught:
        findings_of(tmp_path, baseline=baseline)
    assert (caught.value.message, caught.value.exit_code) == (message, EXIT_NO_DATA)


def test_a_baseline_of_everything_leaves_nothing_to_compare(tmp_path: Path) -> None:
    write_fleet(tmp_path, 2, CELLS)
    with pytest.raises(NoDataError):
        findings_of(tmp_path, baseline="date=2026-01-05")


def test_a_path_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    write_fleet(tmp_path, 2, CELLS)
    with pytest.raises(HpsError, match="--baseline: there is no file or folder nowhere"):
        findings_of(tmp_path, baseline="nowhere")


def test_strata_are_compared_with_their_own(tmp_path: Path) -> None:
    _fleets(tmp_path, nodes=60)
    found = findings_of(tmp_path, baseline="date=2026-01-05", strata=("rtt",))
    strata: Sequence[str] = [change.stratum for change in found.changes]
    assert {"", "RTT below 50 ms", "RTT 50 to 150 ms"} <= set(strata)
    assert Rule() == found.rule

"""Panels hold medians of nodes, as plain Python finds them, and never mix what is unlike."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from tests.compare.stored import (
    Record,
    cell_of,
    lines,
    medians,
    one,
    panels_of,
    results,
    rewrite,
    value_of,
)
from tests.results.fleet import MIB, SimNode, draw_node, grid, write_fleet

CELLS = grid(chunk_size=["5MiB", "10MiB"], concurrency=[1, 4])


def _often_failing(chance: Random, node: SimNode, cell: Any, step: str) -> str:
    return chance.choices(
        ["ok", "failed", "invalid", "timeout", "skipped", "interrupted"], [70, 8, 8, 5, 5, 4]
    )[0]


def test_medians_of_nodes_are_those_of_plain_python(tmp_path: Path) -> None:
    write_fleet(tmp_path, 12, CELLS, repetitions=5, warmup=2, fate=_often_failing)
    panels = panels_of(tmp_path)
    assert [panel.title for panel in panels] == ["upload", "download"]
    for panel in panels:
        assert panel.unit == "node"
        for cell in panel.cells:
            expected = medians(tmp_path, panel.step, **cell.key)
            found = {
                unit: value
                for unit, value in zip(panel.units, cell.mbps.tolist(), strict=True)
                if not np.isnan(value)
            }
            assert found == pytest.approx(expected)


def test_two_runs_of_a_node_are_one_unit(tmp_path: Path) -> None:
    write_fleet(tmp_path, 3, CELLS, repetitions=2)
    write_fleet(tmp_path, 3, CELLS, repetitions=3, started_at=datetime(2026, 2, 1, tzinfo=UTC))
    panel = one(panels_of(tmp_path), "upload")
    cell = cell_of(panel, chunk_size="5MiB", concurrency=4)
    assert len(panel.units) == 3
    assert cell.repetitions.tolist() == [5, 5, 5]
    expected = medians(tmp_path, "upload", chunk_size="5MiB", concurrency=4)
    assert dict(zip(panel.units, cell.mbps.tolist(), strict=True)) == pytest.approx(expected)


def test_statuses_repetitions_and_spread_are_those_of_plain_python(tmp_path: Path) -> None:
    write_fleet(tmp_path, 10, CELLS, repetitions=6, warmup=1, fate=_often_failing)
    panel = one(panels_of(tmp_path), "download")
    for cell in panel.cells:
        mine = [
            line
            for line in results(tmp_path)
            if line["cell"] == cell.key and line["step"] == "download" and not line["warmup"]
        ]
        assert cell.statuses == Counter(line["status"] for line in mine)
        by_node: dict[str, list[float]] = {}
        for line in mine:
            if line["status"] == "ok":
                by_node.setdefault(line["machine_id"], []).append(np.log(line["throughput_mbps"]))
        assert cell.repetitions.sum() == sum(map(len, by_node.values()))
        freedom = sum(len(values) - 1 for values in by_node.values())
        squares = sum(
            float(np.var(values, ddof=1)) * (len(values) - 1)
            for values in by_node.values()
            if len(values) > 1
        )
        assert cell.spread == pytest.approx((squares / freedom) ** 0.5)


def test_invalid_results_are_never_averaged(tmp_path: Path) -> None:
    write_fleet(tmp_path, 4, CELLS, repetitions=3)

    def spoil(line: Record) -> Record:
        if line["kind"] == "result" and line["repetition"] == 0:
            # Whatever an invalid result says of its rate, and none of them should say anything.
            line.update(status="invalid", reason="5 streams, not 4", throughput_mbps=1e9)
        return line

    rewrite(tmp_path, spoil)
    panel = one(panels_of(tmp_path), "upload")
    for cell in panel.cells:
        assert cell.mbps.max() < 1e6
        assert cell.statuses == {"invalid": 4, "ok": 8}
        expected = medians(tmp_path, "upload", **cell.key)
        assert dict(zip(panel.units, cell.mbps.tolist(), strict=True)) == pytest.approx(expected)


def test_an_operation_without_a_rate_is_no_value(tmp_path: Path) -> None:
    write_fleet(tmp_path, 2, CELLS, repetitions=1, steps=("upload", "verify"))
    rewrite(
        tmp_path,
        lambda line: {**line, "throughput_mbps": None} if line.get("step") == "verify" else line,
    )
    assert [panel.title for panel in panels_of(tmp_path)] == ["upload"]


def test_cells_are_in_the_order_of_their_values(tmp_path: Path) -> None:
    write_fleet(tmp_path, 2, grid(chunk_size=["64MiB", "5MiB", "10MiB"], concurrency=[16, 4]))
    panel = one(panels_of(tmp_path), "upload")
    assert [tuple(cell.key.values()) for cell in panel.cells] == [
        *(("5MiB", 4), ("5MiB", 16)),
        *(("10MiB", 4), ("10MiB", 16)),
        *(("64MiB", 4), ("64MiB", 16)),
    ]


# --- unlike things -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "name", "titles"),
    [
        ({"size_bytes": 100 * MIB}, "size", ["size 100MiB", "size 200MiB"]),
        ({"content": "zeros"}, "content", ["content random", "content zeros"]),
        ({"requested": {"layout": "nested"}}, "layout", ["layout flat", "layout nested"]),
        ({"requested": {"files": 3}}, "files", ["files 1", "files 3"]),
        ({"requested": {"transfers": 8}}, "transfers", ["transfers 4", "transfers 8"]),
        ({"requested": {"http2": True}}, "http2", ["HTTP/2 false", "HTTP/2 true"]),
        (
            {"tool_version": "1.70.3"},
            "tool_version",
            ["tool version 1.70.3", "tool version 1.75.2"],
        ),
        ({"experiment": "other"}, "experiment", ["experiment fleet", "experiment other"]),
    ],
)
def test_what_is_unlike_is_apart_unless_it_is_compared(
    tmp_path: Path, change: dict[str, Any], name: str, titles: list[str]
) -> None:
    write_fleet(tmp_path, 4, CELLS)
    started_at = datetime(2026, 2, 1, tzinfo=UTC)
    write_fleet(tmp_path, 4, CELLS, started_at=started_at, **change)
    apart = [panel for panel in panels_of(tmp_path) if panel.step == "upload"]
    assert [panel.title for panel in apart] == [f"upload, {title}" for title in titles]
    assert all(cell.statuses == {"ok": 12} for panel in apart for cell in panel.cells)
    values = {panel.shared[name] for panel in apart}
    assert len(values) == 2
    together = [panel for panel in panels_of(tmp_path, by=(name,)) if panel.step == "upload"]
    assert len(together) == len(CELLS)
    for panel in together:
        assert {cell.key[name] for cell in panel.cells} == values
        assert all(cell.statuses == {"ok": 12} for cell in panel.cells)


def test_one_name_for_two_places_is_two_panels(tmp_path: Path) -> None:
    write_fleet(tmp_path, 3, CELLS)
    write_fleet(tmp_path, 3, CELLS, provider="aws", started_at=datetime(2026, 2, 1, tzinfo=UTC))
    uploads = [panel for panel in panels_of(tmp_path) if panel.step == "upload"]
    assert sorted(panel.provider for panel in uploads) == ["aws", "cloudflare"]
    assert len({panel.title for panel in uploads}) == 2
    # The same where targets are what is compared: the name alone does not say what was measured.
    by_target = [p for p in panels_of(tmp_path, by=("target",)) if p.step == "upload"]
    assert {cell.statuses["ok"] for panel in by_target for cell in panel.cells} == {9}
    assert len({panel.title for panel in by_target}) == len(by_target)


def test_two_targets_of_one_run_are_two_cells_each_at_its_own_place(tmp_path: Path) -> None:
    place = {"endpoint": None, "region": None, "bucket": "b", "folder": ""}
    targets = {name: {**place, "provider": name} for name in ("aws", "cloudflare")}
    cells = grid(target=list(targets), concurrency=[1, 4])
    write_fleet(tmp_path, 3, cells, run_fields={"targets": targets})
    rewrite(
        tmp_path,
        lambda line: {**line, "target": line["cell"]["target"]} if "cell" in line else line,
    )
    panel = one(panels_of(tmp_path, by=("target", "concurrency")), "upload")
    assert [(cell.key["target"], cell.provider, cell.statuses) for cell in panel.cells] == [
        *[("aws", "aws", {"ok": 9})] * 2,
        *[("cloudflare", "cloudflare", {"ok": 9})] * 2,
    ]
    apart = [panel for panel in panels_of(tmp_path) if panel.step == "upload"]
    assert [(panel.title, panel.provider) for panel in apart] == [
        ("upload, target aws", "aws"),
        ("upload, target cloudflare", "cloudflare"),
    ]


@pytest.mark.parametrize("untold", [2, 4, 6])
def test_what_was_applied_and_is_unknown_tears_no_cell_apart(tmp_path: Path, untold: int) -> None:
    paths = write_fleet(tmp_path, 6, CELLS)
    quick = {path.parent.name for path in paths[:untold]}

    def forget(line: Record) -> Record:
        if line["kind"] == "result" and line["machine_id"] in quick and line["step"] == "upload":
            line["effective"]["concurrency"] = None
        return line

    rewrite(tmp_path, forget)
    panels = panels_of(tmp_path)
    assert [panel.title for panel in panels] == ["upload", "download"]
    upload = one(panels, "upload")
    assert len(upload.units) == 6
    assert cell_of(upload, chunk_size="5MiB", concurrency=4).statuses == {"ok": 12 * 6 // 4}


def test_other_effective_settings_in_one_cell_are_panels_of_their_own(tmp_path: Path) -> None:
    paths = write_fleet(tmp_path, 6, CELLS)
    odd = {path.parent.name for path in paths[:2]}

    def clamp(line: Record) -> Record:
        of_cell = line["kind"] == "result" and line["cell"]["concurrency"] == 4
        if of_cell and line["machine_id"] in odd and line["step"] == "upload":
            line["effective"]["concurrency"] = 2
        return line

    rewrite(tmp_path, clamp)
    titles = [panel.title for panel in panels_of(tmp_path)]
    assert titles == ["upload", "upload, effective concurrency 2", "download"]
    usual, clamped = (one(panels_of(tmp_path), title) for title in titles[:2])
    assert set(clamped.units) == odd
    assert [cell.key["concurrency"] for cell in clamped.cells] == [4, 4]
    four = cell_of(usual, chunk_size="5MiB", concurrency=4)
    assert (four.statuses, four.effective["concurrency"]) == ({"ok": 12}, 4)
    assert all(np.isnan(value_of(usual, four, node)) for node in odd if node in usual.units)
    # The other cells of these nodes ran as all others did.
    assert cell_of(usual, chunk_size="5MiB", concurrency=1).statuses == {"ok": 18}


def test_cells_that_ran_with_a_switch_do_not_meet_those_without(tmp_path: Path) -> None:
    paths = write_fleet(tmp_path, 5, CELLS, steps=("download",))
    odd = {path.parent.name for path in paths[:2]}

    def switch(line: Record) -> Record:
        if line["kind"] == "result" and line["machine_id"] in odd:
            line["effective"]["http2"] = True
        return line

    rewrite(tmp_path, switch)
    panels = {panel.title: panel for panel in panels_of(tmp_path)}
    assert set(panels) == {
        "download, effective HTTP/2 false",
        "download, effective HTTP/2 true",
    }
    assert set(panels["download, effective HTTP/2 true"].units) == odd
    assert odd.isdisjoint(panels["download, effective HTTP/2 false"].units)
    assert all(len(panel.cells) == 4 for panel in panels.values())


def test_failures_count_although_they_do_not_say_what_ran(tmp_path: Path) -> None:
    paths = write_fleet(tmp_path, 5, CELLS, steps=("download",))
    odd = {path.parent.name for path in paths[:2]}

    def spoil(line: Record) -> Record:
        if line["kind"] != "result":
            return line
        if line["repetition"] == 0:
            line.update(status="failed", reason="503", throughput_mbps=None, effective=None)
            line.update(tool="hps", tool_version="", command=None)
        elif line["machine_id"] in odd:
            line["effective"]["http2"] = True
        return line

    rewrite(tmp_path, spoil)
    panels = panels_of(tmp_path)
    counted = Counter[str]()
    for panel in panels:
        for cell in panel.cells:
            counted.update(cell.statuses)
    assert counted == {"failed": 5 * 4, "ok": 5 * 4 * 2}
    assert {panel.shared["tool"] for panel in panels} == {"rclone"}


# --- merged cells --------------------------------------------------------------------------------


def _merge(folder: Path) -> None:
    """As a run stores it: at one stream a download is the same whatever the chunk size."""
    small, large = ({"chunk_size": size, "concurrency": 1} for size in ("5MiB", "10MiB"))
    merged = [
        {"cell": large, "step": step, "step_index": index, "same_as": small, "reason": "one GET"}
        for index, step in enumerate(("download", "verify"), start=1)
    ]

    def leave_out(line: Record) -> Record | None:
        if line["kind"] == "run":
            return {**line, "merged": merged}
        is_merged = line["cell"] == large and line["step"] == "download"
        if is_merged:
            return None
        if line["step"] == "download" and line["cell"] == small:
            line["effective"]["chunk_size_bytes"] = line["requested"]["size_bytes"]
        return line

    rewrite(folder, leave_out)


def test_a_merged_cell_beside_its_twin_repeats_it(tmp_path: Path) -> None:
    write_fleet(tmp_path, 4, CELLS)
    _merge(tmp_path)
    panel = one(panels_of(tmp_path), "download")
    twin = cell_of(panel, chunk_size="5MiB", concurrency=1)
    merged = cell_of(panel, chunk_size="10MiB", concurrency=1)
    assert merged.same_as == {"chunk_size": "5MiB", "concurrency": 1}
    assert merged.mbps.tolist() == twin.mbps.tolist()
    assert [cell.same_as for cell in panel.cells if cell is not merged] == [None, None, None]
    assert all(cell.same_as is None for cell in one(panels_of(tmp_path), "upload").cells)


def test_a_merged_cell_is_filled_in_where_its_twin_is_not(tmp_path: Path) -> None:
    write_fleet(tmp_path, 4, CELLS)
    _merge(tmp_path)
    panels = panels_of(tmp_path, by=("concurrency",))
    large = one(panels, "download, chunk size 10MiB")
    assert [cell.key["concurrency"] for cell in large.cells] == [1, 4]
    filled = cell_of(large, concurrency=1)
    assert filled.same_as is None
    expected = medians(tmp_path, "download", chunk_size="5MiB", concurrency=1)
    assert dict(zip(large.units, filled.mbps.tolist(), strict=True)) == pytest.approx(expected)
    assert filled.statuses == {"ok": 12}


def test_a_condition_on_a_knob_finds_the_merged_cell(tmp_path: Path) -> None:
    write_fleet(tmp_path, 4, CELLS)
    _merge(tmp_path)
    panel = one(panels_of(tmp_path, where=("chunk_size=10MiB", "step=download")), "download")
    assert [tuple(cell.key.values()) for cell in panel.cells] == [("10MiB", 1), ("10MiB", 4)]
    assert all(cell.same_as is None for cell in panel.cells)


def test_what_a_step_sets_for_itself_is_not_the_cells(tmp_path: Path) -> None:
    """Where the step's own settings make two cells alike, none is filled in twice."""
    write_fleet(tmp_path, 3, grid(concurrency=[1, 4]), steps=("download",))
    cells = [{"concurrency": 1}, {"concurrency": 4}]
    entry = {"cell": cells[1], "same_as": cells[0], "reason": "the settings of the step"}

    def own(line: Record) -> Record | None:
        if line["kind"] == "run":
            return {**line, "merged": [{**entry, "step": "download", "step_index": 0}]}
        if line["cell"] == cells[1]:
            return None
        line["requested"]["concurrency"] = line["effective"]["concurrency"] = 8
        return line

    rewrite(tmp_path, own)
    panel = one(panels_of(tmp_path, by=("concurrency",)), "download")
    assert [(cell.key, cell.statuses) for cell in panel.cells] == [({"concurrency": 8}, {"ok": 9})]


# --- steps and units -----------------------------------------------------------------------------


def test_a_step_that_occurs_twice_is_two_panels(tmp_path: Path) -> None:
    write_fleet(tmp_path, 3, CELLS, steps=("upload", "download", "download"))
    titles = [panel.title for panel in panels_of(tmp_path)]
    assert titles == ["upload", "download", "download#2"]
    assert one(panels_of(tmp_path), "download#2").shared["step"] == "download#2"
    assert all(cell.statuses == {"ok": 9} for cell in panels_of(tmp_path)[1].cells)


def test_a_step_at_another_place_in_the_trial_is_the_same_step(tmp_path: Path) -> None:
    write_fleet(tmp_path, 3, CELLS, steps=("upload", "download"))
    later = datetime(2026, 2, 1, tzinfo=UTC)
    write_fleet(tmp_path, 3, CELLS, steps=("download",), started_at=later, spec_sha256="ab" * 32)
    assert [panel.title for panel in panels_of(tmp_path)] == ["upload", "download"]
    assert {cell.statuses["ok"] for cell in one(panels_of(tmp_path), "download").cells} == {18}


def test_loading_is_compared_within_one_version_of_the_experiment(tmp_path: Path) -> None:
    """How a file is loaded is set in the experiment, and is in no knob."""
    for number in range(2):
        started_at = datetime(2026, 1 + number, 1, tzinfo=UTC)
        sha256 = f"{number}a" * 32
        write_fleet(tmp_path, 3, CELLS, steps=("load",), started_at=started_at, spec_sha256=sha256)
    panels = panels_of(tmp_path)
    assert [panel.title for panel in panels] == [
        "load, experiment file 0a0a0a0a0a0a",
        "load, experiment file 1a1a1a1a1a1a",
    ]
    assert {panel.direction for panel in panels} == {"none"}


def test_of_one_node_the_repetitions_are_the_units(tmp_path: Path) -> None:
    write_fleet(tmp_path, 1, CELLS, repetitions=7)
    panel = one(panels_of(tmp_path), "upload")
    assert (panel.unit, len(panel.units)) == ("repetition", 7)
    for cell in panel.cells:
        by_repetition = {
            line["repetition"]: line["throughput_mbps"]
            for line in results(tmp_path)
            if line["cell"] == cell.key and line["step"] == "upload"
        }
        found = {
            int(unit.rpartition("/")[2]): value
            for unit, value in zip(panel.units, cell.mbps.tolist(), strict=True)
        }
        assert found == pytest.approx(by_repetition)
    assert "only one node has results" in panel.notes[0]


def test_a_second_node_that_only_failed_leaves_the_repetitions(tmp_path: Path) -> None:
    paths = write_fleet(tmp_path, 2, CELLS, repetitions=7)
    broken = paths[0].parent.name

    def spoil(line: Record) -> Record:
        if line["kind"] == "result" and line["machine_id"] == broken:
            line.update(status="failed", reason="503", throughput_mbps=None)
        return line

    rewrite(tmp_path, spoil)
    panel = one(panels_of(tmp_path), "upload")
    assert panel.unit == "repetition"
    assert panel.cells[0].statuses == {"failed": 7, "ok": 7}
    assert paths[1].parent.name in panel.notes[0]


@pytest.mark.parametrize("name", ["node", "run"])
def test_nodes_and_runs_are_compared_by_their_repetitions(tmp_path: Path, name: str) -> None:
    write_fleet(tmp_path, 3, grid(concurrency=[4]), repetitions=5)
    panel = one(panels_of(tmp_path, by=(name,)), "upload")
    assert (panel.unit, len(panel.cells), len(panel.units)) == ("repetition", 3, 15)
    there = [~np.isnan(cell.mbps) for cell in panel.cells]
    assert [int(rows.sum()) for rows in there] == [5, 5, 5]
    assert not any((a & b).any() for a, b in pairwise(there))


def test_strata_are_the_same_panel_for_fewer_nodes(tmp_path: Path) -> None:
    write_fleet(tmp_path, 80, CELLS, repetitions=1)
    panels = [p for p in panels_of(tmp_path, strata=("rtt", "country")) if p.step == "upload"]
    whole = one(tuple(panels), "upload")
    near = one(tuple(panels), "upload", "RTT below 50 ms")
    assert [p.stratum for p in panels][:4] == [
        "",
        "RTT below 50 ms",
        "RTT 50 to 150 ms",
        "RTT above 150 ms",
    ]
    by_country = [set(p.units) for p in panels if p.stratum.startswith("country ")]
    assert set.union(*by_country) == set(whole.units)
    assert sum(map(len, by_country)) == len(whole.units)
    rtt = {
        line["machine_id"]: line["probe"]["rtt"]["median_s"]
        for line in lines(tmp_path)
        if line["kind"] == "run"
    }
    assert set(near.units) == {node for node, seconds in rtt.items() if seconds < 0.05}
    for cell in near.cells:
        twin = cell_of(whole, **cell.key)
        assert all(value_of(near, cell, n) == value_of(whole, twin, n) for n in near.units)


def test_nodes_of_unknown_rtt_are_a_class(tmp_path: Path) -> None:
    def unknown(chance: Random, number: int) -> SimNode:
        return SimNode(machine_id=f"n{number}", rtt_s=None)

    write_fleet(tmp_path, 2, CELLS, draw=unknown)
    write_fleet(tmp_path, 2, CELLS, draw=draw_node, experiment="fleet", seed=3)
    strata = {panel.stratum for panel in panels_of(tmp_path, strata=("rtt",))}
    assert "RTT unknown" in strata


def test_prices_need_requests_and_the_provider(tmp_path: Path) -> None:
    write_fleet(tmp_path, 2, grid(chunk_size=["10MiB"], concurrency=[4]))
    up, down = panels_of(tmp_path)
    assert (up.provider, down.provider) == ("cloudflare", "cloudflare")
    # 20 parts, to create and to complete; a look at what has arrived.
    assert (up.cells[0].requests_class_a, up.cells[0].requests_class_b) == (22, 1)
    assert (down.cells[0].requests_class_a, down.cells[0].requests_class_b) == (0, 22)
    assert up.cells[0].size_bytes == 200 * MIB

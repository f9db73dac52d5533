"""What each picture shows of what was found, and what is said where there is nothing to show."""

from __future__ import annotations

import math
from dataclasses import replace

import altair
import pytest
from jsonschema import ValidationError

from hps.compare.comparison import CellSummary, Change, Findings, Interval, Pair, Reason, Rule
from hps.report.pictures import chart, gallery
from hps.report.pictures.picture import FILES, PAGE, Paint, Picture
from tests.report import seen
from tests.report.fleet import make_findings, nothing

FINDINGS = make_findings(120)
DRAWN = seen.pictures(FINDINGS)


@pytest.mark.parametrize("paint", [FILES, PAGE], ids=["files", "page"])
@pytest.mark.parametrize("name", DRAWN)
def test_every_picture_is_a_chart(name: str, paint: Paint) -> None:
    picture = next(
        one for one in gallery.pictures(gallery.draw(FINDINGS, paint)) if one.name == name
    )
    spec = chart.spec(picture, paint, titled=paint is FILES)
    _check(spec)
    drawn = chart.svg(spec)
    assert drawn.count("role-mark") >= len(picture.layers)
    assert ("var(--" in drawn) == (paint is PAGE)
    assert ("role-title" in drawn) == (paint is FILES)


def test_a_picture_is_a_png_of_twice_its_size() -> None:
    content = chart.png(chart.spec(DRAWN["rtt"], FILES, titled=True))
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert int.from_bytes(content[16:20], "big") > 2 * chart.WIDTH


def test_a_misspelt_mark_is_no_chart() -> None:
    layer = replace(DRAWN["rtt"].layers[0], mark={"type": "bra"})
    with pytest.raises(ValidationError, match="bra"):
        _check(chart.spec(replace(DRAWN["rtt"], layers=[layer]), FILES, titled=True))


def _check(spec: chart.Spec) -> None:
    """Hold a chart against the schema of Vega-Lite. Its rows are left out: any row will do."""
    assert spec["$schema"] == altair.SCHEMA_URL
    without_rows = {name: part for name, part in spec.items() if name != "datasets"}
    altair.TopLevelLayerSpec.from_dict(without_rows)


def test_names_are_fit_for_files_and_differ() -> None:
    same = replace(FINDINGS, comparisons=(*FINDINGS.comparisons[:1], *FINDINGS.comparisons[:1]))
    names = [one.name for one in gallery.pictures(gallery.draw(same, FILES))]
    assert len(set(names)) == len(names)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for name in names)


# --- heat map --------------------------------------------------------------------------------


def test_the_heat_map_has_each_cell_with_median_spread_and_n() -> None:
    squares = DRAWN["heatmap-download"].layers[0]
    (whole,) = [one for one in FINDINGS.comparisons if one.title == "download" and not one.stratum]
    assert len(squares.rows) == 16
    row = next(row for row in squares.rows if (row["row"], row["column"]) == ("25MiB", "10"))
    cell = next(c for c in whole.cells if c.key == {"chunk_size": "25MiB", "concurrency": 10})
    assert row["mbps"] == pytest.approx(cell.median_mbps, abs=0.01)
    texts = seen.texts(seen.layers(DRAWN["heatmap-download"], "text"))
    assert f"{cell.median_mbps:.0f}" in texts
    assert f"{cell.p10_mbps:.0f}-{cell.p90_mbps:.0f}" in texts
    assert texts.count("n 120") == 16


def test_sizes_and_counts_go_from_small_to_large() -> None:
    squares = DRAWN["heatmap-upload"].layers[0]
    assert seen.channel(squares, "y")["sort"] == ["5MiB", "10MiB", "25MiB", "64MiB"]
    assert seen.channel(squares, "x")["sort"] == ["1", "4", "10", "16"]


def test_the_cell_to_use_is_framed() -> None:
    frames = [layer for layer in DRAWN["heatmap-upload"].layers if "stroke" in layer.mark]
    chosen = FINDINGS.comparisons[0].decision.cell
    assert chosen is not None
    for frame in frames:
        (row,) = frame.rows
        assert (row["row"], row["column"]) == (chosen["chunk_size"], str(chosen["concurrency"]))


def test_a_cell_measured_as_another_has_its_numbers_and_says_so() -> None:
    first, second, *rest = FINDINGS.comparisons[0].cells
    merged = _empty(second, same_as=first.key)
    findings = _with_cells(first, merged, *rest)
    rows = seen.pictures(findings)["heatmap-upload"].layers[0].rows
    row = next(row for row in rows if row["same"] != "itself")
    assert row["mbps"] == pytest.approx(first.median_mbps, abs=0.01)
    assert row["same"] == "chunk size 5MiB, concurrency 1"


def test_other_axes_than_chunks_and_streams_get_a_map_of_the_first_two() -> None:
    cells = [
        replace(cell, key={"http2": http2, "transfers": transfers})
        for cell, (http2, transfers) in zip(
            FINDINGS.comparisons[0].cells,
            [(False, 2), (False, 8), (True, 2), (True, 8)],
            strict=False,
        )
    ]
    findings = replace(_with_cells(*cells), by=("http2", "transfers"))
    squares = seen.pictures(findings)["heatmap-upload"].layers[0]
    assert set(seen.values(squares, "row")) == {"false", "true"}
    assert set(seen.values(squares, "column")) == {"2", "8"}
    assert "concurrency" in seen.gaps(findings)


def test_a_third_axis_gets_a_map_for_each_of_its_values() -> None:
    cells = [
        replace(cell, key={**cell.key, "http2": http2})
        for cell in FINDINGS.comparisons[0].cells
        for http2 in (False, True)
    ]
    findings = replace(_with_cells(*cells), by=("chunk_size", "concurrency", "http2"))
    drawn = seen.pictures(findings)
    assert len(drawn["heatmap-upload-http-2-false"].layers[0].rows) == 16
    assert len(drawn["heatmap-upload-http-2-true"].layers[0].rows) == 16


def test_one_axis_gets_dots_with_intervals() -> None:
    cells = [cell for cell in FINDINGS.comparisons[0].cells if cell.key["concurrency"] == 16]
    picture = seen.pictures(_with_cells(*cells))["cells-upload"]
    (dots,), (spans,) = seen.layers(picture, "point"), seen.layers(picture, "rule")
    assert seen.values(dots, "cell") == ["5MiB · 16", "10MiB · 16", "25MiB · 16", "64MiB · 16"]
    for row, cell in zip(spans.rows, cells, strict=True):
        assert cell.interval is not None
        assert (row["low"], row["high"]) == (cell.interval.low, cell.interval.high)


# --- concurrency -------------------------------------------------------------------------------


def test_each_class_of_round_trip_has_its_line_at_the_same_chunk_size() -> None:
    picture = DRAWN["concurrency-download"]
    (line,) = seen.layers(picture, "line")
    classes = ["RTT below 50 ms", "RTT 50 to 150 ms", "RTT above 150 ms"]
    assert list(dict.fromkeys(seen.values(line, "of"))) == classes
    assert seen.column(line, "streams") == [1, 4, 10, 16] * 3
    chosen = FINDINGS.comparisons[4].decision.cell
    assert chosen is not None
    assert f"at chunk size {chosen['chunk_size']}" in picture.note
    near = next(
        one for one in FINDINGS.comparisons if one.stratum == classes[0] and one.title == "download"
    )
    key = {"chunk_size": chosen["chunk_size"], "concurrency": 4}
    cell = next(cell for cell in near.cells if cell.key == key)
    assert line.rows[1]["mbps"] == pytest.approx(cell.median_mbps, abs=0.01)
    assert cell.interval is not None
    assert line.rows[1]["low"] == pytest.approx(cell.interval.low, abs=0.01)


def test_without_classes_there_is_one_line() -> None:
    whole = tuple(one for one in FINDINGS.comparisons if not one.stratum)
    (line,) = seen.layers(
        seen.pictures(replace(FINDINGS, comparisons=whole))["concurrency-upload"], "line"
    )
    assert set(seen.values(line, "of")) == {"all nodes"}


# --- ratios ------------------------------------------------------------------------------------


def test_ratios_are_those_of_the_chosen_cell_over_each_other() -> None:
    picture = DRAWN["ratios-upload"]
    (dots,) = seen.layers(picture, "point")
    whole = FINDINGS.comparisons[0]
    chosen = whole.decision.cell
    assert chosen is not None
    assert len(dots.rows) == 15
    pair = next(pair for pair in whole.pairs if pair.b == chosen)
    row = next(row for row in dots.rows if row["other"] == _short(pair))
    assert pair.ratio is not None
    assert pair.interval is not None
    # The pair was stored the other way round.
    assert row["ratio"] == pytest.approx(1 / pair.ratio)
    assert row["low"] == pytest.approx(1 / pair.interval.high)
    assert row["high"] == pytest.approx(1 / pair.interval.low)
    assert (pair.verdict, row["verdict"]) == ("slower", "faster")


def test_the_least_that_matters_is_ruled_on_both_sides_of_one() -> None:
    findings = replace(FINDINGS, rule=Rule(min_effect=0.1))
    rules = seen.layers(seen.pictures(findings)["ratios-upload"], "rule")
    assert sorted(seen.column(rules[0], "ratio")) == pytest.approx([1 / 1.1, 1.1])
    assert seen.column(rules[1], "ratio") == [1]


def test_changes_against_a_baseline_are_drawn() -> None:
    changes = tuple(
        Change(
            title="download",
            step="download",
            stratum="",
            key=cell.key,
            ratio=0.9,
            interval=Interval(low=0.85, high=0.94),
            p=0.001,
            p_adjusted=0.01,
            verdict="slower",
            n=50,
        )
        for cell in FINDINGS.comparisons[0].cells
    )
    lost = replace(changes[0], ratio=None, interval=None, reason="not measured now")
    picture = seen.pictures(replace(FINDINGS, changes=(*changes[1:], lost)))["baseline-download"]
    (dots,) = seen.layers(picture, "point")
    assert seen.column(dots, "ratio") == [0.9] * 15
    assert "Without a counterpart: 1 cell." in picture.note
    assert "15 slower" in picture.finding


# --- time, failures, nodes ---------------------------------------------------------------------


def test_hours_and_tenths_have_a_line_for_each_step() -> None:
    for name, points in (("hours", FINDINGS.hours), ("drift", FINDINGS.tenths)):
        (line,) = seen.layers(DRAWN[name], "line")
        assert len(line.rows) == len(points)
        for point in points:
            (row,) = [r for r in line.rows if (r["step"], r["at"]) == (point.step, point.at)]
            assert row["ratio"] == pytest.approx(point.median_ratio, abs=1e-4)
            assert row["low"] == pytest.approx(point.low_ratio, abs=1e-4)
        assert seen.channel(line, "color")["scale"] == {
            "domain": ["upload", "download"],
            "range": [FILES.blue, FILES.red],
        }


def test_cells_that_failed_are_drawn_with_their_intervals() -> None:
    picture = DRAWN["failures-upload"]
    (dots,) = seen.layers(picture, "point")
    cells = [cell for cell in FINDINGS.comparisons[0].cells if cell.failure_rate]
    assert seen.column(dots, "rate") == [cell.failure_rate for cell in cells]
    assert seen.column(dots, "high") == [
        c.failure_interval.high for c in cells if c.failure_interval
    ]
    bad = sum(cell.statuses["failed"] for cell in cells)
    assert picture.title == f"Upload: {bad} of 5,760 operations failed"
    assert "failures-download" not in DRAWN
    assert seen.gaps(FINDINGS)["failures"].reason == "Download: nothing failed."


def test_cells_that_failed_say_why_by_code_and_owner() -> None:
    known = Reason(code="throttled", owner="target", count=2)
    cells = [
        replace(cell, reasons=(known,) if cell.failure_rate else ())
        for cell in FINDINGS.comparisons[0].cells
    ]
    count = sum(bool(cell.reasons) for cell in cells)
    picture = seen.pictures(_with_cells(*cells))["failures-upload"]
    assert picture.note.endswith(f"By reason: {2 * count} throttled (target).")
    (dots,) = seen.layers(picture, "point")
    told = map(str, seen.values(dots, "statuses"))
    assert all(text.endswith("failed (2 throttled (target))") for text in told)


def test_interrupted_operations_are_not_failures() -> None:
    cells = [
        replace(cell, statuses={"ok": 5, "interrupted": 3}, failure_rate=0.0)
        for cell in FINDINGS.comparisons[0].cells
    ]
    assert seen.gaps(_with_cells(*cells))["failures"].reason == "Upload: nothing failed."


def test_a_cell_that_another_stands_for_is_counted_once() -> None:
    first, second, *_ = FINDINGS.comparisons[0].cells
    cells = [
        replace(first, statuses={"ok": 5}, failure_rate=0.0),
        replace(second, statuses={"ok": 5}, failure_rate=0.0, same_as=first.key),
    ]
    assert seen.gaps(_with_cells(*cells))["failures"].reason == "Upload: nothing failed."


def test_reasons_are_counted_by_what_was_asked_and_not_by_what_was_measured() -> None:
    (bars,) = seen.layers(DRAWN["rejected"], "bar")
    counts = dict(zip(seen.values(bars, "reason"), seen.column(bars, "nodes"), strict=True))
    assert counts["download too slow"] == 14
    assert 0 < counts["upload too slow"] < 14


def test_a_rejected_node_with_a_code_is_counted_by_it() -> None:
    bare = [
        replace(node, code="timeout", owner="target", reasons=(f"no answer after {place} s",))
        for place, node in enumerate(FINDINGS.rejected)
    ]
    (bars,) = seen.layers(seen.pictures(replace(FINDINGS, rejected=tuple(bare)))["rejected"], "bar")
    assert [dict(row) for row in bars.rows] == [{"reason": "timeout (target)", "nodes": 14}]


def test_what_was_measured_stands_beside_what_was_asked() -> None:
    picture = DRAWN["required-max-rtt"]
    (bars,) = seen.layers(picture, "bar")
    assert sum(seen.column(bars, "nodes")) == 134
    (rule,) = seen.layers(picture, "rule")
    assert seen.column(rule, "low") == [350]
    (bars,) = seen.layers(DRAWN["required-min-download"], "bar")
    short = sum(int(str(row["nodes"])) for row in bars.rows if row["verdict"] == "does not")
    assert short == 14


def test_a_rejected_node_among_all_nodes_counts_once() -> None:
    both = replace(FINDINGS, nodes=(*FINDINGS.nodes, *FINDINGS.rejected))
    assert seen.pictures(both)["required-max-rtt"].note == DRAWN["required-max-rtt"].note


# --- nothing -----------------------------------------------------------------------------------


def test_where_nothing_counts_there_is_no_picture_and_each_says_why() -> None:
    assert seen.pictures(nothing()) == {}
    gaps = seen.gaps(nothing())
    assert {"heatmap", "concurrency", "ratios", "rtt", "throughput", "correlation"} <= set(gaps)
    assert {"hours", "drift", "failures", "rejected", "required"} <= set(gaps)
    for gap in gaps.values():
        assert gap.reason[0].isupper()
        assert gap.reason.endswith(".")


def test_one_node_draws_what_it_can() -> None:
    drawn = seen.pictures(make_findings(1, rejected=0))
    assert "heatmap-download" in drawn
    assert "ratios-download" not in drawn
    assert "correlation" not in drawn


def test_every_number_can_stand_in_json() -> None:
    for picture in DRAWN.values():
        for layer in picture.layers:
            for row in layer.rows:
                assert all(
                    math.isfinite(value) for value in row.values() if isinstance(value, float)
                )


def _short(pair: Pair) -> str:
    return " · ".join(str(value) for value in pair.a.values())


def _empty(cell: CellSummary, **fields: object) -> CellSummary:
    changed: dict[str, object] = {"median_mbps": None, "interval": None, "statuses": {}, **fields}
    return replace(cell, **changed)  # type: ignore[arg-type]


def _with_cells(*cells: CellSummary) -> Findings:
    """The first comparison alone, with these cells."""
    first = replace(FINDINGS.comparisons[0], cells=cells, pairs=())
    decision = replace(first.decision, kind="inconclusive", cell=None)
    return replace(FINDINGS, comparisons=(replace(first, decision=decision),))


def test_the_text_of_a_picture_says_what_is_in_it() -> None:
    picture: Picture = DRAWN["heatmap-upload"]
    best = max(FINDINGS.comparisons[0].cells, key=lambda cell: cell.median_mbps or 0)
    assert f"{best.median_mbps:,.0f} Mbps" in picture.finding
    assert f"chunk size {best.key['chunk_size']}" in picture.finding


def test_nodes_that_were_asked_for_many_things_have_no_thicket_of_rules() -> None:
    nodes = tuple(
        replace(node, checks=tuple({**check, "bound": float(place)} for check in node.checks))
        for place, node in enumerate(FINDINGS.nodes)
    )
    picture = seen.pictures(replace(FINDINGS, nodes=nodes, rejected=()))["required-min-upload"]
    assert seen.layers(picture, "rule") == []
    assert "theirs, of 0 to 119 Mbps" in picture.note


def test_a_rate_that_never_changes_is_said_to_be_steady() -> None:
    level = tuple(replace(point, median_ratio=1.0) for point in FINDINGS.hours)
    picture = seen.pictures(replace(FINDINGS, hours=level))["hours"]
    assert "100 % throughout" in picture.note

"""Who took part, when, and where the numbers come from; and what is said where there are none."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from statistics import median

import pytest

from hps.compare.comparing import NoDataError
from hps.errors import EXIT_NO_DATA, HpsError
from tests.compare.stored import Record, findings_of, lines, results, rewrite
from tests.results.fleet import MIB, Cell, SimNode, grid, write_fleet

CELLS = grid(chunk_size=["5MiB", "10MiB"], concurrency=[1, 4])
LATER = datetime(2026, 2, 1, tzinfo=UTC)


def _third_rejected(chance: Random, number: int) -> SimNode:
    return SimNode(machine_id=f"node-{number}", upload_mbps=10.0 + number, accepted=number % 3 != 0)


def test_rejected_nodes_are_listed_with_their_reasons(tmp_path: Path) -> None:
    write_fleet(tmp_path, 9, CELLS, draw=_third_rejected)
    found = findings_of(tmp_path)
    assert [node.machine_id for node in found.rejected] == ["node-0", "node-3", "node-6"]
    assert found.rejected[0].reasons == ("upload 10.0 Mbps, required 20.0",)
    assert found.rejected[0].checks[0]["outcome"] == "fail"
    assert found.rejected[0].upload_mbps is None
    assert len(found.nodes) == 9
    assert (found.provenance.nodes, found.comparisons[0].units) == (6, 6)


def test_nodes_measured_all_the_same_are_named(tmp_path: Path) -> None:
    write_fleet(tmp_path, 6, CELLS)

    def reject(line: Record) -> Record:
        if line["kind"] == "run" and line["machine_id"].endswith("-000002"):
            line["verdict"].update(accepted=False, action="continue", reasons=["too slow"])
        return line

    rewrite(tmp_path, reject)
    found = findings_of(tmp_path)
    (node,) = found.rejected
    assert node.download_mbps is not None
    assert found.comparisons[0].units == 6
    (note,) = found.notes
    assert note.startswith("1 node measured although the experiment rejects it: ")
    assert node.machine_id in note
    left_out = findings_of(tmp_path, where=("accepted=true",))
    assert (left_out.comparisons[0].units, left_out.rejected) == (5, ())


def test_a_nodes_rates_are_the_medians_of_its_results(tmp_path: Path) -> None:
    write_fleet(tmp_path, 5, CELLS, warmup=1)
    rates = defaultdict(list)
    for line in results(tmp_path):
        if not line["warmup"]:
            rates[line["machine_id"], line["step"]].append(line["throughput_mbps"])
    for node in findings_of(tmp_path).nodes:
        assert node.upload_mbps == pytest.approx(median(rates[node.machine_id, "upload"]))
        assert node.download_mbps == pytest.approx(median(rates[node.machine_id, "download"]))
    probed = {
        line["machine_id"]: line["probe"] for line in lines(tmp_path) if line["kind"] == "run"
    }
    for node in findings_of(tmp_path).nodes:
        assert node.rtt_s == probed[node.machine_id]["rtt"]["median_s"]


def test_conditions_on_nodes_choose_nodes_and_others_do_not(tmp_path: Path) -> None:
    write_fleet(tmp_path, 40, CELLS, repetitions=1)
    everyone = findings_of(tmp_path).nodes
    near = findings_of(tmp_path, where=("rtt<50ms",))
    assert {n.machine_id for n in near.nodes} == {
        n.machine_id for n in everyone if n.rtt_s is not None and n.rtt_s < 0.05
    }
    assert near.comparisons[0].units == len(near.nodes)
    germans = findings_of(tmp_path, where=("country=de,fi",)).nodes
    assert {n.country for n in germans} == {"de", "fi"}
    assert len(findings_of(tmp_path, where=("step=upload", "concurrency>1")).nodes) == 40


@pytest.mark.parametrize(
    ("where", "left"),
    [
        (("step=download",), 1),
        (("chunk_size>5MiB",), 2),
        (("concurrency!=1,4",), 0),
        (("size<=200MiB", "size>=200MiB"), 2),
        (("size<200MiB",), 0),
        (("tool_version=1.75.2",), 2),
        (("http2=true",), 0),
        (("date>=2026-01-05",), 2),
        (("date<2026-01-05",), 0),
    ],
)
def test_conditions_choose_results(tmp_path: Path, where: tuple[str, ...], left: int) -> None:
    write_fleet(tmp_path, 4, CELLS)
    if left:
        found = findings_of(tmp_path, where=where)
        assert len(found.comparisons) == left
        keys = [cell.key for one in found.comparisons for cell in one.cells]
        assert all(key["chunk_size"] == "10MiB" for key in keys) == ("chunk" in where[0])
    else:
        with pytest.raises(NoDataError):
            findings_of(tmp_path, where=where)


def test_a_version_of_the_experiment_is_named_by_how_it_begins(tmp_path: Path) -> None:
    write_fleet(tmp_path, 3, CELLS, spec_sha256="ab" * 32)
    write_fleet(tmp_path, 4, CELLS, spec_sha256="cd" * 32, started_at=LATER)
    assert findings_of(tmp_path, where=("spec=CDCD",)).provenance.runs == 4
    assert findings_of(tmp_path, where=("spec!=cdcd",)).provenance.runs == 3


# --- times ---------------------------------------------------------------------------------------


def test_rates_over_the_day_are_to_each_nodes_own_mean(tmp_path: Path) -> None:
    write_fleet(tmp_path, 10, CELLS, repetitions=4)

    def at(line: Record) -> Record:
        """The first repetition at 3 o'clock, at four times the rate of those at 15 o'clock."""
        if line["kind"] == "result":
            night = line["repetition"] == 0
            line["started_at"] = f"2026-01-06T{'03' if night else '15'}:00:00.000000Z"
            fixed = 100.0 if line["step"] == "upload" else 300.0
            line["throughput_mbps"] = fixed * (4 if night else 1)
        return line

    rewrite(tmp_path, at)
    hours = {(point.step, point.at): point for point in findings_of(tmp_path).hours}
    assert set(hours) == {(step, at) for step in ("upload", "download") for at in (3, 15)}
    night, day = hours["upload", 3], hours["upload", 15]
    assert (night.n, day.n) == (40, 120)
    assert night.median_ratio == pytest.approx(4 / 4 ** (1 / 4))
    assert day.median_ratio == pytest.approx(1 / 4 ** (1 / 4))
    assert night.low_ratio == pytest.approx(night.high_ratio)


def test_rates_over_the_run_show_a_drift(tmp_path: Path) -> None:
    write_fleet(tmp_path, 6, grid(concurrency=[4]), repetitions=40, steps=("download",), spread=0.0)

    def drift(line: Record) -> Record:
        if line["kind"] == "result":
            line["throughput_mbps"] = 100.0 + line["repetition"]
            line["started_at"] = f"2026-01-06T00:{line['repetition']:02d}:00.000000Z"
        return line

    rewrite(tmp_path, drift)
    tenths = findings_of(tmp_path).tenths
    assert [point.at for point in tenths] == list(range(10))
    assert sum(point.n for point in tenths) == 6 * 40
    ratios = [point.median_ratio for point in tenths]
    assert ratios == sorted(ratios)
    assert ratios[0] == pytest.approx(101.5 / 119.5, abs=0.005)


def test_a_result_that_is_alone_says_nothing_of_the_time(tmp_path: Path) -> None:
    write_fleet(tmp_path, 6, CELLS, repetitions=1)
    found = findings_of(tmp_path)
    assert (found.hours, found.tenths) == ((), ())


# --- where it comes from -------------------------------------------------------------------------


def test_provenance_names_all_that_the_numbers_come_from(tmp_path: Path) -> None:
    write_fleet(tmp_path, 4, CELLS, spec_sha256="ab" * 32, warmup=2)
    write_fleet(tmp_path, 4, CELLS, spec_sha256="cd" * 32, started_at=LATER, tool_version="1.80")
    started = sorted(line["started_at"] for line in results(tmp_path) if not line["warmup"])
    torn = tmp_path / "fleet" / "torn" / "x.jsonl"
    torn.parent.mkdir()
    torn.write_text('{"kind":"run","run_id":', encoding="utf-8")
    found = findings_of(tmp_path)
    known = found.provenance
    assert known.experiments == ("fleet",)
    assert known.specs == ("ab" * 32, "cd" * 32)
    assert known.sources == ("experiments/fleet.yaml",)
    assert known.hps_versions == ("0.1.0",)
    assert known.tools == ("rclone 1.75.2", "rclone 1.80")
    assert (known.runs, known.nodes) == (8, 4)
    assert known.results == 8 * 4 * 2 * 3
    assert (known.first_at, known.last_at) == (started[0], started[-1])
    assert list(known.skipped_files) == [str(torn)]


def test_versions_that_are_taken_together_are_named(tmp_path: Path) -> None:
    write_fleet(tmp_path, 4, CELLS, spec_sha256="ab" * 32)
    write_fleet(tmp_path, 4, CELLS, spec_sha256="cd" * 32, started_at=LATER)
    found = findings_of(tmp_path)
    assert found.notes == (
        "fleet: 2 versions of the experiment file, taken together where they measure the same;"
        " add spec to --by to compare them",
    )
    assert (
        findings_of(tmp_path, by=("spec",), where=("chunk_size=5MiB",)).notes[0].startswith("2 v")
    )


def test_what_keeps_results_apart_is_told_with_how_to_compare_it(tmp_path: Path) -> None:
    write_fleet(tmp_path, 4, CELLS)
    write_fleet(tmp_path, 4, CELLS, started_at=LATER, tool_version="1.70.3")
    assert findings_of(tmp_path).notes == (
        "2 tool versions: 1.70.3, 1.75.2; compared separately;"
        " add tool_version to --by to compare them",
    )
    by = ("chunk_size", "concurrency", "tool_version")
    assert findings_of(tmp_path, by=by).notes == ()


def test_merged_cells_are_not_counted_twice(tmp_path: Path) -> None:
    write_fleet(tmp_path, 3, CELLS)
    small, large = ({"chunk_size": size, "concurrency": 1} for size in ("5MiB", "10MiB"))
    entry = {"cell": large, "step": "download", "step_index": 1, "same_as": small, "reason": "GET"}

    def leave_out(line: Record) -> Record | None:
        if line["kind"] == "run":
            return {**line, "merged": [entry]}
        return None if line["cell"] == large and line["step"] == "download" else line

    rewrite(tmp_path, leave_out)
    found = findings_of(tmp_path)
    assert found.provenance.results == len(results(tmp_path))
    assert sum(point.n for point in found.hours) == len(results(tmp_path))


def test_gates_are_those_of_each_experiments_newest_run(tmp_path: Path) -> None:
    def declared(*texts: str) -> dict[str, object]:
        return {"thresholds": list(texts)}

    write_fleet(tmp_path, 2, CELLS, run_fields=declared("failures<=5%"))
    write_fleet(tmp_path, 2, CELLS, run_fields=declared("failures<=1%"), started_at=LATER)
    write_fleet(tmp_path, 2, CELLS, experiment="other")
    assert findings_of(tmp_path).thresholds == {"fleet": ("failures<=1%",)}
    assert findings_of(tmp_path, experiments=("other",)).thresholds == {}


# --- nothing, or less than all -------------------------------------------------------------------


def _no_data(folder: Path, **asked: object) -> NoDataError:
    with pytest.raises(NoDataError) as caught:
        findings_of(folder, **asked)
    assert caught.value.exit_code == EXIT_NO_DATA
    return caught.value


def test_an_empty_folder_is_no_data(tmp_path: Path) -> None:
    error = _no_data(tmp_path)
    assert error.message == f"no results to compare in {tmp_path}"
    assert error.hint == "nothing at all is stored there"


def test_an_unknown_experiment_is_no_data_and_says_which_there_are(tmp_path: Path) -> None:
    write_fleet(tmp_path, 2, CELLS)
    error = _no_data(tmp_path, experiments=("fleeet",))
    assert error.message == f"no results of fleeet in {tmp_path}"
    assert "experiments: fleet" in error.hint
    assert "did you mean fleet?" in error.hint


def test_conditions_that_nothing_meets_are_told(tmp_path: Path) -> None:
    write_fleet(tmp_path, 2, CELLS)
    error = _no_data(tmp_path, where=("rtt<1ms", "step=upload"))
    assert error.message == f"no results of rtt<1ms, step=upload in {tmp_path}"
    assert error.hint == "stored there: 48 results of 2 runs"


def test_only_rejected_nodes_are_no_data(tmp_path: Path) -> None:
    def rejected(chance: Random, number: int) -> SimNode:
        return SimNode(machine_id=f"n{number}", accepted=False)

    write_fleet(tmp_path, 3, CELLS, draw=rejected)
    error = _no_data(tmp_path)
    assert error.hint == "stored there: 0 results of 3 runs, 3 of them on nodes that were rejected"


def test_where_all_failed_there_is_a_comparison_and_no_answer(tmp_path: Path) -> None:
    def failing(chance: Random, node: SimNode, cell: Cell, step: str) -> str:
        return "failed"

    write_fleet(tmp_path, 3, CELLS, fate=failing)
    found = findings_of(tmp_path)
    assert [one.decision.kind for one in found.comparisons] == ["no data", "no data"]
    assert found.comparisons[0].decision.text == "no data: no operation was ok (36 failed)"
    assert {cell.failure_rate for one in found.comparisons for cell in one.cells} == {1.0}


def test_results_without_their_run_are_compared(tmp_path: Path) -> None:
    write_fleet(tmp_path, 3, CELLS)
    rewrite(tmp_path, lambda line: None if line["kind"] == "run" else line)
    found = findings_of(tmp_path, strata=("rtt",))
    assert {one.stratum for one in found.comparisons} == {"", "RTT unknown"}
    assert found.comparisons[0].units == 3
    assert len(found.nodes) == 3
    assert "3 runs without a first line: what they ran on is unknown" in found.notes


def test_a_file_of_another_size_is_another_panel(tmp_path: Path) -> None:
    write_fleet(tmp_path, 3, CELLS)
    write_fleet(tmp_path, 3, CELLS, size_bytes=50 * MIB, started_at=LATER)
    titles = [one.title for one in findings_of(tmp_path).comparisons]
    assert titles == [
        "upload, size 50MiB",
        "upload, size 200MiB",
        "download, size 50MiB",
        "download, size 200MiB",
    ]


# --- what others have written --------------------------------------------------------------------


def test_a_value_with_quotes_is_a_value(tmp_path: Path) -> None:
    write_fleet(tmp_path, 2, CELLS)
    _no_data(tmp_path, where=("gpu=O'Brien's 4090",))
    _no_data(tmp_path, experiments=("it's",))


def test_results_that_lack_knobs_are_compared_as_unknown(tmp_path: Path) -> None:
    write_fleet(tmp_path, 3, CELLS)

    def strip(line: Record) -> Record:
        if line["kind"] == "run":
            return {**line, "targets": ["nonsense"], "merged": [{"cell": 3}, 7, "x"]}
        of_large = line["cell"]["chunk_size"] == "10MiB"
        kept = ("content", "chunk_size_bytes") if of_large else tuple(line["requested"])
        return {**line, "requested": {name: line["requested"][name] for name in kept}}

    rewrite(tmp_path, strip)
    titles = [one.title for one in findings_of(tmp_path, by=("concurrency",)).comparisons]
    assert any("size unknown" in title for title in titles)
    assert findings_of(tmp_path).comparisons[0].cells


def test_merged_entries_that_make_no_sense_fill_nothing_in(tmp_path: Path) -> None:
    write_fleet(tmp_path, 3, CELLS)
    odd = {"cell": {"chunk_size": "5 apples"}, "same_as": CELLS[0], "step_index": 0}
    rewrite(tmp_path, lambda line: {**line, "merged": [odd]} if line["kind"] == "run" else line)
    assert findings_of(tmp_path).provenance.results == len(results(tmp_path))


def test_more_cells_than_can_be_compared_are_refused(tmp_path: Path) -> None:
    draw = lambda chance, number: SimNode(machine_id=f"n{number}")  # noqa: E731
    write_fleet(tmp_path, 1001, grid(concurrency=[4]), repetitions=1, steps=("upload",), draw=draw)
    with pytest.raises(HpsError, match="--by node: makes 1,001 cells"):
        findings_of(tmp_path, by=("node",))
    assert findings_of(tmp_path).comparisons[0].units == 1001

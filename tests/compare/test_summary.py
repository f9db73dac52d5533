"""Results -> rows: what counts, what is only counted, and what stands for another cell."""

from __future__ import annotations

from collections.abc import Mapping

from hps.compare.summary import Row, summarize
from tests.builders import MIB, result_line, run_line

TWO = {"concurrency": 2}
FOUR = {"concurrency": 4}


def _row(*records: Mapping[str, object]) -> Row:
    (row,) = summarize([run_line(), *records])
    return row


def test_nothing_is_no_rows() -> None:
    assert summarize([]) == ()
    assert summarize([run_line()]) == ()


def test_rates_and_times_are_those_of_counted_results() -> None:
    row = _row(
        result_line(duration_s=1.0, throughput_mbps=160.0),
        result_line(duration_s=2.0, throughput_mbps=80.0),
        result_line(duration_s=9.0, throughput_mbps=20.0),
    )
    assert (row.n, row.median_s, row.median_mbps) == (3, 2.0, 80.0)
    assert (row.min_mbps, row.max_mbps) == (20.0, 160.0)
    assert row.moves_payload


def test_warm_ups_are_left_out() -> None:
    row = _row(result_line(warmup=True, throughput_mbps=9.0), result_line(), result_line())
    assert (row.n, row.min_mbps) == (2, 100.0)
    assert summarize([run_line(), result_line(warmup=True)]) == ()


def test_what_is_not_ok_is_counted_by_its_status_and_is_no_number() -> None:
    bad = {"throughput_mbps": None, "duration_s": 0.1}
    row = _row(
        result_line(status="failed", reason="no such bucket", **bad),
        result_line(status="invalid", reason="one connection", **bad),
        result_line(status="failed", reason="later", **bad),
        result_line(),
    )
    assert (row.n, row.median_s, row.median_mbps, row.min_mbps) == (1, 2.0, 100.0, 100.0)
    assert row.not_ok == {"failed": 2, "invalid": 1}
    assert (sum(row.not_ok.values()), row.reason) == (3, "no such bucket")


def test_a_row_with_no_good_result_says_what_was_seen() -> None:
    seen = {"concurrency": 16}
    row = _row(result_line(status="invalid", reason="why", throughput_mbps=None, effective=seen))
    assert (row.n, row.median_s, row.median_mbps, row.effective) == (0, None, None, seen)


def test_what_was_applied_is_that_of_the_first_good_result() -> None:
    row = _row(
        result_line(status="failed", reason="x", throughput_mbps=None, effective=None),
        result_line(effective={"concurrency": 3}, observed={"connections": 2}),
    )
    assert (row.effective, row.observed) == ({"concurrency": 3}, {"connections": 2})


def test_a_step_without_payload_has_times_alone() -> None:
    row = _row(
        result_line(step="list", throughput_mbps=None, effective=None),
        result_line(step="list", throughput_mbps=None, effective=None, duration_s=4.0),
    )
    assert (row.n, row.median_s, row.median_mbps, row.moves_payload) == (2, 3.0, None, False)


def test_rows_go_by_step_then_by_cell_as_declared() -> None:
    run = run_line(cells=[FOUR, TWO])
    results = [
        result_line(cell=cell, step=step, step_index=index)
        for cell in ({"concurrency": 9}, TWO, FOUR)
        for index, step in ((1, "download"), (0, "upload"))
    ]
    rows = summarize([run, *results])
    assert [(row.step, row.cell["concurrency"]) for row in rows] == [
        *(("upload", 4), ("upload", 2), ("upload", 9)),
        *(("download", 4), ("download", 2), ("download", 9)),
    ]


def test_a_step_that_is_done_twice_has_two_rows() -> None:
    rows = summarize([run_line(), *(result_line(step_index=index) for index in (0, 2))])
    assert [row.n for row in rows] == [1, 1]


def test_a_merged_step_stands_among_the_others() -> None:
    merged = {
        "cell": FOUR,
        "step": "download",
        "step_index": 1,
        "same_as": TWO,
        "reason": "two chunks",
    }
    rows = summarize(
        [
            run_line(cells=[TWO, FOUR], merged=[merged]),
            result_line(cell=TWO),
            result_line(cell=FOUR),
            result_line(cell=TWO, step="download", step_index=1),
        ]
    )
    assert [(row.step, row.cell, row.same_as) for row in rows] == [
        ("upload", TWO, None),
        ("upload", FOUR, None),
        ("download", TWO, None),
        ("download", FOUR, TWO),
    ]
    assert (rows[3].n, rows[3].median_mbps, rows[3].reason) == (0, None, "two chunks")


def test_repeated_steps_are_told_apart_and_none_hides_another() -> None:
    merged = {
        "cell": FOUR,
        "step": "download",
        "step_index": 1,
        "same_as": TWO,
        "reason": "one GET",
    }
    rows = summarize(
        [
            run_line(cells=[TWO, FOUR], merged=[merged]),
            result_line(cell=TWO, step="download", step_index=1, throughput_mbps=1.0),
            result_line(cell=TWO, step="download", step_index=2, throughput_mbps=2.0),
            result_line(cell=FOUR, step="download", step_index=2, throughput_mbps=3.0),
        ]
    )

    assert [(row.name, row.cell, row.median_mbps) for row in rows] == [
        ("download", TWO, 1.0),
        ("download", FOUR, None),
        ("download#2", TWO, 2.0),
        ("download#2", FOUR, 3.0),
    ]


def test_what_was_applied_is_told_by_the_first_result_that_can() -> None:
    told = {"chunk_size_bytes": 5 * MIB, "concurrency": 4}
    untold = {**told, "concurrency": None}
    quick = result_line(effective=untold)
    (row,) = summarize([quick, result_line()])
    assert row.effective == told
    (row,) = summarize([quick, quick])
    assert row.effective == untold


def test_results_of_a_starved_machine_are_counted() -> None:
    row = _row(result_line(), result_line(disturbed={"steal_share": 0.5}), result_line())
    assert (row.n, row.disturbed) == (3, 1)

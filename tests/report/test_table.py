"""The table and the CSV of a run."""

from __future__ import annotations

import csv
import io

from hps.compare.summary import summarize
from hps.report import as_csv, table
from tests.builders import MIB, result_line, run_line

TWO = {"chunk_size": "5MiB", "concurrency": 2}
FOUR = {"chunk_size": "5MiB", "concurrency": 4}
RECORDS = [
    run_line(
        cells=[TWO, FOUR],
        merged=[
            {
                "cell": FOUR,
                "step": "download",
                "step_index": 1,
                "same_as": TWO,
                "reason": "two chunks",
            }
        ],
    ),
    result_line(cell=TWO, throughput_mbps=123.4, duration_s=0.0123),
    result_line(cell=TWO, status="invalid", reason="one connection", throughput_mbps=None),
    result_line(cell=TWO, status="failed", reason="gone", throughput_mbps=None),
    result_line(cell=TWO, warmup=True, throughput_mbps=1.0),
    result_line(cell=TWO, step="download", step_index=1, throughput_mbps=9.876),
]


def _cells(text: str) -> list[list[str]]:
    """The cells of a table in GitHub's format."""
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows if "--" not in row]


def test_a_row_for_each_cell_and_step() -> None:
    header, *rows = _cells(table.render(summarize(RECORDS), "github"))
    assert header == [
        *("chunk_size", "concurrency", "step", "ok", "not ok", "chunk", "streams", "seen"),
        *("conns", "median s", "median", "min", "max Mbps"),
    ]
    assert rows == [
        [
            *("5MiB", "2", "upload", "1", "1 invalid 1 failed", "5MiB", "4", "3", "4"),
            *("0.0123", "123", "123", "123"),
        ],
        [
            *("5MiB", "2", "download", "1", "0", "5MiB", "4", "3", "4"),
            *("2", "9.88", "9.88", "9.88"),
        ],
        ["5MiB", "4", "download", "=", *[""] * 9],
    ]


def test_below_the_table_stands_what_it_cannot_say() -> None:
    text = table.render(summarize(RECORDS))
    body, legend, merged, wrong = text.split("\n\n")
    assert body.startswith("chunk_size")
    assert legend == table.LEGEND
    assert merged == (
        "= download chunk_size=5MiB concurrency=4: same as chunk_size=5MiB concurrency=2; "
        "two chunks"
    )
    assert wrong == "! upload chunk_size=5MiB concurrency=2: one connection"
    assert table.LEGEND not in table.render(summarize(RECORDS), "github")


def test_what_cannot_be_said_is_left_empty() -> None:
    record = result_line(
        step="list", throughput_mbps=None, effective=None, observed={"connections": None}
    )
    (row,) = _cells(table.render(summarize([run_line(), record]), "github"))[1:]
    assert row == ["4", "list", "1", "0", *[""] * 4, "2", *[""] * 3]


def test_cells_with_other_axes_share_a_table() -> None:
    records = [result_line(cell={"http2": True}), result_line(cell={"size": "1MiB"})]
    header, *rows = _cells(table.render(summarize([run_line(), *records]), "github"))
    assert header[:3] == ["http2", "size", "step"]
    assert [row[:3] for row in rows] == [["true", "", "upload"], ["", "1MiB", "upload"]]


def test_no_results_are_no_table() -> None:
    assert table.render(()) == "no results"


def test_the_name_of_a_cell() -> None:
    assert table.cell_name({"size": "1MiB", "http2": False}) == "size=1MiB http2=false"
    assert table.cell_name({}) == "the only cell"


def test_csv_has_a_line_for_each_result_and_a_column_for_each_field() -> None:
    text = as_csv.render_records(RECORDS)
    lines = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(lines) == len(RECORDS) - 1
    assert lines[0]["cell.chunk_size"] == "5MiB"
    assert lines[0]["effective.chunk_size_bytes"] == str(5 * MIB)
    assert [line["warmup"] for line in lines] == ["false", "false", "false", "true", "false"]
    assert lines[1]["throughput_mbps"] == ""
    assert "kind" in lines[0]


def test_csv_keeps_awkward_texts_whole() -> None:
    reason = 'two\nlines, a "quote"\r\nand ä'
    (line,) = csv.DictReader(
        io.StringIO(as_csv.render_records([result_line(reason=reason)]), newline="")
    )
    assert line["reason"] == reason


def test_csv_has_codes_beside_reasons_also_where_older_lines_have_none() -> None:
    codes = {"reason_code": "throttled", "reason_owner": "target"}
    records = [result_line(), result_line(status="failed", reason="503", **codes)]
    first, second = csv.DictReader(io.StringIO(as_csv.render_records(records), newline=""))
    assert (first["reason_code"], first["reason_owner"]) == ("", "")
    assert (second["reason_code"], second["reason_owner"]) == ("throttled", "target")


def test_csv_lines_that_lack_a_field_leave_it_empty() -> None:
    records = [result_line(extra=1), result_line(effective=None)]
    text = as_csv.render_records(records)
    first, second = csv.DictReader(io.StringIO(text, newline=""))
    assert (first["extra"], second["extra"]) == ("1", "")
    assert second["effective.concurrency"] == ""
    assert "effective" not in second
    assert set(text.split("\r\n", 1)[0].split(",")) == set(first)

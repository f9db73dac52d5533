"""Nodes behind a proxy beside others: told, and told apart where that is asked for."""

from __future__ import annotations

from pathlib import Path

from tests.command import hps
from tests.compare.stored import Record, findings_of, rewrite
from tests.results.fleet import SimNode, grid, write_fleet


def _fleet(folder: Path, *, behind: int) -> None:
    """Four nodes, the first of them behind a proxy."""
    write_fleet(
        folder,
        4,
        grid(concurrency=[1, 4]),
        draw=lambda _, number: SimNode(machine_id=f"node-{number}", proxied=number < behind),
    )


def _remarks(folder: Path, **asked: object) -> list[str]:
    return [one for one in findings_of(folder, **asked).notes if "proxy" in one]


def test_proxied_nodes_are_not_compared_with_others_in_silence(tmp_path: Path) -> None:
    _fleet(tmp_path, behind=1)
    (remark,) = _remarks(tmp_path)
    assert remark.startswith("1 node behind a proxy, and 3 nodes not, taken together; ")
    assert "1 node behind a proxy" in hps("compare", "--input", tmp_path).out

    assert _remarks(tmp_path, where=("proxied=false",)) == []
    assert _remarks(tmp_path, by=("concurrency", "proxied")) == []


def test_each_class_has_an_answer_of_its_own(tmp_path: Path) -> None:
    _fleet(tmp_path, behind=1)
    found = findings_of(tmp_path, strata=("proxied",)).comparisons
    assert {one.stratum for one in found} == {"", "proxied true", "proxied false"}


def test_a_fleet_that_is_alike_has_nothing_to_be_told(tmp_path: Path) -> None:
    _fleet(tmp_path, behind=4)
    assert _remarks(tmp_path) == []
    asked = "SELECT DISTINCT proxied FROM runs"
    queried = hps("results", "query", asked, "--input", tmp_path, "--format", "csv")
    assert queried.out.split() == ["proxied", "true"]


def test_older_lines_that_do_not_say_are_others(tmp_path: Path) -> None:
    def older(record: Record) -> Record:
        if record["kind"] == "run" and record["machine_id"] != "node-0":
            del record["probe"]["proxied"], record["probe"]["proxy"]
        return record

    _fleet(tmp_path, behind=1)
    rewrite(tmp_path, older)
    assert len(_remarks(tmp_path)) == 1
    apart = findings_of(tmp_path, strata=("proxied",)).comparisons
    assert "proxied unknown" in {one.stratum for one in apart}

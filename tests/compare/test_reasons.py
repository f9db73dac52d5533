"""Why operations and runs came to nothing, by code and owner, and whom it is held against."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from hps.compare.comparing import NoDataError
from hps.compare.comparison import NeverBegan, Reason
from hps.report import as_text
from tests.compare.stored import findings_of, lines, rewrite, write
from tests.results.fleet import Cell, Record, SimNode, failed_run, grid, write_fleet

CELLS = grid(concurrency=[1, 4])
REJECTED = {"accepted": False, "action": "reallocate", "reasons": ["why"], "checks": []}


def _fate(chance: Random, node: SimNode, cell: Cell, step: str) -> str:
    if step != "upload" or cell["concurrency"] != 4:
        return "ok"
    return {"node-0": "failed", "node-1": "invalid"}.get(node.machine_id, "ok")


def _named(chance: Random, number: int) -> SimNode:
    return SimNode(machine_id=f"node-{number}")


def _stored(folder: Path) -> Record:
    write_fleet(folder, 3, CELLS, fate=_fate, draw=_named)
    return next(line for line in lines(folder) if line["kind"] == "run")


def _never_began(folder: Path, run: Record, count: int, code: str, **changes: object) -> None:
    for number in range(count):
        own = {"machine_id": f"other-{code}-{number}", "run_id": f"2026-{code}-{number}"}
        line = failed_run(run, code, f"the text of {code}", **own, **changes)
        write(folder / code / f"{number}.jsonl", line)


def test_cells_count_what_was_not_ok_by_reason(tmp_path: Path) -> None:
    _stored(tmp_path)
    upload, download = findings_of(tmp_path).comparisons
    assert [cell.reasons for cell in upload.cells] == [
        (),
        (
            Reason(code="not_as_declared", owner="tool", count=3),
            Reason(code="server_error", owner="target", count=3),
        ),
    ]
    assert dict(upload.cells[1].statuses) == {"failed": 3, "invalid": 3, "ok": 3}
    assert {cell.reasons for cell in download.cells} == {()}
    text = as_text.render(findings_of(tmp_path))
    told = "3 not_as_declared (tool), 3 server_error (target)"
    assert f"6 operations not ok, by reason: {told}" in text
    assert f"concurrency=4: 3 failed, 3 invalid of 9 ({told})" in " ".join(text.split())


def test_where_no_codes_are_stored_statuses_are_counted_alone(tmp_path: Path) -> None:
    _stored(tmp_path)
    before = findings_of(tmp_path)
    rewrite(tmp_path, lambda line: {k: line[k] for k in line if not k.startswith("reason_")})
    found = findings_of(tmp_path)
    bare = replace(before.comparisons[0].cells[1], reasons=())
    assert found.comparisons[0].cells[1] == bare
    assert "by reason" not in as_text.render(found)


def test_results_are_chosen_by_code_and_owner(tmp_path: Path) -> None:
    _stored(tmp_path)
    (failed,) = findings_of(tmp_path, where=("reason_code=server_error",)).comparisons
    assert dict(failed.cells[0].statuses) == {"failed": 3}
    without = findings_of(tmp_path, where=("reason_owner!=tool,target",))
    assert [dict(cell.statuses) for cell in without.comparisons[0].cells] == [{"ok": 9}, {"ok": 3}]
    with pytest.raises(NoDataError):
        findings_of(tmp_path, where=("reason_owner=experiment",))


def test_an_experiments_mistake_rejects_no_node(tmp_path: Path) -> None:
    run = _stored(tmp_path)
    _never_began(tmp_path, run, 4, "bad_credentials", verdict=REJECTED)
    found = findings_of(tmp_path)
    assert found.rejected == ()
    assert len(found.nodes) == 3
    assert found.never_began == (
        NeverBegan(
            code="bad_credentials",
            owner="experiment",
            runs=4,
            nodes=4,
            text="the text of bad_credentials",
        ),
    )
    said = "4 runs could not begin, their experiment's mistake (bad_credentials): the text of bad_"
    text = as_text.render(found)
    assert said in text
    assert "rejected" not in text


def test_where_all_made_the_same_mistake_it_is_said(tmp_path: Path) -> None:
    write_fleet(tmp_path / "one", 1, CELLS)
    run = next(lines(tmp_path / "one"))
    _never_began(tmp_path / "failed", run, 5, "no_such_bucket", verdict=REJECTED)
    with pytest.raises(NoDataError) as caught:
        findings_of(tmp_path / "failed")
    assert caught.value.hint == (
        "stored there: 0 results of 5 runs; 5 runs could not begin, their experiment's mistake"
        " (no_such_bucket): the text of no_such_bucket"
    )


def test_a_node_that_was_turned_down_is_rejected_by_its_code(tmp_path: Path) -> None:
    run = _stored(tmp_path)
    _never_began(tmp_path, run, 2, "refused", verdict=REJECTED)
    _never_began(tmp_path, run, 1, "clock_skew", verdict=REJECTED)
    found = findings_of(tmp_path)
    assert sorted((node.code, node.owner) for node in found.rejected) == [
        ("clock_skew", "node"),
        ("refused", "target"),
        ("refused", "target"),
    ]
    assert found.never_began == ()
    assert "3 nodes rejected: 2 by refused (target), 1 by clock_skew (node)" in (
        as_text.render(found)
    )


def test_without_rules_nothing_is_held_against_a_node_either(tmp_path: Path) -> None:
    run = _stored(tmp_path)
    _never_began(tmp_path, run, 1, "unreachable")
    write(tmp_path / "x.jsonl", failed_run(run, "", "there is no such file"))
    found = findings_of(tmp_path)
    assert found.rejected == ()
    told = as_text.render(found)
    assert "1 run never began: there is no such file" in told
    assert "1 run never began, unreachable (target): the text of unreachable" in told


def test_a_mistake_after_a_good_run_leaves_the_node_as_it_was(tmp_path: Path) -> None:
    run = _stored(tmp_path)
    later = {"started_at": "2026-02-01T00:00:00.000000Z", "verdict": REJECTED}
    write(tmp_path / "x.jsonl", failed_run(run, "expired_credentials", "the keys", **later))
    found = findings_of(tmp_path)
    assert [node.accepted for node in found.nodes] == [True] * 3
    assert {node.code for node in found.nodes} == {""}

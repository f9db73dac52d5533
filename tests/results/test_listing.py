"""`hps results list` and `show`, on what real runs and simulated ones have stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.command import hps
from tests.results.fleet import CELLS, SimNode, failed_run, write_fleet
from tests.results.tabled import lines, write

_PER_RUN = 2 * 3 * len(CELLS)


def _listed(*arguments: str | Path) -> list[dict[str, Any]]:
    ran = hps("results", "list", "--format", "json", *arguments)
    assert ran.code == 0, ran.err
    return list(json.loads(ran.out))


def test_a_line_for_each_run(tmp_path: Path) -> None:
    def draw(chance: object, number: int) -> SimNode:
        return SimNode(machine_id=f"m{number}", accepted=number != 1)

    def fate(chance: Any, node: SimNode, cell: object, step: str) -> str:
        return "failed" if node.machine_id == "m2" and step == "upload" else "ok"

    paths = write_fleet(tmp_path, nodes=3, draw=draw, fate=fate)
    records = {row["machine_id"]: row for row in _listed("--input", tmp_path)}
    assert [records[name]["ok"] for name in ("m0", "m1", "m2")] == [_PER_RUN, 0, _PER_RUN / 2]
    assert [records[name]["not_ok"] for name in ("m0", "m1", "m2")] == [0, 0, _PER_RUN / 2]
    assert [records[name]["accepted"] for name in ("m0", "m1", "m2")] == [True, False, True]
    assert [records[f"m{number}"]["file"] for number in range(3)] == [str(path) for path in paths]
    text = hps("results", "list", "--input", tmp_path).out
    assert [line.split()[-2] for line in text.splitlines()[2:]].count("rejected") == 1


def test_only_of_the_named_experiments(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_fleet(tmp_path, nodes=1, experiment=name)
    assert [row["experiment"] for row in _listed("two", "--input", tmp_path)] == ["two"]
    ran = hps("results", "list", "three", "--input", tmp_path)
    assert ran.code == 2
    assert "there are results of: one, two" in ran.err


def test_results_without_their_first_line_are_listed_too(tmp_path: Path) -> None:
    (path,) = write_fleet(tmp_path, nodes=1)
    write(path, *lines(path)[1:])
    (row,) = _listed("--input", tmp_path)
    assert (row["experiment"], row["ok"], row["operations"]) == ("fleet", _PER_RUN, None)
    shown = hps("results", "show", row["run_id"], "--input", tmp_path)
    assert shown.code == 0, shown.err


def test_a_real_run_is_shown_as_when_it_ended(tmp_path: Path) -> None:
    ran = hps(
        *("run", "experiments/quickstart.yaml", "--output", tmp_path / "hps-results"),
        *(
            "--set",
            "data.size=6MiB",
            "--set",
            "repetitions=1",
            "--set",
            "matrix.tool=[rclone, boto3]",
        ),
    )
    assert ran.code == 0, ran.err
    (row,) = _listed("--input", tmp_path)
    shown = hps("results", "show", row["run_id"][:12], "--input", tmp_path)
    assert shown.code == 0, shown.err
    about, _, table = shown.out.partition("\n\n")
    assert table == ran.out
    assert "changed by data.size=6MiB, repetitions=1" in about
    (versions,) = [line for line in about.splitlines() if line.startswith("versions")]
    assert [versions.count(f"{tool} ") for tool in ("hps", "rclone", "boto3")] == [1, 1, 1]
    told = json.loads(
        hps("results", "show", row["run_id"], "--input", tmp_path, "--format", "json").out
    )
    assert told["run"]["run_id"] == row["run_id"]
    assert len(told["results"]) == row["ok"]


def test_which_run_is_meant_has_to_be_clear(tmp_path: Path) -> None:
    write_fleet(tmp_path, nodes=2)
    for run_id, said in (("2026", "2 runs begin with '2026'"), ("x'", "there is no run")):
        ran = hps("results", "show", run_id, "--input", tmp_path)
        assert ran.code == 2
        assert said in ran.err


def test_a_node_that_got_no_experiment(tmp_path: Path) -> None:
    (path,) = write_fleet(tmp_path, nodes=1)
    failed = failed_run(lines(path)[0], "bad_experiment", "the file is \x1b[31mbad")
    write(path, failed)
    assert "never began: bad_experiment" in hps("results", "list", "--input", tmp_path).out
    text = hps("results", "show", failed["run_id"], "--input", tmp_path).out
    assert "never began" in text
    assert "bad_experiment (experiment)" in text
    assert "the file is" in text
    assert "\x1b" not in text
    assert "no results" in text


def test_without_results_it_is_said_where_they_would_be(tmp_path: Path) -> None:
    ran = hps("results", "list", cwd=tmp_path)
    assert ran.code == 2
    assert "neither hps-results nor hps-cache" in ran.err


@pytest.mark.parametrize("command", ["list", "show", "query", "export", "pull", "compact"])
def test_help_is_there_at_once(command: str) -> None:
    ran = hps("results", command, "--help")
    assert ran.code == 0
    assert "Usage:" in ran.out

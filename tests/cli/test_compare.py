"""`hps compare` as a person types it: its answer, its gates and its exit codes."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tests.command import REPOSITORY, hps
from tests.compare.one_real_run import SPEC, Record, store

SCHEMA = json.loads((REPOSITORY / "schemas/comparison.schema.json").read_text())


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """What one real run stored."""
    folder = tmp_path_factory.mktemp("real")
    (folder / "sweep.yaml").write_text(SPEC)
    ran = hps("run", folder / "sweep.yaml", "--output", folder / "out", "--format", "json")
    assert ran.code == 0, ran.err
    return ran.records()


@pytest.fixture(scope="module")
def fleet(records: list[Record], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen machines, on which concurrency 2 is twice as fast as 1."""
    folder = tmp_path_factory.mktemp("fleet")
    store(folder, records, rates={1: 100.0, 2: 200.0}, thresholds=["failures<=1%"])
    return folder


@pytest.fixture(scope="module")
def slower(records: list[Record], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same machines on two days: on the second, concurrency 2 has lost a quarter."""
    folder = tmp_path_factory.mktemp("slower")
    store(folder, records, rates={1: 100.0, 2: 200.0}, day=1)
    store(folder, records, rates={1: 100.0, 2: 150.0}, day=9)
    return folder


def test_the_answer_and_the_gates_of_the_experiment(fleet: Path) -> None:
    ran = hps("compare", fleet)
    assert ran.code == 0, ran.err
    assert ran.out.startswith("Answer\n  ")
    assert "concurrency 2" in ran.out.splitlines()[1]
    assert "PASS  failures<=1% (of sweep): in all " in ran.out
    assert "16 nodes" in ran.out


@pytest.mark.parametrize(
    ("gates", "code", "word"),
    [
        (["download.throughput.p50>=10Mbps"], 0, "PASS"),
        (["download.throughput.p50>=150Mbps"], 4, "FAIL"),
        (["sync_up.duration.p50<=1h"], 5, "NO DATA"),
        (["regression<=5%"], 5, "NO DATA"),
        (["cost<=100"], 5, "NO DATA"),
        (["throughput.min>=1Mbps", "duration.last<=1h", "invalid<=0"], 0, "PASS"),
        (["load.failures<=1%", "throughput>=100Gbps"], 4, "FAIL"),
    ],
)
def test_gates_make_the_exit_code(fleet: Path, gates: list[str], code: int, word: str) -> None:
    options = [option for gate in gates for option in ("--gate", gate)]
    ran = hps("compare", fleet, *options)
    assert ran.code == code, ran.err
    assert f"{word}  {gates[-1] if code == 4 else gates[0]}" in ran.out


def test_a_regression_is_judged_against_the_day_before(slower: Path) -> None:
    ran = hps("compare", slower, "--baseline", "date=2026-11-01", "--gate", "regression<=5%")
    assert ran.code == 4, ran.err
    assert "FAIL  regression<=5%" in ran.out
    assert "now against the baseline" in ran.out
    lenient = ("--gate", "regression<=40%")
    assert hps("compare", slower, "--baseline", "date=2026-11-01", *lenient).code == 0


def test_dollars_are_those_of_the_provider(records: list[Record], tmp_path: Path) -> None:
    targets = {"local": {**records[0]["targets"]["local"], "provider": "cloudflare"}}
    store(tmp_path, records, rates={1: 100.0, 2: 200.0}, targets=targets)
    ran = hps("compare", tmp_path, "--gate", "cost<=0.01", "--gate", "upload.cost<=0.0001")
    assert ran.code == 4, ran.err
    assert "PASS  cost<=0.01" in ran.out
    assert "FAIL  upload.cost<=0.0001" in ran.out
    assert "prices Cloudflare R2 of " in ran.out


@pytest.mark.parametrize("style", ["text", "markdown", "csv", "json"])
def test_each_format(fleet: Path, style: str) -> None:
    ran = hps("compare", fleet, "--format", style, "--gate", "throughput>=1Mbps")
    assert ran.code == 0, ran.err
    if style == "json":
        data = json.loads(ran.out)
        assert [error.message for error in Draft202012Validator(SCHEMA).iter_errors(data)] == []
        assert [gate["outcome"] for gate in data["gates"]] == ["pass", "pass"]
        assert data["thresholds"] == {"sweep": ["failures<=1%"]}
    elif style == "csv":
        rows = list(csv.DictReader(io.StringIO(ran.out)))
        steps = {(row["step"], row["cell.concurrency"]) for row in rows}
        assert {("upload", "1"), ("upload", "2"), ("download", "2")} <= steps
        assert any(float(row["min_mbps"]) > 0 for row in rows if row["min_mbps"])
    elif style == "markdown":
        assert ran.out.startswith("## hps compare: 2 passed\n")


def test_tables_in_another_format(fleet: Path) -> None:
    ran = hps("compare", fleet, "--table-format", "github")
    assert ran.code == 0, ran.err
    assert "| chunk_size" in ran.out


@pytest.mark.parametrize(
    ("options", "flag", "hint"),
    [
        (["--gate", "fast"], "--gate", "such as"),
        (["--gate", "throughput>=100"], "--gate", "100Mbps"),
        (["--by", "chunksize"], "--by", "chunk_size"),
        (["--by", ""], "--by", "expected"),
        (["--where", "rtt"], "--where", "NAME=VALUE"),
        (["--strata", "moon"], "--strata", "rtt"),
        (["--baseline", "date=yesterday"], "--baseline", "2026"),
        (["--min-effect", "5"], "--min-effect", "5%"),
        (["--alpha", "200%"], "--alpha", "between 0 and 1"),
        (["--table-format", "excel"], "--table-format", "github"),
        (["--format", "xml"], "--format", "json"),
        (["--input", "nowhere"], "--input", "nowhere"),
        (["nowhere/else"], "nowhere/else", "name"),
    ],
)
def test_what_is_wrong_is_named_with_its_flag(
    fleet: Path, options: list[str], flag: str, hint: str
) -> None:
    ran = hps("compare", fleet, *options)
    assert ran.code == 2, ran.out
    assert flag in ran.err
    assert hint in ran.err
    assert "Traceback" not in ran.err
    assert ran.out == ""


def test_by_may_be_repeated(fleet: Path) -> None:
    at_once = hps("compare", fleet, "--by", "chunk_size,concurrency", "--format", "json")
    one_by_one = hps(
        "compare", fleet, "--by", "chunk_size", "--by", "concurrency", "--format", "json"
    )
    assert at_once.code == 0, at_once.err
    assert json.loads(one_by_one.out)["by"] == json.loads(at_once.out)["by"]


def test_what_is_no_path_is_an_experiment(fleet: Path) -> None:
    assert hps("compare", "sweep", "--input", fleet).code == 0
    other = hps("compare", "another", "--input", fleet)
    assert other.code == 5
    assert "another" in other.err


def test_nothing_found_is_5(tmp_path: Path) -> None:
    ran = hps("compare", tmp_path)
    assert ran.code == 5, ran.err
    assert "no results" in ran.err
    gated = hps("compare", tmp_path, "--gate", "failures<=100%")
    assert gated.code == 5


def test_without_inputs_it_reads_what_is_stored_here(fleet: Path, tmp_path: Path) -> None:
    bare = hps("compare", cwd=tmp_path)
    assert bare.code == 2
    assert "--input" in bare.err
    (tmp_path / "hps-results").symlink_to(fleet)
    assert hps("compare", cwd=tmp_path).code == 0
    (tmp_path / "hps-results").unlink()
    assert hps("compare", cwd=tmp_path, env={"HPS_CACHE": str(fleet)}).code == 0


def test_the_help_has_examples() -> None:
    ran = hps("compare", "--help")
    assert ran.code == 0
    assert "hps compare chunk-sweep --strata rtt" in ran.out
    assert "--gate 'regression<=5%'" in ran.out

"""Two tools in one sweep: each does its own cells; what one can't do is skipped with the reason."""

from __future__ import annotations

import json
from pathlib import Path

from tests.command import Record, hps

_SPEC = """\
api: hps/v1
name: two-tools
targets: {here: {provider: embedded}}
data: {size: 12MiB}
matrix:
  tool: [rclone, s5cmd]
  chunk_size: [5MiB, 6656KiB]
  concurrency: [2]
order: {kind: declared}
steps: [upload, download, verify, list, delete]
"""


def _written(folder: Path) -> Path:
    spec = folder / "two.yaml"
    spec.write_text(_SPEC)
    return spec


def _of(records: list[Record], step: str) -> list[tuple[str, str, str, str]]:
    return [
        (
            record["cell"]["tool"],
            record["cell"]["chunk_size"],
            record["tool"] if record["status"] != "skipped" else record["reason_code"],
            record["status"],
        )
        for record in records
        if record["step"] == step
    ]


def test_each_result_is_its_own_tools_and_what_one_cannot_do_is_no_failure(tmp_path: Path) -> None:
    ran = hps("run", _written(tmp_path), "--output", tmp_path / "out", "--format", "json")

    assert ran.code == 0, ran.err
    results = ran.results()
    moved = [
        ("rclone", "5MiB", "rclone", "ok"),
        ("rclone", "6656KiB", "rclone", "ok"),
        ("s5cmd", "5MiB", "s5cmd", "ok"),
        ("s5cmd", "6656KiB", "unsupported", "skipped"),
    ]
    assert _of(results, "upload") == _of(results, "download") == moved
    assert [tool for _, _, tool, _ in _of(results, "verify")] == ["hps"] * 3 + ["unsupported"]
    # Whichever tool made them, objects are listed and deleted by the bucket's client.
    assert [tool for _, _, tool, _ in _of(results, "delete")] == ["rclone"] * 3 + ["unsupported"]
    versions = {one["tool"]: one["tool_version"] for one in results if one["status"] == "ok"}
    assert versions["s5cmd"] == "2.3.0"
    assert versions["rclone"] != versions["s5cmd"]
    why = "s5cmd takes chunks of whole MiB, and not of 6656KiB"
    assert {one["reason"] for one in results if one["status"] == "skipped"} == {why}
    assert (
        "AWS_SECRET_ACCESS_KEY" in next(one for one in results if one["tool"] == "s5cmd")["command"]
    )


def test_the_plan_says_it_before_and_counts_nothing_of_it(tmp_path: Path) -> None:
    spec = _written(tmp_path)
    said = hps("plan", spec)
    assert said.code == 0, said.err
    assert "Skipped, since the tool can't do it as asked:" in said.out
    assert "upload tool=s5cmd chunk_size=6656KiB concurrency=2: s5cmd takes" in said.out
    plan = json.loads(hps("plan", spec, "--format", "json").out)
    assert plan["estimate"]["up_bytes"] == 3 * 12 * 1024**2
    ruled_out = [one for one in plan["operations"] if one["why_not"]]
    assert len(ruled_out) == 5
    assert {one["cell"]["chunk_size"] for one in ruled_out} == {"6656KiB"}


def test_a_tool_that_is_not_there_is_skipped_and_the_rest_is_measured(tmp_path: Path) -> None:
    env = {"HPS_S5CMD": str(tmp_path / "nothing")}
    ran = hps("run", _written(tmp_path), "--output", tmp_path, "--format", "json", env=env)

    assert ran.code == 1
    uploads = _of(ran.results(), "upload")
    assert [(tool, why, status) for tool, _, why, status in uploads] == [
        ("rclone", "rclone", "ok"),
        ("rclone", "rclone", "ok"),
        ("s5cmd", "tool_missing", "skipped"),
        ("s5cmd", "unsupported", "skipped"),
    ]
    missing = next(one for one in ran.results() if one["reason_code"] == "tool_missing")
    assert "is no program" in missing["reason"]
    assert "HPS_S5CMD" in missing["reason"]


def test_a_tool_that_nobody_made_a_module_for_is_a_mistake(tmp_path: Path) -> None:
    spec = tmp_path / "two.yaml"
    spec.write_text(_SPEC.replace("[rclone, s5cmd]", "[s4cmd]"))
    said = hps("validate", spec)
    assert said.code == 2
    assert "s5cmd" in said.err + said.out

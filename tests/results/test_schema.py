"""What a run stores is what `schemas/result.schema.json` says, on disk and in the bucket."""

from __future__ import annotations

import copy
import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from hps.model import KNOBS
from tests.command import REPOSITORY, Ran, Record, hps, keys_of, targets_yaml
from tests.results.fleet import failed_run
from tests.servers.rclone_client import remote_environment, run_rclone
from tests.servers.s3_server import S3Server

SCHEMA: dict[str, Any] = json.loads((REPOSITORY / "schemas/result.schema.json").read_text())
# Lines that were stored before these were added are valid.
NOT_IN_OLDER_LINES = {
    *("reason_code", "reason_owner", "disturbed", "cpu_s", "peak_memory_bytes", "proof"),
    "first_payload_s",
}
# Only in lines of what a run that gave up left.
NOT_IN_MOST_LINES = {"given_up", "moved_s", "fleet"}
VALIDATOR = Draft202012Validator(SCHEMA)
_SPEC = """\
api: hps/v1
name: small
{targets}
data: {{size: 10MiB}}
matrix: {{chunk_size: [5MiB], concurrency: [{concurrency}]}}
steps: [upload, download, verify, list, {{pause: {{duration: 10ms}}}}, delete]
"""
_STEPS = ("upload", "download", "verify", "list", "pause", "delete")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run that is over, and the folder that it wrote to."""

    ran: Ran
    output: Path

    @property
    def journal(self) -> Path:
        """The one journal in the folder."""
        (path,) = self.output.glob("*/*/*.jsonl")
        return path

    def records(self) -> list[Record]:
        """Every line of the journal."""
        return [json.loads(line) for line in self.journal.read_text().splitlines()]


@pytest.fixture(scope="module")
def embedded_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two cells on the embedded target, every kind of step once a cell."""
    return _run(
        tmp_path_factory.mktemp("embedded"),
        targets="targets: {local: {provider: embedded}}",
        concurrency="1, 2",
    )


def _run(
    folder: Path, *options: str, targets: str, concurrency: str, env: dict[str, str] | None = None
) -> Run:
    spec = folder / "small.yaml"
    spec.write_text(_SPEC.format(targets=targets, concurrency=concurrency))
    output = folder / "out"
    return Run(ran=hps("run", spec, "--output", output, *options, env=env), output=output)


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_every_key_is_described() -> None:
    assert sorted(_undescribed(SCHEMA, "")) == []


def test_every_line_of_a_journal_is_valid(embedded_run: Run) -> None:
    assert embedded_run.ran.code == 0, embedded_run.ran.err
    run, *results = embedded_run.records()
    assert run["kind"] == "run"
    assert sorted(record["step"] for record in results) == sorted(_STEPS * 2)
    assert [_errors(record) for record in (run, *results)] == [[]] * 13


def test_every_key_of_a_line_is_in_the_schema(embedded_run: Run) -> None:
    run, *results = embedded_run.records()
    shared = set(SCHEMA["properties"])
    for record, name in ((run, "run"), *((result, "result") for result in results)):
        definition = SCHEMA["$defs"][name]
        usual = (shared | set(definition["properties"])) - NOT_IN_MOST_LINES
        assert shared | set(definition["required"]) == usual - NOT_IN_OLDER_LINES
        assert usual - NOT_IN_OLDER_LINES <= set(record) <= usual
    assert set(run["node"]) == set(SCHEMA["$defs"]["node"]["properties"])


def test_the_schema_knows_every_knob() -> None:
    assert SCHEMA["$defs"]["cell"]["propertyNames"]["enum"] == list(KNOBS)


def _drop(*path: str) -> Callable[[Record], object]:
    def edit(record: Record) -> object:
        at = record
        for key in path[:-1]:
            at = at[key]
        return at.pop(path[-1])

    return edit


def _put(value: object, *path: str) -> Callable[[Record], object]:
    def edit(record: Record) -> object:
        at = record
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value
        return None

    return edit


@pytest.mark.parametrize(
    "edit",
    [
        *(_drop(key) for key in SCHEMA["$defs"]["result"]["required"]),
        *(_drop(key) for key in SCHEMA["required"]),
        *(_drop("requested", key) for key in ("target", "chunk_size_bytes", "checksum")),
        *(_drop("effective", key) for key in ("chunk_size_bytes", "http2")),
        *(_drop("observed", key) for key in ("chunks", "connection_samples")),
        _put("done", "status"),
        _put("failed", "status"),
        _put("a reason", "reason"),
        _put("throttled", "reason_code"),
        _put("target", "reason_owner"),
        _put(None, "reason_code"),
        _put("results", "kind"),
        _put(-1, "duration_s"),
        _put("5MiB", "requested", "chunk_size_bytes"),
        _put(4, "cell", "chunks"),
        _put("2026-11-22 13:02:11", "started_at"),
        _put(None, "observed"),
        _put("fast", "throughput_mbps"),
    ],
)
def test_a_wrong_result_is_rejected(edit: Callable[[Record], object], embedded_run: Run) -> None:
    upload = next(r for r in embedded_run.records() if r.get("step") == "upload")
    broken = copy.deepcopy(upload)
    edit(broken)
    assert not _errors(upload)
    assert _errors(broken)


@pytest.mark.parametrize(
    "edit",
    [
        *(_drop(key) for key in SCHEMA["$defs"]["run"]["required"]),
        _drop("targets", "local", "provider"),
        _drop("node", "kernel"),
        _put("2 GB", "node", "memory_bytes"),
        _put("dropbox", "targets", "local", "provider"),
        _put([{"step": "download"}], "merged"),
        _put(2, "format"),
    ],
)
def test_a_wrong_run_line_is_rejected(edit: Callable[[Record], object], embedded_run: Run) -> None:
    run = embedded_run.records()[0]
    edit(run)
    assert _errors(run)


@pytest.mark.parametrize(
    ("code", "owner", "good"),
    [
        ("throttled", "target", True),
        ("", "", True),
        ("a_word_of_a_later_version", "hps", True),
        ("Throttled", "target", False),
        ("503", "target", False),
        ("throttled", "server", False),
        (None, "target", False),
    ],
)
def test_a_reason_has_a_code_and_an_owner(
    code: str | None, owner: str, *, good: bool, embedded_run: Run
) -> None:
    run, first, *_ = embedded_run.records()
    codes = {"reason_code": code, "reason_owner": owner}
    failed = {"status": "failed", "reason": "503", "throughput_mbps": None}
    unknown = {"value": None, "reason": "503", **codes}
    check = {"name": "min_upload", "bound": 20.0, "unit": "Mbps", "outcome": "unknown", **unknown}
    verdict = {"accepted": False, "action": "exit", "reasons": ["503"], "checks": [check]}
    probe = {**run["probe"], "upload_mbps": unknown, "rtt": {**run["probe"]["rtt"], **codes}}
    began = failed_run(run, "", "503", **codes)
    for line in (
        {**first, **failed, **codes},
        {**run, "probe": probe},
        {**run, "verdict": verdict},
        began,
        {**began, "probe": probe, "verdict": verdict},
    ):
        assert bool(_errors(line)) != good


def test_a_key_of_a_later_version_is_accepted(embedded_run: Run) -> None:
    for record in embedded_run.records():
        assert not _errors({**record, "added_later": 1})


def test_the_csv_has_a_line_for_every_operation(embedded_run: Run) -> None:
    with embedded_run.journal.with_suffix(".csv").open(newline="", encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))
    results = embedded_run.records()[1:]
    assert [line["operation_id"] for line in lines] == [r["operation_id"] for r in results]
    for line, result in zip(lines, results, strict=True):
        assert line["cell.concurrency"] == str(result["cell"]["concurrency"])
        assert line["requested.chunk_size_bytes"] == str(5 * 1024**2)
        assert line["status"] == result["status"]
        assert float(line["duration_s"]) == result["duration_s"]
        assert line["command"] == (result["command"] or "")


def test_the_text_is_the_table_on_standard_output(embedded_run: Run) -> None:
    text = embedded_run.journal.with_suffix(".txt").read_text()
    assert text == embedded_run.ran.out
    header, _, *rows = text.split("\n\n")[0].splitlines()
    assert header.split()[:3] == ["chunk_size", "concurrency", "step"]
    assert [row.split()[:4] for row in rows] == [
        ["5MiB", concurrency, step, "1"] for step in _STEPS for concurrency in ("1", "2")
    ]


def test_the_bucket_has_what_is_on_disk(s3_server: S3Server, tmp_path: Path) -> None:
    targets = targets_yaml(s3_server.endpoint, s3_server)
    run = _run(
        tmp_path,
        "--set",
        "results.folder=kept/results",
        env=keys_of(s3_server),
        targets=targets,
        concurrency="2",
    )
    assert run.ran.code == 0, run.ran.err
    assert [_errors(record) for record in run.records()] == [[]] * 7
    machine_id = run.records()[0]["machine_id"]
    assert run.journal.parent == run.output / "small" / machine_id
    copied = tmp_path / "copied"
    place = f"T:{s3_server.bucket}/tests/kept/results"
    run_rclone(["copy", place, str(copied)], env=remote_environment(s3_server))
    assert _files(copied) == _files(run.output)
    names = {f"small/{machine_id}/{run.journal.stem}{end}" for end in (".jsonl", ".csv", ".txt")}
    assert set(_files(copied)) == names


def _files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def _errors(record: Record) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(record)]


def _undescribed(schema: object, path: str) -> list[str]:
    """The properties below `schema` that have no description."""
    if isinstance(schema, list):
        return [name for item in schema for name in _undescribed(item, path)]
    if not isinstance(schema, dict):
        return []
    found = []
    for key, value in schema.items():
        if key == "properties" and not path.endswith(("/if", "/then", "/else")):
            found += [
                f"{path}/{name}" for name, item in value.items() if not item.get("description")
            ]
        found += _undescribed(value, f"{path}/{key}")
    return found

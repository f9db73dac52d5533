"""Which fields of a stored line may hold a secret: what others said, and nothing of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from hps.redaction import FOREIGN, OWN_OF_AN_EVENT, Scrubber
from tests.command import REPOSITORY

_SCHEMA: dict[str, Any] = json.loads((REPOSITORY / "schemas/result.schema.json").read_text())
# Texts that this program makes, or by which a run, its target and its node are found.
_OURS = {
    *("kind", "run_id", "machine_id", "experiment", "spec_sha256", "started_at", "hps"),
    *("operation_id", "trial_id", "step", "tool", "tool_version", "target", "thresholds"),
    *("targets.*.account", "targets.*.region", "targets.*.bucket", "targets.*.folder"),
    *("requested.target", "requested.tool", "cell.*", "cells.*"),
    *("merged.cell.*", "merged.same_as.*", "merged.step", "merged.reason"),
    *(f"node.{name}_id" for name in ("machine", "instance", "container_group", "project")),
    *(f"node.{name}_name" for name in ("container_group", "project", "organization")),
    *("node.organization_id", "node.country", "node.system", "node.architecture"),
    *("node.python_version", "node.rclone_version", "node.tcp.congestion_control"),
    *(f"node.gpu.{name}_version" for name in ("torch", "cuda", "driver")),
    *("node.gpu.gpus.compute_capability", "node.disk.write_mb_per_s.value"),
    *("node.disk.read_mb_per_s.value", "probe.target", "probe.upload_mbps.value"),
    *("probe.download_mbps.value", "verdict.checks.name", "verdict.checks.value"),
    *("verdict.checks.unit", "fleet.name"),
}
_SECRET = "wJalrXUtnFEMI/K7MDENG"


def _texts(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """The paths of all fields that hold text of no fixed list, as `FOREIGN` writes them."""
    schema = schema | _SCHEMA["$defs"].get(schema.get("$ref", "").rpartition("/")[2], {})
    if "enum" in schema or "const" in schema:
        return
    kinds = schema.get("type", "")
    if "string" in ([kinds] if isinstance(kinds, str) else kinds) and "pattern" not in schema:
        yield path
    for name, below in schema.get("properties", {}).items():
        yield from _texts(below, f"{path}.{name}".lstrip("."))
    if isinstance(more := schema.get("additionalProperties"), dict):
        yield from _texts(more, f"{path}.*")
    if isinstance(items := schema.get("items"), dict):
        yield from _texts(items, path)
    for name in ("then", "else"):
        yield from _texts(schema[name], path) if name in schema else ()


def _foreign() -> set[str]:
    """Whatever the schema says of `node.disk` by name, `FOREIGN` says of all names."""
    alike = {"node.disk.*.reason"}
    named = {f"node.disk.{name}_mb_per_s.reason" for name in ("write", "read")}
    return {path for path in FOREIGN if not path.endswith("<keys>")} - alike | named


def test_every_text_of_a_line_is_known_to_be_foreign_or_ours() -> None:
    ours = {"targets.*.quirks.*"} | _OURS
    unknown = set(_texts(_SCHEMA)) - _foreign() - ours
    assert unknown == set(), "a new field: is it in FOREIGN, or ours?"
    assert _foreign() <= set(_texts(_SCHEMA))
    assert not _foreign() & _OURS


def _line(path: str, value: object) -> dict[str, Any]:
    for name in reversed(path.split(".")):
        value = {("some" if name == "*" else name): value}
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize("path", [path for path in FOREIGN if not path.endswith("<keys>")])
@pytest.mark.parametrize("held", [f"a {_SECRET} b", [f"a {_SECRET} b"]])
def test_no_secret_is_left_in_what_others_said(path: str, held: object) -> None:
    clean = Scrubber({"KEY": _SECRET}).record(_line(path, held))
    assert clean == _line(path, json.loads(json.dumps(held).replace(_SECRET, "[KEY]")))


@pytest.mark.parametrize("path", sorted(_OURS))
def test_what_is_ours_is_never_touched(path: str) -> None:
    names = path.split(".")
    words = {f"KEY{at}": name for at, name in enumerate(names)} | {"VALUE": "word"}
    line = _line(path, "word")
    assert Scrubber(words).record(line) == line


def test_a_host_of_the_probe_is_an_address() -> None:
    rtt = {"median_s": None, "address": f"{_SECRET}:443", "reason": ""}
    clean = Scrubber({"KEY": _SECRET, "A_KEY": "median_s"}).record(
        {"probe": {"rtt_hosts": {f"{_SECRET}.example": rtt}}}
    )
    rtt["address"] = "[KEY]:443"
    assert clean == {"probe": {"rtt_hosts": {"[KEY].example": rtt}}}


def test_a_target_may_be_called_like_a_field() -> None:
    line = {"targets": {name: {"endpoint": _SECRET, "bucket": "word"} for name in FOREIGN[:5]}}
    clean = Scrubber({"KEY": _SECRET, "A_KEY": "word", "B_KEY": "reason"}).record(line)
    assert clean == {"targets": {n: {"endpoint": "[KEY]", "bucket": "word"} for n in FOREIGN[:5]}}


def test_what_is_no_text_can_be_written() -> None:
    clean = Scrubber({}).record({"run_id": "\ud800", "reason": "\ud800é"})
    assert clean == {"run_id": "\\ud800", "reason": "\\ud800é"}


def test_events_keep_what_is_ours() -> None:
    event = dict.fromkeys(OWN_OF_AN_EVENT, "word") | {"cell": {"size": "word"}, "failed": 2}
    assert Scrubber({"KEY": "word", "B": "failed", "C": "size", "D": "event"}).event(event) == event
    assert Scrubber({"KEY": "word"}).event({"told": ["a word"]}) == {"told": ["a [KEY]"]}


_RUN_ID = "20261122T101530123Z-5f3a9c04b7d1"


@pytest.mark.parametrize(
    "own",
    [_RUN_ID, _RUN_ID[:19], "2026-11-22", "2026-11-22T10:15:30.000123Z", "2026-11-22T10:15:30"],
)
def test_ids_and_times_are_ours_in_any_text(own: str) -> None:
    scrubber = Scrubber({"YEAR": "2026", "PART": "5f3a", "END": "b7d1"})
    text = f"/out/{own}.jsonl, in 2026 {own}; 50% of {own}"
    assert scrubber.text(text) == text.replace(" 2026 ", " [YEAR] ")


def test_a_longer_secret_may_hold_a_time() -> None:
    secret = "pass-2026-11-22-word"
    assert Scrubber({"KEY": secret}).text(f"2026-11-22: {secret}") == "2026-11-22: [KEY]"


def test_by_what_a_run_is_found_is_no_secret() -> None:
    scrubber = Scrubber({"A_KEY": "My-Bucket", "B_KEY": "my-bucket"}, identities=("My-Bucket",))
    assert scrubber.words == ("A_KEY",)
    assert scrubber.text("My-Bucket my-bucket") == "My-Bucket [B_KEY]"

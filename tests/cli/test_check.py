"""`hps check`, and the same first second of `hps run`: what each target can do, by name."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from tests.command import hps, keys_of, target_text, targets_yaml
from tests.conftest import ProxyFor
from tests.servers.faults import Rule, Stall
from tests.servers.mistakes import MISTAKES
from tests.servers.s3_answers import refusal
from tests.servers.s3_server import S3Server

_SPEC = """\
api: hps/v1
name: checked
{targets}
data: {{size: 10MiB}}
matrix: {{target: [s3], chunk_size: [{chunk}]}}
steps: [upload, download, delete]
"""
_BY_NAME = {mistake.name: mistake for mistake in MISTAKES}


def _spec(folder: Path, endpoint: str, server: S3Server, chunk: str = "5MiB") -> Path:
    path = folder / "checked.yaml"
    path.write_text(_SPEC.format(targets=targets_yaml(endpoint, server), chunk=chunk))
    return path


def test_a_target_in_order_is_tried_with_ten_requests_and_nothing_is_left(
    moto_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(moto_server)
    spec = _spec(tmp_path, proxy.endpoint, moto_server)

    ran = hps("check", spec, "--format", "json", env=keys_of(moto_server))

    assert ran.code == 0, ran.err
    by_target = {one["target"]: one for one in json.loads(ran.out)}
    tried = [call["name"] for call in by_target["s3"]["calls"]]
    assert sorted(tried) == ["delete", "list", "multipart", "read", "write"]
    assert all(call["ok"] for one in by_target.values() for call in one["calls"])
    assert abs(by_target["s3"]["clock_offset_s"]) < 60
    assert 5 < len(proxy.requests()) <= 10
    of_uploads = [one.method for one in proxy.requests() if "upload" in one.query]
    assert of_uploads == ["POST", "DELETE"]


def test_the_table_fits_a_terminal_and_says_that_all_is_well(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(s3_server)
    spec = _spec(tmp_path, proxy.endpoint, s3_server, chunk="64MiB")

    ran = hps("check", spec, env=keys_of(s3_server))

    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[0].split() == ["target", "write", "read", "list", "multipart", "delete", "clock"]
    assert all(len(line) <= 80 for line in lines)
    # Nothing goes up in parts here, so that the right to it is not asked for.
    assert lines[2].split()[:6] == ["s3", "ok", "ok", "ok", "-", "ok"]
    assert "all is well" in ran.out


def test_missing_rights_are_all_named(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    rules = tuple(
        _BY_NAME[name].rule() for name in ("no_right_GetObject", "no_right_AbortMultipartUpload")
    )
    proxy = proxy_for(s3_server, rules=rules)
    spec = _spec(tmp_path, proxy.endpoint, s3_server)

    checked = hps("check", spec, env=keys_of(s3_server))
    ran = hps("run", spec, "--output", tmp_path, env=keys_of(s3_server))

    assert (checked.code, ran.code) == (2, 2)
    for said in (checked.out, ran.err):
        assert "s3:GetObject" in said
        assert "s3:AbortMultipartUpload" in said
    # The upload could not be aborted, and that is said.
    assert "may still be at" in checked.out


def test_a_clock_that_is_off_is_the_machines(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    denied = refusal(403, "SignatureDoesNotMatch", "no")
    late = format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)
    answer = replace(denied, headers={**denied.headers, "Date": late})
    proxy = proxy_for(s3_server, rules=(Rule(match=lambda _: True, action=answer, times=None),))
    spec = _spec(tmp_path, proxy.endpoint, s3_server)

    ran = hps("check", spec, "--format", "json", env=keys_of(s3_server))

    assert ran.code == 1, ran.out + ran.err
    call = next(one for one in json.loads(ran.out) if one["target"] == "s3")["calls"][0]
    assert (call["reason_code"], call["reason_owner"]) == ("clock_skew", "node")
    assert "behind" in call["reason"]


def test_a_check_that_is_not_wanted_is_not_made(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(s3_server)
    spec = _spec(tmp_path, proxy.endpoint, s3_server)

    ran = hps("run", spec, "--output", tmp_path, "--no-check", env=keys_of(s3_server))

    assert ran.code == 0, ran.err
    assert not [one for one in proxy.requests() if "/check-" in f"{one.key}{one.query}"]


def test_a_mistake_is_stored_where_the_results_target_takes_it(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(s3_server, rules=(_BY_NAME["wrong_secret_aws"].rule(),))
    spec, env = _spec(tmp_path, proxy.endpoint, s3_server), keys_of(s3_server)

    ran = hps("run", spec, "--output", tmp_path / "out", env=env)
    pulled = hps("results", "pull", spec, "--cache", tmp_path / "cache", env=env)

    assert ran.code == 2
    told = [line for line in ran.err.splitlines() if line.startswith("hps: ")]
    assert len(told) == 1
    assert "SignatureDoesNotMatch" in told[0]
    [journal] = (tmp_path / "out").rglob("*.jsonl")
    [record] = [json.loads(line) for line in journal.read_text().splitlines()]
    assert (record["status"], record["reason_code"]) == ("failed", "bad_credentials")
    assert pulled.code == 0, pulled.err
    assert list((tmp_path / "cache").rglob(journal.name))
    # It reached the bucket, so that no later run has to send it.
    assert not list((tmp_path / "out").rglob("*.open"))


@pytest.mark.prove
def test_a_results_target_of_its_own_that_is_away_only_warns(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(s3_server)
    spec, env = tmp_path / "away.yaml", keys_of(s3_server)
    data, store = s3_server.endpoint, proxy.endpoint
    entries = (
        target_text(name, endpoint, s3_server.bucket)
        for name, endpoint in (("s3", data), ("store", store))
    )
    targets = "\n".join(["targets:", *entries, "results: {target: store}"])
    spec.write_text(_SPEC.format(targets=targets, chunk="5MiB"))

    with proxy.refusing():
        ran = hps("run", spec, "--output", tmp_path / "out", "--wait", "0s", env=env)

    assert ran.code == 6, ran.err
    assert "results_target_away" in ran.err
    [journal] = (tmp_path / "out").rglob("*.jsonl")
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [record.get("status") for record in records[1:]] == ["ok"] * 3
    assert list((tmp_path / "out").rglob("*.open"))


@pytest.mark.prove
@pytest.mark.parametrize(("seconds", "whole"), [(0.3, True), (2.0, False)])
def test_a_target_that_answers_slowly_is_not_at_fault(
    seconds: float, whole: bool, s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    slow = Rule(match=lambda _: True, action=Stall(seconds=seconds), times=None)
    proxy = proxy_for(s3_server, rules=(slow,))
    spec = _spec(tmp_path, proxy.endpoint, s3_server)

    ran = hps("check", spec, "--format", "json", env=keys_of(s3_server))

    found = next(one for one in json.loads(ran.out) if one["target"] == "s3")
    assert (ran.code, found["ok"], found["whole"]) == (0, True, whole), ran.out
    # What was written is deleted all the same, or it is said where it is.
    assert found["left"] or found["calls"][-1]["name"] == "delete"

"""A failed operation is a stored result, and the rest of the sweep goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from hps.prove.http_head import RequestHead
from tests.command import Ran, hps, keys_of, targets_yaml
from tests.conftest import ProxyFor
from tests.servers.faults import Action, Respond, Rule, Stall
from tests.servers.s3_server import S3Server

_SPEC = """\
api: hps/v1
name: failures
{targets}
data: {{size: 10MiB}}
matrix: {{chunk_size: [5MiB], concurrency: [1, 2]}}
order: {{kind: declared}}
steps: [upload, download, verify, delete]
{more}
"""


_DENIED = Respond(status=403, body=b"<Error><Code>AccessDenied</Code></Error>")


def _first_part(action: Action) -> Rule:
    """Befalls the first upload of part 1."""
    return Rule(match=lambda head: head.method == "PUT" and head.part_number == 1, action=action)


def _data_get(action: Action, times: int | None) -> Rule:
    return Rule(match=_is_data_get, action=action, times=times)


def _is_data_get(head: RequestHead) -> bool:
    return head.method == "GET" and head.kind != "control"


def _run(folder: Path, endpoint: str, server: S3Server, more: str = "") -> Ran:
    spec = folder / "failures.yaml"
    spec.write_text(_SPEC.format(targets=targets_yaml(endpoint, server), more=more))
    return _run_spec(spec, folder, server)


def _run_spec(spec: Path, folder: Path, server: S3Server, *options: str) -> Ran:
    where = ("--output", folder, "--format", "json")
    return hps("run", spec, *options, *where, env=keys_of(server))


def _endings(ran: Ran) -> list[tuple[int, str, str, str]]:
    return [
        (record["cell"]["concurrency"], record["step"], record["status"], record["reason"])
        for record in ran.results()
    ]


def test_a_refused_upload_is_failed_its_dependents_skipped_and_the_sweep_goes_on(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(s3_server, rules=(_first_part(_DENIED),))

    ran = _run(tmp_path, proxy.endpoint, s3_server)

    assert ran.code == 1, ran.err
    endings = _endings(ran)
    assert [ending[:3] for ending in endings] == [
        (1, "upload", "failed"),
        (1, "download", "skipped"),
        (1, "verify", "skipped"),
        (1, "delete", "skipped"),
        (2, "upload", "ok"),
        (2, "download", "ok"),
        (2, "verify", "ok"),
        (2, "delete", "ok"),
    ]
    assert "exit code" in endings[0][3]
    assert "403" in endings[0][3]
    assert endings[1][3] == "its upload failed"
    untried = ran.results()[:4]
    assert all(record["throughput_mbps"] is None for record in untried)
    assert {record["reason_code"] for record in untried} == {"no_permission"}
    assert {record["reason_owner"] for record in untried} == {"experiment"}


def test_a_transfer_that_hangs_ends_at_its_time_out(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(s3_server, rules=(_first_part(Stall(seconds=60)),))

    ran = _run(tmp_path, proxy.endpoint, s3_server, more="timeout: 4s")

    assert ran.code == 1, ran.err
    upload = ran.results()[0]
    assert (upload["status"], upload["reason"]) == ("timeout", "stopped after its time-out of 4 s")
    assert [ending[2] for ending in _endings(ran)[4:]] == ["ok"] * 4


def test_other_bytes_than_were_sent_are_caught_by_verify(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    wrong = Respond(status=200, body=b"x" * (10 * 1024**2))
    proxy = proxy_for(s3_server, rules=(_data_get(wrong, 1),))
    spec = "matrix: {chunk_size: [5MiB], concurrency: [1], checksum: [false]}"

    path = tmp_path / "wrong.yaml"
    text = _SPEC.format(targets=targets_yaml(proxy.endpoint, s3_server), more="")
    path.write_text(text.replace("matrix: {chunk_size: [5MiB], concurrency: [1, 2]}", spec))
    ran = _run_spec(path, tmp_path, s3_server, "--no-check")

    assert ran.code == 1, ran.err
    verify = next(record for record in ran.results() if record["step"] == "verify")
    assert (verify["status"], verify["reason_code"]) == ("failed", "corrupted")
    assert verify["reason"] == "1 of 1 files differ: 0.bin has other content"


def test_a_retried_part_is_counted_and_the_result_stands(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    busy = Respond(status=503, body=b"<Error><Code>SlowDown</Code></Error>")
    proxy = proxy_for(s3_server, rules=(_first_part(busy),))

    ran = _run(tmp_path, proxy.endpoint, s3_server)

    assert ran.code == 0, ran.err
    assert [record["retries"] for record in ran.results() if record["step"] == "upload"] == [1, 0]


@pytest.mark.prove
def test_results_that_cannot_be_sent_are_kept_and_end_in_exit_code_6(
    s3_server: S3Server, tmp_path: Path
) -> None:
    spec = tmp_path / "away.yaml"
    text = _SPEC.format(targets=targets_yaml(s3_server.endpoint, s3_server), more="")
    head, _, rest = text.partition("  store:")
    rest = rest.replace(s3_server.endpoint, "http://127.0.0.1:9", 1)
    spec.write_text(f"{head}  store:{rest}")

    ran = _run_spec(spec, tmp_path, s3_server, "--wait", "0s")

    assert ran.code == 6
    assert "results_target_away" in ran.err
    assert "the bucket lacks results" in ran.err
    assert [record["status"] for record in ran.results()] == ["ok"] * 8
    assert len(list(tmp_path.rglob("*.jsonl"))) == 1


def test_nothing_of_the_run_but_its_results_stays_in_the_bucket(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(s3_server, rules=(_data_get(_DENIED, None),))
    spec = tmp_path / "stays.yaml"
    text = _SPEC.format(targets=targets_yaml(proxy.endpoint, s3_server), more="")
    text = text.replace("steps: [upload, download, verify, delete]", "steps: [upload, download]")
    spec.write_text(text.replace("name: failures", "name: stays"))

    ran = _run_spec(spec, tmp_path, s3_server, "--no-check")

    assert [record["status"] for record in ran.results()] == ["ok", "failed"] * 2
    deleted = {request.key for request in proxy.requests() if request.method == "DELETE"}
    uploaded = {request.key for request in proxy.requests() if request.method == "PUT"}
    assert deleted == uploaded
    assert all(key.startswith("tests/data/stays/") for key in deleted)

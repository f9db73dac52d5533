"""Leaving a node of SaladCloud: after the record is stored, and for good."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("openapi_core", reason="openapi-core is not installed")

from tests.command import hps, keys_of, targets_yaml
from tests.conftest import ProxyFor
from tests.run.salad import salad_node
from tests.servers.proxy import RecordingProxy, Request
from tests.servers.s3_server import S3Server

_SPEC = """\
api: hps/v1
name: {name}
{targets}
node: {{{rules}}}
data: {{size: 5MiB}}
matrix: {{chunk_size: [5MiB], concurrency: [1]}}
steps: [upload, delete]
"""
_TOO_SMALL = "min_disk: 900TiB, on_reject: reallocate"


def _spec(folder: Path, proxy: RecordingProxy, server: S3Server, rules: str) -> Path:
    path = folder / "leaving.yaml"
    targets = targets_yaml(proxy.endpoint, server)
    targets = targets.replace(server.endpoint, proxy.endpoint)
    path.write_text(_SPEC.format(name=f"l-{folder.name}"[:60], targets=targets, rules=rules))
    return path


def _data(requests: Sequence[Request]) -> set[str]:
    return {request.key for request in requests if "/data/" in request.key}


@pytest.mark.prove
@pytest.mark.parametrize(
    ("code", "silent"), [(204, False), (500, False), (403, False), (204, True)]
)
def test_a_rejected_node_is_left_and_nothing_runs_afterwards(
    code: int, silent: bool, s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(s3_server)
    with salad_node(proxy, silent=silent, code=code) as node:
        spec = _spec(tmp_path, proxy, s3_server, _TOO_SMALL)
        ran = node.run(spec, s3_server, "--output", str(tmp_path / "out"))

        assert ran.code == 3, ran.err
        requests = proxy.requests()
        stored = [request for request in requests if request.key.endswith(".jsonl")]
        assert stored
        assert node.service.requests_before == len(requests)
        assert all("/check-" in key for key in _data(requests)), "it was only checked"
        if code == 204 and not silent:
            assert node.service.bodies[-1]["reason"].startswith("min_disk: ")


def test_a_node_of_another_kind_just_ends(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(s3_server)
    with salad_node(proxy) as node:
        spec = _spec(tmp_path, proxy, s3_server, _TOO_SMALL)
        env = {**node.env(s3_server), "SALAD_CONTAINER_GROUP_ID": ""}
        ran = hps("run", spec, "--output", tmp_path / "out", env=env)

    assert ran.code == 3, ran.err
    assert node.service.seen == []


def test_a_node_that_is_done_is_left_with_its_results_stored(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(s3_server)
    with salad_node(proxy) as node:
        spec = _spec(tmp_path, proxy, s3_server, "on_complete: reallocate")
        ran = node.run(spec, s3_server, "--output", str(tmp_path / "out"))

        assert ran.code == 0, ran.err
        assert node.service.bodies[-1] == {"reason": "the experiment is done"}
        requests = proxy.requests()
        assert node.service.requests_before == len(requests)
        endings = {Path(request.key).suffix for request in requests if "results" in request.key}
        assert endings >= {".jsonl", ".csv", ".txt"}
        assert "upload" in ran.out


def test_the_cost_of_deletion_is_raised_for_the_length_of_the_run(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(s3_server)
    with salad_node(proxy) as node:
        node.service.cost = 7
        spec = _spec(tmp_path, proxy, s3_server, "on_reject: exit")
        ran = hps("run", spec, "--output", tmp_path / "out", env=node.env(s3_server))

    assert ran.code == 0, ran.err
    costs = [body["deletion_cost"] for body in node.service.bodies if body]
    assert costs == [100, 7]


def test_a_service_that_takes_no_cost_does_not_stop_the_run(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(s3_server)
    with salad_node(proxy) as node:
        node.service.scripted = [200, 500, 500]
        spec = _spec(tmp_path, proxy, s3_server, "on_reject: exit")
        ran = hps("run", spec, "--output", tmp_path / "out", env=node.env(s3_server))

    assert ran.code == 0, ran.err
    assert "deletion_cost_not_set" in ran.err
    assert node.service.cost == 0


@pytest.mark.prove
def test_a_machine_that_has_finished_does_not_measure_again_unless_told_to(
    s3_server: S3Server, proxy_for: ProxyFor, tmp_path: Path
) -> None:
    proxy = proxy_for(s3_server)
    with salad_node(proxy) as node:
        spec = _spec(tmp_path, proxy, s3_server, "on_reject: exit")
        env = node.env(s3_server)
        first = hps("run", spec, "--output", tmp_path / "1", "--format", "json", env=env)
        again = hps("run", spec, "--output", tmp_path / "2", env=env)
        here = hps("run", spec, "--output", tmp_path / "1", env=env)
        other = hps("run", spec, "--set", "data.size=6MiB", "--output", tmp_path / "3", env=env)
        fresh = hps("run", spec, "--fresh", "--output", tmp_path / "4", env=env)
        by_hand = {**keys_of(s3_server), "SALAD_MACHINE_ID": ""}
        hand = [hps("run", spec, "--output", tmp_path / "5", env=by_hand) for _ in range(2)]

    assert first.code == 0, first.err
    run_id = first.records()[0]["run_id"]
    for ran in (again, here):
        assert ran.code == 0, ran.err
        assert f"this machine has done it all in run {run_id}" in ran.err
        assert ran.out == ""
    assert not list((tmp_path / "2").rglob("*.jsonl"))
    for ran in (other, fresh, *hand):
        assert ran.code == 0, ran.err
        assert "upload" in ran.out

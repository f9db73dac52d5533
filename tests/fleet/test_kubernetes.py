"""Kubernetes as an engine: the real kubectl, against a server that keeps what it is sent."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from hps.errors import HpsError
from hps.fleet import kubernetes
from hps.fleet.engine import Engine, FleetRequest
from hps.fleet.kubernetes import Kubernetes
from hps.fleet.manifest import kubernetes_labels
from hps.model import Fleet, ResultsPlace
from tests.builders import S3, make_spec
from tests.servers.kubernetes import NAMESPACE, Cluster, find_kubectl

_KEYS = {"TEST_KEY_ID": "planted-id-0123456789", "TEST_SECRET": "planted/secret+0123456789"}
_TEXT = "api: hps/v1\nname: first\n"
REQUEST = FleetRequest(
    spec=make_spec(
        name="first",
        text=_TEXT,
        targets=MappingProxyType({"s3": S3}),
        results=ResultsPlace(target="s3"),
        fleet=Fleet(nodes=4),
    ),
    fleet="october",
    file="first.yaml",
    image="example.com/hps:1",
    nodes=4,
)
_NAME = REQUEST.name


def _pod(index: int, phase: str, **status: Any) -> dict[str, Any]:
    labels = {
        "app.kubernetes.io/name": "hps",
        "app.kubernetes.io/instance": _NAME,
        "batch.kubernetes.io/job-completion-index": str(index),
    }
    node = f"node-{index}" if phase != "Unscheduled" else None
    phase = "Pending" if phase == "Unscheduled" else phase
    return {
        "metadata": {"name": f"{_NAME}-{index}-abcde", "labels": labels},
        "spec": {"nodeName": node, "containers": [{"name": "hps"}]},
        "status": {"phase": phase, "startTime": f"2026-11-30T12:00:{index:02}Z", **status},
    }


def _state(**state: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"name": "hps", "state": state}]


def test_a_fleet_from_start_to_end(engine: Kubernetes, cluster: Cluster) -> None:
    told: list[str] = []
    fits: Engine = engine
    assert fits.find(_NAME) is None
    started = fits.start(REQUEST, _KEYS, told.append)
    assert cluster.names == {f"configmaps/{_NAME}", f"jobs/{_NAME}", "secrets/hps-keys"}
    assert set(started.names) == {f"configmap/{_NAME}", f"job.batch/{_NAME}", "secret/hps-keys"}
    assert (started.state, started.instances, started.remark) == ("Running", (), "")
    assert cluster.objects["configmaps", _NAME]["data"]["experiment.yaml"] == _TEXT
    assert set(cluster.objects["secrets", "hps-keys"]["data"]) == set(_KEYS)
    assert fits.find(_NAME) == started
    before = len(cluster.names), len(told)
    assert fits.start(REQUEST, {}, told.append) == started
    assert (len(cluster.names), len(told)) == (before[0], before[1] + 1)
    assert "is there already" in told[-1]
    assert fits.remove(_NAME, told.append) is None
    assert cluster.names == set()
    assert f"job.batch/{_NAME} deleted" == told[-3]
    assert fits.remove(_NAME, told.append) is None
    assert told[-1] == "secret/hps-keys deleted"
    assert "planted" not in " ".join(told)


def test_what_is_sent_is_json_and_nothing_else() -> None:
    """Newer versions of kubectl take `---` within it, older ones don't."""
    objects: list[dict[str, Any]] = [
        {"kind": kind, "metadata": {"labels": {}}} for kind in ("ConfigMap", "Job")
    ]
    rest, kinds = kubernetes._marked(objects, "mark").decode(), list[str]()
    while rest:
        document, end = json.JSONDecoder().raw_decode(rest)
        kinds.append(document["kind"])
        rest = rest[end:].lstrip()
    assert kinds == ["ConfigMap", "Job"]


def test_a_secret_that_is_there_is_left_alone(engine: Kubernetes, cluster: Cluster) -> None:
    theirs = {"metadata": {"name": "hps-keys"}, "data": dict.fromkeys(_KEYS, "dGhlaXJz")}
    cluster.put("secrets", theirs)
    before = dict(cluster.objects["secrets", "hps-keys"])
    engine.start(REQUEST, {}, print)
    engine.remove(_NAME, print)
    assert cluster.objects == {("secrets", "hps-keys"): before}


@pytest.mark.parametrize(
    ("there", "keys", "words"),
    [
        (None, {"TEST_KEY_ID": "x"}, "no Secret hps-keys, and not set here: TEST_SECRET"),
        ({"TEST_KEY_ID": "eA=="}, _KEYS, "the Secret hps-keys lacks TEST_SECRET"),
    ],
)
def test_missing_keys_are_named_before_anything_is_created(
    engine: Kubernetes,
    cluster: Cluster,
    there: Mapping[str, str] | None,
    keys: Mapping[str, str],
    words: str,
) -> None:
    if there is not None:
        cluster.put("secrets", {"metadata": {"name": "hps-keys"}, "data": there})
    before = cluster.names
    with pytest.raises(HpsError, match=words):
        engine.start(REQUEST, keys, print)
    assert cluster.names == before


def test_what_a_failed_start_has_created_is_deleted_again(
    engine: Kubernetes, cluster: Cluster
) -> None:
    cluster.put("configmaps", {"metadata": {"name": "theirs"}})
    cluster.refused["POST", "jobs"] = f"quota: no jobs for {_KEYS['TEST_SECRET']}"
    told: list[str] = []
    with pytest.raises(HpsError) as caught:
        engine.start(REQUEST, _KEYS, told.append)
    assert "quota: no jobs for [TEST_SECRET]" in caught.value.message
    assert cluster.names == {"configmaps/theirs"}
    assert sorted(told) == [f"configmap/{_NAME} deleted again", "secret/hps-keys deleted again"]


def test_an_interrupted_start_leaves_nothing(engine: Kubernetes, cluster: Cluster) -> None:
    def interrupt(resource: str) -> None:
        if resource == "jobs":
            os.kill(os.getpid(), signal.SIGINT)

    cluster.when_created = interrupt
    with pytest.raises(KeyboardInterrupt):
        engine.start(REQUEST, _KEYS, print)
    assert cluster.names == set()


def test_a_start_that_can_not_be_undone_says_how(engine: Kubernetes, cluster: Cluster) -> None:
    cluster.refused["POST", "jobs"] = "quota"
    told: list[str] = []
    cluster.put("secrets", {"metadata": {"name": "hps-keys"}, "data": _KEYS})
    cluster.when_created = lambda _: cluster.refused.update({("GET", "configmaps"): "no list"})
    with pytest.raises(HpsError, match="quota"):
        engine.start(REQUEST, {}, told.append)
    assert "kubectl delete jobs,configmaps,secrets --selector=hps/start=" in told[-1]


@pytest.mark.parametrize(
    ("resource", "labels", "more", "words"),
    [
        ("configmaps", {}, {"data": {"experiment.yaml": _TEXT}}, "not of this fleet"),
        ("jobs", {"hps/fleet": "november"}, {}, "not of this fleet"),
        ("configmaps", None, {"data": {"experiment.yaml": "other"}}, "another text"),
        ("jobs", None, {"deletionTimestamp": "2026-11-30T12:00:00Z"}, "just being removed"),
    ],
)
def test_an_object_that_has_the_name_is_not_touched(
    engine: Kubernetes,
    cluster: Cluster,
    resource: str,
    labels: Mapping[str, str] | None,
    more: Mapping[str, Any],
    words: str,
) -> None:
    meta = {"name": _NAME, "labels": kubernetes_labels(REQUEST) if labels is None else labels}
    is_meta = "deletionTimestamp" in more
    cluster.put(resource, {"metadata": {**meta, **(more if is_meta else {})}, **more})
    before = dict(cluster.objects)
    with pytest.raises(HpsError, match=words):
        engine.start(REQUEST, _KEYS, print)
    assert cluster.objects == before


def test_pods_say_where_they_are_and_why_not(engine: Kubernetes, cluster: Cluster) -> None:
    engine.start(REQUEST, _KEYS, print)
    running = _state(running={"startedAt": "2026-11-30T12:05:00Z"})
    ended = _state(terminated={"reason": "Error", "exitCode": 3})
    pull = _state(waiting={"reason": "ImagePullBackOff", "message": "Back-off\npulling \x1b[31m"})
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    for pod in (
        _pod(0, "Running", containerStatuses=running),
        _pod(1, "Failed", containerStatuses=ended),
        _pod(2, "Pending", containerStatuses=pull),
        _pod(3, "Pending", containerStatuses=_state(waiting={"reason": "ContainerCreating"})),
        _pod(4, "Unscheduled", conditions=[{**condition, "message": "0/9 nodes have a GPU"}]),
    ):
        cluster.put("pods", pod)
    found = engine.find(_NAME)
    assert found is not None
    seen = [(one.machine_id, one.state, one.is_billed) for one in found.instances]
    assert seen == [
        ("node-0", "Running", True),
        ("node-1", "Error", False),
        ("node-2", "ImagePullBackOff", True),
        ("node-3", "ContainerCreating", True),
        ("", "Unschedulable", False),
    ]
    assert found.instances[0].since == datetime(2026, 11, 30, 12, 5, tzinfo=UTC)
    assert found.billed == 3
    assert "1 of 5 pods: Unschedulable: 0/9 nodes have a GPU" in found.remark
    assert "ImagePullBackOff: Back-off\ufffdpulling \ufffd[31m" in found.remark


def test_a_job_says_how_it_ended(engine: Kubernetes, cluster: Cluster) -> None:
    engine.start(REQUEST, _KEYS, print)
    reason = {"reason": "PodFailurePolicy", "message": "exit code 2 of hps"}
    job = cluster.objects["jobs", _NAME]
    job["status"] = {"conditions": [{"type": "Failed", "status": "True", **reason}]}
    found = engine.find(_NAME)
    assert found is not None
    assert found.state == "Failed"
    assert found.remark == "Failed: PodFailurePolicy: exit code 2 of hps"


def test_a_job_without_pods_says_why(engine: Kubernetes, cluster: Cluster) -> None:
    engine.start(REQUEST, _KEYS, print)
    for number, reason in enumerate(("Older", "FailedCreate")):
        event = {
            "metadata": {"name": f"event-{number}"},
            "involvedObject": {"kind": "Job", "name": _NAME},
            "type": "Warning",
            "lastTimestamp": f"2026-11-30T12:00:0{number}Z",
            "reason": reason,
            "message": "pods is forbidden: exceeded quota",
        }
        cluster.put("events", event)
    found = engine.find(_NAME)
    assert found is not None
    assert found.remark == "FailedCreate: pods is forbidden: exceeded quota"


def test_only_what_is_of_the_fleet_is_removed(engine: Kubernetes, cluster: Cluster) -> None:
    other = replace(REQUEST, fleet="november")
    told: list[str] = []
    engine.start(REQUEST, _KEYS, print)
    engine.start(other, {}, print)
    rest = engine.remove(_NAME, told.append)
    assert f"secret/hps-keys stays, for {other.name} has its keys from it" in told
    assert rest is not None
    assert (rest.names, rest.billed) == (("secret/hps-keys",), 0)
    assert cluster.names == {
        *(f"{resource}/{other.name}" for resource in ("jobs", "configmaps")),
        "secrets/hps-keys",
    }
    engine.remove(other.name, told.append)
    assert engine.remove(_NAME, told.append) is None
    assert cluster.names == set()


def test_what_takes_long_to_end_is_what_is_left(
    engine: Kubernetes, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubernetes, "_GONE_S", 0.0)
    engine.start(REQUEST, _KEYS, print)
    cluster.put("pods", _pod(0, "Running"))
    rest = engine.remove(_NAME, print)
    assert rest is not None
    assert (rest.names, rest.billed, rest.remark) == ((), 1, "there is no Job any more")


def test_the_newest_lines_of_all_pods_come_in_order(engine: Kubernetes, cluster: Cluster) -> None:
    begun = _state(running={"startedAt": "2026-11-30T12:05:00Z"})
    cluster.put("pods", _pod(0, "Running", containerStatuses=begun))
    cluster.put("pods", _pod(1, "Running", containerStatuses=begun))
    cluster.put("pods", _pod(2, "Running", containerStatuses=begun))  # it has no log
    cluster.put("pods", _pod(3, "Pending"))
    for index, seconds in ((0, (1, 4)), (1, (2, 3))):
        texts = (f"2026-11-30T12:00:0{second}Z line {second}\x1b[31m\n" for second in seconds)
        cluster.logs[f"{_NAME}-{index}-abcde"] = "".join(texts)
    lines = engine.logs(_NAME, 3)
    assert [line.partition(" line ")[2] for line in lines] == [f"{n}\ufffd[31m" for n in (2, 3, 4)]
    assert f"{_NAME}-1-abcde" in lines[0]
    assert engine.logs("hps-nothing", 3) == ()
    cluster.logs.clear()
    with pytest.raises(HpsError, match=r"kubectl logs: .*is waiting to start"):
        engine.logs(_NAME, 3)


def test_no_key_is_in_an_argument(cluster: Cluster, tmp_path: Path) -> None:
    spy, seen = tmp_path / "kubectl", tmp_path / "seen"
    spy.write_text(f'#!/bin/sh\necho "$@" >> {seen}\nexec {find_kubectl()} "$@"\n')
    spy.chmod(0o700)
    env = {**os.environ, "HPS_KUBECTL": str(spy), "KUBECONFIG": str(cluster.kubeconfig)}
    engine = Kubernetes.open(env, context="tests", namespace=NAMESPACE)
    engine.start(REQUEST, _KEYS, print)
    arguments = seen.read_text()
    assert arguments.count("--context=tests --namespace=measuring") >= 5
    assert not any(value in arguments + repr(engine) for value in _KEYS.values())
    assert not any(value in engine.render(REQUEST) for value in _KEYS.values())


def test_without_kubectl_it_is_said_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(HpsError) as caught:
        Kubernetes.open({"PATH": str(tmp_path)})
    assert "HPS_KUBECTL" in caught.value.hint


def test_a_cluster_that_is_not_there(engine: Kubernetes, cluster: Cluster) -> None:
    text = cluster.kubeconfig.read_text()
    assert cluster.server is not None
    cluster.kubeconfig.write_text(text.replace(cluster.server.endpoint, "http://127.0.0.1:9"))
    with pytest.raises(HpsError, match=r"kubectl get: .*127\.0\.0\.1:9"):
        engine.find(_NAME)


@pytest.mark.parametrize("answer", ["", "{}", '{"items": [1]}', "[" * 5000, '{"items": {}}'])
def test_a_program_that_is_no_kubectl(tmp_path: Path, answer: str) -> None:
    program, text = tmp_path / "kubectl", tmp_path / "answer"
    text.write_text(answer)
    program.write_text(f"#!/bin/sh\ncat {text}\n")
    program.chmod(0o700)
    engine = Kubernetes.open({**os.environ, "HPS_KUBECTL": str(program)})
    with pytest.raises(HpsError, match="no list came"):
        engine.find(_NAME)


@pytest.mark.parametrize("name", ["", "a,b=c", "x y", "--all", "A" * 64])
def test_what_is_no_name_reaches_no_cluster(tmp_path: Path, name: str) -> None:
    engine = Kubernetes.open({"HPS_KUBECTL": str(tmp_path / "none")})
    for call in (engine.find, lambda name: engine.remove(name, print)):
        with pytest.raises(HpsError, match="no name of a started fleet"):
            call(name)

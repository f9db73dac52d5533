"""What an API server refuses in a manifest: by its schemas, and by the rules that are not in them.

The schemas are those of Kubernetes, in each of its versions. The other rules are written down here,
from its `pkg/apis/batch/validation` and `pkg/apis/core/validation`.
"""

from __future__ import annotations

import copy
import itertools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest
import yaml

from hps.errors import HpsError
from hps.fleet.engine import FleetRequest
from hps.fleet.kubernetes import Kubernetes
from hps.fleet.manifest import render
from tests.fleet.test_kubernetes import REQUEST
from tests.servers.kubernetes import Cluster

Tree = dict[str, Any]
_OLDEST = (1, 30)
_SOON = datetime.now(UTC) + timedelta(hours=2)
_LABEL = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
_DNS_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_DNS_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_.-][A-Za-z0-9_.-]*")
# As long as names of experiments and fleets may be, and odd in each way that they may.
_NAMES = (("first", "october"), ("a." + "_-x" * 20, "0." + "b_" * 30 + "c"), ("0", "12e3"))
_VARIABLES = MappingProxyType({"A": "1", "EMPTY": "", "ODD": "ä: {}\n- 'x\"\t# 0o17"})


def all_requests() -> Iterator[FleetRequest]:
    """All that may be asked for, each with each."""
    options = itertools.product(
        _NAMES, (0, 2), ("", "gpus"), (None, _SOON), ({}, _VARIABLES), (1, 80_000)
    )
    for (name, fleet), gpus, queue, until, variables, nodes in options:
        yield replace(
            REQUEST,
            spec=replace(REQUEST.spec, name=name),
            fleet=fleet,
            gpus=gpus,
            queue=queue,
            until=until,
            variables=variables,
            nodes=nodes,
        )


def _printed(request: FleetRequest) -> tuple[Tree, Tree]:
    files, job = yaml.safe_load_all(render("kubernetes", request))
    return files, job


# -------------------------------------------------------------------------------------------------
# The schemas.


def _check_schema(documents: list[Tree]) -> None:
    schemas = pytest.importorskip("kubernetes_validate", reason="it is in the extra dev")
    newest = tuple(map(int, schemas.latest_version().split(".")[:2]))
    for minor in range(_OLDEST[1], newest[1] + 1):
        version = f"{_OLDEST[0]}.{minor}"
        for document in documents:
            assert schemas.validate(document, version, strict=True) == version


def test_each_version_knows_every_field() -> None:
    """Fields depend on few options, values on all: those are checked by the rules below."""
    full = replace(REQUEST, gpus=2, queue="gpus", until=_SOON, variables=_VARIABLES)
    documents = [document for request in (REQUEST, full) for document in _printed(request)]
    _check_schema(documents)


def test_what_is_sent_fits_as_well(engine: Kubernetes, cluster: Cluster) -> None:
    engine.start(REQUEST, dict.fromkeys(REQUEST.keys, "x" * 20), print)
    assert cluster.server is not None
    sent = [json.loads(one.body) for one in cluster.server.asked if one.method == "POST"]
    assert [one["kind"] for one in sent] == ["Secret", "ConfigMap", "Job"]
    _check_schema(sent)


def test_a_misspelt_field_is_found() -> None:
    pytest.importorskip("kubernetes_validate", reason="it is in the extra dev")
    _, job = _printed(REQUEST)
    job["spec"]["backofLimitPerIndex"] = job["spec"].pop("backoffLimitPerIndex")
    with pytest.raises(Exception, match="backofLimitPerIndex"):
        _check_schema([job])


# -------------------------------------------------------------------------------------------------
# The rules of the server.


def _broken_rules(files: Tree, job: Tree) -> set[str]:
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    return {
        rule
        for rules in (_of_job(job, spec), _of_pod(spec, pod), _of_labels(files, job))
        for rule, holds in rules.items()
        if not holds
    }


def _of_job(job: Tree, spec: Tree) -> dict[str, bool]:
    last = f"{job['metadata']['name']}-{spec['completions'] - 1}"
    (rule,) = spec["successPolicy"]["rules"]
    indexed = {"successPolicy", "backoffLimitPerIndex", "maxFailedIndexes"} & spec.keys()
    is_indexed = spec.get("completionMode") == "Indexed"
    return {
        "Indexed, for limits of each index": is_indexed or not indexed,
        "a limit for each index, for failed ones": "backoffLimitPerIndex" in spec,
        "no more may fail than there are": spec["maxFailedIndexes"] <= spec["completions"],
        "no more succeed than there are": 0 < rule["succeededCount"] <= spec["completions"],
        "100,000 indexes at most": max(spec["completions"], spec["parallelism"]) <= 100_000,
        "a host's name with the last index": _DNS_LABEL.fullmatch(last) is not None,
        "time enough to begin": 0 < spec.get("activeDeadlineSeconds", 1) < 1 << 31,
    }


def _of_pod(spec: Tree, pod: Tree) -> dict[str, bool]:
    (container,) = pod["containers"]
    names = [one["name"] for one in container["env"]]
    rules = spec["podFailurePolicy"]["rules"]
    exits = [rule["onExitCodes"] for rule in rules if "onExitCodes" in rule]
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    amounts = container["resources"].get("limits", {})
    return {
        "Never, for a policy of failures": pod["restartPolicy"] == "Never",
        "each variable once": len(names) == len(set(names)),
        "names of variables": all(map(_VARIABLE.fullmatch, names)),
        "values of variables are texts": all(
            isinstance(one.get("value", ""), str) for one in container["env"]
        ),
        "codes in order, and not 0": all(
            one["values"] == sorted(set(one["values"])) and 0 not in one["values"] for one in exits
        ),
        "the container that is there": all(
            one["containerName"] == container["name"] for one in exits
        ),
        "volumes that are there": mounts == {volume["name"] for volume in pod["volumes"]},
        "whole GPUs": all(isinstance(amount, int) for amount in amounts.values()),
        "an image without blanks": container["image"].strip() == container["image"] != "",
    }


def _of_labels(files: Tree, job: Tree) -> dict[str, bool]:
    pod = job["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    trees = (files, job, pod)
    labels = [value for tree in trees for value in tree["metadata"]["labels"].values()]
    names = [job["metadata"]["name"], container["envFrom"][0]["secretRef"]["name"]]
    return {
        "values of labels": all(isinstance(one, str) and _LABEL.fullmatch(one) for one in labels),
        "names": all(map(_DNS_NAME.fullmatch, names)),
        "a ConfigMap below 1 MiB": sum(map(len, files["data"].values())) < 1 << 20,
        "what `apply` keeps below 256 KiB": len(json.dumps(files)) < 256 << 10,
    }


def test_no_rule_is_broken_whatever_is_asked_for() -> None:
    for request in all_requests():
        files, job = _printed(request)
        assert _broken_rules(files, job) == set(), request
        values = {
            one["name"]: one.get("value")
            for one in job["spec"]["template"]["spec"]["containers"][0]["env"]
        }
        assert values.items() >= request.variables.items()


def _set(*path: str | int, value: object) -> Callable[[Tree, Tree], None]:
    def change(files: Tree, job: Tree) -> None:
        place: Any = {"files": files, "job": job}
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = value

    return change


_POD: tuple[str | int, ...] = ("job", "spec", "template", "spec")
_CONTAINER = (*_POD, "containers", 0)
_POLICY: tuple[str | int, ...] = ("job", "spec", "podFailurePolicy", "rules", 0, "onExitCodes")


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (_set("job", "spec", "completionMode", value=None), "Indexed, for limits of each index"),
        (_set("job", "spec", "maxFailedIndexes", value=9), "no more may fail than there are"),
        (_set("job", "spec", "parallelism", value=100_001), "100,000 indexes at most"),
        (_set("job", "spec", "activeDeadlineSeconds", value=0), "time enough to begin"),
        (_set("job", "metadata", "name", value="a" * 62), "a host's name with the last index"),
        (_set("job", "metadata", "labels", "hps/fleet", value="a-"), "values of labels"),
        (_set(*_POD, "restartPolicy", value="OnFailure"), "Never, for a policy of failures"),
        (_set(*_CONTAINER, "env", value=[{"name": "A"}] * 2), "each variable once"),
        (_set(*_CONTAINER, "env", 1, "name", value="a b"), "names of variables"),
        (_set(*_CONTAINER, "env", 1, "value", value=1), "values of variables are texts"),
        (_set(*_CONTAINER, "image", value=" i"), "an image without blanks"),
        (_set(*_POLICY, "values", value=[70, 2]), "codes in order, and not 0"),
        (_set(*_POLICY, "containerName", value="a"), "the container that is there"),
        (_set("files", "data", "a", value="x" * (1 << 20)), "a ConfigMap below 1 MiB"),
    ],
)
def test_a_broken_rule_is_seen(change: Callable[[Tree, Tree], None], rule: str) -> None:
    files, job = copy.deepcopy(_printed(REQUEST))
    change(files, job)
    assert rule in _broken_rules(files, job)


def test_a_value_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(HpsError, match="the value of A is not UTF-8"):
        render("kubernetes", replace(REQUEST, variables={"A": "\udcff"}))


# -------------------------------------------------------------------------------------------------
# The end by the clock.


def test_the_earlier_end_counts() -> None:
    fleet = REQUEST.spec.fleet
    assert fleet is not None
    for until_s, hours, least_s, most_s in ((None, 2, 7000, 7200), (3600, 2, 3600, 3600)):
        spec = replace(REQUEST.spec, fleet=replace(fleet, until_s=until_s))
        until = datetime.now(UTC) + timedelta(hours=hours)
        _, job = _printed(replace(REQUEST, spec=spec, until=until))
        assert least_s <= job["spec"]["activeDeadlineSeconds"] <= most_s
        env = job["spec"]["template"]["spec"]["containers"][0]["env"]
        assert {"name": "HPS_FLEET_UNTIL", "value": f"{until:%Y-%m-%dT%H:%M:%SZ}"} in env


def test_an_end_that_has_passed_is_refused() -> None:
    with pytest.raises(HpsError, match="the fleet has ended at 2026-01-01T00:00:00Z"):
        render("kubernetes", replace(REQUEST, until=datetime(2026, 1, 1, tzinfo=UTC)))

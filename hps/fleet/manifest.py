"""The files by which engines start the nodes of a fleet; a person reads, commits and applies them.

Keys stand in none of them: each names the secret, or the variables, that has them. Which node
measures what is left to the nodes.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import yaml

from hps.errors import EXIT_BUG, EXIT_NODE_REJECTED, EXIT_USAGE, HpsError, printable
from hps.fleet.engine import FleetRequest, check_shared
from hps.model import FLEET_AGAIN_ENV as AGAIN_ENV
from hps.model import FLEET_ENV as NAME_ENV
from hps.model import FLEET_UNTIL_ENV as UNTIL_ENV
from hps.model import REJECT
from hps.source.address import FilePath, WebAddress, parse

_TRIES = 3
_KEPT_S = 7 * 24 * 3600
_USER = 65532
_EXPERIMENT = "/experiment/experiment.yaml"
_WORK = "/work"
_MACHINE = "SALAD_MACHINE_ID"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DNS_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?")
# `kubectl apply` keeps what it was given, as JSON, in an annotation of at most so many bytes.
_MOST_APPLIED_BYTES = 256 << 10
_MOST_INDEXES = 100_000
_MIB = 1 << 20
Tree = dict[str, Any]
# The labels by which all of a fleet is found again; `app.kubernetes.io/instance` is its name.
OURS = MappingProxyType({"app.kubernetes.io/name": "hps"})
INSTANCE_LABEL, FLEET_LABEL = "app.kubernetes.io/instance", "hps/fleet"


def render(engine: str, request: FleetRequest) -> str:
    """The file for an engine, one of `ENGINES`. Raises `HpsError` as `check` does."""
    check(request)
    return ENGINES[engine](request)


def check(request: FleetRequest) -> None:
    """Raise `HpsError` where the nodes of a fleet would have no bucket in common, or one id.

    Or where there is no image, or a variable that no node can have.
    """
    check_shared(request.spec)
    if not re.fullmatch(r"[!-~]+", request.image):
        raise HpsError(f"--image: {printable(request.image, 80)!r} is no image", "name one to pull")
    if _MACHINE in request.variables:
        hint = "leave it out: a machine's id comes from the machine"
        raise HpsError(f"--env: {_MACHINE} would be the same on each node", hint)
    for name, value in request.variables.items():
        if not _VARIABLE.fullmatch(name):
            hint = "names have letters, digits and '_', and begin with no digit"
            raise HpsError(f"--env: {printable(name, 80)!r} is no name of a variable", hint)
        if not value.isascii() and value != value.encode(errors="replace").decode():
            raise HpsError(f"--env: the value of {name} is not UTF-8", "no file can have it")


# --- Kubernetes ----------------------------------------------------------------------------------


def _kubernetes(request: FleetRequest) -> str:
    files, job = kubernetes_objects(request)
    keys = "|".join(request.keys)
    comments = (
        f"# {request.nodes} nodes of the fleet {request.fleet}; {request.asked} are asked for.",
        "# First, the keys:",
        f"#   kubectl create secret generic {request.secret} \\",
        f"#     --from-env-file=<(env | grep -E '^({keys})=')",
        "# Kubernetes 1.33 or newer: successPolicy and backoffLimitPerIndex.",
    )
    return "\n".join(comments) + f"\n{_dump(files)}---\n{_dump(job)}"


def kubernetes_objects(request: FleetRequest) -> tuple[Tree, Tree]:
    """A ConfigMap with the experiment, and an Indexed Job that ends once enough nodes are done.

    Raises `HpsError` for what no server would take.
    """
    _check_names(request)
    labels = kubernetes_labels(request)
    queue = {"kueue.x-k8s.io/queue-name": request.queue} if request.queue else {}
    files = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": request.name, "labels": labels},
        "data": {"experiment.yaml": _Literal(request.spec.text)},
    }
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": request.name, "labels": {**labels, **queue}},
        "spec": {**_ends(request), "template": _pod(request, labels)},
    }
    if len(json.dumps(files, ensure_ascii=False).encode(errors="replace")) > _MOST_APPLIED_BYTES:
        hint = "make it smaller: comments count, too"
        raise HpsError("the experiment is longer than the 256 KiB of what can be applied", hint)
    if request.asked > _MOST_INDEXES:
        hint = f"a Job has at most {_MOST_INDEXES:,}: ask for fewer, or start several fleets"
        raise HpsError(f"{request.asked:,} nodes are too many for a Job", hint)
    return files, job


def _check_names(request: FleetRequest) -> None:
    for option, name in (("--secret", request.secret), ("--queue", request.queue or "none")):
        if not _DNS_NAME.fullmatch(name):
            hint = "names are at most 63 of a-z, 0-9, '.' and '-', but for both ends"
            raise HpsError(f"{option}: {printable(name, 80)!r} is no name in Kubernetes", hint)


def kubernetes_labels(request: FleetRequest) -> Tree:
    """Those of all that there is of a fleet."""
    return {**OURS, INSTANCE_LABEL: request.name, FLEET_LABEL: request.fleet}


def _ends(request: FleetRequest) -> Tree:
    """When the Job is over, and what an exit code means for it."""
    codes = {"containerName": "hps", "operator": "In"}
    most_s = _most_s(request)
    return {
        "completionMode": "Indexed",
        "completions": request.asked,
        "parallelism": request.asked,
        "successPolicy": {"rules": [{"succeededCount": request.nodes}]},
        "backoffLimitPerIndex": _TRIES,
        "maxFailedIndexes": request.asked,
        "podFailurePolicy": {
            "rules": [
                {
                    # Every other node would fail alike.
                    "action": "FailJob",
                    "onExitCodes": {**codes, "values": [EXIT_USAGE, EXIT_BUG]},
                },
                {
                    # The node was turned down, and would be again.
                    "action": "FailIndex",
                    "onExitCodes": {**codes, "values": [EXIT_NODE_REJECTED]},
                },
                {
                    "action": "Ignore",
                    "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                },
            ]
        },
        **({} if most_s is None else {"activeDeadlineSeconds": most_s}),
        "ttlSecondsAfterFinished": _KEPT_S,
    }


def _most_s(request: FleetRequest) -> int | None:
    """How long the Job may take from now on. Raises `HpsError` where its end has passed."""
    fleet = request.spec.fleet
    bounds_s = [] if fleet is None or fleet.until_s is None else [fleet.until_s]
    if request.until is not None:
        bounds_s.append((request.until - datetime.now(UTC)).total_seconds())
    if min(bounds_s, default=1.0) <= 0:
        raise HpsError(f"the fleet has ended at {_utc(request.until)}", f"set {UNTIL_ENV} anew")
    return math.ceil(min(bounds_s)) if bounds_s else None


def _utc(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _pod(request: FleetRequest, labels: Tree) -> Tree:
    """One node: as little rights as can be, and no second one on the same machine."""
    return {
        "metadata": {"labels": labels},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            # Stronger than a spread over hostnames, which evens numbers out and so would put
            # several on a machine once there are more nodes than machines. These wait.
            "affinity": {
                "podAntiAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": [
                        {
                            "topologyKey": "kubernetes.io/hostname",
                            "labelSelector": {"matchLabels": labels},
                        }
                    ]
                }
            },
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": _USER,
                "fsGroup": _USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [_container(request)],
            "volumes": [
                {"name": "experiment", "configMap": {"name": request.name}},
                {"name": "work", "emptyDir": {}},
            ],
        },
    }


def _container(request: FleetRequest) -> Tree:
    node = {"fieldRef": {"fieldPath": "spec.nodeName"}}
    own = {"HPS_OUTPUT": f"{_WORK}/results", "TMPDIR": _WORK}
    # A pod on a machine that has measured its share must not count as another one that has.
    values = {**_variables(request), AGAIN_ENV: REJECT, **own}
    return {
        "name": "hps",
        "image": request.image,
        "env": [
            {"name": _MACHINE, "valueFrom": node},
            *({"name": name, "value": value} for name, value in values.items()),
        ],
        "envFrom": [{"secretRef": {"name": request.secret}}],
        "resources": _resources(request),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "experiment", "mountPath": "/experiment", "readOnly": True},
            {"name": "work", "mountPath": _WORK},
        ],
    }


def _resources(request: FleetRequest) -> Tree:
    """What a pod is sure to get, so that a busy neighbour takes no processor from it."""
    requests = {
        "cpu": str(request.cpus),
        "memory": f"{request.memory_mib}Mi",
        "ephemeral-storage": f"{math.ceil(request.storage_bytes / _MIB)}Mi",
    }
    gpus = {"limits": {"nvidia.com/gpu": request.gpus}} if request.gpus else {}
    return {"requests": requests, **gpus}


# --- others --------------------------------------------------------------------------------------


def _skypilot(request: FleetRequest) -> str:
    """A task of which so many jobs are launched, wherever there is room."""
    task: Tree = {
        "name": request.name,
        "resources": {
            "image_id": f"docker:{request.image}",
            **({"accelerators": f"{{GPU}}:{request.gpus}"} if request.gpus else {}),
        },
        "envs": {**_variables(request), **_elsewhere(request)},
        "secrets": dict.fromkeys(request.keys),
        **({} if _elsewhere(request) else {"file_mounts": {_EXPERIMENT: request.local}}),
        "run": "hps run",
    }
    secrets = " ".join(f"--secret {key}" for key in request.keys)
    named = "\n# Name the GPU in place of {GPU}." if request.gpus else ""
    return f"# sky jobs launch --num-jobs {request.asked} {secrets} THIS_FILE{named}\n{_dump(task)}"


def _docker(request: FleetRequest) -> str:
    """A service for a machine at hand; the same file on each of them."""
    values = {**_variables(request), **_elsewhere(request)}
    environment = [f"{name}={value}" for name, value in values.items()]
    service: Tree = {
        "image": request.image,
        # Names alone are filled in by the shell that starts it.
        "environment": [_MACHINE, *environment, *request.keys],
        **({} if _elsewhere(request) else {"volumes": [f"{request.local}:{_EXPERIMENT}:ro"]}),
        **({"gpus": "all"} if request.gpus else {}),
    }
    return (
        "# On each machine, with the keys in its environment:\n"
        "#   SALAD_MACHINE_ID=$(hostname) docker compose -f THIS_FILE run --rm hps\n"
        f"{_dump({'services': {'hps': service}})}"
    )


def _variables(request: FleetRequest) -> dict[str, str]:
    until = {UNTIL_ENV: _utc(request.until)} if request.until else {}
    return {"EXPERIMENT": _EXPERIMENT, NAME_ENV: request.fleet, **until, **request.variables}


def _elsewhere(request: FleetRequest) -> dict[str, str]:
    """What EXPERIMENT says where the experiment is no file of this machine. Raises `HpsError`."""
    if request.file == "-":
        raise HpsError("standard input is no file that a node could be given", "name the file")
    address = parse(request.file)
    if isinstance(address, FilePath):
        return {}
    if isinstance(address, WebAddress) and address.name != address.url:
        hint = "name the file itself: what stands in a manifest is read by many"
        raise HpsError(f"{address.name}: the rest of this address may be a secret", hint)
    return {"EXPERIMENT": request.file}


class _Literal(str):
    """Text that keeps its lines in YAML."""


def _dump(tree: Tree) -> str:
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


class _Dumper(yaml.SafeDumper):
    """Plain YAML that people can read, without aliases."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _literal(dumper: yaml.SafeDumper, text: _Literal) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="|")


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Quoted where other readers of YAML could take it for a number, such as `12e3` or `0o17`."""
    style = '"' if text[:1] in set("0123456789+-.") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(_Literal, _literal)
_Dumper.add_representer(str, _text)

ENGINES: Mapping[str, Callable[[FleetRequest], str]] = MappingProxyType(
    {"kubernetes": _kubernetes, "skypilot": _skypilot, "docker": _docker}
)

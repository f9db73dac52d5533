"""The files by which engines start the nodes of a fleet; a person reads, commits and applies them.

Keys stand in none of them: each names the secret, or the variables, that has them. Which node
measures what is left to the nodes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import yaml

from hps.errors import EXIT_BUG, EXIT_NODE_REJECTED, EXIT_USAGE
from hps.fleet.engine import FleetRequest, check_shared
from hps.run.fleet import AGAIN_ENV, NAME_ENV, REJECT

_TRIES = 3
_KEPT_S = 7 * 24 * 3600
_USER = 65532
_EXPERIMENT = "/experiment/experiment.yaml"
_WORK = "/work"
Tree = dict[str, Any]


def render(engine: str, request: FleetRequest) -> str:
    """The file for an engine, one of `ENGINES`.

    Raises `HpsError` where the nodes of a fleet would have no bucket in common.
    """
    check_shared(request.spec)
    return ENGINES[engine](request)


# --- Kubernetes ----------------------------------------------------------------------------------


def _kubernetes(request: FleetRequest) -> str:
    """A ConfigMap with the experiment, and an Indexed Job that ends once enough nodes are done."""
    labels = {"app.kubernetes.io/name": "hps", "hps/fleet": request.fleet}
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
    keys = "|".join(request.keys)
    comments = (
        f"# {request.nodes} nodes of the fleet {request.fleet}; {request.asked} are asked for.",
        "# First, the keys:",
        f"#   kubectl create secret generic {request.secret} \\",
        f"#     --from-env-file=<(env | grep -E '^({keys})=')",
        "# Kubernetes 1.33 or newer: successPolicy and backoffLimitPerIndex.",
    )
    return "\n".join(comments) + f"\n{_dump(files)}---\n{_dump(job)}"


def _ends(request: FleetRequest) -> Tree:
    """When the Job is over, and what an exit code means for it."""
    fleet = request.spec.fleet
    until_s = None if fleet is None else fleet.until_s
    codes = {"containerName": "hps", "operator": "In"}
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
        **({} if until_s is None else {"activeDeadlineSeconds": math.ceil(until_s)}),
        "ttlSecondsAfterFinished": _KEPT_S,
    }


def _pod(request: FleetRequest, labels: Tree) -> Tree:
    """One node: as little rights as can be, and no second one on the same machine."""
    return {
        "metadata": {"labels": labels},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
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
    gpus = {"limits": {"nvidia.com/gpu": request.gpus}} if request.gpus else {}
    own = {"HPS_OUTPUT": f"{_WORK}/results", "TMPDIR": _WORK}
    # A pod on a machine that has measured its share must not count as another one that has.
    values = {**_variables(request), AGAIN_ENV: REJECT, **own}
    return {
        "name": "hps",
        "image": request.image,
        "env": [
            {"name": "SALAD_MACHINE_ID", "valueFrom": node},
            *({"name": name, "value": value} for name, value in values.items()),
        ],
        "envFrom": [{"secretRef": {"name": request.secret}}],
        **({"resources": gpus} if gpus else {}),
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


# --- others --------------------------------------------------------------------------------------


def _skypilot(request: FleetRequest) -> str:
    """A task of which so many jobs are launched, wherever there is room."""
    task: Tree = {
        "name": request.name,
        "resources": {
            "image_id": f"docker:{request.image}",
            **({"accelerators": f"{{GPU}}:{request.gpus}"} if request.gpus else {}),
        },
        "envs": _variables(request),
        "secrets": dict.fromkeys(request.keys),
        "file_mounts": {_EXPERIMENT: request.local},
        "run": "hps run",
    }
    secrets = " ".join(f"--secret {key}" for key in request.keys)
    named = "\n# Name the GPU in place of {GPU}." if request.gpus else ""
    return f"# sky jobs launch --num-jobs {request.asked} {secrets} THIS_FILE{named}\n{_dump(task)}"


def _docker(request: FleetRequest) -> str:
    """A service for a machine at hand; the same file on each of them."""
    environment = [f"{name}={value}" for name, value in _variables(request).items()]
    service: Tree = {
        "image": request.image,
        # Names alone are filled in by the shell that starts it.
        "environment": ["SALAD_MACHINE_ID", *environment, *request.keys],
        "volumes": [f"{request.local}:{_EXPERIMENT}:ro"],
        **({"gpus": "all"} if request.gpus else {}),
    }
    return (
        "# On each machine, with the keys in its environment:\n"
        "#   SALAD_MACHINE_ID=$(hostname) docker compose -f THIS_FILE run --rm hps\n"
        f"{_dump({'services': {'hps': service}})}"
    )


def _variables(request: FleetRequest) -> dict[str, str]:
    return {"EXPERIMENT": _EXPERIMENT, NAME_ENV: request.fleet, **request.variables}


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

"""As much of a Kubernetes API server as `kubectl` needs to create, get, delete and log objects.

It keeps objects and chooses them by labels and fields, and refuses what it is told to. It checks no
schema, runs no controllers and starts no pods: a test puts there what a cluster would.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.servers.web import Asked, Page, WebServer, serve_web

Tree = dict[str, Any]
NAMESPACE = "measuring"
_KINDS = {
    "/api/v1": {"configmaps": "ConfigMap", "secrets": "Secret", "pods": "Pod", "events": "Event"},
    "/apis/batch/v1": {"jobs": "Job"},
}
_VERBS = ["create", "delete", "deletecollection", "get", "list"]


@dataclass(slots=True)
class Cluster:
    """The objects of one namespace, by resource and name, and what goes wrong with them.

    `refused` has the message for a method and a resource; `when_created` is called with each
    resource of which there is a new object.
    """

    kubeconfig: Path
    server: WebServer | None = None
    objects: dict[tuple[str, str], Tree] = field(default_factory=dict)
    refused: dict[tuple[str, str], str] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    when_created: Callable[[str], None] = field(default=lambda _: None)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def names(self) -> set[str]:
        """All that is there, as `jobs/NAME`."""
        return {f"{resource}/{name}" for resource, name in self.objects}

    def put(self, resource: str, tree: Tree) -> None:
        """Have an object as a cluster would have made it."""
        base = next(base for base, kinds in _KINDS.items() if resource in kinds)
        what = {"kind": _KINDS[base][resource], "apiVersion": _group(base)}
        meta = {"namespace": NAMESPACE, "creationTimestamp": "2026-11-30T12:00:00Z"}
        tree = {**what, **tree, "metadata": {**meta, **tree["metadata"]}}
        tree["metadata"].setdefault("uid", f"{resource}-{tree['metadata']['name']}")
        self.objects[resource, tree["metadata"]["name"]] = tree

    def answer(self, asked: Asked) -> Page:
        """The answer to one request of kubectl's."""
        with self._lock:
            code, body = self._answer(asked)
        text = body if isinstance(body, str) else json.dumps(body)
        form = "text/plain" if isinstance(body, str) else "application/json"
        return Page(status=code, body=text.encode(), headers={"Content-Type": form})

    def _answer(self, asked: Asked) -> tuple[int, Tree | str]:
        address = urlsplit(asked.target)
        query = {name: values[-1] for name, values in parse_qs(address.query).items()}
        base = next((base for base in _KINDS if address.path.startswith(f"{base}/")), "")
        parts = address.path.removeprefix(f"{base}/namespaces/{NAMESPACE}/").split("/")
        if not base or parts[0] not in _KINDS[base]:
            return _discovered(address.path)
        resource, *rest = parts
        if (asked.method, resource) in self.refused:
            return _failed(403, "Forbidden", self.refused[asked.method, resource])
        if rest[1:] == ["log"]:
            return self._log(rest[0], query)
        if asked.method == "POST":
            return self._create(base, resource, json.loads(asked.body))
        if not rest:
            return self._list(base, resource, query, deleting=asked.method == "DELETE")
        tree = self.objects.get((resource, rest[0]))
        if tree is None:
            return _failed(404, "NotFound", f'{resource} "{rest[0]}" not found')
        if asked.method == "DELETE":
            del self.objects[resource, rest[0]]
        return 200, tree

    def _create(self, base: str, resource: str, tree: Tree) -> tuple[int, Tree]:
        name = tree["metadata"]["name"]
        if (resource, name) in self.objects:
            return _failed(409, "AlreadyExists", f'{resource} "{name}" already exists')
        if resource == "secrets":
            tree["data"] = dict.fromkeys(tree.pop("stringData"), "c2VjcmV0")
        self.put(resource, tree)
        self.when_created(resource)
        return 201, self.objects[resource, name]

    def _list(
        self, base: str, resource: str, query: Mapping[str, str], *, deleting: bool
    ) -> tuple[int, Tree]:
        found = [
            tree
            for (kind, _), tree in self.objects.items()
            if kind == resource and _is_chosen(tree, query)
        ]
        if deleting:
            for tree in found:
                del self.objects[resource, tree["metadata"]["name"]]
        kind = f"{_KINDS[base][resource]}List"
        return 200, {"kind": kind, "apiVersion": _group(base), "metadata": {}, "items": found}

    def _log(self, pod: str, query: Mapping[str, str]) -> tuple[int, Tree | str]:
        if pod not in self.logs:
            return _failed(400, "BadRequest", f'container "hps" in pod "{pod}" is waiting to start')
        lines = self.logs[pod].splitlines(keepends=True)
        return 200, "".join(lines[-int(query["tailLines"]) :])


def find_kubectl() -> str:
    """`HPS_KUBECTL`, the one beside this Python, or the one on PATH; skips where there is none."""
    beside = Path(sys.executable).parent / "kubectl"
    found = os.environ.get("HPS_KUBECTL") or (str(beside) if beside.exists() else None)
    program = found or shutil.which("kubectl")
    if program is None:
        pytest.skip("there is no kubectl: install the extra dev, or set HPS_KUBECTL")
    return program


@contextmanager
def serve_kubernetes(folder: Path) -> Iterator[Cluster]:
    """An empty cluster, and a kubeconfig that leads there."""
    cluster = Cluster(kubeconfig=folder / "kubeconfig")
    with serve_web(folder, cluster.answer, tls=False) as server:
        cluster.server = server
        context = {"cluster": "tests", "user": "tests", "namespace": NAMESPACE}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "tests", "cluster": {"server": server.endpoint}}],
            "users": [{"name": "tests", "user": {"token": "a-token-of-tests"}}],
            "contexts": [{"name": "tests", "context": context}],
            "current-context": "tests",
        }
        cluster.kubeconfig.write_text(json.dumps(config))
        yield cluster


def _discovered(path: str) -> tuple[int, Tree]:
    """What kinds there are, and in which groups."""
    if path == "/api":
        return 200, {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        version = {"groupVersion": "batch/v1", "version": "v1"}
        group = {"name": "batch", "versions": [version], "preferredVersion": version}
        return 200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]}
    if path.startswith("/openapi/v3"):
        return 200, _openapi(path.removeprefix("/openapi/v3"))
    if path not in _KINDS:
        return _failed(404, "NotFound", f"nothing is at {path}")
    resources = [
        {
            "name": name,
            "singularName": kind.lower(),
            "namespaced": True,
            "kind": kind,
            "verbs": _VERBS,
        }
        for name, kind in _KINDS[path].items()
    ]
    return 200, {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": _group(path),
        "resources": resources,
    }


def _openapi(base: str) -> Tree:
    """No more than that the server itself finds fields that it does not know."""
    if not base:
        found = {base[1:]: {"serverRelativeURL": f"/openapi/v3{base}"} for base in _KINDS}
        return {"paths": found}
    group, _, version = _group(base).rpartition("/")
    parameter = {"name": "fieldValidation", "in": "query"}
    paths = {}
    for resource, kind in _KINDS[base].items():
        of = {"group": group, "version": version, "kind": kind}
        patch = {"x-kubernetes-group-version-kind": of, "parameters": [parameter]}
        paths[f"{base}/namespaces/{{namespace}}/{resource}/{{name}}"] = {"patch": patch}
    return {"openapi": "3.0.0", "info": {"title": "", "version": ""}, "paths": paths}


def _group(base: str) -> str:
    """`batch/v1`, as objects name it."""
    return base.removeprefix("/apis/").removeprefix("/api/")


def _failed(code: int, reason: str, message: str) -> tuple[int, Tree]:
    return code, {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }


def _is_chosen(tree: Tree, query: Mapping[str, str]) -> bool:
    labels = tree["metadata"].get("labels", {})
    rules = _split(query.get("labelSelector", ""))
    fields = filter(None, query.get("fieldSelector", "").split(","))
    return all(_holds(labels, rule) for rule in rules) and all(
        _at(tree, path) == value for path, _, value in (rule.partition("=") for rule in fields)
    )


def _split(selector: str) -> list[str]:
    """Its rules; the commas of a list in brackets separate none."""
    rules = [""]
    for piece in selector.split(",") if selector else ():
        if rules[-1].count("(") > rules[-1].count(")"):
            rules[-1] += f",{piece}"
        else:
            rules.append(piece)
    return rules[1:]


def _holds(labels: Mapping[str, str], rule: str) -> bool:
    name, is_list, values = rule.partition(" in ")
    if is_list:
        return labels.get(name) in values.strip("()").split(",")
    if "!=" in rule:
        name, _, value = rule.partition("!=")
        return labels.get(name) != value
    name, _, value = rule.partition("=")
    return labels.get(name) == value


def _at(tree: Any, path: str) -> Any:
    for name in path.split("."):
        tree = tree.get(name, {})
    return tree

"""Kubernetes as an engine, by the `kubectl` that a person has and is signed in with.

What is there of a fleet is found by its labels, and nothing is kept on this machine. Keys go to
`kubectl` by its standard input alone, and are never read back.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from hps.errors import HpsError, MachineError, MissingProgramError, printable
from hps.fleet import manifest
from hps.fleet.engine import FleetRequest, Instance, Offer, Say, Started
from hps.fleet.manifest import INSTANCE_LABEL, OURS, Tree
from hps.process.process import Command
from hps.process.temporary import SHOWN_CHARACTERS, open_workplace
from hps.redaction import Scrubber

_HOW_TO_GET = (
    "install kubectl (https://kubernetes.io/docs/tasks/tools/), or set HPS_KUBECTL to its path"
)
_HINT = "see whether `kubectl auth can-i --list` works here; docs/kubernetes.md has the rights"
# Marks what one call of `start` has created, so that it can take back just that.
_START_LABEL = "hps/start"
_OBJECTS = "jobs,configmaps,secrets"
_INDEX_LABEL = "batch.kubernetes.io/job-completion-index"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NO_KEYS: Mapping[str, str] = MappingProxyType({})
_REQUEST_TIMEOUT_S = 30
_TIMEOUT_S = 120.0
_MOST_BYTES = 128 << 20  # ten thousand pods, and more
# How long `remove` waits for the pods to end; Kubernetes gives each 30 s.
_GONE_S = 45.0
_LOOK_S = 1.0
_MOST_LOGGED_PODS = 50
_LOG_LINE = re.compile(r"\[pod/(?P<pod>[^/\]]+)[^\]]*\] (?P<at>\S+) ?(?P<text>.*)")
# What a pod waits for in the ordinary course of things.
_ORDINARY = {"ContainerCreating", "PodInitializing"}
_MOST_REMARKS = 3
_ANOTHER_NAME = "remove it first, or give this fleet another name in HPS_FLEET"
# The pods of a Job that is gone are ended by the cluster; they are found until they are gone, too.
_AT_ONCE = ("--ignore-not-found", "--cascade=background", "--wait=false", "--output=name")
# As `kubectl get jobs` calls them.
_RUNNING, _GOING = "Running", "Terminating"
_JOB_STATES = ("Complete", "Failed", "Suspended", "SuccessCriteriaMet", "FailureTarget")
# The names of a Secret's keys: its values stay where they are.
_KEY_NAMES = '{{.metadata.name}}{{"\\n"}}{{range $key, $_ := .data}}{{$key}}{{"\\n"}}{{end}}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubernetes:
    """Fits `hps.fleet.engine.Engine`: an Indexed Job in one namespace of one cluster.

    It asks for no price, and makes no namespace, queue or node.
    """

    program: str
    flags: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    name = "kubernetes"

    @classmethod
    def open(cls, env: Mapping[str, str], *, context: str = "", namespace: str = "") -> Kubernetes:
        """`HPS_KUBECTL`, else the kubectl on PATH; no cluster is asked yet. Raises `HpsError`.

        The context and the namespace are those of `KUBECONFIG`, where none are given.
        """
        program = env.get("HPS_KUBECTL") or shutil.which("kubectl", path=env.get("PATH"))
        if not program:
            raise MissingProgramError("there is no kubectl on this machine", _HOW_TO_GET)
        chosen = {"context": context, "namespace": namespace}
        flags = [f"--{flag}={value}" for flag, value in chosen.items() if value]
        return cls(
            program=program,
            flags=(f"--request-timeout={_REQUEST_TIMEOUT_S}s", *flags),
            env=env,
        )

    def render(self, request: FleetRequest) -> str:
        """The manifest, and in words the Secret that `start` may have to create."""
        keys = ", ".join(request.keys) or "no keys"
        head = f"# Where there is no Secret {request.secret}, one is created with {keys}.\n"
        return head + manifest.render(self.name, request)

    def offers(self, request: FleetRequest) -> tuple[Offer, ...]:
        """None: a cluster's price is known to who pays for it."""
        return ()

    # --- start -----------------------------------------------------------------------------------

    def start(self, request: FleetRequest, env: Mapping[str, str], say: Say) -> Started:
        manifest.check(request)
        files, job = manifest.kubernetes_objects(request)
        there = self._check_earlier(request, files)
        if "Job" in there:
            say(f"job.batch/{request.name} is there already, and stays as it is")
            return self._find_sure(request.name)
        missing = [one for one in (files, job) if one["kind"] not in there]
        keys = {key: env[key] for key in request.keys if env.get(key)}
        objects = [*self._secret(request, keys), *missing]
        mark = secrets.token_hex(8)
        try:
            words = ("--output=name", "--filename=-")
            out = self._call("create", *words, stdin=_marked(objects, mark), keys=keys)
            for line in _names(out):
                say(f"{line} created")
            return self._find_sure(request.name)
        except BaseException:
            self._undo(mark, say)
            raise

    def _check_earlier(self, request: FleetRequest, files: Tree) -> set[str]:
        """The kinds of what is there under the fleet's name. Raises `HpsError` if it is not alike.

        Objects with the same name are another's, or of another experiment, or about to go.
        """
        kept = self._list("jobs,configmaps", f"--field-selector=metadata.name={request.name}")
        labels = manifest.kubernetes_labels(request)
        for one in kept:
            kind, has = str(one.get("kind")), _field(one, "metadata", "labels") or {}
            what = f"the {kind} {request.name}"
            if any(has.get(name) != value for name, value in labels.items()):
                raise HpsError(f"{what} is there already, and not of this fleet", _ANOTHER_NAME)
            if _field(one, "metadata", "deletionTimestamp"):
                raise HpsError(f"{what} is just being removed", "try again once it is gone")
            if kind == "ConfigMap" and one.get("data") != files["data"]:
                raise HpsError(f"{what} has another text of the experiment", _ANOTHER_NAME)
        return {str(one.get("kind")) for one in kept}

    def _secret(self, request: FleetRequest, keys: Mapping[str, str]) -> Iterator[Tree]:
        """The Secret that is missing. Raises `HpsError` where keys are, here or in the cluster."""
        form = f"--output=go-template={_KEY_NAMES}"
        names = _lines(self._call("get", "secret", request.secret, "--ignore-not-found", form))
        if names:
            self._check_keys(request, names[1:])
            return
        unset = [key for key in request.keys if key not in keys]
        if unset:
            hint = "export them here, or create it, as the printed manifest says"
            message = f"there is no Secret {request.secret}, and not set here: {', '.join(unset)}"
            raise HpsError(message, hint)
        yield {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": request.secret, "labels": manifest.kubernetes_labels(request)},
            "stringData": dict(keys),
        }

    def _check_keys(self, request: FleetRequest, names: Sequence[str]) -> None:
        missing = [key for key in request.keys if key not in names]
        if missing:
            hint = "add them there, or name another one with --secret"
            raise HpsError(f"the Secret {request.secret} lacks {', '.join(missing)}", hint)

    def _undo(self, mark: str, say: Say) -> None:
        """Delete what one start has created; that this fails must not hide why it was needed."""
        selector = f"--selector={_START_LABEL}={mark}"
        try:
            out = self._call("delete", _OBJECTS, selector, *_AT_ONCE)
        except HpsError as error:
            say(f"not taken back: {error.message}: kubectl delete {_OBJECTS} {selector}")
        else:
            for line in _names(out):
                say(f"{line} deleted again")

    # --- find ------------------------------------------------------------------------------------

    def find(self, name: str) -> Started | None:
        selector = _selector(name)
        names = _names(self._call("get", _OBJECTS, selector, "--output=name"))
        pods = self._list("pods", selector)
        if not names and not pods:
            return None
        job = next(iter(self._list("jobs", selector)), None)
        state = "" if job is None else _job_state(job)
        remarks = [*_job_remarks(job), *_pod_remarks(pods)]
        if job is not None and state == _RUNNING and len(pods) < _wanted(job):
            remarks += self._warnings(name)
        shown = (printable(remark, SHOWN_CHARACTERS) for remark in remarks[:_MOST_REMARKS])
        return Started(
            names=tuple(names),
            state=state,
            instances=tuple(map(_instance, pods)),
            remark="; ".join(shown),
        )

    def _find_sure(self, name: str) -> Started:
        found = self.find(name)
        if found is None:
            raise HpsError(f"nothing is there of {name}, though it was started", _HINT)
        return found

    def _warnings(self, name: str) -> list[str]:
        """The newest warning about the Job itself, such as pods that may not be created."""
        chosen = f"involvedObject.kind=Job,involvedObject.name={name},type=Warning"
        events = self._list("events", f"--field-selector={chosen}")
        newest = sorted(events, key=lambda event: str(event.get("lastTimestamp") or ""))[-1:]
        return [f"{event.get('reason')}: {event.get('message')}" for event in newest]

    # --- remove, logs ----------------------------------------------------------------------------

    def remove(self, name: str, say: Say) -> Started | None:
        selector = _selector(name)
        out = self._call("delete", "jobs,configmaps", selector, *_AT_ONCE)
        unused = self._unused_secrets(name, say)
        if unused:
            out += self._call("delete", *unused, *_AT_ONCE)
        for line in _names(out):
            say(f"{line} deleted")
        ends_s = time.monotonic() + _GONE_S
        while (rest := self.find(name)) and rest.instances and time.monotonic() < ends_s:
            time.sleep(_LOOK_S)
        return rest

    def _unused_secrets(self, name: str, say: Say) -> list[str]:
        """Those that `start` has made for a fleet, and that no other fleet's Job has keys from."""
        made = _names(self._call("get", "secrets", _selector(name), "--output=name"))
        if not made:
            return []
        ours = ",".join(f"{label}={value}" for label, value in OURS.items())
        others = self._list("jobs", f"--selector={ours},{INSTANCE_LABEL}!={name}")
        used = {secret: _name(job) for job in others for secret in _secrets_of(job)}
        for secret in made:
            if secret in used:
                say(f"{secret} stays, for {used[secret]} has its keys from it")
        return [secret for secret in made if secret not in used]

    def logs(self, name: str, most_lines: int) -> tuple[str, ...]:
        """The newest lines of the pods that have begun last, at most 50 of them."""
        pods = [pod for pod in self._list("pods", _selector(name)) if _has_begun(pod)]
        pods.sort(key=lambda pod: str(_field(pod, "status", "startTime")))
        indexes = [_field(pod, "metadata", "labels", _INDEX_LABEL) for pod in pods]
        chosen = ",".join(sorted({str(index) for index in indexes[-_MOST_LOGGED_PODS:]}))
        if not chosen:
            return ()
        out = self._call(
            "logs",
            f"{_selector(name)},{_INDEX_LABEL} in ({chosen})",
            f"--tail={most_lines}",
            *("--prefix", "--timestamps", "--ignore-errors"),
        )
        written = _lines(out)
        found = [line for line in map(_LOG_LINE.fullmatch, written) if line]
        if written and not found:  # each pod has its own error there, and none a line
            raise HpsError(f"kubectl logs: {written[-1][:SHOWN_CHARACTERS]}", _HINT)
        lines = sorted((line["at"], line["pod"], line["text"]) for line in found)
        newest = lines[-most_lines:] if most_lines > 0 else []
        return tuple(printable(" ".join(line), SHOWN_CHARACTERS) for line in newest)

    # --- kubectl ---------------------------------------------------------------------------------

    def _list(self, kinds: str, *options: str) -> list[Tree]:
        """Objects of some kinds, by labels or fields. Raises `HpsError`."""
        out = self._call("get", kinds, *options, "--output=json")
        try:
            items = json.loads(out)["items"]
        except (ValueError, KeyError, TypeError, RecursionError):
            items = None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise HpsError(f"kubectl get {kinds}: no list came", f"is {self.program} kubectl?")
        return items

    def _call(
        self, verb: str, *words: str, stdin: bytes = b"", keys: Mapping[str, str] = _NO_KEYS
    ) -> bytes:
        """The standard output of one call that has to succeed. Raises `HpsError`.

        `keys` are in `stdin`, and taken out of what kubectl may say of it.
        """
        command = Command(argv=(self.program, verb, *self.flags, *words), env=self.env, stdin=stdin)
        with open_workplace(f"kubectl {verb}", timeout_s=_TIMEOUT_S) as place:
            output = place.run(command, most_bytes=_MOST_BYTES)
        if output.code != 0:
            why = Scrubber(keys).text(output.last_line)
            raise MachineError(f"kubectl {verb}: {why}", _HINT)
        if len(output.out) >= _MOST_BYTES:
            raise HpsError(f"kubectl {verb}: more than {_MOST_BYTES >> 20} MiB came")
        return output.out


# -------------------------------------------------------------------------------------------------
# What is sent.


def _selector(name: str) -> str:
    """Chooses what there is of a fleet. Raises `HpsError` for what can be no name of one."""
    if not _NAME.fullmatch(name):
        hint = "it is made of the experiment's name and the fleet's: hps-first-october"
        raise HpsError(f"{printable(name, 80)!r} is no name of a started fleet", hint)
    labels = {**OURS, INSTANCE_LABEL: name}
    return "--selector=" + ",".join(f"{label}={value}" for label, value in labels.items())


def _marked(objects: Sequence[Tree], mark: str) -> bytes:
    """Documents for `kubectl create`, in each of which stands the mark of this start.

    No `List`: of such a one the server would not check whether it knows all fields. And nothing
    between them: kubectl 1.32 reads what begins as JSON to its end as that.
    """
    documents = []
    for one in objects:
        meta = one["metadata"]
        marked = {**meta, "labels": {**meta["labels"], _START_LABEL: mark}}
        documents.append(json.dumps({**one, "metadata": marked}))
    return "\n".join(documents).encode()


# -------------------------------------------------------------------------------------------------
# What comes back: it is another's, so anything may be missing.


def _lines(out: bytes) -> list[str]:
    return [printable(line) for line in out.decode(errors="replace").splitlines() if line]


def _names(out: bytes) -> list[str]:
    """Those of objects, `job.batch/NAME`; kubectl may say there that it has found none."""
    return [line for line in _lines(out) if "/" in line]


def _field(tree: object, *path: str) -> Any:
    """What stands at a path; None where nothing does."""
    for name in path:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree


def _each(tree: object, *path: str) -> list[Tree]:
    """The objects of a list at a path; none where there is no list."""
    found = _field(tree, *path)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _name(tree: Tree) -> str:
    return printable(str(_field(tree, "metadata", "name") or ""))


def _time(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        return None


def _conditions(tree: Tree) -> dict[str, Tree]:
    """Those that hold, by their types."""
    found = _each(tree, "status", "conditions")
    return {str(one.get("type")): one for one in found if one.get("status") == "True"}


def _job_state(job: Tree) -> str:
    if _field(job, "metadata", "deletionTimestamp"):
        return _GOING
    holds = _conditions(job)
    return next((state for state in _JOB_STATES if state in holds), _RUNNING)


def _job_remarks(job: Tree | None) -> Iterator[str]:
    if job is None:
        yield "there is no Job any more"
        return
    for state, condition in _conditions(job).items():
        if state in _JOB_STATES and state != "Complete":
            yield f"{state}: {condition.get('reason')}: {condition.get('message')}"


def _wanted(job: Tree) -> int:
    """How many pods a Job should have now."""
    parallelism = _field(job, "spec", "parallelism")
    return parallelism if isinstance(parallelism, int) else 0


def _secrets_of(job: Tree) -> set[str]:
    containers = _each(job, "spec", "template", "spec", "containers")
    refs = [source for container in containers for source in _each(container, "envFrom")]
    return {f"secret/{_field(ref, 'secretRef', 'name')}" for ref in refs}


def _container(pod: Tree) -> Tree:
    """The state of its one container: one of `waiting`, `running`, `terminated`, with more."""
    statuses = _each(pod, "status", "containerStatuses")
    state = _field(statuses[0], "state") if statuses else None
    return state if isinstance(state, dict) else {}


def _waiting(pod: Tree) -> tuple[str, str] | None:
    """Why a pod does not run, in a word and a sentence; None where it does, or soon will."""
    why = _field(_container(pod), "waiting")
    for condition in _each(pod, "status", "conditions"):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            why = condition
    reason = _field(why, "reason")
    if not reason or reason in _ORDINARY:
        return None
    return str(reason), str(_field(why, "message") or "")


def _pod_remarks(pods: Sequence[Tree]) -> Iterator[str]:
    """One for each reason, the most frequent first, with what is said of the first such pod."""
    found = [waiting for pod in pods if (waiting := _waiting(pod))]
    messages = dict(reversed(found))
    for reason, count in Counter(reason for reason, _ in found).most_common():
        yield f"{count} of {len(pods)} pods: {reason}: {messages[reason]}"


def _pod_state(pod: Tree) -> str:
    """Its word in `kubectl get pods`, mostly."""
    if _field(pod, "metadata", "deletionTimestamp"):
        return _GOING
    waiting, container = _waiting(pod), _container(pod)
    reasons = (
        _field(pod, "status", "reason"),
        waiting[0] if waiting else None,
        _field(container, "waiting", "reason"),
        _field(container, "terminated", "reason"),
        _field(pod, "status", "phase"),
    )
    return printable(str(next((reason for reason in reasons if reason), "Unknown")))


def _since(pod: Tree) -> datetime | None:
    container = _container(pod)
    times = (
        _field(pod, "metadata", "deletionTimestamp"),
        _field(container, "terminated", "finishedAt"),
        _field(container, "running", "startedAt"),
        *(one.get("lastTransitionTime") for one in _conditions(pod).values()),
        _field(pod, "metadata", "creationTimestamp"),
    )
    return next((at for at in map(_time, times) if at), None)


def _instance(pod: Tree) -> Instance:
    phase, node = _field(pod, "status", "phase"), _field(pod, "spec", "nodeName")
    return Instance(
        id=_name(pod),
        machine_id=printable(str(node or "")),
        state=_pod_state(pod),
        is_billed=phase == "Running" or (phase == "Pending" and bool(node)),
        since=_since(pod),
    )


def _has_begun(pod: Tree) -> bool:
    """True where its container has, and so may have written something."""
    return bool({"running", "terminated"} & _container(pod).keys())

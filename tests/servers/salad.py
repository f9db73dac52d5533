"""A simulation of SaladCloud's API: container groups and their instances, with faults on demand.

It keeps the limits that matter by itself, and holds each request, and each answer of its own,
against SaladCloud's OpenAPI document where that is at hand. It bills nobody and runs nothing: what
runs as an instance is up to `tests.servers.salad_nodes`.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.contract.salad_document import published, wrong_answer, wrong_request

ORGANIZATION, PROJECT = "acme-corp", "dev-env"
_HTML = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
_NAME = re.compile(r"[a-z][a-z0-9-]{0,61}[a-z0-9]")
_MOST_LOGS = 50
_PATIENCE_S = 60.0
Json = dict[str, Any]
GPU_CLASSES: tuple[Json, ...] = tuple(
    {
        "id": str(uuid.UUID(int=number)),
        "name": name,
        "prices": [
            {"priority": "high", "price": high},
            {"priority": "batch", "price": batch},
        ],
        "max_vcpu": 8,
        "max_ram": 30720,
        "gpu_count": 1,
    }
    for number, (name, high, batch) in enumerate(
        (
            ("RTX 3060 (12 GB)", "0.08", "0.03"),
            ("RTX 4090 (24 GB)", "0.30", "0.16"),
            ("RTX 4080 (16 GB)", "0.20", "0.11"),
        ),
        start=1,
    )
)


@dataclass(slots=True, kw_only=True)
class Fault:
    """What befalls the next `times` requests of a method whose path ends so, or holds it.

    `kind`: `429`, `html` (a 502 in HTML), `silent` (nothing is done, nothing answered), `lost` (it
    is done, and not answered), `late` (done after `after_s`, and not answered), `broken` (done, and
    the answer is no JSON), or the code of an error.
    """

    method: str
    path: str
    kind: str
    times: int = 1
    after_s: float = 0.0
    detail: str = "as the test wants it"


@dataclass(slots=True, kw_only=True)
class SimulatedInstance:
    """A place of a group for one container, and the machine that it is on."""

    machine_id: str
    state: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    since: datetime = field(default_factory=lambda: datetime.now(UTC))

    def become(self, state: str) -> None:
        self.state, self.since = state, datetime.now(UTC)

    def as_json(self) -> Json:
        return {
            "id": self.id,
            "machine_id": self.machine_id,
            "state": self.state,
            "update_time": _text(self.since),
            "version": 1,
            "ready": self.state == "running",
            "started": self.state == "running",
        }


@dataclass(slots=True, kw_only=True)
class SimulatedGroup:
    """A container group: what it was created with, and what there is of it now."""

    body: Json
    status: str = "pending"
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    instances: list[SimulatedInstance] = field(default_factory=list)
    logs: list[Json] = field(default_factory=list)

    @property
    def name(self) -> str:
        return str(self.body["name"])

    @property
    def variables(self) -> dict[str, str]:
        return dict(self.body["container"].get("environment_variables", {}))

    def log(self, event: str, instance: SimulatedInstance) -> None:
        """Add an event to the group's own log."""
        asked = self.body["container"]["resources"]
        entry = {
            "event_name": event,
            "event_time": _text(datetime.now(UTC)),
            "instance_id": instance.id,
            "machine_id": instance.machine_id,
            "resource_cpu": asked["cpu"],
            "resource_gpu_class": "",
            "resource_memory": asked["memory"],
            "resource_storage_amount": asked["storage_amount"],
            "version": "1",
        }
        self.logs.append(entry)

    def as_json(self) -> Json:
        asked = self.body["container"]
        since = _text(self.created)
        return {
            "id": self.id,
            "name": self.name,
            "display_name": self.body.get("display_name", self.name),
            "organization_name": ORGANIZATION,
            "project_name": PROJECT,
            "container": {
                "command": [],
                "image": asked["image"],
                "environment_variables": self.variables,
                "resources": {"gpu_classes": [], **asked["resources"]},
            },
            "autostart_policy": self.body["autostart_policy"],
            "restart_policy": self.body["restart_policy"],
            "priority": asked.get("priority", "batch"),
            "replicas": self.body["replicas"],
            "country_codes": self.body.get("country_codes", []),
            "pending_change": False,
            "scaling-actions": [],
            "scheduled-scaling-enabled": False,
            "version": 1,
            "create_time": since,
            "update_time": since,
            "current_state": {**self._counts(), "start_time": since, "finish_time": since},
        }

    def _counts(self) -> Json:
        states = [one.state for one in self.instances]
        counted = ("allocating", "creating", "running", "stopping")
        counts = {f"{state}_count": states.count(state) for state in counted}
        return {"status": self.status, "instance_status_counts": counts}


class SaladSimulation:
    """The state of one organization, and what was asked of it.

    `wrong` collects what breaks the document. `before` is told of each request.
    """

    def __init__(self) -> None:
        self.key = f"salad_cloud_{secrets.token_hex(16)}"
        self.groups: dict[str, SimulatedGroup] = {}
        self.used_names: set[str] = set()
        self.faults: list[Fault] = []
        self.asked: list[tuple[str, str]] = []
        self.sent: list[bytes] = []
        self.bodies: list[Json] = []
        self.wrong: list[str] = []
        self.quota = 2500
        # So often a group is still listed after it was deleted.
        self.lingers_looks = 0
        self._lingering: dict[str, int] = {}
        self.url = ""
        self.before: Callable[[str, str], None] = lambda method, path: None
        self.lock = threading.RLock()
        self.ended = threading.Event()

    def env(self, **more: str) -> dict[str, str]:
        """The environment that finds it."""
        return {
            "SALAD_API_URL": self.url,
            "SALAD_API_KEY": self.key,
            "SALAD_ORGANIZATION": ORGANIZATION,
            "SALAD_PROJECT": PROJECT,
            **more,
        }

    def fail(self, method: str, path: str, kind: str, times: int = 1, **more: Any) -> None:
        """Let the next requests of a kind go wrong."""
        self.faults.append(Fault(method=method, path=path, kind=kind, times=times, **more))

    def put(self, name: str, image: str = "other/image", **variables: str) -> SimulatedGroup:
        """A group that is there already, such as another's."""
        container = {
            "image": image,
            "resources": {"cpu": 1, "memory": 1024, "storage_amount": 1024**3},
            "environment_variables": variables,
        }
        policies = {"autostart_policy": True, "restart_policy": "always", "replicas": 1}
        group = SimulatedGroup(body={"name": name, "container": container, **policies})
        self.groups[name] = group
        return group

    def requests(self, method: str, end: str) -> int:
        """How often a path with that end was asked for."""
        return sum(one == method and path.endswith(end) for one, path in self.asked)

    # --- Answering -------------------------------------------------------------------------------

    def answer(self, method: str, path: str, key: str, body: bytes) -> tuple[int, bytes] | None:
        """The status and body of an answer; None: never any."""
        self.before(method, path)
        self.asked.append((method, path))
        self.sent.append(body)
        wrong = wrong_request(method, path, body)
        fault = self._next_fault(method, path)
        if fault is not None and fault.kind not in {"lost", "late", "broken"}:
            return self._failed(fault)
        if fault is not None and self.ended.wait(fault.after_s):
            return None
        with self.lock:
            status, content = self._respond(method, path, key, body, wrong)
        data = b"" if content is None else json.dumps(content).encode()
        self._note(f"answer {status}", wrong_answer(method, path, status, data))
        if fault is None:
            return status, data
        return (status, b"<!doctype html>") if fault.kind == "broken" else None

    def _next_fault(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and fault.method == method and fault.path in f"{path}$":
                    fault.times -= 1
                    return fault
        return None

    def _failed(self, fault: Fault) -> tuple[int, bytes] | None:
        if fault.kind == "silent":
            return None
        if fault.kind == "html":
            return 502, _HTML
        return int(fault.kind), json.dumps(_problem(int(fault.kind), fault.detail)).encode()

    def _note(self, what: str, wrong: str) -> None:
        if wrong:
            self.wrong.append(f"{what}: {wrong}")

    def _respond(
        self, method: str, path: str, key: str, body: bytes, wrong: str
    ) -> tuple[int, Json | None]:
        if not secrets.compare_digest(key, self.key):
            return 401, _problem(401, "The API key is not valid.")
        below = path.removeprefix(f"/organizations/{ORGANIZATION}")
        if below == path:
            return 404, _problem(404, "There is no such organization.")
        inside = below.removeprefix(f"/projects/{PROJECT}/containers")
        if inside == below:
            self._note("request", wrong)
            return self._of_organization(method, below)
        if method == "POST":
            return self._create(json.loads(body), wrong)
        self._note("request", wrong)
        return self._of_group(method, inside)

    def _of_organization(self, method: str, path: str) -> tuple[int, Json | None]:
        if (method, path) == ("GET", "/gpu-classes"):
            return 200, {"items": list(GPU_CLASSES)}
        if (method, path) == ("GET", "/quotas"):
            used = sum(group.body["replicas"] for group in self.groups.values())
            quotas = {"container_replicas_quota": self.quota, "container_replicas_used": used}
            return 200, {"container_groups_quotas": quotas}
        if (method, path) == ("POST", "/availability/sce-gpu-availability"):
            return 200, {f"available_gpu_{name}": 7 for name in ("batch", "low", "medium", "high")}
        return 404, _problem(404, "There is nothing of that name.")

    def _create(self, body: Json, wrong: str) -> tuple[int, Json]:
        self.bodies.append(body)
        refused = wrong or _why_refused(body)
        if refused:
            return 400, _problem(400, refused[:2000])
        if body["name"] in self.groups or body["name"] in self.used_names:
            return 409, _problem(409, "The name of a container group can't be used again.")
        group = SimulatedGroup(body=body)
        self.groups[group.name] = group
        self.used_names.add(group.name)
        return 201, group.as_json()

    def _of_group(self, method: str, path: str) -> tuple[int, Json | None]:
        if not path:
            self._forget()
            return 200, {"items": [group.as_json() for group in list(self.groups.values())[:100]]}
        name, _, what = path.removeprefix("/").partition("/")
        group = self.groups.get(name)
        if group is None:
            return 404, _problem(404, "The container group could not be found.")
        if (method, what) == ("GET", ""):
            return 200, group.as_json()
        if (method, what) == ("DELETE", ""):
            self._delete(name)
            return 202, None
        if (method, what) == ("GET", "instances"):
            return 200, {"instances": [one.as_json() for one in group.instances]}
        if (method, what) == ("GET", "system-logs"):
            return 200, {"items": group.logs[-_MOST_LOGS:][::-1]}
        return 404, _problem(404, "There is nothing of that name.")

    def _delete(self, name: str) -> None:
        if self.lingers_looks:
            self._lingering[name] = self.lingers_looks
        else:
            del self.groups[name]

    def _forget(self) -> None:
        """Let go of the groups whose time has come."""
        for name, looks in list(self._lingering.items()):
            self._lingering[name] = looks - 1
            if looks == 0:
                del self.groups[name], self._lingering[name]


def _why_refused(body: Json) -> str:
    """The limits that matter, kept without the document, too."""
    container = body["container"]
    resources = container["resources"]
    values: Mapping[str, object] = container.get("environment_variables", {})
    refused = {
        "name": not _NAME.fullmatch(body["name"]),
        "replicas": not 0 <= body["replicas"] <= 500,
        "memory": not 1024 <= resources["memory"] <= 61440,
        "cpu": not 1 <= resources["cpu"] <= 16,
        "storage_amount": not 1024**3 <= resources.get("storage_amount", 1024**3) <= 268435456000,
    }
    refused |= {
        name: not isinstance(text, str) or not 1 <= len(text) <= 1000 or "\n" in text
        for name, text in values.items()
    }
    return ", ".join(name for name, is_wrong in refused.items() if is_wrong)


def _problem(status: int, detail: str) -> Json:
    return {"type": "about:blank", "title": f"Error {status}", "status": status, "detail": detail}


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@contextmanager
def simulated_salad() -> Iterator[SaladSimulation]:
    """Serve an organization without groups on loopback while the context is open."""
    simulation = SaladSimulation()
    published()  # which takes a second, once
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(simulation))
    server.daemon_threads = True
    simulation.url = f"http://127.0.0.1:{server.server_address[1]}/api/public"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield simulation
    finally:
        simulation.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(simulation: SaladSimulation) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = self.path.removeprefix("/api/public")
            found = simulation.answer(
                self.command, path, self.headers.get("Salad-Api-Key", ""), body
            )
            if found is None:
                simulation.ended.wait(_PATIENCE_S)
                return
            status, data = found
            is_html = data.startswith(b"<")
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if is_html else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = _respond  # noqa: N815

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:
                self.close_connection = True  # the client has gone

        def log_message(self, *_: object) -> None:
            """Nothing on standard error."""

    return Handler


def wait_until(condition: Callable[[], object], timeout_s: float = _PATIENCE_S) -> None:
    """Wait until something is true. Raises `TimeoutError`."""
    ends_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > ends_s:
            raise TimeoutError
        time.sleep(0.05)

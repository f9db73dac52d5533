"""A fleet of one test alone, and its nodes: each a process of its own, or run in this one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hps.cli.run import options_of
from hps.model import Operation, Spec
from hps.plan.expand import expand
from hps.process.stop import SignalStop
from hps.results.record import Record
from hps.run import run as running
from hps.run.session import open_tools
from hps.spec.load import load
from hps.spec.source import SpecText
from hps.targets.bucket import Link
from tests.command import Ran, hps, keys_of, targets_yaml
from tests.servers.rclone_client import REMOTE, remote_environment, run_rclone
from tests.servers.s3_server import S3Server

_SPEC = """\
api: hps/v1
name: {name}
{targets}
matrix: {{size: [1MiB, 2MiB, 3MiB, 4MiB]}}
fleet: {fleet}
steps: [upload, delete]
"""
CELLS = 4


class OwnFleet:
    """An experiment of this test alone, whose nodes have a folder each."""

    def __init__(
        self, folder: Path, server: S3Server, described: str, endpoint: str | None = None
    ) -> None:
        self.folder, self.server = folder, server
        self.name = f"fleet-{folder.name}"[:60].rstrip("-_.").lower()
        self.spec = folder / "fleet.yaml"
        targets = targets_yaml(server.endpoint, server)
        targets = targets.replace(server.endpoint, endpoint or server.endpoint)
        self.spec.write_text(_SPEC.format(name=self.name, targets=targets, fleet=described))

    def node(self, name: str, *options: str, **env: str) -> Ran:
        output = self.folder / name
        return hps(
            *("run", str(self.spec), "--output", str(output), "--format", "json", *options),
            env={**keys_of(self.server), "SALAD_MACHINE_ID": name, **env},
        )

    def status(self, *options: str) -> Ran:
        return hps("fleet", "status", self.spec, *options, env=keys_of(self.server))

    def announced(self) -> list[str]:
        """What nodes have told each other, below the folder of the fleet."""
        place = f"{REMOTE}:{self.server.bucket}/tests/results/{self.name}/.fleet"
        listed = run_rclone(
            ["lsf", "--recursive", "--files-only", place], env=remote_environment(self.server)
        )
        return sorted(listed.stdout.split())

    def loaded(self, env: dict[str, str]) -> Spec:
        return load(SpecText(name="fleet.yaml", content=self.spec.read_bytes()), env=env)

    @contextmanager
    def results(self) -> Iterator[Link]:
        """The experiment's folder of results, as nodes reach it."""
        env = keys_of(self.server)
        spec = self.loaded(env)
        with open_tools(spec, env) as tools:
            yield tools.link(spec.results.target, f"results/{self.name}", SignalStop())


class Listener:
    """Sets the stop once so many results are stored; calls `then` after the first."""

    def __init__(self, stop: SignalStop, most: int, then: Callable[[], object] | None) -> None:
        self.stop, self.most, self.then = stop, most, then
        self.cells, self.measured = list[int](), set[str]()
        self.events = list[dict[str, object]]()

    def event(self, name: str, **fields: object) -> None:
        self.events.append({"event": name, **fields})

    def named(self, name: str) -> list[dict[str, object]]:
        """The events of a name."""
        return [event for event in self.events if event["event"] == name]

    def started(self, operation: Operation) -> None:
        """Nothing is shown."""

    def stored(self, record: Record) -> None:
        fields: Any = record
        if record["kind"] == "run":
            self.cells = fields["fleet"]["cells"]
        if record["kind"] == "result":
            self.measured.add(str(fields["cell"]["size"]))
            self.most -= 1
            then, self.then = self.then, None
            if then is not None:
                then()
            if self.most == 0:
                self.stop.handle(15, None)


def run_here(
    own: OwnFleet,
    name: str,
    most: int = 0,
    then: Callable[[], object] | None = None,
    change: Callable[[Spec], Spec] = lambda spec: spec,
    stop: SignalStop | None = None,
    **env: str,
) -> tuple[running.Ending, Listener]:
    """A node in this process, so that a test can change its patience, and its experiment."""
    env = {**keys_of(own.server), "SALAD_MACHINE_ID": name, **env}
    options = options_of(
        own.folder / name,
        env,
        fresh=False,
        rerun=(),
        resume="",
        check=True,
        wait_s=1.0,
        most_equal_failures=3,
    )
    stop = stop or SignalStop()
    listener = Listener(stop, most, then)
    return running.run(expand(change(own.loaded(env))), options, stop, listener), listener

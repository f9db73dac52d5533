"""Machines of a simulated SaladCloud: each instance is a real `hps run`, a process of its own.

They start late, can vanish at any moment, come back or are replaced by others. What runs in none is
a container: all of them share this machine's files, memory and network.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import psutil

from tests.command import REPOSITORY
from tests.servers.salad import (
    ORGANIZATION,
    PROJECT,
    SaladSimulation,
    SimulatedGroup,
    SimulatedInstance,
)

_LOOK_S = 0.05
_STEPS = ("allocating", "downloading", "creating")
_LONGEST_DELAY_S = 1.5
_STOP_TIMEOUT_S = 10.0


class SaladNodes:
    """Runs the instances of a simulation's groups, at most `most_at_once` of them at a time.

    `ended` has the exit code of each container that ended by itself, with its machine's id.
    """

    def __init__(self, simulation: SaladSimulation, folder: Path, *, most_at_once: int) -> None:
        self.simulation, self.folder = simulation, folder
        self.ended: list[tuple[str, int]] = []
        self._most_at_once = most_at_once
        self._random = Random(7)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._ready_s: dict[str, float] = {}
        self._over = threading.Event()

    @property
    def running(self) -> list[str]:
        """The ids of the instances whose containers run."""
        return sorted(self._processes)

    def vanish(self, instance_id: str, *, comes_back: bool) -> None:
        """The machine is switched off; it comes back, or the instance goes to another one."""
        with self.simulation.lock:
            group, instance = self._find(instance_id)
            self._kill(instance_id)
            if not comes_back:
                instance.machine_id = str(uuid.UUID(int=self._random.getrandbits(128)))
            group.log("Instance reallocated", instance)
            self._allocate(instance)

    def logs(self) -> str:
        """The end of what each container has written, for a person."""
        files = sorted(self.folder.glob("*.log"))
        return "\n".join(f"{path.name}: {path.read_text()[-600:]}" for path in files)

    def work(self) -> None:
        """Look after all groups until it is over."""
        while not self._over.wait(_LOOK_S):
            with self.simulation.lock:
                self._look()

    def stop(self) -> None:
        self._over.set()

    def kill_all(self) -> None:
        for instance_id in list(self._processes):
            self._kill(instance_id)

    def _find(self, instance_id: str) -> tuple[SimulatedGroup, SimulatedInstance]:
        return next(
            (group, instance)
            for group in self.simulation.groups.values()
            for instance in group.instances
            if instance.id == instance_id
        )

    def _look(self) -> None:
        groups = list(self.simulation.groups.values())
        there = {instance.id for group in groups for instance in group.instances}
        for instance_id in set(self._processes) - there:
            self._kill(instance_id)  # its group was deleted
        for group in groups:
            if group.status == "pending":
                self._deploy(group)
            for instance in list(group.instances):
                self._go_on(group, instance)
            if not group.instances:
                group.status = "succeeded"
            elif any(instance.state == "running" for instance in group.instances):
                group.status = "running"

    def _deploy(self, group: SimulatedGroup) -> None:
        group.status = "deploying"
        for _ in range(group.body["replicas"]):
            machine = str(uuid.UUID(int=self._random.getrandbits(128)))
            instance = SimulatedInstance(machine_id=machine, state="allocating")
            self._allocate(instance)
            group.instances.append(instance)

    def _allocate(self, instance: SimulatedInstance) -> None:
        instance.become("allocating")
        delay_s = self._random.uniform(0, _LONGEST_DELAY_S)
        self._ready_s[instance.id] = time.monotonic() + delay_s

    def _go_on(self, group: SimulatedGroup, instance: SimulatedInstance) -> None:
        process = self._processes.get(instance.id)
        if process is not None:
            code = process.poll()
            if code is not None:
                del self._processes[instance.id]
                self._end(group, instance, code)
        elif time.monotonic() >= self._ready_s[instance.id]:
            at = _STEPS.index(instance.state)
            if instance.state != _STEPS[-1]:
                instance.become(_STEPS[at + 1])
            elif len(self._processes) < self._most_at_once:
                self._run(group, instance)

    def _end(self, group: SimulatedGroup, instance: SimulatedInstance, code: int) -> None:
        """`restart_policy: on_failure`: what ended well is over, what failed goes elsewhere."""
        self.ended.append((instance.machine_id, code))
        group.log(f"Instance exited with {code}", instance)
        if code == 0:
            group.instances.remove(instance)
            return
        instance.machine_id = str(uuid.UUID(int=self._random.getrandbits(128)))
        self._allocate(instance)

    def _run(self, group: SimulatedGroup, instance: SimulatedInstance) -> None:
        instance.become("running")
        group.log("Instance started", instance)
        disk = self.folder / instance.machine_id
        disk.mkdir(exist_ok=True)
        with (self.folder / f"{instance.machine_id}.log").open("ab") as output:
            self._processes[instance.id] = subprocess.Popen(
                [sys.executable, "-m", "hps", "run"],
                env={**_own(), **group.variables, **_of_salad(group, instance, disk)},
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def _kill(self, instance_id: str) -> None:
        """End a container with everything in it, at once."""
        process = self._processes.pop(instance_id)
        family = [process.pid]
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(process.pid).children(recursive=True)
            family += [child.pid for child in children]
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, 9)
        process.wait(_STOP_TIMEOUT_S)


def _own() -> dict[str, str]:
    kept = ("PATH", "HOME", "PYTHONPATH", "TMPDIR", "HPS_RCLONE")
    return {name: os.environ[name] for name in kept if name in os.environ}


def _of_salad(group: SimulatedGroup, instance: SimulatedInstance, disk: Path) -> Mapping[str, str]:
    """What SaladCloud sets. No metadata service answers."""
    return {
        "SALAD_MACHINE_ID": instance.machine_id,
        "SALAD_INSTANCE_ID": instance.id,
        "SALAD_CONTAINER_GROUP_ID": group.id,
        "SALAD_CONTAINER_GROUP_NAME": group.name,
        "SALAD_ORGANIZATION_NAME": ORGANIZATION,
        "SALAD_PROJECT_NAME": PROJECT,
        "HPS_METADATA_URL": "http://127.0.0.1:9",
        "HPS_OUTPUT": str(disk),
    }


@contextmanager
def running_nodes(
    simulation: SaladSimulation, folder: Path, *, most_at_once: int = 4
) -> Iterator[SaladNodes]:
    """Run what the simulation's groups ask for while the context is open; `folder` is the disk."""
    folder.mkdir()
    nodes = SaladNodes(simulation, folder, most_at_once=most_at_once)
    thread = threading.Thread(target=nodes.work)
    thread.start()
    try:
        yield nodes
    finally:
        nodes.stop()
        thread.join()
        nodes.kill_all()

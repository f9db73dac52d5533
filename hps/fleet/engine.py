"""What `hps` asks of whoever starts the nodes of a fleet, the same of each.

An engine only starts machines, says what it has of them, and takes them away. Which node measures
what, and when all is over, is left to the nodes and their bucket.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Protocol

from hps.errors import HpsError
from hps.model import Spec

# Of so many nodes that are wanted, some are turned down, and some never come.
_SPARE = 1.25
_LONGEST_NAME = 50
_DIGEST_CHARACTERS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRequest:
    """What is to be started: `nodes` machines of `image` that come to the end.

    `experiment` is what EXPERIMENT says on a node, where the engine carries no file itself.
    `variables` are set on each node, and are no secrets. `secret` is the name of the engine's own
    object that has the secrets; `gpus` are those of one node, `queue` is Kueue's. `gpu_classes`,
    `countries` and `priority` are SaladCloud's, in its words. `until`: every node ends then.
    `more_keys` are variables with secrets that a node needs beside those of the experiment.
    """

    spec: Spec
    fleet: str
    file: str
    image: str
    nodes: int
    variables: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    secret: str = "hps-keys"  # noqa: S105 - a name
    gpus: int = 0
    queue: str = ""
    experiment: str = ""
    until: datetime | None = None
    gpu_classes: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    priority: str = "batch"
    cpus: int = 2
    memory_mib: int = 4096
    storage_bytes: int = 10 * 1024**3
    more_keys: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Of what is started: the experiment's, and the fleet's; of long ones, a digest of both."""
        words = f"hps-{self.spec.name}-{self.fleet}".replace("_", "-").replace(".", "-")
        if len(words) <= _LONGEST_NAME:
            return words.strip("-")
        # Cut off alone, two fleets would have one name, and each would take the other's away.
        digest = hashlib.sha256(words.encode()).hexdigest()[:_DIGEST_CHARACTERS]
        return f"{words[: _LONGEST_NAME - 1 - len(digest)].strip('-')}-{digest}"

    @property
    def local(self) -> str:
        """The experiment's file: a bare name would be that of a volume."""
        return self.file if self.file.startswith(("/", "./", "../")) else f"./{self.file}"

    @property
    def keys(self) -> tuple[str, ...]:
        """The variables with secrets that a node needs: those of the experiment first."""
        found = (key.env for target in self.spec.targets.values() for key in target.secrets)
        return tuple(dict.fromkeys((*found, *self.more_keys)))

    @property
    def asked(self) -> int:
        """How many nodes are asked for, so that as many as are wanted come to the end."""
        return math.ceil(self.nodes * _SPARE)


def check_shared(spec: Spec) -> None:
    """Raise `HpsError` where the nodes of a fleet would have no bucket in common."""
    if spec.targets[spec.results.target].provider == "embedded":
        hint = "name a bucket in results.target that all nodes reach"
        raise HpsError(f"'{spec.name}' keeps its results on each node", hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A kind of machine that an engine has, and what a running one costs.

    `source` says whose price it is, and of what day. `available`: how many there are now, None
    where that is not known.
    """

    name: str
    usd_per_hour: float
    source: str
    available: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A container that an engine has, or is about to start. `state` is in the engine's word.

    `is_billed`: it costs money now. `since`: when it came into its state.
    """

    id: str
    machine_id: str
    state: str
    is_billed: bool
    since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What an engine has of a fleet: its groups or Jobs by name, their state, and the containers.

    `remark` is what people should know beside that, such as why none comes.
    """

    names: tuple[str, ...]
    state: str
    instances: tuple[Instance, ...]
    remark: str = ""

    @property
    def billed(self) -> int:
        """How many containers cost money now."""
        return sum(instance.is_billed for instance in self.instances)


class Engine(Protocol):
    """Who starts nodes. Each call raises `HpsError`; none waits longer than its own time-outs.

    A fleet is found by the name of its request alone, so that any machine can ask.
    """

    @property
    def name(self) -> str: ...

    def render(self, request: FleetRequest) -> str:
        """What would be sent, whole, for people to read. Values of secrets are not in it."""
        ...

    def offers(self, request: FleetRequest) -> tuple[Offer, ...]:
        """The machines that the request may get, and their prices; none where nothing is known."""
        ...

    def start(self, request: FleetRequest, env: Mapping[str, str], say: Say) -> Started:
        """Create what is not there yet; a second call changes nothing.

        `env` has the values of the secrets. Whatever fails or is interrupted in the middle, what
        this call created is taken away again before it raises.
        """
        ...

    def find(self, name: str) -> Started | None:
        """What there is of a fleet; None where there is nothing of it."""
        ...

    def remove(self, name: str, say: Say) -> Started | None:
        """Delete all that there is of a fleet; returns what is left, and is safe to repeat."""
        ...

    def logs(self, name: str, most_lines: int) -> tuple[str, ...]:
        """The newest lines that the engine, or its nodes, have written, the oldest first."""
        ...


# Told of each thing that is done, in one line.
Say = Callable[[str], None]

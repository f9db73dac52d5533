"""The context of every step: where data is, and the tools and secrets of the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from hps.data.shape import Payload, Shape, shape_of
from hps.model import Measurement, Operation, Target
from hps.process import process
from hps.run_folder import OwnFolder
from hps.tools.base import Installed, Missing, Proof
from hps.tools.exits import KernelKills
from hps.tools.invocation import Invocation

T = TypeVar("T")


class RunStop(process.Stop, Protocol):
    """A stop that can be waited for."""

    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds; True once the stop is set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where data is, in the bucket and on disk: everything that a command line depends on.

    Paths are text, since in a printed command they begin with `$WORK`.
    """

    targets: Mapping[str, Target]
    data_folder: str
    payload_root: str
    local_root: str

    def target(self, operation: Operation) -> Target:
        return self.targets[operation.cell.knobs.target]

    def key(self, operation: Operation) -> str:
        """The folder of the trial's objects, which no other trial or run ever uses."""
        return f"{self.data_folder}/{operation.trial_id}"

    def own(self, operation: Operation) -> OwnFolder:
        """`key`, as the permission to delete what is there."""
        return OwnFolder(self.key(operation))

    def payload(self, operation: Operation) -> str:
        """The folder of the files that the operation's cell moves."""
        return f"{self.payload_root}/{shape_of(operation.cell.knobs).folder_name}"

    def local(self, operation: Operation) -> str:
        """The folder that the trial downloads into."""
        return f"{self.local_root}/{operation.trial_id}"

    def single_name(self, operation: Operation) -> str | None:
        """The name of the payload's file where it has just one."""
        shape = shape_of(operation.cell.knobs)
        return shape.names[0] if shape.files == 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """What a run gives to its steps. `secrets` maps environment names to values, never shown.

    `tools` has each tool that the plan names, and the bucket's client, whose program is `binary`;
    `proofs` says of each that is here whether its version is proved.
    `offers_http2` is by target, `payloads` by shape.
    """

    binary: str
    tools: Mapping[str, Installed | Missing]
    proofs: Mapping[str, Proof]
    places: Places
    secrets: Mapping[str, str] = field(repr=False)
    offers_http2: Mapping[str, bool | None]
    payloads: Mapping[Shape, Payload]
    scratch: Path
    guard: process.Guard
    stop: RunStop
    kernel_kills: KernelKills = field(default_factory=KernelKills)

    def payload(self, operation: Operation) -> Payload:
        """The files that the operation's cell moves."""
        return self.payloads[shape_of(operation.cell.knobs)]

    def local(self, operation: Operation) -> Path:
        """The folder that the trial downloads into."""
        return Path(self.places.local(operation))

    @property
    def log(self) -> Path:
        """Where the tool of the current operation writes its log."""
        return self.scratch / "tool.log"

    @property
    def out(self) -> Path:
        """Where the tool of the current operation writes its answer."""
        return self.scratch / "tool.out"


class Perform(Protocol):
    """A kind of step: do the operation, and return what was measured.

    A failed operation is a measurement too. `OSError`, `HpsError` and `LimitError` may be raised:
    `hps.run.execute` makes measurements of them.
    """

    def __call__(self, operation: Operation, context: StepContext) -> Measurement: ...


class Call(Protocol):
    """The tool's command line for an operation. Pure, so that a plan can print it."""

    def __call__(self, operation: Operation, places: Places) -> Invocation: ...


def needed(value: T | None) -> T:
    """The value of a field that the plan always fills in for this kind of step."""
    if value is None:
        raise AssertionError("the plan left out what this step needs")
    return value

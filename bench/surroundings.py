"""What an operation needs around it, for benchmarks that do operations in an order of their own."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from hps.data import payload
from hps.data.shape import Payload, Shape, shape_of
from hps.errors import HpsError
from hps.model import Measurement, Operation, Target
from hps.process import process
from hps.process.stop import on_signals
from hps.results.record import new_run_id
from hps.run_folder import run_folder
from hps.steps import STEPS, Places, StepContext
from hps.targets import embedded
from hps.tools import TOOLS, proofs
from hps.tools.rclone import command

TARGET = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """A running embedded target, named `local`, and a folder of its own."""

    context: StepContext
    _payloads: dict[Shape, Payload] = field(repr=False)

    def make_file(self, size_bytes: int) -> Path:
        """A file of random bytes, in the page cache as it has just been written."""
        return self._make(
            Shape(size_bytes=size_bytes, files=1, content="random", layout="flat")
        ).single_file

    def perform(self, operation: Operation) -> Measurement:
        """Do one operation. Raises `HpsError` unless it is `ok`."""
        shape = shape_of(operation.cell.knobs)
        self._payloads[shape] = self._payloads.get(shape) or self._make(shape)
        measurement = STEPS[operation.step.kind](operation, self.context)
        if measurement.status != "ok":
            raise HpsError(f"{operation.step.kind} {measurement.status}: {_why(measurement)}")
        return measurement

    def _make(self, shape: Shape) -> Payload:
        places = self.context
        return payload.make(shape, Path(places.places.payload_root), places.binary, places.guard)


def _why(measurement: Measurement) -> str:
    return measurement.failure.reason if measurement.failure else ""


@contextlib.contextmanager
def surroundings(env: Mapping[str, str]) -> Iterator[Surroundings]:
    """Everything started for a `with` block; `env` may name an rclone in `HPS_RCLONE`."""
    binary, keys = command.find_binary(env), embedded.new_keys()
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(on_signals())
        guard = stack.enter_context(process.Guard())
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hps-bench-")))
        target = Target(name=TARGET, provider="embedded")
        served = stack.enter_context(
            embedded.serve(target, scratch / "served", binary, keys, guard)
        )
        payloads: dict[Shape, Payload] = {}
        tools = {name: tool.find(env) for name, tool in TOOLS.items()}
        context = StepContext(
            binary=binary,
            tools=tools,
            proofs=proofs.find_all(tools, env),
            places=Places(
                targets={TARGET: served},
                data_folder=run_folder("bench", new_run_id(datetime.now(UTC))).key,
                payload_root=str(scratch / "payload"),
                local_root=str(scratch / "down"),
            ),
            secrets=keys,
            offers_http2={TARGET: False},
            payloads=payloads,
            scratch=scratch,
            guard=guard,
            stop=stop,
        )
        yield Surroundings(context=context, _payloads=payloads)

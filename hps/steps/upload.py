"""upload: the payload's file, or all its files, to the trial's folder in the bucket."""

from __future__ import annotations

from hps.model import Measurement, Operation
from hps.steps.context import Places, StepContext
from hps.steps.transfer import measure, needed
from hps.tools import rclone


def call(operation: Operation, places: Places) -> rclone.Invocation:
    """A single file is named, so that nothing is listed."""
    source, key = places.payload(operation), places.key(operation)
    name = places.single_name(operation)
    return rclone.upload(
        places.remote(operation),
        f"{source}/{name}" if name else source,
        f"{key}/{name}" if name else key,
        needed(operation.requested),
        size_bytes=operation.cell.knobs.size_bytes,
        folder=name is None,
    )


def perform(operation: Operation, context: StepContext) -> Measurement:
    """One rclone process."""
    return measure(call(operation, context.places), operation, context)

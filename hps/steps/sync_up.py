"""sync_up: make the trial's folder in the bucket equal to the payload's folder."""

from __future__ import annotations

from hps.model import Measurement, Operation
from hps.steps.context import Places, StepContext
from hps.steps.transfer import measure, needed
from hps.tools import rclone


def call(operation: Operation, places: Places) -> rclone.Invocation:
    """The destination is listed first."""
    return rclone.sync_up(
        places.remote(operation),
        places.payload(operation),
        places.own(operation),
        needed(operation.requested),
        size_bytes=operation.cell.knobs.size_bytes,
    )


def perform(operation: Operation, context: StepContext) -> Measurement:
    """One rclone process."""
    return measure(call(operation, context.places), operation, context)

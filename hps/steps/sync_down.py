"""sync_down: make a folder of the trial's own equal to the trial's folder in the bucket."""

from __future__ import annotations

from hps.model import Measurement, Operation
from hps.steps.context import Places, StepContext
from hps.steps.transfer import measure, needed
from hps.tools import rclone


def call(operation: Operation, places: Places) -> rclone.Invocation:
    """The source is listed first."""
    return rclone.sync_down(
        places.remote(operation),
        places.key(operation),
        places.local(operation),
        needed(operation.requested),
    )


def perform(operation: Operation, context: StepContext) -> Measurement:
    """One rclone process."""
    context.local(operation).mkdir(parents=True, exist_ok=True)
    return measure(call(operation, context.places), operation, context)

"""download: what the trial uploaded, back to a folder of the trial's own."""

from __future__ import annotations

from hps.model import Measurement, Operation
from hps.steps.context import Places, StepContext
from hps.steps.transfer import measure, needed
from hps.tools import rclone


def call(operation: Operation, places: Places) -> rclone.Invocation:
    """To the trial's own folder."""
    return into(places.local(operation), operation, places)


def into(local: str, operation: Operation, places: Places) -> rclone.Invocation:
    """To any folder. A single file is named, so that nothing is listed."""
    key, name = places.key(operation), places.single_name(operation)
    return rclone.download(
        places.remote(operation),
        f"{key}/{name}" if name else key,
        f"{local}/{name}" if name else local,
        needed(operation.requested),
        folder=name is None,
    )


def perform(operation: Operation, context: StepContext) -> Measurement:
    """One rclone process."""
    context.local(operation).mkdir(parents=True, exist_ok=True)
    return measure(call(operation, context.places), operation, context)

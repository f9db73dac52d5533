"""delete: remove the objects of the trial, and nothing else."""

from __future__ import annotations

from hps.model import Measurement, Operation
from hps.steps.context import Places, StepContext
from hps.steps.transfer import measure_plain
from hps.tools import rclone


def call(operation: Operation, places: Places) -> rclone.Invocation:
    """On the trial's own folder."""
    return rclone.delete(places.remote(operation), places.key(operation))


def perform(operation: Operation, context: StepContext) -> Measurement:
    """One rclone process."""
    return measure_plain(call(operation, context.places), operation, context)

"""delete: remove the objects of the trial, and nothing else."""

from __future__ import annotations

from dataclasses import replace

from hps.catalog.failures import failure
from hps.model import Measurement, Operation
from hps.steps.context import Places, StepContext
from hps.steps.transfer import measure_plain, told
from hps.tools import rclone, rclone_log


def call(operation: Operation, places: Places) -> rclone.Invocation:
    """On the trial's own folder."""
    return told(rclone.delete(places.remote(operation), places.own(operation)))


def perform(operation: Operation, context: StepContext) -> Measurement:
    """One rclone process; objects that the server didn't list are still there, and fail it."""
    measurement = measure_plain(call(operation, context.places), operation, context)
    if measurement.status != "ok":
        return measurement
    expected, deleted = operation.cell.knobs.files, rclone_log.read(context.log).deleted
    if deleted == expected:
        return measurement
    text = f"deleted {deleted} of {expected} objects: the server lists no more"
    return replace(measurement, status="failed", failure=failure("not_found", text))

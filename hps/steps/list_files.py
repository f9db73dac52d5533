"""list: name every object of the trial, and count them."""

from __future__ import annotations

from dataclasses import replace

from hps.catalog.failures import failure
from hps.model import Measurement, Operation
from hps.steps.context import Places, StepContext
from hps.steps.transfer import measure_plain, told
from hps.tools import rclone


def call(operation: Operation, places: Places) -> rclone.Invocation:
    """One name a line."""
    return told(rclone.list_files(places.remote(operation), places.key(operation)))


def perform(operation: Operation, context: StepContext) -> Measurement:
    """One rclone process; a list that is not complete fails the operation."""
    measurement = measure_plain(call(operation, context.places), operation, context)
    if measurement.status != "ok":
        return measurement
    expected = operation.cell.knobs.files
    found = context.out.read_bytes().count(b"\n")
    if found == expected:
        return measurement
    why = failure("not_found", f"listed {found} of {expected} objects")
    return replace(measurement, status="failed", failure=why)

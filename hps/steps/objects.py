"""list: name every object of the trial, and count them."""

from __future__ import annotations

from dataclasses import replace

from hps.catalog.failures import failure
from hps.model import Measurement, Operation
from hps.steps.context import Places, StepContext
from hps.steps.transfer import measure_plain, told
from hps.tools.rclone import command, log


def list_call(operation: Operation, places: Places) -> command.Invocation:
    """One name a line."""
    return told(command.list_files(places.remote(operation), places.key(operation)))


def list_objects(operation: Operation, context: StepContext) -> Measurement:
    """One rclone process; a list that is not complete fails the operation."""
    measurement = measure_plain(list_call(operation, context.places), operation, context)
    if measurement.status != "ok":
        return measurement
    expected = operation.cell.knobs.files
    found = context.out.read_bytes().count(b"\n")
    if found == expected:
        return measurement
    why = failure("not_found", f"listed {found} of {expected} objects")
    return replace(measurement, status="failed", failure=why)


# -------------------------------------------------------------------------------------------------
# delete: remove the objects of the trial, and nothing else.


def delete_call(operation: Operation, places: Places) -> command.Invocation:
    """On the trial's own folder."""
    return told(command.delete(places.remote(operation), places.own(operation)))


def delete(operation: Operation, context: StepContext) -> Measurement:
    """One rclone process; objects that the server didn't list are still there, and fail it."""
    measurement = measure_plain(delete_call(operation, context.places), operation, context)
    if measurement.status != "ok":
        return measurement
    expected, deleted = operation.cell.knobs.files, log.read(context.log).deleted
    if deleted == expected:
        return measurement
    text = f"deleted {deleted} of {expected} objects: the server lists no more"
    return replace(measurement, status="failed", failure=failure("not_found", text))

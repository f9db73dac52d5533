"""The steps that ask a bucket for a trial's objects: list them, and delete them.

They move no payload, so that they are done by the bucket's client, whichever tool made the objects.
"""

from __future__ import annotations

from dataclasses import replace

from hps.catalog.failures import failure
from hps.model import Measurement, Operation
from hps.process.sockets import ConnectionCounter
from hps.steps.context import Places, StepContext
from hps.steps.transfer import judge, run_call
from hps.targets import bucket
from hps.tools.invocation import Invocation


def list_call(operation: Operation, places: Places) -> Invocation:
    """One name a line."""
    return bucket.list_call(places.target(operation), places.own(operation))


def list_objects(operation: Operation, context: StepContext) -> Measurement:
    """Name every object of the trial; a list that is not complete fails the operation."""
    measurement = _measure(list_call(operation, context.places), operation, context)
    if measurement.status != "ok":
        return measurement
    expected = operation.cell.knobs.files
    found = context.out.read_bytes().count(b"\n")
    if found == expected:
        return measurement
    why = failure("not_found", f"listed {found} of {expected} objects")
    return replace(measurement, status="failed", failure=why)


def delete_call(operation: Operation, places: Places) -> Invocation:
    """On the trial's own folder."""
    return bucket.delete_call(places.target(operation), places.own(operation))


def delete(operation: Operation, context: StepContext) -> Measurement:
    """Remove the objects of the trial, and nothing else.

    Objects that the server didn't list are still there, and fail it.
    """
    measurement = _measure(delete_call(operation, context.places), operation, context)
    if measurement.status != "ok":
        return measurement
    expected, deleted = operation.cell.knobs.files, bucket.count_deleted(context.log)
    if deleted == expected:
        return measurement
    text = f"deleted {deleted} of {expected} objects: the server lists no more"
    return replace(measurement, status="failed", failure=failure("not_found", text))


def _measure(call: Invocation, operation: Operation, context: StepContext) -> Measurement:
    """Only its time and its end count."""
    ended = run_call(call, operation, context)
    done = judge(call, ended, ConnectionCounter(), operation, context)
    return replace(done, setup_s=None)

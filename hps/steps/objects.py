"""The steps `list` and `delete`, on a trial's objects in the bucket.

They move no payload, so they are done by the bucket's client, whichever tool made the objects.
"""

from __future__ import annotations

from dataclasses import replace

from hps.catalog.failures import failure
from hps.model import Measurement, Operation
from hps.process.sockets import ConnectionCounter
from hps.steps.context import Places, StepContext
from hps.steps.transfer import judge, run_call
from hps.tools import CLIENT
from hps.tools.invocation import Invocation


def list_call(operation: Operation, places: Places) -> Invocation:
    """The command that prints the names of the trial's objects, one a line."""
    return CLIENT.measured_list(places.target(operation), places.own(operation))


def list_objects(operation: Operation, context: StepContext) -> Measurement:
    """List the trial's objects; the operation fails where the list is not complete."""
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
    """The command that deletes the objects in the trial's own folder."""
    return CLIENT.measured_delete(places.target(operation), places.own(operation))


def delete(operation: Operation, context: StepContext) -> Measurement:
    """Delete the trial's objects, and nothing else.

    The operation fails where the server did not list all, for the others are still there.
    """
    measurement = _measure(delete_call(operation, context.places), operation, context)
    if measurement.status != "ok":
        return measurement
    expected, deleted = operation.cell.knobs.files, CLIENT.count_deleted(context.log)
    if deleted == expected:
        return measurement
    text = f"deleted {deleted} of {expected} objects: the server lists no more"
    return replace(measurement, status="failed", failure=failure("not_found", text))


def _measure(call: Invocation, operation: Operation, context: StepContext) -> Measurement:
    """Run a call that moves no payload: its time and how it ended are the measurement."""
    ended = run_call(call, operation, context)
    done = judge(call, ended, ConnectionCounter(), operation, context)
    return replace(done, setup_s=None)

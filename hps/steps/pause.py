"""pause: wait, for example to let a rate limit recover."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from hps.catalog.failures import failure
from hps.model import Measurement, Operation
from hps.results.record import utc_text
from hps.steps.context import StepContext


def perform(operation: Operation, context: StepContext) -> Measurement:
    """Wait for the declared time, or until the run is stopped."""
    started_at, start_s = datetime.now(UTC), time.monotonic()
    stopped = context.stop.wait(float(operation.step.settings["duration_s"]))
    return Measurement(
        status="interrupted" if stopped else "ok",
        failure=failure("stopped", "the run was stopped") if stopped else None,
        started_at=utc_text(started_at),
        duration_s=time.monotonic() - start_s,
    )

"""verify: compare the SHA-256 of each downloaded file with that of the payload."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from hps.catalog.failures import failure
from hps.data.limit import Limit
from hps.data.payload import hash_files
from hps.model import Measurement, Operation
from hps.results.record import utc_text
from hps.steps.context import StepContext, needed


def perform(operation: Operation, context: StepContext) -> Measurement:
    """Hash what the trial downloaded; any difference fails the operation."""
    started_at, start_s = datetime.now(UTC), time.monotonic()
    payload = context.payload(operation)
    limit = Limit(stop=context.stop, start_s=start_s, timeout_s=needed(operation.timeout_s))
    found = hash_files(context.local(operation), payload.shape.names, limit)
    wrong = [name for name in payload.shape.names if found.get(name) != payload.sha256[name]]
    why = None
    if wrong:
        state = "is missing" if wrong[0] not in found else "has other content"
        text = f"{len(wrong)} of {payload.shape.files} files differ: {wrong[0]} {state}"
        why = failure("corrupted", text)
    return Measurement(
        status="failed" if wrong else "ok",
        failure=why,
        started_at=utc_text(started_at),
        duration_s=time.monotonic() - start_s,
    )

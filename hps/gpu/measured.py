"""Measuring something on the device so that it never raises: whatever goes wrong is a result."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from hps.gpu.device import Device, DeviceError, opened
from hps.limit import LimitError
from hps.model import Measurement
from hps.record import utc_text


def measured(measure: Callable[[Device], Measurement]) -> Measurement:
    """What `measure` says of its work on the device, else why there is nothing to say."""
    started_at = utc_text(datetime.now(UTC))
    try:
        with opened() as device:
            return measure(device)
    except DeviceError as error:
        return Measurement(status="failed", failure=error.failure, started_at=started_at)
    except LimitError as error:
        return Measurement(status=error.status, failure=error.failure, started_at=started_at)

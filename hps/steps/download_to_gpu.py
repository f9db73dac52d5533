"""download_to_gpu: the trial's objects to the memory of the GPU, copied while they come down.

The download is that of the `download` step, flag for flag: one process of the cell's tool, judged
by its log and its connections. A thread beside it copies from the page cache to the device what the
tool says has arrived: with rclone each range, with s5cmd each file. The time runs from the start of
the tool to the last byte on the device; what lies there is compared afterwards.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hps.catalog.failures import failure
from hps.data.limit import Limit
from hps.gpu import loading, ring
from hps.gpu.device import Device, gb_per_s
from hps.gpu.following import Follower, Incoming
from hps.gpu.loading import measured
from hps.model import Measurement, Operation
from hps.process import process
from hps.process.sockets import ConnectionCounter
from hps.steps import transfer
from hps.steps.context import Places, StepContext, needed
from hps.steps.transfer import judge, run_call
from hps.tools.arrivals import Arrivals
from hps.tools.base import Job, Running
from hps.tools.invocation import Invocation

_BUFFER_BYTES = 16 * 1024**2
_BUFFERS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ended:
    """A download that is over. `duration_s` lasts to the last byte on the device."""

    exit: process.Exit
    counter: ConnectionCounter
    duration_s: float
    overlapped_bytes: int

    def figures(self, total_bytes: int) -> dict[str, object]:
        """What is stored beside the times."""
        download_s = self.exit.duration_s
        return {
            "download_s": round(download_s, 6),
            "copy_tail_s": round(self.duration_s - download_s, 6),
            "overlap_cost_percent": round(100 * (self.duration_s / download_s - 1), 3),
            "overlapped_bytes": self.overlapped_bytes,
            "gb_per_s": gb_per_s(total_bytes, self.duration_s),
        }


def call(operation: Operation, places: Places) -> Invocation:
    """As `download`, but to a folder of this step's own."""
    return transfer.tool_of(operation).call(_job(operation, places))


def perform(operation: Operation, context: StepContext) -> Measurement:
    """The tool's process, and copies beside it; without torch, or memory, the operation fails."""
    begun_s = time.monotonic()
    return measured(lambda device: _measure(device, begun_s, operation, context))


def _measure(
    device: Device, begun_s: float, operation: Operation, context: StepContext
) -> Measurement:
    shape = context.payload(operation).shape
    total_bytes = shape.size_bytes * shape.files
    memory = device.allocate(total_bytes)
    buffer_bytes = min(_BUFFER_BYTES, shape.size_bytes)
    with (
        _folder(operation, context) as folder,
        ring.shortest(device, buffer_bytes, slots=_BUFFERS) as copier,
    ):
        setup_s = time.monotonic() - begun_s
        ended = _run(_incoming(operation, context, folder, memory), copier, operation, context)
    done = judge(call(operation, context.places), ended.exit, ended.counter, operation, context)
    extra = {**device.facts(), "device_setup_s": round(setup_s, 6), "page_locked": device.is_cuda}
    if not _ended_well(ended.exit):
        return replace(done, extra=extra)
    done = replace(done, duration_s=ended.duration_s, extra=extra | ended.figures(total_bytes))
    return _checked(done, device, memory, operation, context)


def _run(
    incoming: Incoming, copier: ring.Copier, operation: Operation, context: StepContext
) -> _Ended:
    for path in (context.out, context.log):
        path.unlink(missing_ok=True)  # of the operation before, so about other files
    counter, over, start_s = ConnectionCounter(), threading.Event(), time.monotonic()
    limit = Limit(stop=context.stop, start_s=start_s, timeout_s=needed(operation.timeout_s))
    follower = Follower(incoming, _arrivals(operation, context), copier, limit.check)
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(follower.follow, over)
        try:
            ended = run_call(call(operation, context.places), operation, context, sampler=counter)
        finally:
            over.set()
    overlapped_bytes = follower.copied_bytes
    if _ended_well(ended):
        following.result()
        follower.finish()
    return _Ended(
        exit=ended,
        counter=counter,
        duration_s=time.monotonic() - start_s,
        overlapped_bytes=overlapped_bytes,
    )


def _checked(
    done: Measurement, device: Device, memory: Any, operation: Operation, context: StepContext
) -> Measurement:
    """The measurement, failed where what lies on the device is not what was made."""
    if done.status != "ok":
        return done
    check = Limit(stop=context.stop).check
    wrong = loading.difference(device, memory, context.payload(operation), check)
    return replace(done, status="failed", failure=failure("corrupted", wrong)) if wrong else done


def _arrivals(operation: Operation, context: StepContext) -> Arrivals:
    running = Running(
        job=_job(operation, context.places),
        streams=needed(operation.effective).concurrency,
        out=context.out,
        log=context.log,
    )
    return transfer.tool_of(operation).arrivals(running)


def _incoming(operation: Operation, context: StepContext, folder: Path, memory: Any) -> Incoming:
    shape = context.payload(operation).shape
    return Incoming(folder=folder, names=shape.names, size_bytes=shape.size_bytes, memory=memory)


def _ended_well(ended: process.Exit) -> bool:
    return ended.ended == "exit" and ended.returncode == 0


@contextlib.contextmanager
def _folder(operation: Operation, context: StepContext) -> Iterator[Path]:
    """Where the files come down to; they are not needed any more once they are on the device."""
    folder = Path(_local(operation, context.places))
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _job(operation: Operation, places: Places) -> Job:
    return transfer.job_of("download", operation, places, _local(operation, places))


def _local(operation: Operation, places: Places) -> str:
    return f"{places.local(operation)}-to-gpu"

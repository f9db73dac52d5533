"""load: copy the trial's local files to the memory of the GPU, or of the CPU where there is no GPU.

The files are those that the trial downloaded, else those that it uploaded. The time is from the
first read to the last byte on the device; preparing the device and its buffers comes before, and
comparing the memory with the payload comes after.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hps.catalog.failures import failure
from hps.data.limit import Limit
from hps.gpu import loading
from hps.gpu.device import Device, gb_per_s
from hps.gpu.loading import measured
from hps.model import Measurement, Operation
from hps.results.record import utc_text
from hps.steps.context import StepContext, needed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Load:
    """The files that an operation loads, and how."""

    folder: Path
    names: tuple[str, ...]
    size_bytes: int
    method: str
    chunk_bytes: int

    @classmethod
    def of(cls, operation: Operation, context: StepContext) -> _Load:
        payload, downloaded = context.payload(operation), context.local(operation)
        settings = operation.step.settings
        chunk_bytes = int(settings.get("chunk_size_bytes", loading.DEFAULT_CHUNK_BYTES))
        return cls(
            folder=downloaded if downloaded.is_dir() else payload.folder,
            names=payload.shape.names,
            size_bytes=payload.shape.size_bytes,
            method=str(settings.get("method", loading.DEFAULT_METHOD)),
            chunk_bytes=min(chunk_bytes, payload.shape.size_bytes),
        )

    @property
    def total_bytes(self) -> int:
        return self.size_bytes * len(self.names)

    def files(self, memory: Any) -> Iterator[tuple[Path, Any]]:
        """Each file, and its place in the device's memory."""
        for number, name in enumerate(self.names):
            start = number * self.size_bytes
            yield self.folder / name, memory[start : start + self.size_bytes]

    def figures(self, opened: Device, setup_s: float, duration_s: float) -> Mapping[str, object]:
        """The fields that are stored beside the times."""
        return {
            **opened.facts(),
            "device_setup_s": round(setup_s, 6),
            "method": self.method,
            "page_locked": opened.is_cuda and self.method == "pinned",
            "load_chunk_size_bytes": self.chunk_bytes,
            "load_threads": loading.readers(self.method),
            "loaded_bytes": self.total_bytes,
            "load_gb_per_s": gb_per_s(self.total_bytes, duration_s),
        }


def perform(operation: Operation, context: StepContext) -> Measurement:
    """Load all files, chunk by chunk; without torch, or memory, the operation fails."""
    begun_s = time.monotonic()
    return measured(lambda opened: _measure(opened, begun_s, operation, context))


def _measure(
    opened: Device, begun_s: float, operation: Operation, context: StepContext
) -> Measurement:
    work = _Load.of(operation, context)
    memory = opened.allocate(work.total_bytes)
    with loading.loader(opened, work.method, work.chunk_bytes) as load:
        started_at, start_s = datetime.now(UTC), time.monotonic()
        limit = Limit(stop=context.stop, start_s=start_s, timeout_s=needed(operation.timeout_s))
        for path, into in work.files(memory):
            load(path, into, limit.check)
        opened.wait()
        duration_s = time.monotonic() - start_s
    check = Limit(stop=context.stop).check
    wrong = loading.difference(opened, memory, context.payload(operation), check)
    return Measurement(
        status="failed" if wrong else "ok",
        failure=failure("corrupted", wrong) if wrong else None,
        started_at=utc_text(started_at),
        duration_s=duration_s,
        extra=work.figures(opened, start_s - begun_s, duration_s),
    )

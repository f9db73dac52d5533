"""Whether the machine at hand can carry an experiment: memory for uploads, disk for payloads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hps.model import KnobValue
from hps.spec.limits import Upload, uploads
from hps.spec.nodes import ScalarNode, problem_at
from hps.spec.problems import Problem
from hps.spec.steps_check import PlacedStep, setting_value
from hps.spec.sweep import Sweep, SweepPoint, said
from hps.units import format_size_rounded

_MEMORY_KNOBS = frozenset({"size", "files", "chunk_size", "concurrency", "transfers"})
_DISK_KNOBS = frozenset({"size", "files", "content", "layout"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What a machine has to offer; None where that is unknown, and then nothing is too much."""

    memory_bytes: int | None
    disk_free_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Need:
    """The memory that one upload takes, the setting to blame, and the settings in words."""

    size_bytes: int
    node: ScalarNode
    settings: str


def check_machine(
    sweep: Sweep, steps: tuple[PlacedStep, ...], machine: Machine, *, serves: bool
) -> Iterator[Problem]:
    """A problem for each setting that takes more memory than there is, and one for the disk.

    `serves`: an embedded server keeps its objects on this machine's disk as well.
    """
    if machine.memory_bytes is not None:
        yield from _check_memory(sweep, steps, machine.memory_bytes)
    if machine.disk_free_bytes is not None:
        yield from _check_disk(sweep, steps, machine.disk_free_bytes, serves)


def _check_memory(
    sweep: Sweep, steps: tuple[PlacedStep, ...], memory_bytes: int
) -> Iterator[Problem]:
    worst: dict[ScalarNode, _Need] = {}
    for upload in uploads(sweep, steps, _MEMORY_KNOBS):
        need = _memory(sweep, upload)
        if need is None or need.size_bytes <= memory_bytes:
            continue
        if need.node not in worst or worst[need.node].size_bytes < need.size_bytes:
            worst[need.node] = need
    for need in worst.values():
        message = (
            f"an upload with {need.settings} keeps {format_size_rounded(need.size_bytes)} of "
            f"chunks in memory, and this machine has {format_size_rounded(memory_bytes)}"
        )
        hint = (
            "that is chunk_size x concurrency (at most a file's chunks) x transfers (at most the "
            "files); make one smaller, or exclude the cell"
        )
        yield problem_at(need.node.mark, message, rule="not-enough-memory", hint=hint)


def _memory(sweep: Sweep, upload: Upload) -> _Need | None:
    """rclone holds every chunk in flight: no more than a file has, in no more files than exist."""
    knobs = upload.point.cell.knobs
    concurrency, concurrency_node = _count(sweep, upload, "concurrency", knobs.concurrency)
    transfers, transfers_node = _count(sweep, upload, "transfers", knobs.transfers)
    in_flight = min(concurrency, upload.parts) * min(transfers, knobs.files)
    size_node = sweep.place("size", knobs.size_bytes, upload.point.entry)
    node = upload.chunk_node or concurrency_node or transfers_node or size_node
    if node is None:
        return None
    settings = (
        f"chunk_size {said('chunk_size', upload.chunk_bytes, upload.chunk_node)}, "
        f"concurrency {said('concurrency', concurrency, concurrency_node)} and "
        f"transfers {said('transfers', transfers, transfers_node)}"
    )
    return _Need(size_bytes=upload.chunk_bytes * in_flight, node=node, settings=settings)


def _count(
    sweep: Sweep, upload: Upload, knob: str, value: KnobValue
) -> tuple[int, ScalarNode | None]:
    node = upload.step.settings.get(knob)
    if node is not None:
        return int(setting_value(knob, node)), node
    return int(value), sweep.place(knob, value, upload.point.entry)


def _check_disk(
    sweep: Sweep, steps: tuple[PlacedStep, ...], free_bytes: int, serves: bool
) -> Iterator[Problem]:
    """Each distinct payload is kept while the run lasts, with the copies of one trial."""
    payloads: dict[tuple[object, ...], SweepPoint] = {}
    for point in sweep.points(_DISK_KNOBS):
        knobs = point.cell.knobs
        payloads.setdefault((knobs.size_bytes, knobs.files, knobs.content, knobs.layout), point)
    largest = max(payloads.values(), key=_payload_bytes, default=None)
    if largest is None:
        return
    copies = _copies(steps, serves)
    needed = sum(map(_payload_bytes, payloads.values())) + len(copies) * _payload_bytes(largest)
    node = sweep.place("size", largest.cell.knobs.size_bytes, largest.entry)
    if needed <= free_bytes or node is None:
        return
    message = (
        f"the payloads take {format_size_rounded(needed)} of disk, and this machine has "
        f"{format_size_rounded(free_bytes)} free"
    )
    hint = f"that is {' and '.join(['every distinct payload once', *copies])}; make 'size' smaller"
    yield problem_at(node.mark, message, rule="not-enough-disk", hint=hint)


def _copies(steps: tuple[PlacedStep, ...], serves: bool) -> list[str]:
    """What lies on this disk beside the payloads, for one trial at a time."""
    directions = {step.kind.direction for step in steps}
    served = ["what the embedded server keeps"] if serves and "up" in directions else []
    return (["a downloaded copy"] if "down" in directions else []) + served


def _payload_bytes(point: SweepPoint) -> int:
    return point.cell.knobs.size_bytes * point.cell.knobs.files

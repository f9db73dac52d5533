"""The limits that storage providers put on the parts of an upload."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from hps.catalog.providers import MIB, PROVIDERS, ProviderFacts
from hps.spec.nodes import ScalarNode, find, problem_at
from hps.spec.problems import Problem
from hps.spec.readings import near_part
from hps.spec.steps_check import PlacedStep, setting_value
from hps.spec.sweep import Sweep, SweepPoint, said
from hps.spec.validate import Checked
from hps.units import format_size
from hps.wire import as_rclone_holds

_KNOBS = frozenset({"target", "size", "chunk_size"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One uploading step of one cell: its chunk size and where that is written, if it is."""

    point: SweepPoint
    step: PlacedStep
    chunk_bytes: int
    chunk_node: ScalarNode | None

    @property
    def parts(self) -> int:
        """How many parts one file has."""
        return -(-self.point.cell.knobs.size_bytes // self.chunk_bytes)


def uploads(
    sweep: Sweep, steps: tuple[PlacedStep, ...], knobs: Collection[str]
) -> Iterator[Upload]:
    """Every uploading step of every cell, as far as these knobs tell cells apart."""
    rising = [step for step in steps if step.kind.direction == "up"]
    for point in sweep.points(knobs) if rising else ():
        for step in rising:
            node = step.settings.get("chunk_size")
            chunk = point.cell.knobs.chunk_size_bytes
            if node is not None:
                chunk = int(setting_value("chunk_size", node))
            else:
                node = sweep.place("chunk_size", chunk, point.entry)
            yield Upload(point=point, step=step, chunk_bytes=chunk, chunk_node=node)


def check_parts(checked: Checked, sweep: Sweep, steps: tuple[PlacedStep, ...]) -> Iterator[Problem]:
    """Chunks that are too small or large for a part, and sizes that make too many parts.

    Each chunk size is reported once, with the largest file.
    """
    worst: dict[tuple[ScalarNode | None, int], tuple[int, Problem]] = {}
    for upload in uploads(sweep, steps, _KNOBS):
        facts = _facts(checked, upload.point.cell.knobs.target)
        problem = _fault(sweep, upload, facts) if facts is not None else None
        if problem is None:
            continue
        key = (_node(sweep, upload), upload.chunk_bytes)
        if key not in worst or upload.parts > worst[key][0]:
            worst[key] = (upload.parts, problem)
    for _, problem in worst.values():
        yield problem


def _facts(checked: Checked, target: str) -> ProviderFacts | None:
    provider = find(checked.root, ("targets", target, "provider"))
    facts = PROVIDERS.get(str(provider.value)) if isinstance(provider, ScalarNode) else None
    in_parts = find(checked.root, ("targets", target, "quirks", "use_multipart_uploads"))
    if facts and isinstance(in_parts, ScalarNode) and in_parts.value is False:
        return replace(facts, max_parts=1)
    return facts


def _node(sweep: Sweep, upload: Upload) -> ScalarNode | None:
    size = upload.point.cell.knobs.size_bytes
    return upload.chunk_node or sweep.place("size", size, upload.point.entry)


def _fault(sweep: Sweep, upload: Upload, facts: ProviderFacts) -> Problem | None:
    node = _node(sweep, upload)
    if node is None:
        return None
    chunk = said("chunk_size", upload.chunk_bytes, upload.chunk_node)
    # Of a file that travels whole, rclone alone minds the size of chunks.
    least, most = facts.min_part_bytes if upload.parts > 1 else 5 * MIB, facts.max_part_bytes
    if not least <= upload.chunk_bytes <= most:
        size = "small" if upload.chunk_bytes < least else "large"
        message = f"chunk_size {chunk} is too {size} for '{upload.step.kind.name}'"
        hint = f"a part of an upload is {format_size(least)} to {format_size(most)}"
        return problem_at(node.mark, message, rule="part-size", hint=hint)
    if upload.parts > 1 and as_rclone_holds(upload.chunk_bytes) != upload.chunk_bytes:
        message = f"chunk_size {chunk} is a size that rclone can't hold exactly"
        near = format_size(near_part(upload.chunk_bytes))
        hint = f"whole MiB are exact, and eighths of a GiB from 1 GiB on; near it: {near}"
        return problem_at(node.mark, message, rule="inexact-chunk-size", hint=hint)
    if upload.parts <= facts.max_parts:
        return None
    return _too_many_parts(sweep, upload, facts, node, chunk)


def _too_many_parts(
    sweep: Sweep, upload: Upload, facts: ProviderFacts, node: ScalarNode, chunk: str
) -> Problem:
    size_bytes = upload.point.cell.knobs.size_bytes
    size = said("size", size_bytes, sweep.place("size", size_bytes, upload.point.entry))
    default = "" if upload.chunk_node is not None else " (the default)"
    message = f"chunk_size {chunk}{default} cuts a file of {size} into {upload.parts:,} parts"
    fitting = -(-size_bytes // facts.max_parts // MIB) * MIB
    while -(-size_bytes // fitting) > facts.max_parts:
        fitting += MIB
    advice = f"the smallest chunk that fits is {format_size(fitting)}"
    if fitting > facts.max_part_bytes:
        advice = "no chunk is large enough, so make 'size' smaller"
    hint = f"at most {facts.max_parts:,} are allowed; {advice}"
    return problem_at(node.mark, message, rule="too-many-parts", hint=hint)

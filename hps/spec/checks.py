"""Checks beyond the schema: steps, parts, HTTP/2, gates, this machine, and names of targets."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from urllib.parse import urlsplit

from hps.catalog.providers import MIB, PROVIDERS, ProviderFacts
from hps.catalog.steps import SETTING_FIELDS, STEP_KINDS, UPLOADS, StepKind
from hps.catalog.tools import TOOL_FACTS, kept_in_memory_bytes
from hps.model import DEFAULT, SIZE_KNOBS, KnobValue, Step
from hps.spec import gates
from hps.spec.problems import Problem, quoted
from hps.spec.readings import near_part
from hps.spec.schema import Checked
from hps.spec.sweep import (
    PlacedAxis,
    PlacedEntry,
    Sweep,
    SweepPoint,
    cell_target,
    target_names,
    value_text,
)
from hps.spec.wording import describe, key_mark, name_of, near
from hps.spec.yaml_tree import (
    ListNode,
    MapNode,
    Node,
    ScalarNode,
    as_count,
    as_scalar,
    find,
    problem_at,
)
from hps.units import format_size, format_size_rounded, parse_size_bytes, parse_time_s


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedStep:
    """A step, with the nodes of its name and of its settings."""

    kind: StepKind
    name: ScalarNode
    settings: Mapping[str, ScalarNode]

    def as_step(self) -> Step:
        settings = {
            SETTING_FIELDS.get(key, key): setting_value(key, node)
            for key, node in self.settings.items()
        }
        return Step(kind=self.kind.name, settings=MappingProxyType(settings))


def setting_value(key: str, node: ScalarNode) -> KnobValue | float:
    """A setting that the schema accepted, in base units: bytes, seconds, else its value."""
    if key in SIZE_KNOBS and node.value != DEFAULT:
        return parse_size_bytes(str(node.value))
    if key in {"timeout", "duration"}:
        return parse_time_s(str(node.value))
    return node.value if isinstance(node.value, bool | str) else as_count(node)


def read_steps(checked: Checked) -> tuple[PlacedStep, ...]:
    """All steps; an empty tuple where something is wrong with one of them."""
    steps = checked.good("steps")
    return tuple(_read(item) for item in steps.items) if isinstance(steps, ListNode) else ()


def check_order(steps: tuple[PlacedStep, ...]) -> Iterator[Problem]:
    """A problem for each step that comes before what it needs, or after its object is deleted."""
    seen: list[str] = []
    deleted_on: int | None = None
    for step in steps:
        kind = step.kind
        if kind.needs and not any(need in seen for need in kind.needs):
            yield _too_early(step)
        elif kind.needs_object and deleted_on is not None:
            yield _too_late(step, deleted_on)
        if kind.name in UPLOADS:
            deleted_on = None
        elif kind.name == "delete" and deleted_on is None:
            deleted_on = step.name.mark.line
        seen.append(kind.name)


def _read(item: Node) -> PlacedStep:
    if isinstance(item, MapNode):
        (name, below), *_ = item.entries
        entries = below.entries if isinstance(below, MapNode) else ()
        settings = {str(k.value): v for k, v in entries if isinstance(v, ScalarNode)}
    else:
        name, settings = as_scalar(item), {}
    return PlacedStep(kind=STEP_KINDS[str(name.value)], name=name, settings=settings)


def _too_early(step: PlacedStep) -> Problem:
    needs = " or ".join(step.kind.needs)
    message = f"'{step.kind.name}' comes before what it needs"
    hint = f"expected {needs} in an earlier step"
    return problem_at(step.name.mark, message, rule="step-order", hint=hint)


def _too_late(step: PlacedStep, deleted_on: int) -> Problem:
    message = f"'{step.kind.name}' needs the objects that 'delete' on line {deleted_on} removes"
    hint = f"move it before that step, or put {' or '.join(UPLOADS)} between the two"
    return problem_at(step.name.mark, message, rule="step-order", hint=hint)


# -------------------------------------------------------------------------------------------------
# The limits that storage providers put on the parts of an upload.

_KNOBS = frozenset({"target", "tool", "size", "chunk_size"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One uploading step of one cell. `chunk_node` is None where the chunk size is a default."""

    point: SweepPoint
    step: PlacedStep
    chunk_bytes: int
    chunk_node: ScalarNode | None

    @property
    def parts(self) -> int:
        return -(-self.point.cell.knobs.size_bytes // self.chunk_bytes)


def uploads(
    sweep: Sweep, steps: tuple[PlacedStep, ...], knobs: Collection[str]
) -> Iterator[Upload]:
    """Every uploading step of the cells that `sweep.points(knobs)` has, and that name a chunk."""
    rising = [step for step in steps if step.kind.direction == "up"]
    for point in sweep.points(knobs) if rising else ():
        for step in rising:
            node = step.settings.get("chunk_size")
            chunk = point.cell.knobs.chunk_size_bytes
            if node is not None:
                named = setting_value("chunk_size", node)
                chunk = named if isinstance(named, int) else None
            elif chunk is not None:
                node = sweep.place("chunk_size", chunk, point.entry)
            if chunk is not None:
                yield Upload(point=point, step=step, chunk_bytes=chunk, chunk_node=node)


def check_parts(checked: Checked, sweep: Sweep, steps: tuple[PlacedStep, ...]) -> Iterator[Problem]:
    """Chunks that are too small or large for a part, and sizes that make too many parts.

    Each chunk size is reported once, with the largest file.
    """
    worst: dict[tuple[ScalarNode | None, int], tuple[int, Problem]] = {}
    # A chunk that one of several tools can't hold makes its cell skipped, and is no mistake.
    one_tool = len({point.cell.knobs.tool for point in sweep.points(("tool",))}) == 1
    for upload in uploads(sweep, steps, _KNOBS):
        facts = _facts(checked, upload.point.cell.knobs.target)
        problem = _fault(sweep, upload, facts, one_tool=one_tool) if facts is not None else None
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


def _fault(sweep: Sweep, upload: Upload, facts: ProviderFacts, *, one_tool: bool) -> Problem | None:
    node = _node(sweep, upload)
    if node is None:
        return None
    chunk = value_text("chunk_size", upload.chunk_bytes, upload.chunk_node)
    # A file of one chunk has no parts: then the least is that of the tools, not of the provider.
    one_chunk_bytes = min(5 * MIB, facts.min_part_bytes)
    least = facts.min_part_bytes if upload.parts > 1 else one_chunk_bytes
    most = facts.max_part_bytes
    if not least <= upload.chunk_bytes <= most:
        size = "small" if upload.chunk_bytes < least else "large"
        message = f"chunk_size {chunk} is too {size} for '{upload.step.kind.name}'"
        hint = f"a part of an upload is {format_size(least)} to {format_size(most)}"
        return problem_at(node.mark, message, rule="part-size", hint=hint)
    tool = upload.point.cell.knobs.tool
    inexact = TOOL_FACTS[tool].rounds(upload.chunk_bytes) != upload.chunk_bytes
    if upload.parts > 1 and inexact and one_tool:
        message = f"chunk_size {chunk} is a size that {tool} can't hold exactly"
        near = format_size(near_part(upload.chunk_bytes))
        hint = f"{TOOL_FACTS[tool].exact}; near it: {near}"
        return problem_at(node.mark, message, rule="inexact-chunk-size", hint=hint)
    if upload.parts <= facts.max_parts:
        return None
    return _too_many_parts(sweep, upload, facts, node, chunk)


def _too_many_parts(
    sweep: Sweep, upload: Upload, facts: ProviderFacts, node: ScalarNode, chunk: str
) -> Problem:
    size_bytes = upload.point.cell.knobs.size_bytes
    size = value_text("size", size_bytes, sweep.place("size", size_bytes, upload.point.entry))
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


# -------------------------------------------------------------------------------------------------
# HTTP/2 needs TLS: without it no result could be valid.

_HTTP2_KNOBS = frozenset({"target", "http2"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Http2Request:
    """A node that asks a target for HTTP/2. `fixed`: it is of a step, or in `include`."""

    node: ScalarNode
    target: str
    fixed: bool


def check_http2(checked: Checked, sweep: Sweep, steps: tuple[PlacedStep, ...]) -> Iterator[Problem]:
    """A problem for each place that asks for HTTP/2, and each target of it that has no TLS."""
    seen: set[tuple[ScalarNode, str]] = set()
    for point in sweep.points(_HTTP2_KNOBS) if _is_named(sweep, steps) else ():
        for step in steps:
            request = _http2_request(sweep, point, step)
            if request is None or (request.node, request.target) in seen:
                continue
            seen.add((request.node, request.target))
            why = _why_not(checked, request.target)
            if why:
                yield _problem(sweep, request, why)


def _is_named(sweep: Sweep, steps: tuple[PlacedStep, ...]) -> bool:
    """False where nothing names HTTP/2, which is off by default."""
    settings = (step.settings for step in steps)
    values = (entry.values for entry in sweep.include)
    return sweep.has_axis("http2") or any("http2" in named for named in (*settings, *values))


def _http2_request(sweep: Sweep, point: SweepPoint, step: PlacedStep) -> _Http2Request | None:
    """The request of a step in a cell, if any: the step's own setting wins over the cell's."""
    if "http2" not in step.kind.settings:
        return None
    knobs = point.cell.knobs
    own = step.settings.get("http2")
    node = own if own is not None else sweep.place("http2", True, point.entry)
    asked = own.value is True if own is not None else knobs.http2
    if not asked or node is None:
        return None
    return _Http2Request(
        node=node, target=knobs.target, fixed=own is not None or point.entry is not None
    )


def _why_not(checked: Checked, target: str) -> str:
    provider = checked.good("targets", target, "provider")
    if isinstance(provider, ScalarNode) and provider.value == "embedded":
        return "is embedded, and so plain HTTP"
    endpoint = checked.good("targets", target, "endpoint")
    if isinstance(endpoint, ScalarNode) and urlsplit(str(endpoint.value)).scheme == "http":
        return "has an endpoint of http://"
    return ""


def _problem(sweep: Sweep, request: _Http2Request, why: str) -> Problem:
    message = f"HTTP/2 is asked for, and target '{request.target}' {why}"
    advice = "write false here"
    if not request.fixed and sweep.has_axis("target"):
        advice = f"leave true out, or exclude {{target: {request.target}, http2: true}}"
    hint = f"HTTP/2 needs https; {advice}"
    return problem_at(request.node.mark, message, rule="http2-without-https", hint=hint)


# -------------------------------------------------------------------------------------------------
# Thresholds of an experiment must be about steps that it has.


def check_thresholds(checked: Checked, steps: tuple[PlacedStep, ...]) -> Iterator[Problem]:
    """A problem for each threshold about a step that no trial has: it could never be met."""
    listed = checked.root.get("thresholds")
    present = dict.fromkeys(step.kind.name for step in steps)
    for index, node in enumerate(listed.items if isinstance(listed, ListNode) else ()):
        path = ("thresholds", index)
        if not present or not checked.is_good(path) or not isinstance(node, ScalarNode):
            continue
        step = gates.parse(str(node.value)).step
        if step and step not in present:
            message = f"{name_of(path)} is about '{step}', which is no step of this experiment"
            hint = f"steps here: {', '.join(present)}"
            yield problem_at(node.mark, message, rule="threshold-step", hint=hint)


def check_fleet(checked: Checked) -> Iterator[Problem]:
    """A problem where nodes could not begin together as written."""
    start = checked.good("fleet", "start")
    together = isinstance(start, ScalarNode) and start.value == "together"
    at, part = checked.good("fleet", "starts_at"), checked.good("fleet", "per_node")
    if isinstance(at, ScalarNode) and not together:
        message = "'fleet.starts_at' is for nodes that begin together"
        yield problem_at(at.mark, message, rule="fleet-start", hint="add fleet.start: together")
    minutes = part.get("minutes") if isinstance(part, MapNode) else None
    if together and minutes is not None:
        message = "nodes that begin together measure the same cells, and not as many as fit"
        hint = "expected cells in place of minutes, or start: staggered"
        yield problem_at(minutes.mark, message, rule="fleet-start", hint=hint)


# -------------------------------------------------------------------------------------------------
# Whether the machine at hand can carry an experiment: memory for uploads, disk for payloads.

_MEMORY_KNOBS = frozenset({"size", "files", "tool", "chunk_size", "concurrency", "transfers"})
_DISK_KNOBS = frozenset({"size", "files", "content", "layout"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Memory and free disk of a machine; None where unknown, and then nothing is too large."""

    memory_bytes: int | None
    disk_free_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Need:
    """The memory that one upload takes, the node to report, the tool, and the settings in words."""

    size_bytes: int
    node: ScalarNode
    tool: str
    settings: str


def check_machine(
    sweep: Sweep, steps: tuple[PlacedStep, ...], machine: Machine, *, serves: bool
) -> Iterator[Problem]:
    """A problem for each setting that takes more memory than there is, and one for the disk.

    `serves`: an embedded server stores its objects on this machine's disk as well.
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
            f"{need.tool} keeps {format_size_rounded(need.size_bytes)} of chunks in memory for an "
            f"upload with {need.settings}, and this machine has {format_size_rounded(memory_bytes)}"
        )
        kept = TOOL_FACTS[need.tool].chunks_in_memory
        hint = (
            f"that is {'' if kept == 1 else f'{kept} x '}chunk_size x concurrency (at most a "
            "file's chunks) x transfers (at most the files); make one smaller, or exclude the cell"
        )
        yield problem_at(need.node.mark, message, rule="not-enough-memory", hint=hint)


def _memory(sweep: Sweep, upload: Upload) -> _Need | None:
    """The memory for the chunks in flight of every file in flight; None where nothing was asked."""
    knobs = upload.point.cell.knobs
    concurrency, concurrency_node = _count(sweep, upload, "concurrency", knobs.concurrency)
    transfers, transfers_node = _count(sweep, upload, "transfers", knobs.transfers)
    in_flight = min(concurrency, upload.parts) * min(transfers, knobs.files)
    size_node = sweep.place("size", knobs.size_bytes, upload.point.entry)
    node = upload.chunk_node or concurrency_node or transfers_node or size_node
    if node is None:
        return None
    settings = (
        f"chunk_size {value_text('chunk_size', upload.chunk_bytes, upload.chunk_node)}, "
        f"concurrency {value_text('concurrency', concurrency, concurrency_node)} and "
        f"transfers {value_text('transfers', transfers, transfers_node)}"
    )
    kept_bytes = kept_in_memory_bytes(knobs.tool, upload.chunk_bytes, in_flight, "up")
    return _Need(size_bytes=kept_bytes, node=node, tool=knobs.tool, settings=settings)


def _count(
    sweep: Sweep, upload: Upload, knob: str, value: int | None
) -> tuple[int, ScalarNode | None]:
    node = upload.step.settings.get(knob)
    if node is not None and node.value != DEFAULT:
        return int(setting_value(knob, node)), node
    if node is not None or value is None:
        own = TOOL_FACTS[upload.point.cell.knobs.tool].up
        return own.concurrency if knob == "concurrency" else own.transfers, node
    return value, sweep.place(knob, value, upload.point.entry)


def _check_disk(
    sweep: Sweep, steps: tuple[PlacedStep, ...], free_bytes: int, serves: bool
) -> Iterator[Problem]:
    """A run keeps each distinct payload until its end, and the copies of one trial at a time."""
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
    """The copies of a payload on this disk during one trial, in words."""
    directions = {step.kind.direction for step in steps}
    served = ["what the embedded server keeps"] if serves and "up" in directions else []
    return (["a downloaded copy"] if "down" in directions else []) + served


def _payload_bytes(point: SweepPoint) -> int:
    return point.cell.knobs.size_bytes * point.cell.knobs.files


# -------------------------------------------------------------------------------------------------
# Names of targets must be declared, and each cell needs a target.


def check_targets(
    checked: Checked, axes: tuple[PlacedAxis, ...], included: tuple[PlacedEntry, ...]
) -> Iterator[Problem]:
    """Every name of a target that is not declared, and cells that have no target."""
    names = target_names(checked)
    if not names:
        return
    for node in _references(checked, axes, included):
        if node.value not in names:
            hint = f"declared under 'targets': {', '.join(map(quoted, names))}"
            yield problem_at(
                node.mark,
                f"there is no target {describe(node)}",
                rule="unknown-target",
                hint=hint,
                suggestion=near(str(node.value), names),
            )
    yield from _unnamed(checked, axes, included)


def _references(
    checked: Checked, axes: tuple[PlacedAxis, ...], included: tuple[PlacedEntry, ...]
) -> Iterator[ScalarNode]:
    for path in (("results", "target"), ("node", "probe", "target")):
        node = checked.good(*path)
        if isinstance(node, ScalarNode):
            yield node
    for axis in axes:
        for row in axis.rows:
            pairs = zip(axis.knobs, row, strict=True)
            yield from (placed.node for knob, placed in pairs if knob == "target")
    for entry in included:
        if "target" in entry.values:
            yield entry.values["target"].node


def _unnamed(
    checked: Checked, axes: tuple[PlacedAxis, ...], included: tuple[PlacedEntry, ...]
) -> Iterator[Problem]:
    has_bad_name = any(("targets", name) in checked.bad for name in target_names(checked))
    if has_bad_name or cell_target(checked) is not None or not checked.is_good(("results",)):
        return
    names = ", ".join(target_names(checked))
    matrix = checked.root.get("matrix")
    has_axis = any("target" in axis.knobs for axis in axes)
    has_axis = has_axis or (isinstance(matrix, MapNode) and matrix.get("target") is not None)
    if not has_axis:
        mark = key_mark(checked.root, ("targets",))
        message = f"there are several targets ({names}), and nothing says which one data moves to"
        hint = f"add matrix.target: [{names}], or name the one for results under results.target"
        yield problem_at(mark, message, rule="target-required", hint=hint)
        return
    for entry in included:
        if "target" not in entry.values:
            message = f"this cell names none of the targets ({names})"
            yield problem_at(entry.node.mark, message, rule="target-required", hint="add 'target'")

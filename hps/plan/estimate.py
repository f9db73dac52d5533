"""Plan -> the bytes, requests by class, dollars and time that it will take. Pure.

Requests are counted as the tools make them for each step (seen on the wire, see
`tests/wire/test_requests.py`). Class A: writes and lists; class B: reads; deletes are free
on the providers that `hps` knows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hps.catalog import prices, tools
from hps.catalog.providers import PROVIDERS, ProviderFacts
from hps.catalog.steps import STEP_KINDS
from hps.model import Knobs, Operation, Plan, Provider

_NESTED_FOLDERS = 10
# Start-up of the tool, the look-ups around a transfer, and our own work between operations.
_OVERHEAD_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """Requests by the class they are billed in."""

    class_a: int = 0
    class_b: int = 0
    free: int = 0

    def __add__(self, other: Requests) -> Requests:
        return Requests(
            class_a=self.class_a + other.class_a,
            class_b=self.class_b + other.class_b,
            free=self.free + other.free,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a plan takes. `duration_s` is None where no bandwidth is declared or given.

    `dollars` has the price of requests and downloads by provider; None where prices are unknown.
    """

    operations_by_step: Mapping[str, int]
    cells: int
    trials: int
    operations: int
    up_bytes: int
    down_bytes: int
    requests: Requests
    upload_mbps: float | None
    download_mbps: float | None
    duration_s: float | None
    dollars: Mapping[str, float | None]


def estimate(
    plan: Plan, *, upload_mbps: float | None = None, download_mbps: float | None = None
) -> Estimate:
    """Add up the operations; rates not given are those that the experiment asks of a node."""
    upload_mbps = upload_mbps or plan.spec.node.min_upload_mbps
    download_mbps = download_mbps or plan.spec.node.min_download_mbps
    up_bytes = sum(payload_bytes(op) for op in plan.operations if op.direction == "up")
    down_bytes = sum(payload_bytes(op) for op in plan.operations if op.direction == "down")
    requested = _all_requests(plan)
    return Estimate(
        operations_by_step=_by_step(plan.operations),
        cells=len(plan.cells),
        trials=len({operation.trial_id for operation in plan.operations}),
        operations=len(plan.operations),
        up_bytes=up_bytes,
        down_bytes=down_bytes,
        requests=sum((made for _, made in requested), Requests()),
        upload_mbps=upload_mbps,
        download_mbps=download_mbps,
        duration_s=_duration_s(plan, up_bytes, down_bytes, upload_mbps, download_mbps),
        dollars=_dollars(plan, requested),
    )


def payload_bytes(operation: Operation) -> int:
    """The bytes of payload that an operation moves; 0 for one that its tool can't do."""
    knobs, moves = operation.cell.knobs, operation.requested is not None and not operation.why_not
    return knobs.size_bytes * knobs.files if moves else 0


def requests(
    operation: Operation, upload: Operation | None = None, provider: Provider = "other"
) -> Requests:
    """The requests that one operation makes where none has to be repeated.

    `upload` is the operation that made the objects of a download; None: one with the same chunk
    size. Raises `KeyError` for a kind of step whose requests are unknown.
    """
    knobs, kind = operation.cell.knobs, operation.step.kind
    rules = PROVIDERS[provider]
    if operation.why_not or STEP_KINDS[kind].asks_nothing:
        return Requests()
    if operation.direction == "up":
        return _of_upload(operation, rules) + Requests(class_a=_begun(knobs, provider))
    if operation.direction == "down":
        in_parts = _in_parts(upload or operation) and not rules.lists_checksums
        return _of_download(operation, rules, in_parts=in_parts)
    if kind == "list":
        return _listing(knobs, rules)
    if kind == "delete":
        return _listing(knobs, rules) + Requests(free=knobs.files)
    raise KeyError(f"which requests does a step '{kind}' make?")


def _of_upload(operation: Operation, rules: ProviderFacts) -> Requests:
    """A sync lists the trial's own folder, which is empty: one page."""
    knobs, kind = operation.cell.knobs, operation.step.kind
    facts, sync = tools.TOOL_FACTS[knobs.tool], kind.startswith("sync")
    before = _before_upload(facts, as_folder=knobs.files > 1 or sync)
    look = _look(rules, by_client=facts.walks_folders) + Requests(class_a=int(sync))
    return look + before + _times(knobs.files, _upload(operation, rules))


def _of_download(operation: Operation, rules: ProviderFacts, *, in_parts: bool) -> Requests:
    knobs = operation.cell.knobs
    facts = tools.TOOL_FACTS[knobs.tool]
    before = _before_download(facts)
    if knobs.files > 1 or operation.step.kind.startswith("sync"):
        before = Requests(class_a=facts.lists_before_folder, class_b=facts.heads_before_folder)
        before += _look(rules, by_client=facts.walks_folders)
        before += _walk(knobs, rules, in_parts=in_parts)
    of_each = _chunks(operation) + facts.attributes_before_download + facts.heads_before_each
    return before + Requests(class_b=knobs.files * of_each)


def _begun(knobs: Knobs, provider: Provider) -> int:
    """The files whose upload, of one request, is begun by another."""
    least_bytes = tools.TOOL_FACTS[knobs.tool].begins_from_bytes.get(provider)
    return knobs.files if least_bytes is not None and knobs.size_bytes >= least_bytes else 0


def _look(rules: ProviderFacts, *, by_client: bool) -> Requests:
    """For an object with the very name of a folder, as the bucket's client does."""
    return Requests(class_b=int(rules.looks_for_folder and by_client))


def _listing(knobs: Knobs, rules: ProviderFacts) -> Requests:
    """A list of everything under the folder, whatever the layout, by the bucket's client."""
    return _look(rules, by_client=True) + Requests(class_a=_pages(knobs.files, rules))


def _all_requests(plan: Plan) -> list[tuple[Operation, Requests]]:
    uploads = {op.operation_id: op for op in plan.operations if op.direction == "up"}
    found = []
    for operation in plan.operations:
        upload = next((uploads[i] for i in operation.depends_on if i in uploads), None)
        provider = plan.spec.targets[operation.cell.knobs.target].provider
        found.append((operation, requests(operation, upload, provider)))
    return found


def _dollars(
    plan: Plan, requested: Iterable[tuple[Operation, Requests]]
) -> dict[str, float | None]:
    """By provider the price of its requests and of the payload that leaves it."""
    total: dict[str, float | None] = {}
    for operation, made in requested:
        provider = plan.spec.targets[operation.cell.knobs.target].provider
        down_bytes = payload_bytes(operation) if operation.direction == "down" else 0
        cost = prices.dollars(provider, made.class_a, made.class_b, down_bytes)
        before = total.get(provider, 0.0)
        total[provider] = None if cost is None or before is None else before + cost
    return total


def _before_upload(facts: tools.ToolFacts, *, as_folder: bool) -> Requests:
    lists = 0 if as_folder else facts.lists_before_upload
    return Requests(class_a=lists, class_b=facts.heads_before_upload)


def _before_download(facts: tools.ToolFacts) -> Requests:
    """Of a single file."""
    return Requests(class_a=facts.lists_before_download, class_b=facts.heads_before_download)


def _upload(operation: Operation, rules: ProviderFacts) -> Requests:
    """One PUT; or a create, a request for each part and a complete. Then the tool's HEADs."""
    chunks, facts = _chunks(operation), tools.TOOL_FACTS[operation.cell.knobs.tool]
    in_parts = chunks + 1 + int(rules.begins)
    return Requests(
        class_a=1 if chunks == 1 else in_parts,
        class_b=facts.heads_after_upload,
    )


def _walk(knobs: Knobs, rules: ProviderFacts, *, in_parts: bool) -> Requests:
    """A list of the folder and of each folder in it, and a HEAD of each object uploaded in parts.

    The ETag of such an object is not its MD5. (It is with the embedded server.) A tool that doesn't
    walk folders lists everything at once, whatever the layout.
    """
    listing = Requests(class_a=_pages(knobs.files, rules))
    if not tools.TOOL_FACTS[knobs.tool].walks_folders:
        return listing
    heads = Requests(class_b=knobs.files if in_parts else 0)
    if knobs.layout == "flat":
        return listing + heads
    folders = min(_NESTED_FOLDERS, knobs.files)
    files_each = -(-knobs.files // _NESTED_FOLDERS)
    return Requests(class_a=1 + folders * _pages(files_each, rules)) + heads


def _in_parts(upload: Operation) -> bool:
    planned = upload.effective
    return planned is not None and planned.chunk_size_bytes < upload.cell.knobs.size_bytes


def _pages(keys: int, rules: ProviderFacts) -> int:
    return max(1, -(-keys // rules.keys_per_list))


def _chunks(operation: Operation) -> int:
    effective = operation.effective
    if effective is None:
        return 0
    return tools.count_chunks(operation.cell.knobs.size_bytes, effective.chunk_size_bytes)


def _times(count: int, each: Requests) -> Requests:
    return Requests(
        class_a=count * each.class_a, class_b=count * each.class_b, free=count * each.free
    )


def _by_step(operations: Iterable[Operation]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for operation in operations:
        counts[operation.step.kind] = counts.get(operation.step.kind, 0) + 1
    return counts


def _duration_s(
    plan: Plan, up_bytes: int, down_bytes: int, up_mbps: float | None, down_mbps: float | None
) -> float | None:
    if (up_bytes and not up_mbps) or (down_bytes and not down_mbps):
        return None
    moving_s = sum(
        amount * 8 / 1e6 / rate
        for amount, rate in ((up_bytes, up_mbps), (down_bytes, down_mbps))
        if rate
    )
    pauses_s = sum(
        float(operation.step.settings["duration_s"])
        for operation in plan.operations
        if operation.step.kind == "pause"
    )
    return moving_s + pauses_s + _OVERHEAD_S * len(plan.operations)

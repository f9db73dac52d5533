"""Spec -> Plan: every operation of a run, in order, with ids that never change. Pure.

Random orders come from hashes of the seed and the trial, so that they are the same on every
machine and with every version of Python, and adding a cell does not reshuffle the others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from itertools import takewhile
from typing import Any

from hps.catalog import tools
from hps.catalog.steps import DOWNLOADS, STEP_KINDS
from hps.model import (
    DEFAULT,
    STEP_KNOBS,
    Cell,
    Knobs,
    Merged,
    Operation,
    Plan,
    Settings,
    Spec,
    Step,
    Transfer,
)
from hps.plan.cells import default_target
from hps.plan.cells import expand as expand_cells

# A rate below which an operation is taken to hang, where the experiment declares no bandwidth.
FLOOR_MBPS = 1.0
DISK_FLOOR_MBPS = 80.0
BASE_TIMEOUT_S = 60.0
_KNOB_FIELDS = tuple(field.name for field in fields(Knobs))


def expand(spec: Spec, only: Collection[int] | None = None, *, apart: bool = False) -> Plan:
    """The plan of an experiment: the same for the same spec, everywhere and always.

    `only`: the numbers of the cells that it is to have; None: all. What one cell alone would not
    measure twice, since another has it, it then measures where that other is not among them.
    `apart`: each measures all, also what another has, for it isn't known which will be measured.
    """
    target = default_target(tuple(spec.targets), spec.results.target)
    cells = expand_cells(spec.matrix, spec.data, target or spec.results.target)
    spec = replace(spec, steps=_with_verification(spec.steps, cells))
    if only is not None:
        cells = tuple(cell for number, cell in enumerate(cells) if number in only)
    trials = _CellSteps.of_all(spec, cells, apart=apart)
    operations = tuple(
        operation
        for repetition, warmup, index in _order(spec, cells)
        for operation in trials[index].operations(spec, repetition, warmup)
    )
    merged = tuple(entry for steps in trials for entry in steps.merged)
    return Plan(spec=spec, cells=cells, operations=operations, merged=merged)


def requested_settings(knobs: Knobs, step: Step) -> Settings:
    """What a cell asks of one step; the settings of the step win over the cell."""
    values = _values(knobs) | dict(step.settings)
    names = ("chunk_size_bytes", *STEP_KNOBS[1:])
    asked = {name: values[name] for name in names}
    return Settings(**{name: None if value == DEFAULT else value for name, value in asked.items()})


def moves_payload(step: Step) -> bool:
    """True for the steps whose transfer settings come from the cell."""
    return STEP_KINDS[step.kind].direction != "none"


def uncompared(cells: Iterable[Cell]) -> tuple[str, ...]:
    """The tools of some cells that compare nothing of what they download, in order."""
    names = dict.fromkeys(cell.knobs.tool for cell in cells)
    return tuple(name for name in names if not tools.TOOL_FACTS[name].compares_downloads)


def _with_verification(steps: tuple[Step, ...], cells: tuple[Cell, ...]) -> tuple[Step, ...]:
    """A `verify` after each download that has none, where its setting, or a tool, wants one.

    For all cells alike, so that tools stay comparable.
    """
    wanted, found = bool(uncompared(cells)), list[Step]()
    for index, step in enumerate(steps):
        found.append(step)
        if step.kind not in DOWNLOADS or not step.settings.get("verify", wanted):
            continue
        if "verify" not in _until_next_download(steps[index + 1 :]):
            found.append(Step(kind="verify", added=True))
    return tuple(found)


def _until_next_download(steps: tuple[Step, ...]) -> list[str]:
    kinds = (step.kind for step in steps)
    return list(takewhile(lambda kind: kind not in DOWNLOADS, kinds))


# --- what each cell measures ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Planned:
    """One step of one cell, before repetitions.

    `needs` is the index of the step that it builds on. `same_as` is the cell whose step it would
    repeat. `why_not` says why the cell's tool can't do it, or the step that it builds on.
    """

    index: int
    step: Step
    requested: Settings | None
    effective: Transfer | None
    needs: int | None
    same_as: Cell | None = None
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class _CellSteps:
    """The steps that one cell measures, and those `merged` into another cell's."""

    cell: Cell
    steps: tuple[_Planned, ...]
    merged: tuple[Merged, ...]
    key: str

    @classmethod
    def of_all(cls, spec: Spec, cells: tuple[Cell, ...], *, apart: bool) -> tuple[_CellSteps, ...]:
        first: dict[object, Cell] = {}
        needs = _needs(spec.steps)
        return tuple(cls._of(spec, cell, {} if apart else first, needs) for cell in cells)

    @classmethod
    def _of(
        cls, spec: Spec, cell: Cell, first: dict[object, Cell], needs: tuple[int | None, ...]
    ) -> _CellSteps:
        planned = _ruled_out(
            [_planned(spec, index, cell, needs[index]) for index in range(len(spec.steps))]
        )
        planned = _drop_unneeded([_find_same(item, cell, first) for item in planned])
        kept = tuple(item for item in planned if item.same_as is None)
        for item in (item for item in kept if not item.why_not):
            first.setdefault(_sameness(item, cell), cell)
        merged = tuple(_merged(item, cell) for item in planned if item.same_as is not None)
        return cls(cell, kept, merged, _canonical_json(spec.name, _values(cell.knobs)))

    def operations(self, spec: Spec, repetition: int, warmup: bool) -> Iterator[Operation]:
        trial_key = f"{self.key}|{repetition}|{'warmup' if warmup else 'counted'}"
        ids = {item.index: _step_id(trial_key, item) for item in self.steps}
        for item in self.steps:
            yield Operation(
                operation_id=ids[item.index],
                trial_id=_digest(trial_key),
                cell=self.cell,
                repetition=repetition,
                warmup=warmup,
                step=item.step,
                step_index=item.index,
                direction=STEP_KINDS[item.step.kind].direction,
                requested=item.requested,
                effective=item.effective,
                depends_on=_depends_on(item, self.steps, ids),
                timeout_s=_timeout_s(spec, self.cell.knobs, item.step),
                why_not=item.why_not,
            )


def _planned(spec: Spec, index: int, cell: Cell, needs: int | None) -> _Planned:
    step, target = spec.steps[index], spec.targets[cell.knobs.target]
    if not moves_payload(step):
        return _Planned(index, step, None, None, needs)
    requested = requested_settings(cell.knobs, step)
    direction = STEP_KINDS[step.kind].direction
    effective = tools.effective(cell.knobs, requested, direction)
    why_not = tools.why_not(cell.knobs, step.kind, requested, direction, target)
    return _Planned(index, step, requested, effective, needs, why_not=why_not)


def _ruled_out(steps: list[_Planned]) -> list[_Planned]:
    """Add `why_not` to steps that build on one which can't be done."""
    found: list[_Planned] = []
    for item in steps:
        why_not = item.why_not or (found[item.needs].why_not if item.needs is not None else "")
        found.append(replace(item, why_not=why_not))
    return found


def _needs(steps: tuple[Step, ...]) -> tuple[int | None, ...]:
    """For each step the index of the latest earlier step whose work it builds on."""
    latest: dict[str, int] = {}
    needs = []
    for index, step in enumerate(steps):
        kind = STEP_KINDS[step.kind]
        needs.append(max((latest[name] for name in kind.needs if name in latest), default=None))
        latest[step.kind] = index
    return tuple(needs)


def _sameness(item: _Planned, cell: Cell) -> object:
    """A key that is equal for two steps which do the same thing on the wire."""
    data = replace(
        cell.knobs,
        settings="declared",
        chunk_size_bytes=None,
        concurrency=None,
        transfers=None,
        http2=None,
        checksum=None,
    )
    asked, planned = item.requested, item.effective
    # What a tool is not told is the same for cells that don't tell it, and for no others.
    told = tools.declared(asked, planned) if asked and planned else None
    return item.index, data, told


def _find_same(item: _Planned, cell: Cell, first: Mapping[object, Cell]) -> _Planned:
    if item.effective is None or item.why_not:
        return item
    return replace(item, same_as=first.get(_sameness(item, cell)))


def _drop_unneeded(steps: list[_Planned]) -> list[_Planned]:
    """Keep a repeated transfer that a kept step builds on; merge what builds on merged steps."""
    kept = {item.index for item in steps if item.effective is not None and item.same_as is None}
    for item in reversed(steps):
        if item.index in kept and item.needs is not None:
            kept.add(item.needs)
    by_index = {item.index: item for item in steps}
    return [replace(item, same_as=_stand_in(item, kept, by_index)) for item in steps]


def _stand_in(item: _Planned, kept: set[int], steps: Mapping[int, _Planned]) -> Cell | None:
    """The cell whose step replaces this one; None where this one is done."""
    if item.index in kept:
        return None
    if item.effective is not None:
        return item.same_as
    return None if _is_kept(item, kept) else _first_same(item, steps)


def _is_kept(item: _Planned, kept: set[int]) -> bool:
    return item.needs in kept if item.needs is not None else bool(kept)


def _first_same(item: _Planned, steps: Mapping[int, _Planned]) -> Cell | None:
    if item.needs is not None:
        return steps[item.needs].same_as
    return next((other.same_as for other in steps.values() if other.same_as is not None), None)


def _merged(item: _Planned, cell: Cell) -> Merged:
    assert item.same_as is not None  # noqa: S101 - the caller's condition, for the type checker
    reason = "the step it builds on is not repeated"
    if item.requested is not None:
        other = requested_settings(item.same_as.knobs, item.step)
        direction = STEP_KINDS[item.step.kind].direction
        reason = tools.explain(cell.knobs, item.requested, other, direction)
        reason = reason or "the settings of the step are the same in both cells"
    return Merged(
        cell=cell.axes,
        step=item.step.kind,
        step_index=item.index,
        same_as=item.same_as.axes,
        reason=reason,
    )


# --- ids, order, time-outs -----------------------------------------------------------------------


def _values(knobs: Knobs) -> dict[str, Any]:
    """As `asdict`, whose deep copies would take most of the time of a large plan.

    Without `settings` where a cell has none: ids and orders stay those of before there were any.
    """
    names = (name for name in _KNOB_FIELDS if name != "settings" or knobs.settings == DEFAULT)
    return {name: getattr(knobs, name) for name in names}


def _canonical_json(*values: object) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _step_id(trial_key: str, item: _Planned) -> str:
    settings = _canonical_json(dict(item.step.settings))
    return _digest(f"{trial_key}|{item.index}|{item.step.kind}|{settings}")


def _depends_on(
    item: _Planned, steps: tuple[_Planned, ...], ids: Mapping[int, str]
) -> tuple[str, ...]:
    needs = {step.index: step.needs for step in steps}
    chain = []
    at = item.needs
    while at is not None and at in ids:
        chain.append(ids[at])
        at = needs.get(at)
    return tuple(chain)


def _order(spec: Spec, cells: tuple[Cell, ...]) -> list[tuple[int, bool, int]]:
    """(repetition, warmup, cell's index) of every trial; warm-ups are first in every order."""
    trials = [
        (repetition, warmup, index)
        for warmup, count in ((True, spec.warmup), (False, spec.repetitions))
        for repetition in range(count)
        for index in range(len(cells))
    ]
    if spec.order.kind == "declared":
        return trials
    keys = [_canonical_json(_values(cell.knobs)) for cell in cells]

    def rank(trial: tuple[int, bool, int]) -> tuple[bool, int, str]:
        repetition, warmup, index = trial
        block = repetition if spec.order.kind == "random_blocks" else 0
        draw = f"{spec.order.seed}|{repetition}|{warmup}|{keys[index]}"
        return not warmup, block, hashlib.sha256(draw.encode()).hexdigest()

    return sorted(trials, key=rank)


def _timeout_s(spec: Spec, knobs: Knobs, step: Step) -> float:
    """Declared for the step, else for the experiment, else derived from size and bandwidth."""
    if step.kind == "pause":
        return BASE_TIMEOUT_S + float(step.settings["duration_s"])
    declared = step.settings.get("timeout_s", spec.timeout_s)
    if declared is not None:
        return float(declared)
    megabits = knobs.size_bytes * knobs.files * 8 / 1e6
    return round(BASE_TIMEOUT_S + 0.5 * knobs.files + megabits / _slowest_mbps(spec, step), 1)


def _slowest_mbps(spec: Spec, step: Step) -> float:
    """A rate below which a step is taken to hang: of the link, or of the disk for local steps."""
    floors = {"up": spec.node.min_upload_mbps, "down": spec.node.min_download_mbps}
    direction = STEP_KINDS[step.kind].direction
    if direction == "none":
        return DISK_FLOOR_MBPS
    floor = None if spec.node.on_reject == "continue" else floors[direction]
    return floor / 4 if floor else FLOOR_MBPS

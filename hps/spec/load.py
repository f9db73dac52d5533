"""YAML text -> `Spec`, with every problem at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hps.model import Spec
from hps.spec import nodes
from hps.spec.build import build_node, build_order, build_results, build_targets
from hps.spec.cells_check import check_cells, fits
from hps.spec.compose import compose
from hps.spec.digest import digest
from hps.spec.excerpts import with_source_lines
from hps.spec.filling import Filled, fill_in
from hps.spec.http2_check import check_http2
from hps.spec.limits import check_parts
from hps.spec.machine import Machine, check_machine
from hps.spec.nodes import MapNode, Node, problem_at, to_plain
from hps.spec.overrides import apply_overrides
from hps.spec.problems import Problem, SpecError, in_order
from hps.spec.providers_check import check_providers
from hps.spec.source import SpecText, decode
from hps.spec.steps_check import PlacedStep, check_order, read_steps
from hps.spec.sweep import Sweep, read_sweep
from hps.spec.targets_check import check_targets
from hps.spec.thresholds_check import check_thresholds
from hps.spec.validate import Checked, check_schema
from hps.units import parse_time_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """An experiment, and the warnings that came with it."""

    spec: Spec
    warnings: tuple[Problem, ...]


def load(
    source: SpecText,
    *,
    env: Mapping[str, str],
    overrides: Sequence[str] = (),
    machine: Machine | None = None,
) -> Spec:
    """The experiment, checked. With a machine, also whether that has the memory and the disk.

    `env` fills in `${…}`; secrets are only named in the experiment and need not be in it. A source
    that is not trusted may use the variables of `hps.spec.trust` alone; overrides may use any. A
    secret may be filled in by neither, see `hps.spec.variables`.
    Raises `SpecError` with every problem of the file and of the overrides.
    """
    return load_and_warn(source, env=env, overrides=overrides, machine=machine).spec


def load_and_warn(
    source: SpecText,
    *,
    env: Mapping[str, str],
    overrides: Sequence[str] = (),
    machine: Machine | None = None,
) -> Loaded:
    """The same as `load`, and what a person should look at although it is allowed."""
    try:
        return _load(source, env, overrides, machine)
    except SpecError as error:
        raise SpecError(with_source_lines(error.problems, source)) from None


def _load(
    source: SpecText, env: Mapping[str, str], overrides: Sequence[str], machine: Machine | None
) -> Loaded:
    text = decode(source)
    problems: list[Problem] = []
    root = _read_tree(source.name, text, overrides, problems)
    filled = fill_in(root, source, env)
    problems.extend(filled.problems)
    checked = check_schema(filled.root)
    problems.extend(checked.problems)
    steps = read_steps(checked)
    sweep = read_sweep(checked, problems)
    problems.extend(_check_further(checked, sweep, steps, machine))
    if any(problem.severity == "error" for problem in problems):
        raise SpecError(problems)
    return Loaded(
        spec=_build(filled, sweep, steps, source, overrides),
        warnings=tuple(with_source_lines(in_order(problems), source)) if problems else (),
    )


def _read_tree(file: str, text: str, overrides: Sequence[str], problems: list[Problem]) -> MapNode:
    composed = compose(text, file)
    problems.extend(composed.problems)
    if composed.root is None:
        raise SpecError(problems or [_empty(file)])
    root = apply_overrides(composed.root, overrides, problems)
    if not isinstance(root, MapNode):
        raise SpecError([*problems, _not_a_mapping(root, file)])
    return root


def _check_further(
    checked: Checked,
    sweep: Sweep,
    steps: tuple[PlacedStep, ...],
    machine: Machine | None,
) -> Iterator[Problem]:
    yield from check_order(steps)
    yield from check_thresholds(checked, steps)
    yield from check_targets(checked, sweep.axes, sweep.include)
    yield from check_providers(checked)
    yield from check_cells(checked, sweep, len(steps))
    if not sweep.is_whole or not fits(checked, sweep):
        return
    yield from check_parts(checked, sweep, steps)
    yield from check_http2(checked, sweep, steps)
    if machine is not None:
        yield from check_machine(sweep, steps, machine, serves=_has_embedded(checked))


def _has_embedded(checked: Checked) -> bool:
    targets = checked.root.get("targets")
    entries = [target for _, target in targets.entries] if isinstance(targets, MapNode) else []
    providers = [entry.get("provider") for entry in entries if isinstance(entry, MapNode)]
    return any(
        isinstance(node, nodes.ScalarNode) and node.value == "embedded" for node in providers
    )


def _build(
    filled: Filled,
    sweep: Sweep,
    steps: tuple[PlacedStep, ...],
    source: SpecText,
    overrides: Sequence[str],
) -> Spec:
    written: Any = to_plain(filled.root)
    targets = build_targets(written["targets"])
    return Spec(
        api=written["api"],
        name=written["name"],
        description=written.get("description", ""),
        targets=targets,
        data=sweep.data,
        matrix=sweep.matrix,
        steps=tuple(step.as_step() for step in steps),
        results=build_results(written.get("results", {}), next(iter(targets))),
        node=build_node(written.get("node", {})),
        repetitions=int(written.get("repetitions", 1)),
        warmup=int(written.get("warmup", 0)),
        order=build_order(written.get("order", {})),
        timeout_s=parse_time_s(written["timeout"]) if "timeout" in written else None,
        source=source.name,
        text=decode(source),
        sha256=digest(source.content, overrides, filled.told),
        overrides=tuple(overrides),
        thresholds=tuple(written.get("thresholds", ())),
    )


def _start_of_file(file: str) -> nodes.Mark:
    return nodes.Mark(file=file, line=1, column=1, end_line=1, end_column=2)


def _empty(file: str) -> Problem:
    hint = "write at least api, name, targets, data and steps"
    return problem_at(_start_of_file(file), "the file is empty", rule="empty-file", hint=hint)


def _not_a_mapping(root: Node, file: str) -> Problem:
    if isinstance(root, nodes.ScalarNode) and root.value is None:
        return _empty(file)
    what = "a list" if isinstance(root, nodes.ListNode) else "a single value"
    hint = "expected 'key: value' lines, beginning with api: hps/v1"
    return problem_at(
        root.mark, f"the file holds {what}, not a mapping", rule="not-a-mapping", hint=hint
    )

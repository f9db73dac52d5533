"""YAML text -> `Spec`, with every problem at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from hps.model import Fleet, NodeRules, Order, ProbeSettings, ResultsPlace, SecretRef, Spec, Target
from hps.spec import yaml_tree
from hps.spec.checks import (
    Machine,
    PlacedStep,
    check_fleet,
    check_http2,
    check_machine,
    check_order,
    check_parts,
    check_targets,
    check_thresholds,
    read_steps,
)
from hps.spec.explain import EXPLAINERS
from hps.spec.formats import strip_slashes
from hps.spec.interpolate import Filled, fill_in
from hps.spec.overrides import apply_overrides
from hps.spec.problems import Problem, SpecError, in_order, lines
from hps.spec.schema import Checked, check_schema
from hps.spec.secret_values import SECRET_KEYS, mask_lines
from hps.spec.source import SpecText, decode
from hps.spec.sweep import Sweep, check_cells, fits, read_sweep
from hps.spec.target_checks import check_providers
from hps.spec.yaml_tree import MapNode, Node, compose, problem_at, to_plain
from hps.units import parse_moment, parse_rate_mbps, parse_size_bytes, parse_time_s

# -------------------------------------------------------------------------------------------------
# A tree without problems -> the values of a `Spec`.

_PLAIN_TARGET_KEYS = ("provider", "bucket", "region", "force_path_style", "ca_cert", "account")
_PLAIN_NODE_KEYS = ("on_reject", "on_unknown", "on_complete")


def _node(written: dict[str, Any]) -> NodeRules:
    values: dict[str, Any] = {key: written[key] for key in _PLAIN_NODE_KEYS if key in written}
    for key in ("min_upload", "min_download"):
        if key in written:
            # 0 asks for nothing, and so nothing is probed for it.
            values[f"{key}_mbps"] = parse_rate_mbps(written[key]) or None
    for key in ("min_gpu_memory", "min_disk"):
        if key in written:
            values[f"{key}_bytes"] = parse_size_bytes(written[key])
    if "max_rtt" in written:
        values["max_rtt_s"] = parse_time_s(written["max_rtt"])
    countries = tuple(written.get("countries", ()))
    return NodeRules(countries=countries, probe=_probe(written.get("probe", {})), **values)


def _order(written: dict[str, Any]) -> Order:
    return Order(
        kind=written.get("kind", Order().kind), seed=int(written.get("seed", Order().seed))
    )


def _fleet(written: dict[str, Any] | None) -> Fleet | None:
    if written is None:
        return None
    share, until = written.get("per_node"), written.get("until")
    part: dict[str, Any] = share if isinstance(share, dict) else {}
    return Fleet(
        nodes=int(written["nodes"]) if "nodes" in written else None,
        cells=int(part["cells"]) if "cells" in part else None,
        for_s=60.0 * int(part["minutes"]) if "minutes" in part else None,
        until_s=None if until is None else parse_time_s(until),
        together=written.get("start") == "together",
        starts_at=parse_moment(written["starts_at"]) if "starts_at" in written else None,
        seed=int(written.get("seed", Fleet().seed)),
    )


def _results(written: dict[str, Any], first_target: str) -> ResultsPlace:
    folder = strip_slashes(written.get("folder", "results"))
    return ResultsPlace(target=written.get("target", first_target), folder=folder)


def _target(name: str, written: dict[str, Any]) -> Target:
    values: dict[str, Any] = {key: written[key] for key in _PLAIN_TARGET_KEYS if key in written}
    for key in SECRET_KEYS:
        if key in written:
            values[key] = SecretRef(env=written[key]["env"])
    for key in {"endpoint", "authority"} & set(written):
        values[key] = written[key].rstrip("/")
    if "quirks" in written:
        values["quirks"] = tuple(written["quirks"].items())
    return Target(name=name, folder=strip_slashes(written.get("folder", "")), **values)


def _probe(written: dict[str, Any]) -> ProbeSettings:
    default = ProbeSettings()
    return ProbeSettings(
        method=written.get("method", default.method),
        target=written.get("target"),
        duration_s=float(written.get("seconds", default.duration_s)),
        connections=int(written.get("connections", default.connections)),
        rtt_hosts=tuple(written.get("rtt_hosts", ())),
    )


# -------------------------------------------------------------------------------------------------
# The digest by which experiments are told apart: of all that was declared, and of no secret.


def digest(content: bytes, overrides: Sequence[str], env_values: Mapping[str, str]) -> str:
    """SHA-256 of the file as written, of the overrides, and of what the environment filled in.

    `env_values` has the values that are not the defaults in the file: without overrides, and with
    every default in place, the digest is that of the file.
    """
    whole = hashlib.sha256(content)
    for override in overrides:
        whole.update(b"\0" + override.encode(errors="surrogateescape"))
    for name, value in sorted(env_values.items()):
        # Neither arguments nor variables can hold a NUL, so that no other input has these bytes.
        whole.update(b"\0\0" + f"{name}={value}".encode(errors="surrogateescape"))
    return whole.hexdigest()


# -------------------------------------------------------------------------------------------------
# Problems with the lines of the file that they are in, secrets masked.


def with_source_lines(problems: Iterable[Problem], source: SpecText) -> Iterator[Problem]:
    """The same problems; those in the file with their line, in which secrets are masked."""
    masked = _masked_lines(source)
    for problem in problems:
        if problem.file == source.name and problem.line <= len(masked):
            yield replace(problem, source_line=masked[problem.line - 1])
        else:
            yield problem


def _masked_lines(source: SpecText) -> list[str]:
    try:
        text = decode(source)
    except SpecError:
        return []
    return mask_lines(lines(text), compose(text, source.name).root)


# -------------------------------------------------------------------------------------------------


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
    """The experiment, checked; with a machine also against its memory and disk.

    `env` fills in `${…}`, and need not hold the secrets, which are only named. `interpolate` says
    which variables a source that is not trusted may use; overrides may use all but secrets.
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
    """As `load`, with warnings about what is allowed and probably not meant."""
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
    checked = check_schema(filled.root, EXPLAINERS)
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
    yield from check_fleet(checked)
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
        isinstance(node, yaml_tree.ScalarNode) and node.value == "embedded" for node in providers
    )


def _build(
    filled: Filled,
    sweep: Sweep,
    steps: tuple[PlacedStep, ...],
    source: SpecText,
    overrides: Sequence[str],
) -> Spec:
    written: Any = to_plain(filled.root)
    targets = {name: _target(name, keys) for name, keys in written["targets"].items()}
    return Spec(
        api=written["api"],
        name=written["name"],
        description=written.get("description", ""),
        targets=MappingProxyType(targets),
        data=sweep.data,
        matrix=sweep.matrix,
        steps=tuple(step.as_step() for step in steps),
        results=_results(written.get("results", {}), next(iter(targets))),
        node=_node(written.get("node", {})),
        repetitions=int(written.get("repetitions", 1)),
        warmup=int(written.get("warmup", 0)),
        order=_order(written.get("order", {})),
        timeout_s=parse_time_s(written["timeout"]) if "timeout" in written else None,
        fleet=_fleet(written.get("fleet")),
        source=source.name,
        text=decode(source),
        sha256=digest(source.content, overrides, filled.env_values),
        overrides=tuple(overrides),
        thresholds=tuple(written.get("thresholds", ())),
    )


def _start_of_file(file: str) -> yaml_tree.Mark:
    return yaml_tree.Mark(file=file, line=1, column=1, end_line=1, end_column=2)


def _empty(file: str) -> Problem:
    hint = "write at least api, name, targets, data and steps"
    return problem_at(_start_of_file(file), "the file is empty", rule="empty-file", hint=hint)


def _not_a_mapping(root: Node, file: str) -> Problem:
    if isinstance(root, yaml_tree.ScalarNode) and root.value is None:
        return _empty(file)
    what = "a list" if isinstance(root, yaml_tree.ListNode) else "a single value"
    hint = "expected 'key: value' lines, beginning with api: hps/v1"
    return problem_at(
        root.mark, f"the file holds {what}, not a mapping", rule="not-a-mapping", hint=hint
    )

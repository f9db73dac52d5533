"""Checking experiment files one by one, so that one bad file hides no other."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hps import spec as specs
from hps.errors import HpsError
from hps.model import Spec
from hps.node import cgroup
from hps.plan import expand
from hps.source import failed_run, read, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One file: its experiment, or its problems. `source` None: it could not be read."""

    name: str
    source: specs.SpecText | None = None
    spec: Spec | None = None
    problems: tuple[specs.Problem, ...] = ()


def this_machine() -> specs.Machine:
    """What this machine has for an experiment: memory, and disk where temporary files go."""
    return specs.Machine(
        memory_bytes=cgroup.memory_total_bytes() or 0,
        disk_free_bytes=shutil.disk_usage(tempfile.gettempdir()).free,
        cpus=os.cpu_count() or 1,
    )


def check(
    name: str, overrides: Sequence[str], env: Mapping[str, str], machine: specs.Machine | None
) -> Checked:
    """Read and check one file, wherever it is. Never raises for what is wrong with it."""
    try:
        source = read(name, env)
    except HpsError as error:
        safe = shown(name)
        problem = specs.Problem(file=safe, message=error.message, hint=error.hint, rule="file")
        return Checked(name=safe, problems=(problem,))
    try:
        loaded = specs.load(source, env=env, overrides=overrides, machine=machine)
    except specs.SpecError as error:
        return Checked(name=source.name, source=source, problems=error.problems)
    return Checked(name=source.name, source=source, spec=loaded)


def nothing_given(error: HpsError) -> Checked:
    """What stands for an experiment where none was named."""
    problem = specs.Problem(file="", message=error.message, hint=error.hint, rule="file")
    return Checked(name="", problems=(problem,))


def store_failure(checked: Checked, env: Mapping[str, str]) -> str:
    """Store that a run never began, if the environment says where. Returns what to tell of it."""
    if not failed_run.is_wanted(env):
        return ""
    reason = "\n".join(map(str, checked.problems))
    failed = failed_run.describe(checked.source, checked.name, reason)
    stored = failed_run.store(failed, env)
    return f"stored as {stored.place}" if stored.place else f"not stored: {stored.error}"


def render(files: Sequence[Checked], style: str, *, terminal: bool) -> str:
    """The answer for standard output, in `text`, `json` or `github`."""
    problems = [problem for checked in files for problem in checked.problems]
    if style == "json":
        return specs.to_json(problems)
    if style == "github":
        return specs.to_github(problems)
    return "".join(_text(checked, terminal) for checked in files)


def explain(checked: Checked, *, terminal: bool) -> str:
    """The problems of one file; on a terminal with the source line, a caret and colour."""
    return specs.to_text(checked.problems, colour=terminal, with_source=terminal)


def _text(checked: Checked, terminal: bool) -> str:
    if checked.spec is None:
        return explain(checked, terminal=terminal)
    plan = expand(checked.spec)
    return f"{checked.name}: ok, {len(plan.cells)} cells, {len(plan.operations)} operations\n"

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One file: its experiment, or its problems."""

    name: str
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
    """Read and check one file. Never raises for what is wrong with it."""
    try:
        source = specs.read_file(name)
        loaded = specs.load(source, env=env, overrides=overrides, machine=machine)
    except specs.SpecError as error:
        return Checked(name=name, problems=error.problems)
    except HpsError as error:
        problem = specs.Problem(file=name, message=error.message, hint=error.hint, rule="file")
        return Checked(name=name, problems=(problem,))
    return Checked(name=name, spec=loaded)


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

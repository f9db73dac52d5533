"""Checking experiment files one by one, so that one bad file hides no other."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import click

from hps.cli import output
from hps.errors import EXIT_USAGE, HpsError
from hps.model import Spec
from hps.plan.expand import expand
from hps.process import cgroup, temporary
from hps.redaction import Scrubber
from hps.run import failed as failed_run
from hps.source import read, shown
from hps.spec import odd_values
from hps.spec.checks import Machine
from hps.spec.load import load_and_warn
from hps.spec.problems import Problem, SpecError, as_data, to_github, to_text, visible
from hps.spec.source import STDIN, SpecText, read_stream

_STDIN = "-"
_EXPERIMENT = "EXPERIMENT"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedFile:
    """One file: its experiment, perhaps with warnings, or its problems.

    `source` None: it could not be read.
    """

    name: str
    source: SpecText | None = None
    spec: Spec | None = None
    problems: tuple[Problem, ...] = ()


def this_machine() -> Machine:
    """Memory of this machine, and free disk where temporary files go; None where unknown."""
    return Machine(memory_bytes=cgroup.memory_total_bytes(), disk_free_bytes=temporary.free_bytes())


def check(
    name: str, overrides: Sequence[str], env: Mapping[str, str], machine: Machine | None
) -> CheckedFile:
    """Read and check one file, wherever it is; `-` is standard input.

    Never raises for what is wrong with it.
    """
    try:
        source = _read(name, env)
    except HpsError as error:
        safe = STDIN if name == _STDIN else visible(shown(name))
        problem = Problem(file=safe, message=error.message, hint=error.hint, rule="file")
        return CheckedFile(name=safe, problems=(problem,))
    try:
        loaded = load_and_warn(source, env=env, overrides=overrides, machine=machine)
    except SpecError as error:
        return CheckedFile(name=source.name, source=source, problems=error.problems)
    return CheckedFile(name=source.name, source=source, spec=loaded.spec, problems=loaded.warnings)


def named(files: Sequence[str], otherwise: str | None) -> Sequence[str]:
    """The files, or without any `otherwise`. Raises `HpsError` where that is empty, too."""
    if files or otherwise:
        return files or [str(otherwise)]
    raise no_experiment("validate")


def no_experiment(command: str) -> HpsError:
    return HpsError(
        "no experiment: neither FILE nor EXPERIMENT is given",
        f"for example: hps {command} experiments/quickstart.yaml",
    )


def without_file(error: HpsError) -> CheckedFile:
    """What to store as the failure of a run for which no file was named."""
    problem = Problem(file="", message=error.message, hint=error.hint, rule="file")
    return CheckedFile(name="", problems=(problem,))


def store_failure(checked: CheckedFile, env: Mapping[str, str]) -> str:
    """Store that a run never began, if the environment says where. Returns where, or why not."""
    if not failed_run.is_wanted(env):
        return ""
    reason = "\n".join(map(str, checked.problems))
    failed = failed_run.describe(checked.source, checked.name, reason)
    stored = failed_run.store(failed, env)
    return f"stored as {stored.place}" if stored.place else f"not stored: {stored.error}"


def print_problems(checked: CheckedFile) -> None:
    """Print the problems of a file on standard error, without secrets; on a terminal in colour."""
    output.write_stderr(Scrubber({}).text(_explained(checked, sys.stderr.isatty())))


def load(file: str | None, overrides: Sequence[str], env: Mapping[str, str], command: str) -> Spec:
    """The experiment that a command is about.

    Raises `HpsError` where no file is named; prints the problems of one that is wrong, and exits.
    """
    return load_with_source(file, overrides, env, command)[0]


def load_with_source(
    file: str | None, overrides: Sequence[str], env: Mapping[str, str], command: str
) -> tuple[Spec, SpecText]:
    """The same, with what was read."""
    if not file:
        raise no_experiment(command)
    checked = check(file, overrides, env, None)
    if checked.spec is None or checked.source is None:
        print_problems(checked)
        raise click.exceptions.Exit(EXIT_USAGE)
    output.keep_out_secrets_of(checked.spec)
    return checked.spec, checked.source


def render(files: Sequence[CheckedFile], style: str, *, terminal: bool) -> str:
    """The answer for standard output, in `text`, `json` or `github`, without any secret."""
    return Scrubber({}).text(_rendered(files, style, terminal))


def _rendered(files: Sequence[CheckedFile], style: str, terminal: bool) -> str:
    if style == "json":
        text = json.dumps(list(map(_data, files)), indent=2, ensure_ascii=False) + "\n"
        # The name of a file may hold bytes that are no text.
        return text.encode(errors="backslashreplace").decode()
    if style == "github":
        return to_github(problem for checked in files for problem in checked.problems)
    return "".join(_text(checked, terminal) for checked in files)


def _explained(checked: CheckedFile, terminal: bool) -> str:
    """The problems of one file; on a terminal with the source line, a caret and colour."""
    return to_text(checked.problems, colour=terminal, with_source=terminal)


def _text(checked: CheckedFile, terminal: bool) -> str:
    problems = _explained(checked, terminal)
    if checked.spec is None:
        return problems
    plan = expand(checked.spec)
    cells = _counted(len(plan.cells), "cell")
    operations = _counted(len(plan.operations), "operation")
    return f"{problems}{checked.name}: ok, {cells}, {operations}\n"


def _data(checked: CheckedFile) -> dict[str, object]:
    """One file for programs; of one that is wrong, null for what is unknown."""
    spec = checked.spec
    plan = expand(spec) if spec is not None else None
    return {
        "file": checked.name,
        "valid": spec is not None,
        "experiment": spec.name if spec is not None else None,
        "spec_sha256": spec.sha256 if spec is not None else None,
        "cells": len(plan.cells) if plan is not None else None,
        "operations": len(plan.operations) if plan is not None else None,
        "errors": as_data(p for p in checked.problems if p.severity == "error"),
        "warnings": as_data(p for p in checked.problems if p.severity == "warning"),
    }


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _read(name: str, env: Mapping[str, str]) -> SpecText:
    if name == env.get(_EXPERIMENT):
        odd_values.checked(_EXPERIMENT, name)
    if name != _STDIN:
        return read(name, env)
    return read_stream(sys.stdin.buffer if sys.stdin is not None else None)

"""What only commands over stored results need is not imported by the other commands."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.command import REPOSITORY

_HEAVY = {"duckdb", "scipy", "numpy", "altair", "vl_convert", "jinja2", "structlog", "tabulate"}


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["tools", "--help"], ["results", "--help"], ["results", "query", "-h"]],
)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys\nfrom hps.cli.main import cli\n"
        f"try:\n    cli({arguments!r})\nexcept SystemExit as end:\n    code = end.code\n"
        "print('LOADED', code, *sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    told = done.stdout.rpartition("LOADED ")[2].split()
    assert told[0] == "0"
    assert _HEAVY & set(told) == set()


def test_all_commands_are_in_the_help() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hps", "--help"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    listed = [
        line.split()[0] for line in done.stdout.partition("Commands:")[2].splitlines() if line
    ]
    assert {"validate", "plan", "run", "node", "results", "compare", "report"} <= set(listed)


def test_running_planning_and_cleaning_need_no_extra() -> None:
    needed = "hps.cli.run, hps.clean.text, hps.report.plan_text, hps.report.node_text"
    program = f"import sys, {needed}\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert {"duckdb", "scipy", "numpy", "vl_convert", "jinja2"}.isdisjoint(done.stdout.split())

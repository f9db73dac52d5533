"""`hps clean`: what interrupted runs left in the targets of an experiment."""

from __future__ import annotations

import json
import os
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from hps.cli import options
from hps.cli.output import answer
from hps.errors import HpsError

if TYPE_CHECKING:
    from hps.clean.cleaning import Cleaned, CleanRequest
    from hps.log import Format


_OUTPUT = Path("hps-results")
_OLDER_THAN = "24h"
_OPTIONS = {"output": "--output", "run_id": "--run", "older_than": "--older-than"}


class _Chosen(TypedDict):
    """Options that only say which runs are meant, and whether their objects are removed."""

    run_id: str
    older_than: str
    yes: bool


@click.command()
@options.experiment_file
@options.same_overrides
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=_OUTPUT,
    show_default=True,
    envvar="HPS_OUTPUT",
    help="Folder where runs on this machine keep results: it tells which are at work.",
)
@click.option("--run", "run_id", metavar="RUN_ID", default="", help="Only this run.")
@click.option(
    "--older-than",
    metavar="TIME",
    default=_OLDER_THAN,
    show_default=True,
    help="A run of which nothing has been seen for so long is not at work on another machine.",
)
@click.option("--yes", is_flag=True, help="Remove what is listed and not kept.")
@options.style("text", "json")
@options.log_style
@click.pass_context
def clean(
    context: click.Context,
    file: str | None,
    overrides: tuple[str, ...],
    output: Path,
    style: str,
    log_style: Format,
    **chosen: Unpack[_Chosen],
) -> None:
    """List what interrupted runs left in an experiment's targets; with --yes remove it.

    Listed are the objects and the incomplete multipart uploads that runs made below
    FOLDER/data/EXPERIMENT/RUN_ID/, and nothing else is ever removed. What a run that is at work
    has there is kept: one on this machine says so itself, one elsewhere is known by its latest
    object, upload or journal.

    FILE is an experiment; without it, the one that EXPERIMENT names. Exit codes: 0 done, or nothing
    to do; 1 something could not be looked at or removed; 2 usage or experiment; 130, 143 stopped.
    """
    from hps.clean import text
    from hps.clean.cleaning import clean as look_and_remove
    from hps.cli import validate
    from hps.cli.output import configure_log
    from hps.log import events
    from hps.process.stop import on_signals

    request, env = _request(chosen), dict(os.environ)
    spec = validate.load(file, overrides, env, "clean")
    scrubber = configure_log(spec, env, log_style)
    with on_signals() as stop:
        cleaned = look_and_remove(spec, env, output, request, stop, events().info)
    cleaned = text.without_secrets(cleaned, scrubber.text)
    command = scrubber.text(_command_with_yes(context))
    answer(_rendered(cleaned, spec.name, command, style))
    context.exit(stop.exit_code if stop.is_set() else cleaned.code)


def _request(chosen: _Chosen) -> CleanRequest:
    from hps.clean.cleaning import CleanRequest
    from hps.run_folder import is_run_id
    from hps.units import parse_time_s

    run_id = chosen["run_id"]
    if run_id and not is_run_id(run_id):
        hint = "such as 20261122T101530123Z-5f3a9c04b7d1, as `hps clean` lists them"
        raise HpsError(f"--run: '{run_id}' is not the id of a run", hint)
    try:
        older_than_s = parse_time_s(chosen["older_than"])
    except HpsError as error:
        raise HpsError(f"--older-than: {error.message}", error.hint) from None
    return CleanRequest(older_than_s=older_than_s, run_id=run_id, remove=chosen["yes"])


def _rendered(cleaned: Cleaned, experiment: str, command: str, style: str) -> str:
    """The answer; as text it names the `command` that removes what is listed."""
    from hps.clean import text

    if style == "json":
        return json.dumps(text.as_data(cleaned, experiment), indent=1) + "\n"
    return text.render(cleaned, experiment, command, datetime.now(UTC))


def _command_with_yes(context: click.Context) -> str:
    given = context.params
    words = ["hps", "clean", given["file"]]
    words += [word for value in given["overrides"] for word in ("--set", value)]
    for name, default in (("output", _OUTPUT), ("run_id", ""), ("older_than", _OLDER_THAN)):
        if given[name] != default:
            words += [_OPTIONS[name], str(given[name])]
    return shlex.join([*words, "--yes"])

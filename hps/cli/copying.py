"""`hps results pull` and `hps results compact`: results from a bucket, and to it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hps.cli import options, stored
from hps.cli.output import answer, require_report
from hps.errors import EXIT_OK, EXIT_OPERATION_FAILED, HpsError

if TYPE_CHECKING:
    from hps.log import Format
    from hps.results.pull import Pulled


_EXPERIMENT = "EXPERIMENT"


@click.command()
@click.argument("what", nargs=-1, metavar="[EXPERIMENT|FILE]...")
@click.option("--from", "where", envvar=_EXPERIMENT, metavar="r2|s3|FILE", help=options.PLACE_HELP)
@options.folder
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("hps-cache"),
    show_default=True,
    envvar="HPS_CACHE",
    help="Folder to bring them to.",
)
@options.style("text", "json")
@options.log_style
@click.pass_context
def pull(
    context: click.Context,
    what: tuple[str, ...],
    where: str | None,
    folder: str | None,
    cache: Path,
    style: str,
    log_style: Format,
) -> None:
    """Fetch results from a bucket: only what is new.

    Without an EXPERIMENT, those of all. FILE is an experiment file: its results are fetched, from
    where it stores them. It can be stopped at any time, and goes on where it was; a run that has
    grown since is fetched again. Exit code 1: some files could not be fetched.
    """
    from hps.results.pull import pull as fetch

    env = dict(os.environ)
    files = [one for one in what if stored.is_file(one)]
    names = [stored.experiment(one, env).name if one in files else one for one in what]
    if len(files) > 1:
        raise HpsError("more than one experiment file is named", "pull from one after the other")
    place = stored.place(files[0] if files and _is_default(context) else where, folder, env)
    with stored.shown(log_style, place.secrets) as watch:
        stored.event("pulling", place=place.name, cache=str(cache))
        pulled = fetch(place, cache, names, watch)
    if not (pulled.new or pulled.changed or pulled.unchanged or pulled.missing):
        of = f" of {', '.join(names)}" if names else ""
        stored.remark(f"there are no results{of} at {place.name}")
    answer(_pulled(pulled, cache, style))
    context.exit(EXIT_OPERATION_FAILED if pulled.missing else EXIT_OK)


def _is_default(context: click.Context) -> bool:
    source = context.get_parameter_source("where")
    return source is not click.core.ParameterSource.COMMANDLINE


def _pulled(pulled: Pulled, cache: Path, style: str) -> str:
    from hps.report.results_text import printable
    from hps.units import format_size_rounded

    if style == "json":
        fields = ("new", "changed", "unchanged", "bytes", "skipped", "missing")
        return json.dumps({name: getattr(pulled, name) for name in fields}, indent=1) + "\n"
    size = format_size_rounded(pulled.bytes)
    lines = [
        f"{pulled.new} new, {pulled.changed} changed and {pulled.unchanged} unchanged files in "
        f"{cache}; {size} fetched"
    ]
    lines += [f"skipped: {name}: {why}" for name, why in pulled.skipped.items()]
    lines += [f"not fetched: {name}: {why}" for name, why in pulled.missing.items()]
    return "".join(f"{printable(line)}\n" for line in lines)


@click.command()
@click.argument("experiments", nargs=-1, metavar="[EXPERIMENT]...")
@click.option("--to", "where", envvar=_EXPERIMENT, metavar="r2|s3|FILE", help=options.PLACE_HELP)
@options.folder
@options.inputs
@options.style("text", "json")
@options.log_style
def compact(
    experiments: tuple[str, ...],
    where: str | None,
    folder: str | None,
    inputs: tuple[Path, ...],
    style: str,
    log_style: Format,
) -> None:
    """Write all runs of each experiment and day as Parquet to the bucket, for any engine.

    They stand in compact/results/experiment=…/day=…/ and compact/runs/… beside the results. What
    a file there has is kept; the results themselves are never touched. Again does no harm.
    """
    require_report()
    from dataclasses import asdict

    from hps.results.compact import compact as write
    from hps.results.files import default_inputs

    env = dict(os.environ)
    place = stored.place(where, folder, env)
    with stored.shown(log_style, place.secrets) as watch:
        done = write(place, tuple(inputs) or default_inputs(env), experiments, watch, stored.remark)
    if style == "json":
        answer(json.dumps(asdict(done), indent=1) + "\n")
    else:
        answer(
            f"{done.runs} runs with {done.results} results in {done.files} files at "
            f"{place.name}/compact; {done.sent} sent, {done.left_out} runs left out\n"
        )

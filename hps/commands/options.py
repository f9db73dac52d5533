"""Options that several commands over stored results have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

PLACE_HELP = (
    "r2 or s3: that bucket, results/ below FOLDER; or an experiment FILE: where that stores them. "
    "[default: the experiment that EXPERIMENT names, else r2 or s3, whichever is set]"
)
inputs = click.option(
    "--input",
    "inputs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A file or folder of results. May be repeated. [default: hps-results, hps-cache]",
)
log_style = click.option(
    "--log",
    "log_style",
    type=click.Choice(["auto", "json", "text"]),
    default="auto",
    show_default=True,
    envvar="HPS_LOG",
    help="Events on standard error: auto is text on a terminal, JSON elsewhere.",
)
folder = click.option(
    "--folder", help="Folder of the results in the bucket. [default: results, or as in FILE]"
)


def style(*styles: str) -> Callable[[Any], Any]:
    """`--format`: the first is the default."""
    return click.option(
        "--format", "style", type=click.Choice(styles), default=styles[0], show_default=True
    )

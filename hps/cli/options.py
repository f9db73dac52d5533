"""Options that several commands over stored results have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from hps.errors import HpsError

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


class Seconds(click.ParamType[float]):
    """`30s`, `2m`, or `0s`."""

    name = "time"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The seconds; says what to write instead where it is no time."""
        from hps.units import parse_time_s

        try:
            return value if isinstance(value, float) else parse_time_s(str(value))
        except HpsError as error:
            self.fail(f"{error.message}: {error.hint}", param, ctx)


def wait(default: str) -> Callable[[Any], Any]:
    """`--wait`: how long a target that can't be reached is tried again."""
    return click.option(
        "--wait",
        "wait_s",
        type=Seconds(),
        default=default,
        show_default=True,
        metavar="TIME",
        help="Try a target that can't be reached again for so long.",
    )


def checking(command: Any) -> Any:
    """Whether and how long a run tries its targets first."""
    no_check = click.option(
        "--check/--no-check",
        default=True,
        show_default=True,
        help="Try each target before anything is measured.",
    )
    return no_check(wait("30s")(command))


def style(*styles: str) -> Callable[[Any], Any]:
    """`--format`: the first is the default."""
    return click.option(
        "--format", "style", type=click.Choice(styles), default=styles[0], show_default=True
    )

"""Options that several commands have, and the question that those over stored results ask."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import click

from hps.errors import HpsError
from hps.units import parse_time_s

if TYPE_CHECKING:
    from hps.compare.comparison import Findings
    from hps.compare.selection import Question


def _set(example: str) -> Callable[[Any], Any]:
    return click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help=f"Change one value of the file, {example}. May be repeated.",
    )


experiment_file = click.argument("file", required=False, envvar="EXPERIMENT")
overrides = _set("for example --set data.size=50MiB")
same_overrides = _set("as for the run")
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


class Quantity(click.ParamType[float]):
    """A number with a unit; `parse` raises `HpsError` where it can't be read."""

    def __init__(self, name: str, parse: Callable[[str], float], *, least: str = "") -> None:
        self.name = name
        self._parse = parse
        self._least = least

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        try:
            found = value if isinstance(value, float) else self._parse(str(value))
        except HpsError as error:
            self.fail(f"{error.message}: {error.hint}", param, ctx)
        if self._least and found < self._parse(self._least):
            self.fail(f"'{value}' is too little: write {self._least} or more", param, ctx)
        return found


def wait(default: str) -> Callable[[Any], Any]:
    """`--wait`: how long a target that can't be reached is tried again."""
    return click.option(
        "--wait",
        "wait_s",
        type=Quantity("time", parse_time_s),
        default=default,
        show_default=True,
        metavar="TIME",
        help="Try a target that can't be reached again for so long.",
    )


def checking(command: Any) -> Any:
    """`--check` and `--wait`: whether and how long a run tries its targets first."""
    no_check = click.option(
        "--check/--no-check",
        default=True,
        show_default=True,
        help="Try each target before anything is measured.",
    )
    return no_check(wait("30s")(command))


# Of the bounds of a fleet; a year has 8784 hours at most.
class _Bound(click.FloatRange):
    """More than 0, and a number: `nan` is within any range."""

    def __init__(self, most: float) -> None:
        super().__init__(min=0, min_open=True, max=most)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        found = float(super().convert(value, param, ctx))
        if math.isnan(found):
            self.fail(f"'{value}' is no number", param, ctx)
        return found


HOURS = _Bound(8784)
DOLLARS = _Bound(1_000_000)


class EngineOptions(TypedDict):
    """What `engine` gives a command; a name that is not given is empty."""

    engine: str
    organization: str
    project: str
    cluster: str
    namespace: str


def engine(*names: str, required: bool = True) -> Callable[[Any], Any]:
    """`--engine`, and where in it the nodes are."""
    chosen = click.option(
        "--engine", type=click.Choice(names), required=required, help="Who has the nodes."
    )
    places = (
        ("organization", "", "SaladCloud: the organization. [default: SALAD_ORGANIZATION]"),
        ("project", "", "SaladCloud: the project. [default: SALAD_PROJECT]"),
        ("context", "cluster", "Kubernetes: the context. [default: the current one]"),
        ("namespace", "", "Kubernetes: the namespace. [default: the context's]"),
    )

    def decorate(command: Any) -> Any:
        for option, name, text in reversed(places):
            command = click.option(f"--{option}", name or option, default="", help=text)(command)
        return chosen(command)

    return decorate


def watching(default: str, what: str) -> Callable[[Any], Any]:
    """`--watch`, with `what` it does, and `--every`."""
    every = click.option(
        "--every",
        "every_s",
        type=Quantity("time", parse_time_s, least="1s"),
        default=default,
        show_default=True,
        metavar="TIME",
        help="With --watch: so long from one look to the next.",
    )
    flag = click.option("--watch", is_flag=True, help=what)
    return lambda command: flag(every(command))


def style(*styles: str, help: str | None = None) -> Callable[[Any], Any]:  # noqa: A002 - as click's
    """`--format`: the first is the default."""
    kind = click.Choice(styles)
    return click.option(
        "--format", "style", type=kind, default=styles[0], show_default=True, help=help
    )


# -------------------------------------------------------------------------------------------------
# The question that several commands ask of stored results.

_SHARE = re.compile(r"(?P<number>\d{1,3}(?:\.\d{1,9})?)\s*(?P<percent>%?)", re.ASCII)


class Share(click.ParamType[float]):
    """`5%`, or `0.05`."""

    name = "share"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        match = _SHARE.fullmatch(str(value).strip())
        share = float(match["number"]) / (100 if match["percent"] else 1) if match else None
        if share is None or (share >= 1 and match and not match["percent"]):
            self.fail(f"'{value}' is no share: write 5% or 0.05", param, ctx)
        return share


def _joined(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> str:
    """Several are one list, as if they had been written with commas."""
    return ",".join(value)


_CELLS = (
    click.argument("what", nargs=-1, metavar="[EXPERIMENT|FILE]..."),
    click.option(
        "--by",
        multiple=True,
        default=("chunk_size,concurrency",),
        show_default=True,
        callback=_joined,
        metavar="NAME[,NAME]",
        help="What tells cells apart: knobs, or experiment, spec, commit, date, run, node, "
        "tool_version, country, gpu, rtt, bandwidth, proxied.",
    ),
    click.option(
        "--where",
        multiple=True,
        metavar="NAME=VALUE[,VALUE]",
        help="Only results that meet it, such as 'rtt<50ms', step=download or "
        "'not disturbed'; several are joined by AND.",
    ),
)
_JUDGING = (
    click.option(
        "--baseline",
        metavar="NAME=VALUE|PATH",
        help="What to compare with: a cell (chunk_size=5MiB), an earlier time "
        "(date=2026-11-01, commit=…, spec=…, run=…), or results stored at a path. Of an earlier "
        "time only runs that began after the last run of the baseline count as now; a run is of "
        "the day (UTC) on which it began.",
    ),
    click.option(
        "--min-effect",
        type=Share(),
        default="5%",
        show_default=True,
        metavar="SHARE",
        help="The least difference that matters.",
    ),
    click.option(
        "--alpha",
        type=Share(),
        default="0.05",
        show_default=True,
        metavar="SHARE",
        help="How often equal cells may be called different.",
    ),
)


def _strata(default: str) -> Callable[[Any], Any]:
    return click.option(
        "--strata",
        default=default,
        show_default=bool(default),
        metavar="NAME[,NAME]",
        help="An answer for each class of nodes: rtt, bandwidth, country, gpu, proxied.",
    )


def question(*, strata: str) -> Callable[[Any], Any]:
    """The argument `what` and the options of a question; `strata` is the default of `--strata`."""

    def decorate(command: Any) -> Any:
        for decorator in reversed((*_CELLS, _strata(strata), *_JUDGING, inputs)):
            command = decorator(command)
        return command

    return decorate


def _paths_and_names(what: Sequence[str]) -> tuple[list[Path], tuple[str, ...]]:
    """Paths that exist, and all else as names of experiments.

    Raises `HpsError` for what looks like a path and doesn't exist.
    """
    paths = [Path(text) for text in what if Path(text).exists()]
    names = tuple(text for text in what if not Path(text).exists())
    for name in names:
        if "/" in name or name.endswith((".jsonl", ".parquet")):
            raise HpsError(f"there is no file or folder {name}", "name one, or an experiment")
    return paths, names


def compare_stored(*, what: Sequence[str], inputs: Sequence[Path], **asked: Any) -> Findings:
    """The answer to the question, from stored results. Raises `HpsError`.

    The arguments are those that `question` gives a command: `what` and `inputs` name the results.
    """
    paths, experiments = _paths_and_names(what)
    from hps.compare.comparing import find
    from hps.results.files import default_inputs

    places = (*paths, *inputs) or default_inputs(os.environ)
    return find(places, _question(experiments, **asked))


def check_question(*, what: Sequence[str], inputs: Sequence[Path], **asked: Any) -> None:
    """Raise `HpsError` where the question can't be read, whatever there is to answer it with."""
    from hps.compare.selection import read

    read(_question(tuple(what), **asked))


def _question(
    experiments: tuple[str, ...],
    *,
    by: str,
    where: tuple[str, ...],
    strata: str,
    baseline: str | None,
    min_effect: float,
    alpha: float,
) -> Question:
    from hps.compare.comparison import Rule
    from hps.compare.selection import Question

    return Question(
        experiments=experiments,
        by=_listed(by),
        where=where,
        strata=_listed(strata),
        baseline=baseline,
        rule=Rule(alpha=alpha, min_effect=min_effect),
    )


def _listed(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())

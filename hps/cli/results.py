"""`hps results`: bring together what nodes have stored, look at it, ask it, hand it on."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hps.cli import options, output
from hps.cli.output import answer, require_report
from hps.errors import EXIT_OK, EXIT_OPERATION_FAILED, HpsError
from hps.process import temporary

if TYPE_CHECKING:
    from hps.log import Format
    from hps.model import Spec
    from hps.results.pull import Pulled
    from hps.results.query import QueryAnswer
    from hps.results.tables import Tables
    from hps.targets.copy import BucketPlace
    from hps.tools.client import Progress


# -------------------------------------------------------------------------------------------------
# What the commands over stored results share: tables, the bucket, and the progress of a copy.

_MOST_NAMED = 10
_WELL_KNOWN = ("r2", "s3")
_EVENT_EVERY_S = 10.0


@contextlib.contextmanager
def opened(inputs: Sequence[Path]) -> Iterator[Tables]:
    """The tables of these inputs, or of the default ones; files passed over are named on stderr."""
    require_report()
    from hps.results import tables
    from hps.results.files import default_inputs

    with tables.opened(tuple(inputs) or default_inputs(os.environ), remark) as found:
        print_skipped(found.skipped)
        yield found


def print_skipped(skipped: Mapping[str, str]) -> None:
    """Name on standard error the files that were passed over, in part or whole, and why."""
    for path, why in list(skipped.items())[:_MOST_NAMED]:
        remark(f"passed over: {path}: {why}")
    if len(skipped) > _MOST_NAMED:
        remark(f"and {len(skipped) - _MOST_NAMED} more files")


def remark(text: str) -> None:
    """Print a line on standard error, with what a terminal would obey replaced."""
    from hps.errors import printable

    output.print_error(f"hps: {printable(text)}")


def find_place(where: str | None, folder: str | None, env: Mapping[str, str]) -> BucketPlace:
    """Where results are: in `r2` or `s3`, or where the experiment file `where` stores them.

    `where` None: in `r2` or `s3`, whichever has its variables set. Raises `HpsError`.
    """
    from hps.targets.copy import place_of, well_known_place

    name = (where or _configured_name(env)).removesuffix(":")
    if name in _WELL_KNOWN:
        return well_known_place(name, folder, env)
    return place_of(load_experiment(str(where), env), folder, env)


def load_experiment(file: str, env: Mapping[str, str]) -> Spec:
    """An experiment file, read and checked. Raises `HpsError` with the first thing wrong."""
    from hps.cli import validate

    checked = validate.check(file, (), env, None)
    if checked.spec is None:
        first = checked.problems[0]
        raise HpsError(f"{checked.name}: {first.message}", "hps validate says all about it")
    output.keep_out_secrets_of(checked.spec)
    return checked.spec


def is_file(text: str) -> bool:
    """True for the name of an experiment file, False for that of an experiment."""
    return "/" in text or ":" in text or text.endswith((".yaml", ".yml"))


def _configured_name(env: Mapping[str, str]) -> str:
    from hps.targets import well_known

    for name in _WELL_KNOWN:
        if not well_known.missing(name, env):
            return name
    raise HpsError(
        "where are the results? --from is not given, and the variables of r2: and s3: are not set",
        "--from r2, --from s3, or --from FILE with an experiment whose results are wanted",
    )


@dataclass(slots=True)
class ProgressLine:
    """Shows the progress of a copy: on a terminal in a line that is redrawn, else as events."""

    style: Format
    _logged_s: float = field(default_factory=time.monotonic)
    _drawn: bool = False

    def __call__(self, progress: Progress) -> None:
        if self.style != "json" and sys.stderr.isatty():
            self._draw(progress)
        elif time.monotonic() - self._logged_s > _EVENT_EVERY_S:
            self._logged_s = time.monotonic()
            log_event(
                "copying", files=progress.files, of=progress.files_total, bytes=progress.bytes
            )

    def _draw(self, progress: Progress) -> None:
        from hps.units import format_size_rounded

        self._drawn = True
        line = f"{progress.files}/{progress.files_total} files"
        line += f", {format_size_rounded(progress.bytes)}, {progress.listed} listed"
        sys.stderr.write(f"\r\x1b[K{line}")
        sys.stderr.flush()

    def clear(self) -> None:
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def log_event(name: str, **fields: object) -> None:
    """Log an event, as a warning where it has a `reason`."""
    from hps.log import events

    level = events().warning if "reason" in fields else events().info
    level(name, **fields)


@contextlib.contextmanager
def showing(style: Format, secrets: Mapping[str, str]) -> Iterator[Callable[[Progress], None]]:
    """Set up events, and yield what shows the progress of a copy until the block ends."""
    from hps import log
    from hps.redaction import Scrubber

    log.configure(style, Scrubber(secrets))
    watch = ProgressLine(style)
    try:
        yield watch
    finally:
        watch.clear()


# -------------------------------------------------------------------------------------------------
# The commands of the group, but for those that talk to a bucket.

_EXPERIMENT = "EXPERIMENT"
_TABLES = ("results", "runs", "nodes")
_EXPORTED = ("csv", "jsonl", "parquet")


@click.group()
def results() -> None:
    """Bring together what nodes have stored, look at it, ask it, hand it on.

    Commands read hps-results, where hps run writes, and hps-cache (or HPS_CACHE), where pull
    writes; --input names others, files or folders of JSON lines or Parquet. A run that is found
    twice counts once. What can't be read is named on standard error and passed over.
    """


@results.command(name="list")
@click.argument("experiments", nargs=-1, metavar="[EXPERIMENT]...")
@options.inputs
@options.style("text", "json")
def list_runs(experiments: tuple[str, ...], inputs: tuple[Path, ...], style: str) -> None:
    """A line for each run: where and when, what came of it, and the verdict on the node."""
    with opened(inputs) as tables:
        from hps.report import results_text
        from hps.results.query import runs

        rows = runs(tables, experiments)
    answer(_json(rows) if style == "json" else f"{results_text.runs(rows)}\n")


@results.command()
@click.argument("run_id")
@options.inputs
@options.style("text", "json")
def show(run_id: str, inputs: tuple[Path, ...], style: str) -> None:
    """One run: what it was, and the table of what it measured.

    RUN_ID may be cut short as long as it is clear which run is meant.
    """
    with opened(inputs) as tables:
        from hps.compare.summary import summarize
        from hps.report import results_text, table
        from hps.results.query import find_run, records_of

        run, rows = find_run(tables, run_id)
        records = list(records_of(run, rows))
    if style == "json":
        answer(_json({"run": run, "results": rows}))
    else:
        answer(f"{results_text.run(run, rows)}\n\n{table.render(summarize(records))}\n")


def _exported(style: str | None, output: Path | None) -> str:
    """The format that was named, or that the file's name says. Raises `HpsError` if both differ."""
    named = output.suffix[1:].lower() if output else ""
    if style and named in _EXPORTED and named != style:
        hint = f"leave --format out, or name a file .{style}"
        raise HpsError(f"-o {output} is no name of a file with {style}", hint)
    return style or (named if named in _EXPORTED else _EXPORTED[0])


@results.command()
@click.argument("experiments", nargs=-1, metavar="[EXPERIMENT]...")
@click.option("--table", type=click.Choice(_TABLES), default="results", show_default=True)
@click.option(
    "--format",
    "style",
    type=click.Choice(_EXPORTED),
    help="[default: what the name after -o ends with, else csv]",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write. [default: standard output]",
)
@options.inputs
def export(
    experiments: tuple[str, ...],
    table: str,
    style: str | None,
    output: Path | None,
    inputs: tuple[Path, ...],
) -> None:
    """A table as a file: CSV, JSON lines, or Parquet, which --input takes as well.

    hps results views says what the columns mean.
    """
    style = _exported(style, output)
    if output is None and style == "parquet":
        raise HpsError("Parquet is not for standard output", "name a file with -o")
    if output is not None:
        temporary.check_file(output, "name another file with -o")
    with opened(inputs) as tables, temporary.folder() as folder:
        from hps.results.query import export as write

        path = output or folder / "table"
        write(tables, table, style, experiments, path)
        if output is None:
            with path.open(encoding="utf-8", newline="") as stream:
                while block := stream.read(1024**2):
                    answer(block)


@results.command()
@click.argument("sql")
@options.inputs
@options.style("text", "csv", "json")
def query(sql: str, inputs: tuple[Path, ...], style: str) -> None:
    """Ask in SQL: one SELECT, in DuckDB's dialect, over the tables runs, results and nodes.

    \b
    hps results query "select country, count(*), median(rtt_s) from nodes group by all"
    hps results query "select chunk_size_bytes, concurrency, median(throughput_mbps)
                       from results where step = 'download' and not warmup group by all"

    Times are UTC, sizes bytes, rates megabits a second. No other file can be read, and nothing
    written. hps results views has the columns.
    """
    with opened(inputs) as tables:
        from hps.report import results_text
        from hps.results.query import ask

        asked = ask(tables, sql)
        if style == "csv":
            _print_csv(asked)
        elif style == "json":
            answer(_json([_record(asked, row) for row in asked.rows()]))
        else:
            answer(f"{results_text.answer(asked.columns, list(asked.rows()))}\n")


def _print_csv(asked: QueryAnswer) -> None:
    from hps.report.values import plain

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(asked.columns)
    for row in asked.rows():
        writer.writerow([_csv_value(plain(value)) for value in row])
    answer(text.getvalue())


def _csv_value(value: object) -> object:
    return json.dumps(value) if isinstance(value, bool | list | dict) else value


def _record(asked: QueryAnswer, row: Sequence[object]) -> Mapping[str, object]:
    from hps.report.values import from_json

    values = zip(asked.columns, row, asked.is_json, strict=True)
    return {name: from_json(value) if is_json else value for name, value, is_json in values}


@results.command()
def views() -> None:
    """The tables that can be asked, their columns, and what these mean."""
    require_report()
    from hps.results.columns import described

    answer(described())


def _json(data: object) -> str:
    from hps.report.values import plain

    return json.dumps(plain(data), indent=1, ensure_ascii=False) + "\n"


# -------------------------------------------------------------------------------------------------
# `hps results pull` and `hps results compact`: results from a bucket, and to it.


@results.command()
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
    files = [text for text in what if is_file(text)]
    names = [load_experiment(text, env).name if text in files else text for text in what]
    if len(files) > 1:
        raise HpsError("more than one experiment file is named", "pull from one after the other")
    place = find_place(files[0] if files and _is_default(context) else where, folder, env)
    with showing(log_style, place.secrets) as watch:
        log_event("pulling", place=place.name, cache=str(cache))
        pulled = fetch(place, cache, names, watch)
    if not (pulled.new or pulled.changed or pulled.unchanged or pulled.missing):
        of = f" of {', '.join(names)}" if names else ""
        remark(f"there are no results{of} at {place.name}")
    answer(_pulled(pulled, cache, style))
    context.exit(EXIT_OPERATION_FAILED if pulled.missing else EXIT_OK)


def _is_default(context: click.Context) -> bool:
    source = context.get_parameter_source("where")
    return source is not click.core.ParameterSource.COMMANDLINE


def _pulled(pulled: Pulled, cache: Path, style: str) -> str:
    from hps.errors import printable
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


@results.command()
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
    place = find_place(where, folder, env)
    with showing(log_style, place.secrets) as watch:
        done = write(place, tuple(inputs) or default_inputs(env), experiments, watch, remark)
    if style == "json":
        answer(json.dumps(asdict(done), indent=1) + "\n")
    else:
        answer(
            f"{done.runs} runs with {done.results} results in {done.files} files at "
            f"{place.name}/compact; {done.sent} sent, {done.left_out} runs left out\n"
        )

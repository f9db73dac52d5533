"""`hps results`: bring together what nodes have stored, look at it, ask it, hand it on."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hps.cli import options, stored
from hps.cli.copying import compact, pull
from hps.cli.output import answer, require_report
from hps.errors import HpsError
from hps.process import temporary

if TYPE_CHECKING:
    from hps.results.query import QueryAnswer


_TABLES = ("results", "runs", "nodes")


@click.group()
def results() -> None:
    """Bring together what nodes have stored, look at it, ask it, hand it on.

    Commands read hps-results, where hps run writes, and hps-cache (or HPS_CACHE), where pull
    writes; --input names others, files or folders of JSON lines or Parquet. A run that is found
    twice counts once. What can't be read is named on standard error and passed over.
    """


results.add_command(pull)
results.add_command(compact)


@results.command(name="list")
@click.argument("experiments", nargs=-1, metavar="[EXPERIMENT]...")
@options.inputs
@options.style("text", "json")
def list_runs(experiments: tuple[str, ...], inputs: tuple[Path, ...], style: str) -> None:
    """A line for each run: where and when, what came of it, and the verdict on the node."""
    with stored.opened(inputs) as tables:
        from hps.report import results_text
        from hps.results import listing

        rows = listing.runs(tables, experiments)
    answer(_json(rows) if style == "json" else f"{results_text.runs(rows)}\n")


@results.command()
@click.argument("run_id")
@options.inputs
@options.style("text", "json")
def show(run_id: str, inputs: tuple[Path, ...], style: str) -> None:
    """One run: what it was, and the table of what it measured.

    RUN_ID may be cut short as long as it is clear which run is meant.
    """
    with stored.opened(inputs) as tables:
        from hps.compare.summary import summarize
        from hps.report import results_text, table
        from hps.results import listing

        run, rows = listing.run(tables, run_id)
        records = list(listing.records(run, rows))
    if style == "json":
        answer(_json({"run": run, "results": rows}))
    else:
        answer(f"{results_text.run(run)}\n\n{table.render(summarize(records))}\n")


@results.command()
@click.argument("experiments", nargs=-1, metavar="[EXPERIMENT]...")
@click.option("--table", type=click.Choice(_TABLES), default="results", show_default=True)
@click.option(
    "--format",
    "style",
    type=click.Choice(["csv", "jsonl", "parquet"]),
    default="csv",
    show_default=True,
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
    style: str,
    output: Path | None,
    inputs: tuple[Path, ...],
) -> None:
    """A table as a file: CSV, JSON lines, or Parquet, which --input takes as well.

    hps results views says what the columns mean.
    """
    if output is None and style == "parquet":
        raise HpsError("Parquet is not for standard output", "name a file with -o")
    if output is not None:
        temporary.check_file(output, "name another file with -o")
    with stored.opened(inputs) as tables, temporary.folder() as folder:
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
    with stored.opened(inputs) as tables:
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

"""`hps compare`: which settings win, by how much and how surely; and whether gates are met."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from hps.cli import options
from hps.cli.output import answer, require_report
from hps.errors import EXIT_NO_DATA, EXIT_OK, HpsError

if TYPE_CHECKING:
    from hps.compare.comparison import Findings
    from hps.compare.gates import GateResult
    from hps.spec.gates import Gate


_FORMATS = ("text", "markdown", "csv", "json")


class _TableFormat(click.ParamType[str]):
    """One of tabulate's formats, which takes time to import."""

    name = "format"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        from tabulate import tabulate_formats

        if value not in tabulate_formats:
            self.fail(f"'{value}' is none of {', '.join(tabulate_formats)}", param, ctx)
        return str(value)


@click.command()
@options.question(strata="")
@click.option(
    "--gate",
    "gates",
    multiple=True,
    metavar="[STEP.]METRIC[.STAT] OP VALUE",
    help="What every cell must meet, such as 'download.throughput.p50>=100Mbps', "
    "'failures<=1%', 'regression<=5%'; beside the experiment's own thresholds.",
)
@options.style(
    *_FORMATS,
    help="markdown is a summary for pull requests; schemas/comparison.schema.json has json.",
)
@click.option(
    "--table-format",
    type=_TableFormat(),
    default="simple",
    show_default=True,
    help="How text draws its tables: any of tabulate's formats, such as github or grid.",
)
@click.pass_context
def compare(
    context: click.Context,
    /,
    gates: tuple[str, ...],
    style: str,
    table_format: str,
    **asked: Any,
) -> None:
    """Which settings win, by how much, and how surely.

    EXPERIMENT is the name of an experiment, FILE a file or folder of results; without either
    everything is compared that hps run and hps results pull have stored here.

    \b
    hps compare chunk-sweep --strata rtt
        The best chunk size and concurrency for near and for far nodes.
    hps compare chunk-sweep --where step=download --baseline date=2026-11-01 \\
        --gate 'regression<=5%' --gate 'failures<=1%' --format markdown
        Whether downloads became slower since that day, as a summary for a pull request.

    A difference counts where it is significant and matters; otherwise the answer says
    "inconclusive", and what would decide it. Gates hold where they hold in every cell, and never
    without data.

    Exit codes: 0 done and every gate met, 2 usage, 4 a gate failed, 5 nothing was found, or too
    little for a gate.
    """
    read = _gates(gates)
    require_report()
    from hps.compare.gates import judge_all

    findings = options.compare_stored(**asked)
    results = judge_all(read, findings)
    answer(_rendered(findings, results, style, table_format))
    context.exit(_exit_code(findings, results))


def _gates(texts: Sequence[str]) -> list[Gate]:
    from hps.spec.gates import GateError, parse

    found = []
    for text in texts:
        try:
            found.append(parse(text))
        except GateError as error:
            hint = error.unit_error.hint if error.unit_error else error.hint
            raise HpsError(f"--gate: '{text[:80]}' {error.message}", hint) from None
    return found


def _exit_code(findings: Findings, results: Sequence[GateResult]) -> int:
    from hps.compare.gates import exit_code

    code = exit_code(results)
    return EXIT_NO_DATA if code == EXIT_OK and not findings.comparisons else code


def _rendered(
    findings: Findings, gates: Sequence[GateResult], style: str, table_format: str
) -> str:
    from hps.report import as_csv, as_json, as_markdown, as_text

    renderers: Mapping[str, Callable[[Findings, Sequence[GateResult]], str]] = {
        "text": partial(as_text.render, table_format=table_format),
        "markdown": as_markdown.render,
        "csv": as_csv.render,
        "json": as_json.render,
    }
    return renderers[style](findings, gates)

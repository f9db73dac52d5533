"""`hps compare`: which settings win, by how much and how surely; and whether gates are met."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hps.commands.answer import answer
from hps.errors import EXIT_NO_DATA, EXIT_OK, HpsError
from hps.extras import require_report

if TYPE_CHECKING:
    from hps.analyze.comparison import Findings
    from hps.analyze.gates import GateResult
    from hps.analyze.question import Question
    from hps.gates import Gate

_SHARE = re.compile(r"(?P<number>\d{1,3}(?:\.\d{1,9})?)\s*(?P<percent>%?)", re.ASCII)
_FORMATS = ("text", "markdown", "csv", "json")


class _Share(click.ParamType[float]):
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """How the answer is printed."""

    style: str
    table_format: str


@click.command()
@click.argument("what", nargs=-1, metavar="[EXPERIMENT|FILE]...")
@click.option(
    "--by",
    default="chunk_size,concurrency",
    show_default=True,
    metavar="NAME[,NAME]",
    help="What tells cells apart: knobs, or experiment, spec, commit, date, run, node, "
    "tool_version, country, gpu, rtt, bandwidth.",
)
@click.option(
    "--where",
    multiple=True,
    metavar="NAME=VALUE[,VALUE]",
    help="Only results that meet it, such as 'rtt<50ms' or step=download; several are joined "
    "by AND.",
)
@click.option(
    "--strata",
    default="",
    metavar="NAME[,NAME]",
    help="An answer for each class of nodes: rtt, bandwidth, country, gpu.",
)
@click.option(
    "--baseline",
    metavar="NAME=VALUE|PATH",
    help="What to compare with: a cell (chunk_size=5MiB), an earlier time (date=2026-11-01, "
    "commit=…, run=…), or results stored at a path.",
)
@click.option(
    "--min-effect",
    type=_Share(),
    default="5%",
    show_default=True,
    metavar="SHARE",
    help="The least difference that matters.",
)
@click.option(
    "--alpha",
    type=_Share(),
    default="0.05",
    show_default=True,
    metavar="SHARE",
    help="How often equal cells may be called different.",
)
@click.option(
    "--gate",
    "gates",
    multiple=True,
    metavar="[STEP.]METRIC[.STAT] OP VALUE",
    help="What every cell must meet, such as 'download.throughput.p50>=100Mbps', "
    "'failures<=1%', 'regression<=5%'; beside the experiment's own thresholds.",
)
@click.option(
    "--format",
    "style",
    type=click.Choice(_FORMATS),
    default="text",
    show_default=True,
    help="markdown is a summary for pull requests; schemas/comparison.schema.json has json.",
)
@click.option(
    "--table-format",
    type=_TableFormat(),
    default="simple",
    show_default=True,
    help="How text draws its tables: any of tabulate's formats, such as github or grid.",
)
@click.option(
    "--input",
    "inputs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A file or folder of results. May be repeated. [default: hps-results, hps-cache]",
)
@click.pass_context
def compare(
    context: click.Context, /, what: tuple[str, ...], inputs: tuple[Path, ...], **asked: Any
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
    shown = _Shown(style=asked.pop("style"), table_format=asked.pop("table_format"))
    gates = _gates(asked.pop("gates"))
    paths, experiments = _sorted_out(what)
    require_report()
    from hps.analyze.gates import exit_code, judge_all
    from hps.comparing import find

    findings = find(_inputs((*paths, *inputs)), _question(experiments, **asked))
    results = judge_all(gates, findings)
    answer(_rendered(findings, results, shown))
    code = exit_code(results)
    context.exit(EXIT_NO_DATA if code == EXIT_OK and not findings.comparisons else code)


def _gates(texts: Sequence[str]) -> list[Gate]:
    from hps.gates import GateError, parse

    found = []
    for text in texts:
        try:
            found.append(parse(text))
        except GateError as error:
            hint = error.unit_error.hint if error.unit_error else error.hint
            raise HpsError(f"--gate: '{text[:80]}' {error.message}", hint) from None
    return found


def _sorted_out(what: Sequence[str]) -> tuple[list[Path], tuple[str, ...]]:
    """What exists is a path, the rest are experiments. Raises `HpsError` for a path that isn't."""
    paths = [Path(one) for one in what if Path(one).exists()]
    names = tuple(one for one in what if not Path(one).exists())
    for name in names:
        if "/" in name or name.endswith((".jsonl", ".parquet")):
            raise HpsError(f"there is no file or folder {name}", "name one, or an experiment")
    return paths, names


def _inputs(paths: Sequence[Path]) -> tuple[Path, ...]:
    from hps.collect.files import default_inputs

    return tuple(paths) or default_inputs(os.environ)


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
    from hps.analyze.comparison import Rule
    from hps.analyze.question import Question

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


def _rendered(findings: Findings, gates: Sequence[GateResult], shown: _Shown) -> str:
    from hps.report import compare_csv, compare_json, compare_markdown, compare_text

    if shown.style == "json":
        return compare_json.render(findings, gates)
    if shown.style == "csv":
        return compare_csv.render(findings)
    if shown.style == "markdown":
        return compare_markdown.render(findings, gates)
    return compare_text.render(findings, gates, table_format=shown.table_format)

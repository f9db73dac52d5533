"""`hps check`: can every target of an experiment be used, with these keys and from here?"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import click

from hps.cli import options
from hps.cli.output import answer

if TYPE_CHECKING:
    from hps.log import Format


@click.command()
@options.experiment_file
@options.same_overrides
@options.style("text", "json")
@options.wait("0s")
@options.log_style
@click.pass_context
def check(
    context: click.Context,
    file: str | None,
    overrides: tuple[str, ...],
    style: str,
    wait_s: float,
    log_style: Format,
) -> None:
    """Try each target of an experiment: keys, rights, bucket, clock. Nothing is left there.

    To each target that operations, the probe or the results use, a small object is written, read,
    listed and deleted, and where the experiment uploads in parts, a multipart upload begun and
    aborted: at most ten requests each, all in ten seconds, in a folder of this check's own below
    FOLDER/data/EXPERIMENT/. `hps run` does the same first.

    FILE is an experiment; without it, the one that EXPERIMENT names. Exit codes: 0 all is well;
    1 a target can't be reached from here; 2 the file, the account, its keys or rights are wrong.
    """
    from hps.cli import validate
    from hps.cli.examine import check_here
    from hps.report import check_text

    env = dict(os.environ)
    found = check_here(validate.load(file, overrides, env, "check"), env, log_style, wait_s)
    if style == "json":
        data = check_text.as_data(found.checked)
        answer(json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    else:
        answer(check_text.render(found.checked))
    context.exit(found.code)

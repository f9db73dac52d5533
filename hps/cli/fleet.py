"""`hps fleet`: what the nodes that share an experiment have done so far."""

from __future__ import annotations

import json
import os

import click

from hps.cli import options
from hps.cli.output import answer


@click.group()
def fleet() -> None:
    """See how far the nodes that share an experiment are.

    An experiment with `fleet:` is divided among the nodes that run it. Nobody coordinates them:
    each says in the bucket what it measures.
    """


@fleet.command()
@options.experiment_file
@options.same_overrides
@options.style("text", "json")
def status(file: str | None, overrides: tuple[str, ...], style: str) -> None:
    """Say how many nodes are at work, done or lost, and how often each cell is measured.

    By the bucket alone, so from any machine that may list it. FILE is an experiment with `fleet:`;
    without it, the one that EXPERIMENT names. HPS_FLEET names the fleet, as for its nodes.
    """
    from hps.cli import validate
    from hps.fleet.status import find_status

    env = dict(os.environ)
    found = find_status(validate.load(file, overrides, env, "fleet status"), env)
    answer(json.dumps(found.as_data(), indent=1) + "\n" if style == "json" else found.as_text())

"""The command line: one short function per command. Wiring, printing and exit codes only."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Unpack

import click

from hps import __version__
from hps.cli import options, output
from hps.cli.output import answer, print_error
from hps.errors import EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE, HpsError
from hps.units import parse_rate_mbps

if TYPE_CHECKING:
    from hps.cli.run import How
    from hps.cli.validate import CheckedFile
    from hps.log import Format
    from hps.model import Spec


# Modules of this package, each with a command of its own name, that `hps run` does not need.
_LOADED_LATER = ("check", "tools", "results", "compare", "report", "fleet", "clean")
_EXPERIMENT = "EXPERIMENT"
_OTHERS_WRITE = 0o022
_RATE = options.Quantity("rate", parse_rate_mbps, least="1kbps")


class _LazyGroup(click.Group):
    """The commands added to it, and those whose modules are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *_LOADED_LATER]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _LOADED_LATER:
            return super().get_command(ctx, cmd_name)
        command = getattr(import_module(f"hps.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101 - the rule of this package
        return command


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="hps")
def cli() -> None:
    """Measure with which settings data moves best between a node and object storage.

    An experiment is a YAML file. `validate` finds its mistakes, `plan` says what it will do
    and take, `run` does it and stores what really happened. `tools` says which programs can move
    the bytes. `results` brings together what many nodes have stored, `compare` and `report` say
    which settings are best, and how sure that is. `clean` removes what interrupted runs left in a
    bucket.

    \b
    FILE, or the variable EXPERIMENT, is one of:
      -                                           standard input
      experiments/quickstart.yaml                 a path
      https://host/file.yaml                      a web address
      git+https://host/repository.git@rev#path    a branch, a tag or a whole commit id
      r2:path.yaml                                below FOLDER in BUCKET, reached with
                                                  CLOUDFLARE_ENDPOINT_URL, _ID, _KEY, _REGION
      s3:path.yaml                                the same with AWS_REGION, AWS_ACCESS_KEY_ID,
                                                  AWS_SECRET_ACCESS_KEY and, if wanted,
                                                  AWS_ENDPOINT_URL, AWS_SESSION_TOKEN

    What came over a network may use no variables but those of the shipped experiments, and those
    named HPS_VAR_… and, for secrets, HPS_SECRET_….

    Standard output is the answer, standard error is events, results are files.
    Exit codes: 0 done, 1 an operation failed or was invalid, 2 usage or experiment,
    3 node rejected, 4 a gate failed, 5 no data or inconclusive where a gate needs it,
    6 results not stored, 7 a fleet goes on that was waited for, 70 a bug of hps,
    130/143 interrupted.
    """


@cli.command()
@click.argument("files", nargs=-1, metavar="[FILE]...")
@options.overrides
@options.style(
    "text",
    "json",
    "github",
    help="text for people, json for programs (an object a file), github for annotations.",
)
@click.option(
    "--any-machine",
    is_flag=True,
    help="Leave out whether memory and disk of this machine are enough.",
)
@click.pass_context
def validate(
    context: click.Context,
    files: tuple[str, ...],
    overrides: tuple[str, ...],
    style: str,
    any_machine: bool,
) -> None:
    """Check each FILE, or what EXPERIMENT names: every mistake with file, line and column."""
    from hps.cli import validate as validation

    machine = None if any_machine else validation.this_machine()
    env = dict(os.environ)
    named = validation.named(files, env.get(_EXPERIMENT))
    checked = [validation.check(file, overrides, env, machine) for file in named]
    terminal = sys.stdout.isatty()
    answer(validation.render(checked, style, terminal=terminal), coloured=terminal)
    context.exit(EXIT_OK if all(file.spec for file in checked) else EXIT_USAGE)


@cli.command()
@options.experiment_file
@options.overrides
@options.style(
    "text",
    "json",
    "commands",
    help="commands prints each operation's exact command.",
)
@click.option("--upload", type=_RATE, help="Bandwidth for the time estimate, such as 20Mbps.")
@click.option("--download", type=_RATE, help="Bandwidth for the time estimate, such as 50Mbps.")
def plan(
    file: str | None,
    overrides: tuple[str, ...],
    style: str,
    upload: float | None,
    download: float | None,
) -> None:
    """Say what an experiment will do and take, before a byte moves.

    FILE is an experiment; without it, the one that EXPERIMENT names. No target is contacted.
    """
    from hps.plan import estimate
    from hps.plan.expand import expand
    from hps.report import plan_text
    from hps.steps import script
    from hps.tools import CLIENT

    expanded = expand(_load(file, overrides, for_this_machine=False))
    taken = estimate.estimate(expanded, upload_mbps=upload, download_mbps=download)
    if style == "json":
        for part in plan_text.as_json(expanded, taken):
            answer(part)
    elif style == "commands":
        folder = str(Path(CLIENT.find(os.environ).program).parent)
        for part in script.parts(expanded, folder):
            answer(part)
    else:
        answer(plan_text.render(expanded, taken) + "\n")


@cli.command()
@options.experiment_file
@options.overrides
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("hps-results"),
    show_default=True,
    envvar="HPS_OUTPUT",
    help="Folder for results.",
)
@options.style("text", "markdown", "csv", "json", help="Of the answer on standard output.")
@options.log_style
@click.option("--fresh", is_flag=True, help="Begin a new run, whatever earlier ones have left.")
@click.option(
    "--rerun",
    multiple=True,
    type=click.Choice(["failed", "invalid", "missing", "all"]),
    help="Go on with the newest run, and do these operations again.",
)
@click.option("--resume", metavar="RUN_ID", default="", help="Go on with this run.")
@options.checking
@click.option(
    "--max-equal-failures",
    "most_equal_failures",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    metavar="N",
    help="Leave the rest after N operations in a row that failed for one mistake, such as expired "
    "keys; 0: never.",
)
@click.pass_context
def run(
    context: click.Context,
    file: str | None,
    overrides: tuple[str, ...],
    output: Path,
    style: str,
    log_style: Format,
    **how: Unpack[How],
) -> None:
    """Run an experiment here: measure, store each result at once, print the table.

    First each target is tried as by `hps check`: a mistake ends it with 2, before anything is
    measured; a target that can't be reached turns this node down (3) where there are rules.

    A run that was ended before it had done everything goes on where it was.

    FILE is an experiment; without it, the one that EXPERIMENT names. Where that can't be read, and
    the variables of `r2:` are set, it is stored under results/failed/ in this bucket.
    """
    from hps.cli.run import Ended, options_of, run_here
    from hps.plan.expand import expand

    def announce(ended: Ended) -> None:
        answer(ended.answer(style))
        for remark in ended.remarks():
            print_error(f"hps: {remark}")
        for warning in ended.warnings():
            print_error(warning)

    with _none_after_the_end():
        expanded = expand(_load(file, overrides, for_this_machine=True))
    how_to_run = options_of(output, dict(os.environ), **how)
    context.exit(run_here(expanded, how_to_run, log_style, announce=announce))


@cli.command()
@options.experiment_file
@options.overrides
@options.style("text", "json", help="Of the answer on standard output.")
@options.log_style
@click.pass_context
def node(
    context: click.Context,
    file: str | None,
    overrides: tuple[str, ...],
    style: str,
    log_style: Format,
) -> None:
    """Print what this machine is; with FILE also probe it, and judge it by the rules there.

    Without FILE the experiment that EXPERIMENT names is taken; without both there are no rules.
    """
    from hps.cli.examine import examine_here
    from hps.report import node_text

    spec = _load(file, overrides, for_this_machine=False) if file else None
    found = examine_here(spec, dict(os.environ), log_style)
    as_json = style == "json"
    answer(json.dumps(found.data, indent=1) + "\n" if as_json else node_text.render(found.data))
    context.exit(found.code)


def _load(file: str | None, overrides: tuple[str, ...], *, for_this_machine: bool) -> Spec:
    from hps.cli import validate as validation

    if not file:
        error = validation.no_experiment("run")
        if for_this_machine:
            _store_failure(validation.without_file(error))
        raise error
    machine = validation.this_machine() if for_this_machine else None
    checked = validation.check(file, overrides, dict(os.environ), machine)
    if checked.spec is None:
        validation.print_problems(checked)
        if for_this_machine:
            _store_failure(checked)
        raise click.exceptions.Exit(EXIT_USAGE)
    if checked.problems and not for_this_machine:
        # Of a run, standard error is its events.
        validation.print_problems(checked)
    output.keep_out_secrets_of(checked.spec)
    return checked.spec


@contextlib.contextmanager
def _none_after_the_end() -> Iterator[None]:
    """Within a `with` block a failure ends in 0 once the fleet is long over.

    What starts nodes would start another one in place of one that failed, for ever.
    """
    from hps.run.fleet import why_long_over

    try:
        yield
    except (HpsError, click.exceptions.Exit) as error:
        over = why_long_over(os.environ)
        if not over:
            raise
        if isinstance(error, HpsError):
            output.print_hps_error(error)
        print_error(f"hps: {over}")
        raise click.exceptions.Exit(EXIT_OK) from None


def _store_failure(checked: CheckedFile) -> None:
    """Store in the bucket why this node has no results.

    Only where EXPERIMENT names the file, as for a container, and not the command line.
    """
    from hps.cli import validate as validation

    source = click.get_current_context().get_parameter_source("file")
    if source is click.core.ParameterSource.COMMANDLINE or _EXPERIMENT not in os.environ:
        return
    stored = validation.store_failure(checked, dict(os.environ))
    if stored:
        print_error(f"hps: this failure is {stored}")


def main() -> None:
    """The program: runs a command, and turns what goes wrong into a text and an exit code."""
    output.prepare()
    # Whatever the umask, other users may not write to this program's files.
    os.umask(os.umask(_OTHERS_WRITE) | _OTHERS_WRITE)
    # As process 1 of a container the kernel drops SIGTERM until somebody handles it.
    signal.signal(signal.SIGTERM, _exit)
    output.print_other_exceptions()
    try:
        code = cli.main(standalone_mode=False)
        sys.stdout.flush()
        sys.exit(output.exit_code(code if isinstance(code, int) else EXIT_OK))
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.exceptions.Abort:
        sys.exit(EXIT_INTERRUPTED)
    except click.ClickException as error:
        output.print_usage_error(error.show)
        sys.exit(error.exit_code)
    except HpsError as error:
        output.print_hps_error(error)
        sys.exit(error.exit_code)
    except Exception as error:
        sys.exit(output.print_unexpected(error))


def _exit(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)

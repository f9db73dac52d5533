"""`hps fleet plan` and `hps fleet up`: what a fleet will take and cost, and starting it."""

from __future__ import annotations

import json
import math
import os
import shlex
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import FrameType
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import click

from hps.cli import options
from hps.cli.fleet_engine import RENDERS, STARTS, check_meant, open_engine
from hps.cli.output import answer, print_error
from hps.errors import HpsError
from hps.model import FLEET_ENV
from hps.units import parse_rate_mbps, parse_size_bytes

if TYPE_CHECKING:
    from hps.fleet.engine import Engine, FleetRequest, Offer, Started
    from hps.fleet.forecast import Forecast
    from hps.fleet.launch import ExperimentPlace, GivenVariables
    from hps.log import Format
    from hps.model import Spec
    from hps.spec.source import SpecText

_RATE = options.Quantity("rate", parse_rate_mbps, least="1kbps")
_SIZE = options.Quantity("size", parse_size_bytes)
_MIB = 1024**2


class _Machines(TypedDict):
    """Options about the machines, and what they run."""

    image: str
    nodes: int | None
    gpus: int
    gpu_classes: tuple[str, ...]
    countries: str
    priority: str
    cpus: int
    memory_bytes: float
    storage_bytes: float
    variables: tuple[str, ...]
    experiment: str
    secret: str
    queue: str
    max_hours: float | None
    max_usd: float | None
    upload: float | None
    download: float | None


_MACHINES = (
    click.option("--image", required=True, help="The image with hps, that the nodes can pull."),
    click.option(
        "--nodes",
        type=click.IntRange(1, 100_000),
        help="So many machines are to measure their shares. [default: nodes of the fleet]",
    ),
    click.option(
        "--max-hours", type=options.HOURS, metavar="HOURS", help="Every node ends then, by itself."
    ),
    click.option(
        "--max-cost",
        "max_usd",
        type=options.DOLLARS,
        metavar="USD",
        help="Every node ends before the machines can have cost more.",
    ),
    click.option(
        "--env",
        "variables",
        multiple=True,
        metavar="NAME[=VALUE]",
        help="A variable of each node; without VALUE as here, and so for secrets. May be repeated.",
    ),
    click.option(
        "--experiment",
        default="",
        metavar="PATH",
        help="SaladCloud: the file in the image. [default: FILE, stored in the bucket of r2: or "
        "s3:, unless it is an address]",
    ),
    click.option(
        "--gpu-class",
        "gpu_classes",
        multiple=True,
        metavar="NAME",
        help="SaladCloud: a kind of machine, such as 'RTX 4090 (24 GB)'. May be repeated.",
    ),
    click.option("--countries", default="", metavar="CODE,…", help="SaladCloud: such as us,de."),
    click.option(
        "--priority",
        default="batch",
        show_default=True,
        help="SaladCloud: high, medium, low, batch.",
    ),
    click.option(
        "--cpus", type=click.IntRange(1, 1024), default=2, show_default=True, help="Of a node."
    ),
    click.option(
        "--memory", "memory_bytes", type=_SIZE, default="4GiB", show_default=True, help="Of a node."
    ),
    click.option(
        "--storage",
        "storage_bytes",
        type=_SIZE,
        default="10GiB",
        show_default=True,
        help="Of a node.",
    ),
    click.option(
        "--gpus", type=click.IntRange(0, 64), default=0, show_default=True, help="Of a node."
    ),
    click.option(
        "--secret",
        default="hps-keys",
        show_default=True,
        help="Kubernetes: the Secret with the keys.",
    ),
    click.option("--queue", default="", help="Kubernetes: the queue of Kueue's."),
    click.option("--upload", type=_RATE, help="A node's bandwidth, for the times: 20Mbps."),
    click.option("--download", type=_RATE, help="A node's bandwidth, for the times: 50Mbps."),
)


def _machines(command: Any) -> Any:
    for decorator in reversed(_MACHINES):
        command = decorator(command)
    return command


class _NodeOptions(options.EngineOptions, _Machines):
    """All options of `plan` and `up` about the fleet."""


# -------------------------------------------------------------------------------------------------


@click.command()
@options.experiment_file
@options.engine(*RENDERS)
@_machines
@options.style("text", "json", "body", help="body prints what would be sent, or applied, alone.")
def plan(file: str | None, style: str, **chosen: Unpack[_NodeOptions]) -> None:
    """Say what a fleet will do, how soon, and what it may cost. Nothing is started.

    Prices of machines are asked for where SALAD_API_KEY is set; without it everything else is said.
    Whose figures and prices they are stands beside them, and what is not known is said to be so.
    A quarter more machines are asked for than are wanted, for some are turned down or never come.
    """
    from hps.fleet import engines, forecast_text

    env = dict(os.environ)
    opened = open_engine(chosen, env) if engines.has_key(chosen["engine"], env) else None
    order = _order(file, env, opened, chosen, "fleet plan")
    if style == "body":
        answer(_body(order, env, chosen))
    elif style == "json":
        data = forecast_text.as_data(order.forecast) | {"remarks": list(order.remarks)}
        answer(json.dumps(data, indent=1) + "\n")
    else:
        answer(forecast_text.render(order.forecast, order.remarks))


@click.command()
@options.experiment_file
@options.engine(*STARTS)
@_machines
@click.option(
    "--check/--no-check",
    default=True,
    show_default=True,
    help="First try each target from here, as `hps check` does.",
)
@options.style("text", "json")
@options.log_style
def up(
    file: str | None, check: bool, style: str, log_style: Format, **chosen: Unpack[_NodeOptions]
) -> None:
    """Start the nodes of a fleet; a second time, only those that are missing.

    Asks nothing, and says first what it can cost at most. On SaladCloud it needs an end:
    --max-hours, --max-cost, or `until` in the file; the nodes know it, so that they end also where
    nobody watches. Where it fails or is interrupted (Ctrl-C), what it has started is removed again.

    Nodes of SaladCloud read FILE from its address. A path is stored in the bucket that the
    variables of r2: or s3: name, as .fleet/FLEET/experiment.yaml, and read again as nodes will.

    Exit codes: 0 started, or there already; 1 a target can't be reached, or something can't be
    stored; 2 the file, a key, a bound or an option is wrong; 130, 143 interrupted.
    """
    from hps.fleet import engines

    env = dict(os.environ)
    with _hangup_ends():
        opened = open_engine(chosen, env)
        order = _order(file, env, opened, chosen, "fleet up")
        engines.require_bound(chosen["engine"], order.request)
        if order.why_no_place is not None:
            raise order.why_no_place
        _check(order, env, log_style, targets=check)
        started = _start(order, opened, env)
    answer(_rendered(order, started, style, env, chosen))


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOrder:
    """A fleet that somebody asks for. `why_no_place`: its nodes could not read the experiment."""

    file: str
    request: FleetRequest
    source: SpecText
    given: GivenVariables
    place: ExperimentPlace | None
    why_no_place: HpsError | None
    forecast: Forecast
    remarks: tuple[str, ...]


# -------------------------------------------------------------------------------------------------
# What is asked for.


def _order(
    file: str | None,
    env: Mapping[str, str],
    opened: Engine | None,
    chosen: _NodeOptions,
    command: str,
) -> FleetOrder:
    """What is asked for, and what is to be expected of it. Raises `HpsError`."""
    from hps.cli import validate
    from hps.fleet import engines, launch

    check_meant(chosen["engine"], chosen)
    spec, source = validate.load_with_source(file, (), env, command)
    place, why = _place(str(file), source, _fleet_name(spec, env), env, chosen)
    given = launch.read_variables(chosen["variables"], env, spec)
    given += place.given if place else launch.GivenVariables()
    request = _request(spec, str(file), env, chosen, given, place)
    engines.check(chosen["engine"], request)
    offers = opened.offers(request) if opened else ()
    request, found = _foreseen(request, offers, env, chosen)
    return FleetOrder(
        file=str(file),
        request=request,
        source=source,
        given=given,
        place=place,
        why_no_place=why,
        forecast=found,
        remarks=tuple(_remarks(found, chosen, why)),
    )


def _fleet_name(spec: Spec, env: Mapping[str, str]) -> str:
    from hps.run.fleet import name_of

    return name_of(spec.sha256, env)


def _place(
    file: str, source: SpecText, fleet: str, env: Mapping[str, str], chosen: _NodeOptions
) -> tuple[ExperimentPlace | None, HpsError | None]:
    """Where nodes without files read the experiment, or why they can't."""
    from hps.fleet import engines, launch

    if chosen["engine"] not in engines.CARRIES_NO_FILES:
        return None, None
    try:
        return launch.find_place(file, source, fleet, env, chosen["experiment"]), None
    except HpsError as error:
        return None, error


def _request(
    spec: Spec,
    file: str,
    env: Mapping[str, str],
    chosen: _NodeOptions,
    given: GivenVariables,
    place: ExperimentPlace | None,
) -> FleetRequest:
    from hps.fleet.engine import FleetRequest

    return FleetRequest(
        spec=spec,
        fleet=_fleet_name(spec, env),
        file=file,
        image=chosen["image"],
        nodes=_nodes(spec, chosen["nodes"]),
        variables=given.values,
        secret=chosen["secret"],
        gpus=chosen["gpus"],
        queue=chosen["queue"],
        experiment=place.experiment if place else "",
        gpu_classes=chosen["gpu_classes"],
        countries=tuple(code for code in chosen["countries"].split(",") if code.strip()),
        priority=chosen["priority"],
        cpus=chosen["cpus"],
        memory_mib=math.ceil(chosen["memory_bytes"] / _MIB),
        storage_bytes=math.ceil(chosen["storage_bytes"]),
        more_keys=given.keys,
    )


def _nodes(spec: Spec, asked: int | None) -> int:
    """How many are wanted. Raises `HpsError` where that is not said, or the nodes know better."""
    if spec.fleet is None:
        hint = "add fleet: {nodes: 10}; without it each node measures all, and none knows of others"
        raise HpsError(f"'{spec.name}' has no fleet", hint)
    nodes = asked or spec.fleet.nodes
    if nodes is None:
        hint = "say how many, or write fleet: {nodes: 10} in the file"
        raise HpsError("--nodes is missing", hint)
    if spec.fleet.nodes is not None and nodes > spec.fleet.nodes:
        hint = f"write fleet: {{nodes: {nodes}}}, or leave --nodes out"
        what = f"the nodes end once {spec.fleet.nodes:,} have measured, as the file says"
        raise HpsError(f"--nodes {nodes}: {what}", hint)
    return nodes


def _foreseen(
    request: FleetRequest, offers: tuple[Offer, ...], env: Mapping[str, str], chosen: _NodeOptions
) -> tuple[FleetRequest, Forecast]:
    """The request with its end, and what is to be expected."""
    from hps.fleet import launch
    from hps.fleet.forecast import Bandwidth, forecast

    now = datetime.now(UTC)
    bounds = launch.EndBounds(hours=chosen["max_hours"], usd=chosen["max_usd"])
    request = replace(request, until=launch.find_end(bounds, request, offers, env, now))
    starts_at = launch.find_start(request)
    found = forecast(
        request,
        chosen["engine"],
        offers,
        Bandwidth(upload_mbps=chosen["upload"], download_mbps=chosen["download"]),
        ends_in_s=launch.ends_in_s(request, now),
        starts_in_s=(starts_at - now).total_seconds() if starts_at else None,
    )
    return request, found


def _remarks(found: Forecast, chosen: _NodeOptions, why_no_place: HpsError | None) -> Iterator[str]:
    """What people should know beside the numbers."""
    from hps.fleet import engines

    if not found.offers:
        yield engines.why_unpriced(chosen["engine"])
    asks = found.upload_mbps or found.download_mbps
    if asks and not (chosen["upload"] and chosen["download"]):
        yield (
            "bandwidth that isn't given is the least that node: asks for; faster nodes are sooner "
            "done: --upload and --download say what you expect"
        )
    if why_no_place is not None:
        yield f"{why_no_place.message}: {why_no_place.hint}"


def _body(order: FleetOrder, env: Mapping[str, str], chosen: _NodeOptions) -> str:
    from hps.fleet import engines

    if order.why_no_place is not None:
        raise order.why_no_place
    engine, names = chosen["engine"], (chosen["organization"], chosen["project"])
    return engines.render(engine, order.request, env, *names)


# -------------------------------------------------------------------------------------------------
# Starting it.


def _check(order: FleetOrder, env: Mapping[str, str], log_style: Format, *, targets: bool) -> None:
    """See that nodes will read this experiment, that its targets can be used, and it isn't over.

    Raises `HpsError`, or exits as `hps check` does.
    """
    from hps.cli.examine import check_here
    from hps.fleet import launch
    from hps.fleet.ending import check_not_over
    from hps.report import check_text

    given = order.given + launch.GivenVariables(keys=order.request.keys)
    as_read = launch.as_nodes_read(order.source, order.place)
    launch.check_as_node(order.request.spec, as_read, given.of_node(env))
    if not targets:
        return
    found = check_here(order.request.spec, env, log_style, 0.0)
    if found.code:
        print_error(check_text.render(found.checked))
        raise click.exceptions.Exit(found.code)
    check_not_over(order.request.spec, env)


def _start(order: FleetOrder, opened: Engine, env: Mapping[str, str]) -> Started:
    from hps.fleet import forecast_text, launch

    request, place = order.request, order.place
    if place is not None and place.store:
        launch.publish(place, order.source, env)
        print_error(f"stored: {place.experiment}")
    print_error(forecast_text.line("at most", forecast_text.most(order.forecast)))
    return opened.start(request, env, print_error)


@contextmanager
def _hangup_ends() -> Iterator[None]:
    """A terminal that is closed must not leave machines behind: it ends this as SIGTERM does."""

    def end(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGHUP, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def _rendered(
    order: FleetOrder, started: Started, style: str, env: Mapping[str, str], chosen: _NodeOptions
) -> str:
    from hps.fleet import started_text
    from hps.results.record import utc_text

    request = order.request
    if style == "json":
        data = {
            "fleet": request.fleet,
            "engine": chosen["engine"],
            **started_text.as_data(started),
            "asked": request.asked,
            "until": utc_text(request.until) if request.until else None,
            "most_usd": order.forecast.most_usd,
            "experiment": request.experiment or None,
        }
        return json.dumps(data, indent=1) + "\n"
    title = f"fleet {request.fleet} of {request.spec.name}, by {chosen['engine']}\n"
    return title + started_text.render(started) + _next_commands(order.file, env, chosen)


def _next_commands(file: str, env: Mapping[str, str], chosen: _NodeOptions) -> str:
    """What to type to go on, with all that finds this fleet again."""
    name = f"{FLEET_ENV}={shlex.quote(env[FLEET_ENV])} " if env.get(FLEET_ENV) else ""
    words = ["--engine", chosen["engine"]]
    places = {
        "--organization": chosen["organization"],
        "--project": chosen["project"],
        "--context": chosen["cluster"],
        "--namespace": chosen["namespace"],
    }
    words += [word for option, place in places.items() if place for word in (option, place)]
    rest = {"status": [], "wait": words, "stop": words, "down": words}
    lines = (
        f"  {name}{shlex.join(['hps', 'fleet', k, file, *more])}\n" for k, more in rest.items()
    )
    return "go on with\n" + "".join(lines)

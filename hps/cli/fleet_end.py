"""`hps fleet stop`, `down`, `logs` and `wait`: what becomes of a fleet that was started."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import click

from hps.cli import options
from hps.cli.fleet_engine import STARTS, open_engine
from hps.cli.output import answer, print_error
from hps.errors import EXIT_OK, EXIT_OPERATION_FAILED, HpsError
from hps.units import parse_time_s

if TYPE_CHECKING:
    from hps.fleet.engine import Engine, FleetRequest, Started
    from hps.fleet.rules import StopRules
    from hps.fleet.status import FleetStatus
    from hps.fleet.waiting import FleetEnd, FleetLook, FleetWatch
    from hps.model import Spec
    from hps.process.stop import SignalStop

_TIME = options.Quantity("time", parse_time_s)
_POLL = options.Quantity("time", parse_time_s, least="1s")
_STOPPED = "it was ended by hps fleet stop"
# What is billed is to be taken away, also after a signal.
_LATEST_S = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningFleet:
    """A fleet by its experiment and name; `engine` None: whoever has the nodes isn't asked."""

    spec: Spec
    request: FleetRequest
    engine: Engine | None
    env: Mapping[str, str]

    def find(self) -> Started | None:
        """What the engine has of it."""
        return self.engine.find(self.request.name) if self.engine else None


@click.command()
@options.experiment_file
@options.engine(*STARTS, required=False)
@options.style("text", "json")
def stop(file: str | None, style: str, **chosen: Unpack[options.EngineOptions]) -> None:
    """End a fleet gently: no node begins any more, those at work end after their operation.

    By an object in the bucket, so whoever has started the nodes. With --engine it says what is
    still there; `down` takes that away. A fleet that was ended can't go on; HPS_FLEET names
    another one.
    """
    from hps.fleet import started_text
    from hps.fleet.ending import end_fleet
    from hps.fleet.status import open_fleet
    from hps.process.stop import NEVER

    fleet = _fleet(file, chosen, "fleet stop")
    end_fleet(fleet.spec, fleet.env, _STOPPED)
    with open_fleet(fleet.spec, fleet.env, NEVER, details=False) as observer:
        at_work = observer.look().count("at_work")
    name = fleet.request.fleet
    # Told before the engine is asked, which may not answer: it can't be taken back.
    print_error(f"hps: the fleet {name} is ended")
    started = fleet.find()
    if style == "json":
        found = started_text.as_data(started) if fleet.engine else None
        data = {"fleet": name, "at_work": at_work, "engine": found}
        answer(json.dumps(data, indent=1) + "\n")
        return
    text = f"the fleet {name} is ended; {at_work:,} nodes at work end after their operation\n"
    answer(text + (started_text.render(started) if fleet.engine else ""))


@click.command()
@options.experiment_file
@options.engine(*STARTS)
@options.style("text", "json")
@click.pass_context
def down(
    context: click.Context, file: str | None, style: str, **chosen: Unpack[options.EngineOptions]
) -> None:
    """Take away all that an engine has of a fleet, at once. It is safe to repeat.

    What nodes have stored stays, and counts. `stop` before it lets them end by themselves.

    Exit codes: 0 nothing that is billed is there any more; 1 something is, or the engine can't be
    asked; 2 usage or experiment.
    """
    from hps.fleet import started_text

    fleet = _fleet(file, chosen, "fleet down")
    assert fleet.engine is not None  # noqa: S101 - for mypy: the option is required
    rest = fleet.engine.remove(fleet.request.name, print_error)
    if style == "json":
        data = {"fleet": fleet.request.fleet, **started_text.as_data(rest)}
        answer(json.dumps(data, indent=1) + "\n")
    else:
        answer(started_text.render(rest))
    context.exit(EXIT_OPERATION_FAILED if rest is not None and rest.billed else EXIT_OK)


@click.command()
@options.experiment_file
@options.engine(*STARTS)
@click.option(
    "--lines",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="The newest so many.",
)
def logs(file: str | None, lines: int, **chosen: Unpack[options.EngineOptions]) -> None:
    """Print what the engine, or its nodes, have written of late, the oldest first."""
    from hps.cli.output import configure_log

    fleet = _fleet(file, chosen, "fleet logs")
    assert fleet.engine is not None  # noqa: S101 - for mypy: the option is required
    scrubber = configure_log(fleet.spec, fleet.env, "auto")
    found = fleet.engine.logs(fleet.request.name, lines)
    answer("".join(f"{scrubber.text(line)}\n" for line in found))


class _Bounds(TypedDict):
    """Options of `wait` about its end."""

    nodes: int | None
    gpu_classes: tuple[str, ...]
    priority: str
    max_usd: float | None
    max_hours: float | None
    quiet_s: float
    most_turned_down: float
    poll_s: float
    drain_s: float
    timeout_s: float | None
    keep: bool


class _Waited(_Bounds, options.EngineOptions):
    """All options of `wait`."""


_WAITING = (
    click.option(
        "--gpu-class",
        "gpu_classes",
        multiple=True,
        metavar="NAME",
        help="SaladCloud: as for up, for what machines cost. May be repeated.",
    ),
    click.option(
        "--priority",
        default="batch",
        show_default=True,
        help="SaladCloud: as for up, for what machines cost.",
    ),
    click.option(
        "--nodes",
        type=click.IntRange(1, 100_000),
        help="So many machines are enough. [default: nodes of the fleet]",
    ),
    click.option(
        "--max-cost",
        "max_usd",
        type=options.DOLLARS,
        metavar="USD",
        help="End it once the machines have cost that, about.",
    ),
    click.option(
        "--max-hours",
        type=options.HOURS,
        metavar="HOURS",
        help="End it so long after the first node has begun.",
    ),
    click.option(
        "--quiet",
        "quiet_s",
        type=_TIME,
        default="30m",
        show_default=True,
        metavar="TIME",
        help="End it where no node has stored anything for so long.",
    ),
    click.option(
        "--max-rejected",
        "most_turned_down",
        type=options.Share(),
        default="90%",
        show_default=True,
        metavar="SHARE",
        help="End it where more of at least ten machines were turned down.",
    ),
    click.option(
        "--poll", "poll_s", type=_POLL, default="30s", show_default=True, help="Look so often."
    ),
    click.option(
        "--drain",
        "drain_s",
        type=_TIME,
        default="5m",
        show_default=True,
        help="Machines have so long to end by themselves before they are taken away.",
    ),
    click.option("--timeout", "timeout_s", type=_TIME, help="Wait no longer; the fleet goes on."),
    click.option("--keep", is_flag=True, help="Take nothing away at the end."),
)


def _bounds(command: Any) -> Any:
    for decorator in reversed(_WAITING):
        command = decorator(command)
    return command


@click.command()
@options.experiment_file
@options.engine(*STARTS, required=False)
@_bounds
@options.style("text", "json")
@click.pass_context
def wait(context: click.Context, file: str | None, style: str, **chosen: Unpack[_Waited]) -> None:
    """Wait until a fleet is done, or a rule ends it; then end it for all, and take it down.

    How far it is stands on standard error. The first rule that holds ends it: enough machines have
    measured, money, hours or the fleet's own end, nothing new for long, nearly all turned down.
    Without --engine nothing is taken down, and what machines cost isn't known.

    \b
    Exit codes:
      0  enough machines have measured
      1  the bucket or the engine can't be asked, or what is billed is left
      2  usage or experiment
      3  nearly all machines were turned down
      4  money, hours or the fleet's end were over, or it was ended, before enough had measured
      5  nothing new for long, or nothing of the fleet is there any more
      7  --timeout is over, and the fleet goes on
      130, 143  interrupted, and the fleet goes on
    """
    from hps.fleet.status import open_fleet
    from hps.process.stop import NEVER, on_signals

    fleet = _fleet(file, chosen, "fleet wait")
    with (
        on_signals(latest_s=_LATEST_S) as stopped,
        # What is under way when a signal comes is finished: machines may have to be taken away.
        open_fleet(fleet.spec, fleet.env, NEVER) as observer,
    ):
        end = _waiting(fleet, chosen, stopped, observer.look).run()
    answer(_ended(fleet, end, style))
    gone = stopped.is_set() and end.reason is None
    context.exit(stopped.exit_code if gone else end.code)


def _fleet(file: str | None, chosen: options.EngineOptions, command: str) -> RunningFleet:
    """The fleet of an experiment. Raises `HpsError`."""
    from hps.cli import validate
    from hps.fleet.engine import FleetRequest
    from hps.run.fleet import name_of

    env = dict(os.environ)
    spec = validate.load(file, (), env, command)
    if spec.fleet is None:
        hint = "add fleet: {nodes: 10}; without it each node measures all, and none knows of others"
        raise HpsError(f"'{spec.name}' has no fleet", hint)
    # Of a request only the name counts here.
    request = FleetRequest(
        spec=spec,
        fleet=name_of(spec.sha256, env),
        file=str(file),
        image="",
        nodes=spec.fleet.nodes or 1,
    )
    engine = open_engine(chosen, env) if chosen["engine"] else None
    return RunningFleet(spec=spec, request=request, engine=engine, env=env)


def _waiting(
    fleet: RunningFleet, chosen: _Waited, stopped: SignalStop, look: Callable[[], FleetStatus]
) -> FleetWatch:
    from hps.fleet.ending import end_fleet
    from hps.fleet.waiting import FleetWatch

    price = _price(fleet, chosen)
    if chosen["max_usd"] is not None and price is None:
        hint = "name the --engine and each --gpu-class as for up, or use --max-hours"
        raise HpsError("--max-cost: it isn't known what a machine costs", hint)
    return FleetWatch(
        look=look,
        end=lambda why: end_fleet(fleet.spec, fleet.env, why),
        engine=fleet.engine,
        name=fleet.request.name,
        rules=_rules(chosen),
        usd_per_hour=price,
        poll_s=chosen["poll_s"],
        drain_s=chosen["drain_s"],
        timeout_s=chosen["timeout_s"],
        keep=chosen["keep"],
        sleep=stopped.wait,
        show=lambda found: print_error(_progress(found)),
        say=print_error,
    )


def _rules(chosen: _Waited) -> StopRules:
    from hps.fleet.rules import StopRules

    hours = chosen["max_hours"]
    if chosen["most_turned_down"] > 1:
        raise HpsError("--max-rejected is more than all of them", "write a share such as 90%")
    return StopRules(
        began_at=datetime.now(UTC),
        nodes=chosen["nodes"],
        most_usd=chosen["max_usd"],
        most_s=None if hours is None else hours * 3600,
        quiet_s=chosen["quiet_s"],
        most_turned_down=chosen["most_turned_down"],
    )


def _price(fleet: RunningFleet, chosen: _Waited) -> float | None:
    """Of the dearest machine that was asked for; None where that isn't known."""
    from hps.fleet.forecast import find_price

    if fleet.engine is None or not chosen["gpu_classes"]:
        return None
    request = replace(fleet.request, gpu_classes=chosen["gpu_classes"], priority=chosen["priority"])
    offers = fleet.engine.offers(request)
    return find_price(offers) if offers else None


def _progress(look: FleetLook) -> str:
    """One line, for logs."""
    from hps.fleet import text
    from hps.report.values import dollars_text

    billed = f"; {look.started.billed:,} billed" if look.started else ""
    spent = f", about {dollars_text(look.spent_usd)}" if look.spent_usd is not None else ""
    return text.as_line(look.status).rstrip("\n") + billed + spent


def _ended(fleet: RunningFleet, end: FleetEnd, style: str) -> str:
    from hps.fleet import started_text, text

    look, reason = end.look, end.reason
    if style == "json":
        data = {
            "fleet": fleet.request.fleet,
            "rule": reason.rule if reason else None,
            "why": reason.why if reason else None,
            "spent_usd": look.spent_usd if look else None,
            "left": started_text.as_data(end.left),
            "status": text.as_data(look.status) if look else None,
        }
        return json.dumps(data, indent=1) + "\n"
    why = reason.why if reason else "the fleet goes on"
    shown = text.as_text(look.status) if look else ""
    return f"{why}\n{shown}{started_text.render(end.left) if end.left else ''}"

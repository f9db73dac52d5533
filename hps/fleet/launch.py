"""What the nodes of a fleet are given: variables, names of secrets, and where the experiment is.

An engine's nodes read no file of this machine. What they are to read is named by an address, or is
stored for them in a bucket that they reach; and it is read here first as a node will read it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from urllib.parse import urlsplit

from hps.errors import HpsError, MachineError
from hps.fleet.engine import FleetRequest, Offer
from hps.fleet.forecast import find_longest_s, find_price
from hps.model import FLEET_UNTIL_ENV, Spec
from hps.plan.expand import expand
from hps.process.temporary import open_workplace
from hps.redaction import STORAGE_SECRETS, is_called_like_a_secret
from hps.report.values import dollars_text
from hps.run.fleet import until_of
from hps.run.together import start_of
from hps.source import read
from hps.source.address import BucketAddress, GitAddress, WebAddress, is_loopback, parse
from hps.spec.load import load_and_warn
from hps.spec.problems import SpecError
from hps.spec.source import SpecText
from hps.targets import well_known
from hps.targets.bucket import SMALL_FILE_TIMEOUT_S, find_well_known
from hps.units import format_time

_FILLED_IN = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)")
# No end is later: times have an end, too.
_LONGEST_S = 366 * 24 * 3600.0
_WAYS = (
    "give FILE as an address (https://…, git+https://…, r2:… or s3:…); or set the variables of r2: "
    "(CLOUDFLARE_ENDPOINT_URL, CLOUDFLARE_ID, CLOUDFLARE_KEY) or s3:, and it is stored there; or "
    "say with --experiment which file of the image it is"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenVariables:
    """Variables of a node: `values` are no secrets, `keys` name those that are."""

    values: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    keys: tuple[str, ...] = ()

    def of_node(self, env: Mapping[str, str]) -> dict[str, str]:
        """What a node's environment will have of them, secrets with their values."""
        return {**{name: env[name] for name in self.keys if name in env}, **self.values}

    def __add__(self, other: GivenVariables) -> GivenVariables:
        keys = tuple(dict.fromkeys((*self.keys, *other.keys)))
        return GivenVariables(values={**other.values, **self.values}, keys=keys)


def read_variables(named: Sequence[str], env: Mapping[str, str], spec: Spec) -> GivenVariables:
    """`NAME=VALUE`, or a name whose value is this environment's.

    Raises `HpsError`, also for a secret whose value was written, or that nodes are given anyway.
    """
    secrets = {key.env for target in spec.targets.values() for key in target.secrets}
    values: dict[str, str] = {}
    keys: list[str] = []
    for text in named:
        name, is_given, value = text.partition("=")
        if name in secrets:
            hint = "leave it out: secrets that the experiment names are given to the nodes anyway"
            raise HpsError(f"--env: {name} is a secret of the experiment", hint)
        if not is_given and not env.get(name):
            raise HpsError(f"--env: {name} is not set here", f"write --env {name}=VALUE")
        if not is_called_like_a_secret(name):
            values[name] = value if is_given else env[name]
        elif is_given:
            hint = f"set it in the environment, and write --env {name} alone"
            raise HpsError(f"--env: {name} is called like a secret", hint)
        else:
            keys.append(name)
    return GivenVariables(values=values, keys=tuple(keys))


# -------------------------------------------------------------------------------------------------
# Where a node finds the experiment.


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentPlace:
    """What EXPERIMENT says on a node, and the variables that it takes to read that.

    `store`: nothing is there yet, and `publish` has to put it there. `is_file`: it is in the image.
    """

    experiment: str
    given: GivenVariables = field(default_factory=GivenVariables)
    store: bool = False
    is_file: bool = False


def find_place(
    file: str, source: SpecText, fleet: str, env: Mapping[str, str], of_image: str
) -> ExperimentPlace:
    """Where nodes that get no file will read it. `of_image`: a path there, given by a person.

    Raises `HpsError` where there is no way.
    """
    if of_image:
        return ExperimentPlace(experiment=of_image, is_file=True)
    # Standard input is no address.
    address = parse(file) if file != "-" else None
    if isinstance(address, GitAddress) and not address.is_local:
        # The name has the commit, so that all nodes read the same.
        return ExperimentPlace(experiment=source.name)
    if isinstance(address, BucketAddress):
        return ExperimentPlace(experiment=address.name, given=_known(address.target, env))
    if isinstance(address, WebAddress) and _is_for_all(address):
        return ExperimentPlace(experiment=address.url)
    for target in well_known.KNOWN:
        if not well_known.missing(target, env):
            experiment = f"{target}:.fleet/{fleet}/experiment.yaml"
            return ExperimentPlace(experiment=experiment, given=_known(target, env), store=True)
    raise HpsError(f"nodes of SaladCloud can't read {source.name}, which is here", _WAYS)


def publish(place: ExperimentPlace, source: SpecText, env: Mapping[str, str]) -> None:
    """Store the experiment where nodes will read it, and read it again, as they do.

    Raises `HpsError` where that fails, or where it isn't the same afterwards.
    """
    target, _, key = place.experiment.partition(":")
    with open_workplace(f"storing {place.experiment}", timeout_s=SMALL_FILE_TIMEOUT_S) as work:
        local = work.folder / "experiment.yaml"
        local.write_bytes(source.content)
        why = find_well_known(target, env, work).put(local, key)
    if why is not None:
        raise MachineError(f"{place.experiment} can't be stored: {why.reason}", why.hint)
    if read(place.experiment, env).content != source.content:
        hint = "does somebody else start a fleet of the same name? HPS_FLEET names another"
        raise MachineError(f"{place.experiment} is not what was stored there", hint)


def as_nodes_read(source: SpecText, place: ExperimentPlace | None) -> SpecText:
    """The same text under the rules that hold where nodes read it: what is fetched isn't trusted.

    `place` None: the engine brings the file, which is trusted, as is one of the image.
    """
    return source if place is None else replace(source, trusted=place.is_file)


def check_as_node(spec: Spec, source: SpecText, env: Mapping[str, str]) -> None:
    """See that a node with this environment reads the experiment that was read here.

    Raises `HpsError` where a variable isn't passed to it, or an experiment from a network may not
    use it.
    """
    try:
        same = load_and_warn(source, env=env).spec
    except SpecError as error:
        problem = error.problems[0]
        hint = f"{problem.hint}; --env NAME[=VALUE] gives a node a variable"
        raise HpsError(f"a node could not read the experiment: {problem}", hint) from None
    if same.sha256 != spec.sha256:
        used = dict.fromkeys(_FILLED_IN.findall(spec.text))
        names = " ".join(f"--env {name}" for name in used if name not in env)
        hint = f"pass on what is set here: {names}" if names else "pass on the same values"
        raise HpsError("a node would read other values than are filled in here", hint)


def _is_for_all(address: WebAddress) -> bool:
    """True for what nodes can read, too, and what may stand in an engine's description of them."""
    parts = urlsplit(address.url)
    return not parts.query and not is_loopback(parts.hostname or "")


def _known(target: str, env: Mapping[str, str]) -> GivenVariables:
    """The variables of a well-known target."""
    variables = well_known.variables(target, env)
    values = {name: value for name, value in variables.items() if name not in STORAGE_SECRETS}
    return GivenVariables(values=values, keys=tuple(v for v in variables if v in STORAGE_SECRETS))


# -------------------------------------------------------------------------------------------------
# When it ends, whatever becomes of this machine.


@dataclass(frozen=True, slots=True, kw_only=True)
class EndBounds:
    """What a person allows a fleet: hours, and dollars for its machines; None: not bounded."""

    hours: float | None = None
    usd: float | None = None


def find_end(
    bounds: EndBounds,
    request: FleetRequest,
    offers: Sequence[Offer],
    env: Mapping[str, str],
    now: datetime,
) -> datetime | None:
    """When every node ends, by the earliest of all bounds; None where only `until` is one, or none.

    `until` alone counts from the first node on, and is left to the nodes. Raises `HpsError`.
    """
    until, fleet = until_of(env), request.spec.fleet
    if until is not None and until <= now:
        raise HpsError(
            f"{FLEET_UNTIL_ENV} is over: {until:%Y-%m-%d %H:%M:%S} UTC", "name a later time"
        )
    ends = [] if until is None else [until]
    if bounds.hours is not None:
        ends.append(now + timedelta(hours=bounds.hours))
    if bounds.usd is not None:
        ends.append(now + timedelta(seconds=_paid_for_s(bounds.usd, request, offers)))
    if ends and fleet is not None and fleet.until_s is not None:
        ends.append((find_start(request) or now) + timedelta(seconds=fleet.until_s))
    return min(ends, default=None)


def find_start(request: FleetRequest) -> datetime | None:
    """When all nodes begin together, by the file or their variables; None: each as it comes.

    Raises `HpsError` where they are to, and nothing says when.
    """
    fleet = request.spec.fleet
    return None if fleet is None else start_of(fleet, request.variables)


def ends_in_s(request: FleetRequest, now: datetime) -> float | None:
    """Seconds until its end, if its first node begins now; None where it has none."""
    if request.until is not None:
        return (request.until - now).total_seconds()
    fleet, starts_at = request.spec.fleet, find_start(request)
    if fleet is None or fleet.until_s is None or starts_at is None:
        return None if fleet is None else fleet.until_s
    return fleet.until_s + (starts_at - now).total_seconds()


def _paid_for_s(usd: float, request: FleetRequest, offers: Sequence[Offer]) -> float:
    """How long so much money is enough, if all machines are there at once, and are the dearest.

    An operation that is under way at the end is paid for, too.
    """
    if not offers:
        hint = "use --max-hours; where machines have prices, a key is needed to ask for them"
        raise HpsError("--max-cost: no prices of machines are known", hint)
    price = find_price(offers)
    longest_s = find_longest_s(expand(request.spec))
    seconds = usd / (request.asked * price) * 3600 - longest_s if price else _LONGEST_S
    if seconds <= 0:
        least = dollars_text(request.asked * price * longest_s / 3600)
        hint = (
            f"give more, fewer --nodes, or a shorter timeout: in the file; {least} is one of each"
        )
        raise HpsError(
            f"--max-cost: {dollars_text(usd)} is too little for {request.asked:,} machines, each "
            f"with an operation of at most {format_time(longest_s)}",
            hint,
        )
    return min(seconds, _LONGEST_S)

"""A request for a fleet as the container groups that SaladCloud is asked to create.

A value that the API would refuse is an error here, which names the variable or the option.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hps.errors import HpsError, printable
from hps.fleet.engine import FleetRequest, check_shared
from hps.fleet.salad import client
from hps.fleet.salad.client import Json
from hps.model import FLEET_ENV as NAME_ENV
from hps.model import FLEET_UNTIL_ENV as UNTIL_ENV
from hps.redaction import is_called_like_a_secret

# By which groups are found again: it has the name of the fleet's first group.
GROUP_ENV = "HPS_FLEET_GROUP"
MOST_REPLICAS = 500
# A fleet's groups are NAME, NAME-2, … up to this number; names that were used once stay used.
MOST_GROUPS = 20
PRIORITIES = ("high", "medium", "low", "batch")
NAME = re.compile(r"[a-z][a-z0-9-]{0,61}[a-z0-9]")
_MOST_CHARACTERS = 1000
_MOST_IMAGE_CHARACTERS = 2048
_CPUS = range(1, 16 + 1)
_MEMORY_MIB = range(1024, 61440 + 1)
_STORAGE_BYTES = range(1024**3, 250 * 1024**3 + 1)
_MIB = 1024**2
_CODES = (
    "ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bl bm bn bo bq "
    "br bs bt bv bw by bz ca cc cd cf cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm "
    "do dz ec ee eg eh er es et fi fj fk fm fo fr ga gb gd ge gf gg gh gi gl gm gn gp gq gr gs "
    "gt gu gw gy hk hm hn hr ht hu id ie il im in io iq ir is it je jm jo jp ke kg kh ki km kn "
    "kp kr kw ky kz la lb lc li lk lr ls lt lu lv ly ma mc md me mf mg mh mk ml mm mn mo mp mq "
    "mr ms mt mu mv mw mx my mz na nc ne nf ng ni nl no np nr nu nz om pa pe pf pg ph pk pl pm "
    "pn pr ps pt pw py qa re ro rs ru rw sa sb sc sd se sg sh si sj sk sl sm sn so sr ss st sv "
    "sx sy sz tc td tf tg th tj tk tl tm tn to tr tt tv tw tz ua ug um us uy uz va vc ve vg vi "
    "vn vu wf ws ye yt za zm zw"
)
_COUNTRIES = frozenset(_CODES.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuClass:
    """A kind of machine with a GPU. `limits`: its least and most vCPU, MB and bytes, as told."""

    id: str
    name: str
    usd_per_hour: Mapping[str, str]
    limits: Mapping[str, int]

    @classmethod
    def read(cls, answer: Json) -> GpuClass:
        """A class as the API describes it. Raises `ApiError`."""
        prices = client.items(answer, "prices")
        numbers = ("gpu_count", *_LIMITED)
        return cls(
            id=client.text(answer, "id"),
            name=client.text(answer, "name"),
            usd_per_hour={str(one.get("priority")): client.text(one, "price") for one in prices},
            limits={name: client.number(answer, name) for name in numbers if answer.get(name)},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A container group that is there, without its environment, which has secrets."""

    name: str
    image: str
    fleet: str
    belongs_to: str
    replicas: int
    state: str
    remark: str

    @classmethod
    def read(cls, answer: Json) -> Group:
        """A group as the API describes it. Raises `ApiError`."""
        container, now = client.inside(answer, "container"), client.inside(answer, "current_state")
        variables = client.inside(container, "environment_variables")
        return cls(
            name=client.text(answer, "name"),
            image=client.text(container, "image"),
            fleet=str(variables.get(NAME_ENV, "")),
            belongs_to=str(variables.get(GROUP_ENV, "")),
            replicas=client.number(answer, "replicas"),
            state=client.text(now, "status"),
            remark=printable(str(now.get("description") or ""), 200),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Prototype:
    """What all groups of a fleet have in common, but for their names and replicas."""

    name: str
    container: Json = field(repr=False)
    country_codes: tuple[str, ...]

    def body(self, number: int, replicas: int) -> Json:
        """The request that creates the fleet's group of this number, from 1."""
        return {
            "name": numbered(self.name, number),
            "display_name": numbered(self.name, number),
            "container": self.container,
            "autostart_policy": True,
            # A node that is done ends with 0, and is not started again.
            "restart_policy": "on_failure",
            "replicas": replicas,
            **({"country_codes": list(self.country_codes)} if self.country_codes else {}),
        }


def prototype(
    request: FleetRequest, classes: tuple[GpuClass, ...], keys: Mapping[str, str]
) -> Prototype:
    """The groups for a request, with the values of its secrets. Raises `HpsError`."""
    check_shared(request.spec)
    if not NAME.fullmatch(request.name):
        hint = "lower-case letters, digits and '-', at most 63"
        raise HpsError(f"'{request.name}' can't be the name of a container group", hint)
    if not 1 <= len(request.image) <= _MOST_IMAGE_CHARACTERS or not request.image.isprintable():
        raise HpsError("--image is no name of an image", "such as ghcr.io/me/hps:1.0")
    return Prototype(
        name=request.name,
        container={
            "image": request.image,
            "resources": _resources(request, classes),
            "priority": _priority(request, any_gpu=bool(classes)),
            "environment_variables": _environment(request, keys),
        },
        country_codes=countries(request.countries),
    )


def check(request: FleetRequest) -> None:
    """Raise `HpsError` for what SaladCloud refuses whatever its classes of GPUs are."""
    _check_sizes(request)
    _priority(request, any_gpu=bool(request.gpu_classes))
    countries(request.countries)


def render(url: str, made: Prototype, asked: int) -> str:
    """The requests in full, for people to read."""
    bodies = (made.body(number, part) for number, part in enumerate(sizes(asked), start=1))
    return "\n".join(f"POST {url}\n{json.dumps(body, indent=2)}\n" for body in bodies)


def sizes(replicas: int) -> Iterator[int]:
    """How many replicas each group has."""
    for done in range(0, replicas, MOST_REPLICAS):
        yield min(MOST_REPLICAS, replicas - done)


def numbered(name: str, number: int) -> str:
    """The name of a fleet's group, from 1."""
    return name if number == 1 else f"{name}-{number}"


def names(name: str) -> tuple[str, ...]:
    """All names that groups of a fleet may have."""
    return tuple(numbered(name, number) for number in range(1, MOST_GROUPS + 1))


# -------------------------------------------------------------------------------------------------


def _environment(request: FleetRequest, keys: Mapping[str, str]) -> dict[str, str]:
    """The variables of a node, by name."""
    if not request.experiment:
        hint = "SaladCloud carries no files: put it in the bucket, and name it as r2:… or https://…"
        raise HpsError("the nodes have no experiment", hint)
    variables = {
        **request.variables,
        "EXPERIMENT": request.experiment,
        NAME_ENV: request.fleet,
        GROUP_ENV: request.name,
        UNTIL_ENV: _until(request).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        **keys,
    }
    for name, value in variables.items():
        _check_variable(name, value)
    return variables


def _until(request: FleetRequest) -> datetime:
    """When every node ends: nothing else ends those that fail again and again."""
    if request.until is not None:
        return request.until
    fleet = request.spec.fleet
    if fleet is not None and fleet.until_s is not None:
        return datetime.now(UTC) + timedelta(seconds=fleet.until_s)
    hint = (
        "say until when, or write fleet: {until: 6h}: a node that fails is started anew, and paid"
    )
    raise HpsError("nothing would end the nodes", hint)


def _check_variable(name: str, value: str) -> None:
    """Raise `HpsError` where SaladCloud takes no such value; it is not shown."""
    what = ""
    if not value:
        what = "is empty"
    elif len(value) > _MOST_CHARACTERS:
        what = f"has {len(value):,} characters"
    elif "\n" in value or "\r" in value:
        what = "has several lines"
    if what:
        hint = f"SaladCloud takes values of 1 to {_MOST_CHARACTERS:,} characters on one line"
        raise HpsError(f"the variable {printable(name, 80)} {what}", hint)


def secrets_of(request: FleetRequest, env: Mapping[str, str]) -> dict[str, str]:
    """The values of the experiment's secrets. Raises `HpsError` where one is not set here."""
    for name in request.keys:
        if not env.get(name):
            hint = "set it here, as for `hps run`: the nodes are given what this command has"
            raise HpsError(f"{name}, a secret of the experiment, is not set", hint)
    return {name: env[name] for name in request.keys}


def placeholders(request: FleetRequest) -> dict[str, str]:
    """The names of all that is not to be shown, in place of the values."""
    named = (name for name in request.variables if is_called_like_a_secret(name))
    return {name: f"[{name}]" for name in (*named, *request.keys)}


def countries(codes: Iterable[str]) -> tuple[str, ...]:
    """Codes as the API takes them. Raises `HpsError`."""
    lowered = tuple(dict.fromkeys(code.strip().lower() for code in codes))
    for code in lowered:
        if code not in _COUNTRIES:
            hint = "two letters by ISO 3166, such as us, de or gb"
            raise HpsError(f"'{printable(code, 20)}' is the code of no country", hint)
    return lowered


def _priority(request: FleetRequest, *, any_gpu: bool) -> str:
    if request.priority not in PRIORITIES:
        what = f"'{printable(request.priority, 20)}' is no priority"
        raise HpsError(what, f"one of {', '.join(PRIORITIES)}")
    if not any_gpu and request.priority != "batch":
        hint = "name classes of GPUs, or leave the priority at batch"
        raise HpsError(f"without a GPU there is no priority {request.priority}", hint)
    return request.priority


# --- Resources -----------------------------------------------------------------------------------

# The fields by which a class limits what a container asks for, and the unit that they are in.
_LIMITED = ("min_vcpu", "max_vcpu", "min_ram", "max_ram", "min_storage", "max_storage")


def _resources(request: FleetRequest, classes: tuple[GpuClass, ...]) -> Json:
    _check_sizes(request)
    if request.gpus and not classes:
        hint = "name the classes that are wanted, such as 'RTX 3060 (12 GB)'"
        raise HpsError("SaladCloud gives a GPU of a class alone, and no class is named", hint)
    for one in classes:
        _check_limits(request, one)
    return {
        "cpu": request.cpus,
        "memory": request.memory_mib,
        "storage_amount": request.storage_bytes,
        **({"gpu_classes": [one.id for one in classes]} if classes else {}),
    }


def _check_sizes(request: FleetRequest) -> None:
    _check_range(request.cpus, _CPUS, "vCPU")
    _check_range(request.memory_mib, _MEMORY_MIB, "MB of memory")
    _check_range(request.storage_bytes, _STORAGE_BYTES, "bytes of storage")


def _check_range(value: int, allowed: range, unit: str) -> None:
    if value not in allowed:
        hint = f"from {allowed[0]:,} to {allowed[-1]:,}"
        raise HpsError(f"SaladCloud gives no node {value:,} {unit}", hint)


def _check_limits(request: FleetRequest, one: GpuClass) -> None:
    asked = {
        "vcpu": (request.cpus, "vCPU"),
        "ram": (request.memory_mib, "MB of memory"),
        "storage": (request.storage_bytes, "bytes of storage"),
    }
    for name, (value, unit) in asked.items():
        least, most = one.limits.get(f"min_{name}", 0), one.limits.get(f"max_{name}", value)
        if not least <= value <= most:
            hint = f"it has {least:,} to {most:,}"
            raise HpsError(f"'{one.name}' is not to be had with {value:,} {unit}", hint)
    if request.gpus > one.limits.get("gpu_count", request.gpus):
        what = f"'{one.name}' has {one.limits['gpu_count']} GPUs, and {request.gpus} are asked for"
        raise HpsError(what, "name another class")


def chosen(wanted: Iterable[str], classes: tuple[GpuClass, ...]) -> tuple[GpuClass, ...]:
    """The classes by name or id, in any case. Raises `HpsError` with those that are near."""
    known = {_plain(key): one for one in classes for key in (one.id, one.name)}
    found: dict[str, GpuClass] = {}
    for name in wanted:
        one = known.get(_plain(name))
        if one is None:
            raise _unknown(name, classes)
        found[one.id] = one
    return tuple(found.values())


def _plain(name: str) -> str:
    return " ".join(name.split()).casefold()


def _unknown(name: str, classes: tuple[GpuClass, ...]) -> HpsError:
    by_name = {_plain(one.name): one.name for one in classes}
    wanted = _plain(name)
    within = [plain for plain in by_name if wanted and wanted in plain]
    near = within or difflib.get_close_matches(wanted, by_name, n=3, cutoff=0.4)
    shown = ", ".join(f"'{by_name[plain]}'" for plain in near[:3])
    hint = f"perhaps {shown}" if shown else "`hps fleet plan` lists those that there are"
    return HpsError(f"SaladCloud has no GPU class '{printable(name, 80)}'", hint)

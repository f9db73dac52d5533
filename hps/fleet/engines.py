"""The engines by their names on the command line, and what would be sent to them without a key."""

from __future__ import annotations

from collections.abc import Mapping

from hps.errors import HpsError
from hps.fleet import manifest
from hps.fleet.engine import Engine, FleetRequest
from hps.fleet.kubernetes import Kubernetes
from hps.fleet.salad import SaladCloud, group
from hps.fleet.salad.client import DEFAULT_URL, KEY_ENV, URL_ENV
from hps.fleet.salad.engine import ORGANIZATION_ENV, PROJECT_ENV
from hps.fleet.salad.group import GpuClass

# Whose nodes get no file from here.
CARRIES_NO_FILES = frozenset({"saladcloud"})
# Whose machines are paid for while they run, by who starts them.
BILLED = frozenset({"saladcloud"})


def open_engine(
    engine: str,
    env: Mapping[str, str],
    *,
    organization: str = "",
    project: str = "",
    context: str = "",
    namespace: str = "",
) -> Engine:
    """The engine of this name; none is asked anything yet. Raises `HpsError`."""
    if engine == "saladcloud":
        return SaladCloud.open(env, organization=organization, project=project)
    return Kubernetes.open(env, context=context, namespace=namespace)


def has_key(engine: str, env: Mapping[str, str]) -> bool:
    """True where the engine can be asked for its offers; the others have none."""
    return engine == "saladcloud" and bool(env.get(KEY_ENV))


def why_unpriced(engine: str) -> str:
    """What people should know where no prices are known."""
    if engine == "saladcloud":
        return f"{KEY_ENV} is not set, so that SaladCloud was asked for no prices"
    return f"{engine} has no prices: what machines cost there is between you and their owner"


def render(
    engine: str, request: FleetRequest, env: Mapping[str, str], organization: str, project: str
) -> str:
    """What would be sent, or applied, without asking anybody. Raises `HpsError`.

    What only SaladCloud knows, the ids of its GPU classes, stands there as the name in brackets.
    """
    if engine != "saladcloud":
        return manifest.render(engine, request)
    classes = tuple(
        GpuClass(id=f"[{name}]", name=name, usd_per_hour={}, limits={})
        for name in request.gpu_classes
    )
    made = group.prototype(request, classes, group.placeholders(request))
    names = {
        "organization": organization or env.get(ORGANIZATION_ENV) or "[organization]",
        "project": project or env.get(PROJECT_ENV) or "[project]",
    }
    place = "".join(f"/{kind}s/{name}" for kind, name in names.items())
    url = f"{(env.get(URL_ENV) or DEFAULT_URL).rstrip('/')}{place}/containers"
    return group.render(url, made, request.asked)


def check(engine: str, request: FleetRequest) -> None:
    """Raise `HpsError` for what an engine would refuse, as far as that is known without it."""
    manifest.check(request)
    if engine == "saladcloud":
        group.check(request)


def require_bound(engine: str, request: FleetRequest) -> None:
    """Raise `HpsError` where machines that are paid for would have no end."""
    fleet = request.spec.fleet
    if engine not in BILLED or request.until or (fleet and fleet.until_s):
        return
    hint = "add --max-hours 4 or --max-cost 20, or fleet: {until: 4h} in the file"
    raise HpsError("nothing would end machines that cost money while they run", hint)

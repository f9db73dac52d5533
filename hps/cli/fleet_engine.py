"""The engine that the options of a command name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from hps.cli.options import EngineOptions
from hps.errors import HpsError

if TYPE_CHECKING:
    from hps.fleet.engine import Engine

# Those of `hps.fleet.engines`, which a --help does not need.
STARTS = ("saladcloud", "kubernetes")
RENDERS = (*STARTS, "skypilot", "docker")
# Options that one engine alone has, by their names among those that are chosen.
_MEANT_FOR: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "saladcloud": {
            "organization": "--organization",
            "project": "--project",
            "gpu_classes": "--gpu-class",
            "countries": "--countries",
            "experiment": "--experiment",
        },
        "kubernetes": {"cluster": "--context", "namespace": "--namespace", "queue": "--queue"},
    }
)


def check_meant(engine: str, chosen: Mapping[str, object]) -> None:
    """Raise `HpsError` for an option that another engine has: it would count for nothing."""
    for other, names in _MEANT_FOR.items():
        for name, option in names.items():
            if other != engine and chosen.get(name):
                hint = f"leave it out, or use --engine {other}"
                raise HpsError(f"{option} says nothing to {engine}", hint)


def open_engine(chosen: EngineOptions, env: Mapping[str, str]) -> Engine:
    """The engine that the options name. Raises `HpsError`."""
    from hps.fleet import engines

    check_meant(chosen["engine"], chosen)
    return engines.open_engine(
        chosen["engine"],
        env,
        organization=chosen["organization"],
        project=chosen["project"],
        context=chosen["cluster"],
        namespace=chosen["namespace"],
    )

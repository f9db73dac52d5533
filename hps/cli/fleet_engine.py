"""The engine that the options of a command name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hps.cli.options import EngineOptions

if TYPE_CHECKING:
    from hps.fleet.engine import Engine

# Those of `hps.fleet.engines`, which a --help does not need.
STARTS = ("saladcloud", "kubernetes")
RENDERS = (*STARTS, "skypilot", "docker")


def open_engine(chosen: EngineOptions, env: Mapping[str, str]) -> Engine:
    """The engine that the options name. Raises `HpsError`."""
    from hps.fleet import engines

    return engines.open_engine(
        chosen["engine"],
        env,
        organization=chosen["organization"],
        project=chosen["project"],
        context=chosen["cluster"],
        namespace=chosen["namespace"],
    )

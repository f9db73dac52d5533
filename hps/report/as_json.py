"""A comparison for programs: all that was found, as `schemas/comparison.schema.json` says."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass

from hps.compare.comparison import Findings
from hps.compare.gates import GateResult

FORMAT = 1


def render(findings: Findings, gates: Sequence[GateResult] = ()) -> str:
    """One JSON object over several lines, as `schemas/comparison.schema.json` describes it."""
    return json.dumps(as_data(findings, gates), indent=1, ensure_ascii=False) + "\n"


def as_data(findings: Findings, gates: Sequence[GateResult] = ()) -> dict[str, object]:
    """The same as dicts, lists and scalars; NaN and infinity become null, as JSON has neither."""
    found = _plain(findings)
    if not isinstance(found, dict):
        raise TypeError(f"findings are a mapping, not {type(found).__name__}")
    return {"format": FORMAT, "gates": _plain(tuple(gates)), **found}


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(below) for key, below in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(below) for below in value]
    if isinstance(value, float):
        # Also numpy's own floats, which JSON does not know by their type.
        return float(value) if math.isfinite(value) else None
    return value

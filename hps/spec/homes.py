"""Where a key belongs that stands in the wrong mapping."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from hps.spec.schema import filled_in_schema
from hps.step_kinds import STEP_KINDS

_TOP = "at the top level"
_FEW = 2


def home(key: str) -> str:
    """`it belongs under 'data'`, for a key that the format knows somewhere; else nothing."""
    places = _places().get(key, ())
    if not places:
        return ""
    return f"it belongs {_TOP if _TOP in places else f'under {_either(places)}'}"


def owner(setting: str) -> str:
    """`it is a setting of 'load'`, for one that few kinds of step have; else nothing."""
    kinds = [f"'{kind.name}'" for kind in STEP_KINDS.values() if setting in kind.settings]
    return f"it is a setting of {_either(kinds)}" if 0 < len(kinds) <= _FEW else ""


def _either(words: Sequence[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


@cache
def _places() -> Mapping[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for place, keys in _mappings():
        for key in keys:
            found.setdefault(key, []).append(place)
    for kind in STEP_KINDS.values():
        for key in kind.settings:
            found.setdefault(key, ["a step"])
    return {key: tuple(places) for key, places in found.items()}


def _mappings() -> Iterator[tuple[str, Mapping[str, Any]]]:
    top = filled_in_schema()["properties"]
    yield _TOP, top
    for name in ("data", "matrix", "node", "order", "results"):
        yield f"'{name}'", top[name]["properties"]
    yield "'node.probe'", top["node"]["properties"]["probe"]["properties"]
    yield "a target", top["targets"]["additionalProperties"]["properties"]

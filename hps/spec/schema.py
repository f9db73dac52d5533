"""The JSON Schema of an experiment file: as published, and as the values filled in must meet it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from hps.errors import HpsError

FILE_NAME = "experiment.schema.json"
_PACKAGE = Path(__file__).resolve().parent.parent
# In an installed package the schemas lie inside it, in a checkout beside it.
_FOLDERS = (_PACKAGE / "schemas", _PACKAGE.parent / "schemas")
_INTERPOLATED = "#/$defs/interpolated"
_LABELS = frozenset({"description", "examples", "default"})


def schema() -> dict[str, Any]:
    """The published schema. Raises `HpsError` where the installation lacks it."""
    for folder in _FOLDERS:
        path = folder / FILE_NAME
        if path.is_file():
            loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return loaded
    hint = "install hps again; its schemas folder is missing"
    raise HpsError(f"{FILE_NAME} was not found", hint)


@cache
def filled_in_schema() -> dict[str, Any]:
    """The schema without its room for `${…}`, with every `$ref` put in place.

    Where a `format` says what a text means, its own check replaces the pattern.
    """
    published = schema()
    definitions = published.pop("$defs")
    strict: dict[str, Any] = _strict(published, definitions)
    return strict


def _strict(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_strict(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "anyOf" in node:
        node = _without_interpolated(node)
    if "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[-1]
        beside = {key: value for key, value in node.items() if key != "$ref"}
        return _strict(definitions[name] | beside, definitions)
    dropped = _LABELS | {"pattern"} if "format" in node else _LABELS
    kept = {key: value for key, value in node.items() if key not in dropped}
    return {key: _strict_value(key, value, definitions) for key, value in kept.items()}


def _strict_value(key: str, value: Any, definitions: dict[str, Any]) -> Any:
    if key == "properties":
        return {name: _strict(below, definitions) for name, below in value.items()}
    if key == "pattern":
        # A "$" alone would let a line break at the end pass.
        return f"{value[:-1]}\\Z" if value.endswith("$") else value
    return _strict(value, definitions)


def _without_interpolated(node: dict[str, Any]) -> dict[str, Any]:
    choices = [one for one in node["anyOf"] if one.get("$ref") != _INTERPOLATED]
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    return rest | choices[0] if len(choices) == 1 else rest | {"anyOf": choices}

"""The JSON Schema of an experiment file: as published, and as the values filled in must meet it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hps.errors import HpsError
from hps.model import COUNT_KNOBS, KNOBS, SIZE_KNOBS
from hps.spec.formats import FormatError
from hps.spec.wording import mark_of
from hps.spec.yaml_tree import KeyPath, MapNode, Mark, Node, ScalarNode, find

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


# -------------------------------------------------------------------------------------------------
# One rule of the schema that a value breaks, and what it tells apart.

MATRIX_KEYS = (*KNOBS, "exclude", "include")
RANGED = SIZE_KNOBS | COUNT_KNOBS


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One rule of the schema that a value breaks. `rules` is the schema that the rule stands in.

    `unknown` are the keys of the same mapping that the schema does not know.
    """

    root: MapNode
    path: KeyPath
    keyword: str
    rules: Mapping[str, Any]
    cause: FormatError | None = None
    unknown: tuple[str, ...] = ()

    @property
    def node(self) -> Node | None:
        """The value that breaks the rule."""
        return find(self.root, self.path)

    @property
    def mark(self) -> Mark:
        """Where the value stands."""
        return mark_of(self.root, self.path)

    @property
    def is_step(self) -> bool:
        """True for an item of `steps`."""
        return len(self.path) == 2 and self.path[0] == "steps"

    @property
    def is_crowded_step(self) -> bool:
        """True for a step that is a mapping of several keys."""
        return self.is_step and self.keyword == "maxProperties"

    @property
    def is_unknown_axis(self) -> bool:
        """True for an entry of `matrix` that is neither a knob's list or range, nor a zip."""
        if len(self.path) != 2 or self.path[0] != "matrix":
            return False
        node, name = self.node, self.path[1]
        if name in KNOBS and isinstance(node, MapNode):
            return name not in RANGED or "range" not in node.names()
        return name not in MATRIX_KEYS


def unknown_keys(violation: Violation) -> tuple[ScalarNode, ...]:
    """The keys of a mapping that its schema does not know."""
    node = violation.node
    known = violation.rules.get("properties", {})
    keys = node.entries if isinstance(node, MapNode) else ()
    return tuple(key for key, _ in keys if key.value not in known)


def missing_keys(violation: Violation) -> tuple[str, ...]:
    """The keys that a mapping has to have and lacks."""
    node = violation.node
    present = node.names() if isinstance(node, MapNode) else ()
    return tuple(key for key in violation.rules["required"] if key not in present)


def bad_paths(violation: Violation) -> tuple[KeyPath, ...]:
    """What cannot be used because of a violation: keys too many or too few spoil no other key."""
    if violation.keyword == "additionalProperties":
        return tuple((*violation.path, str(key.value)) for key in unknown_keys(violation))
    if violation.keyword == "required":
        return tuple((*violation.path, key) for key in missing_keys(violation))
    return (violation.path,)

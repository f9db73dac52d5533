"""One rule of the schema that a value breaks, and what it tells apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hps.model import COUNT_KNOBS, KNOBS, SIZE_KNOBS
from hps.spec.formats import FormatError
from hps.spec.nodes import MapNode, Mark, Node, Path, ScalarNode, find
from hps.spec.wording import mark_of

MATRIX_KEYS = (*KNOBS, "exclude", "include")
RANGED = SIZE_KNOBS | COUNT_KNOBS


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One rule of the schema that a value breaks. `rules` is the schema that the rule stands in.

    `unknown` are the keys of the same mapping that the schema does not know.
    """

    root: MapNode
    path: Path
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


def bad_paths(violation: Violation) -> tuple[Path, ...]:
    """What cannot be used because of a violation: keys too many or too few spoil no other key."""
    if violation.keyword == "additionalProperties":
        return tuple((*violation.path, str(key.value)) for key in unknown_keys(violation))
    if violation.keyword == "required":
        return tuple((*violation.path, key) for key in missing_keys(violation))
    return (violation.path,)

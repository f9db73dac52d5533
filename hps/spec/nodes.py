"""The tree of an experiment file: values that know where they were written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from hps.spec import scalars
from hps.spec.problems import Problem, Severity

PathStep: TypeAlias = str | int
Path: TypeAlias = tuple[PathStep, ...]
Plain: TypeAlias = "scalars.Scalar | list[Plain] | dict[str, Plain]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A place, counted from 1; `end_column` is the column after the last character."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScalarNode:
    """One value. `text` is as written, `value` what it means once variables are filled in.

    `filled_from`: the variables of the environment that went into it. `unset`: those whose default
    did. `filled`: the text with them in it, which is never shown. `broken`: it has a problem
    already, so no other is reported. `secret`: never to be shown.
    """

    mark: Mark
    text: str
    value: scalars.Scalar
    plain: bool = True
    filled_from: tuple[str, ...] = ()
    unset: tuple[str, ...] = ()
    filled: str | None = field(default=None, repr=False)
    broken: bool = False
    secret: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ListNode:
    """A list."""

    mark: Mark
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MapNode:
    """A mapping. Keys are text, and each occurs once."""

    mark: Mark
    entries: tuple[tuple[ScalarNode, Node], ...]

    def key(self, name: str) -> ScalarNode | None:
        """The node of a key, or None."""
        return next((key for key, _ in self.entries if key.value == name), None)

    def get(self, name: str) -> Node | None:
        """The node of a key's value, or None."""
        return next((value for key, value in self.entries if key.value == name), None)

    def names(self) -> tuple[str, ...]:
        """The keys, in the order in which they are written."""
        return tuple(str(key.value) for key, _ in self.entries)


Node: TypeAlias = ScalarNode | ListNode | MapNode


def find(root: Node, path: Path) -> Node | None:
    """The node at a path of keys and indexes, or None."""
    node: Node | None = root
    for step in path:
        node = child(node, step)
    return node


def child(node: Node | None, step: PathStep) -> Node | None:
    """What lies one key or index below a node, or None."""
    if isinstance(node, MapNode) and isinstance(step, str):
        return node.get(step)
    if isinstance(node, ListNode) and isinstance(step, int) and 0 <= step < len(node.items):
        return node.items[step]
    return None


def as_scalar(node: Node | None) -> ScalarNode:
    """A node that the schema promises to be a single value. Raises `TypeError` where it is none."""
    if not isinstance(node, ScalarNode):
        raise TypeError(f"expected a single value, not {type(node).__name__}")
    return node


def as_mapping(node: Node | None) -> MapNode:
    """A node that the schema promises to be a mapping. Raises `TypeError` where it is none."""
    if not isinstance(node, MapNode):
        raise TypeError(f"expected a mapping, not {type(node).__name__}")
    return node


def as_count(node: ScalarNode) -> int:
    """A value that the schema promises to be a whole number. Raises `TypeError` otherwise."""
    if not isinstance(node.value, int | float):
        raise TypeError(f"expected a number, not {type(node.value).__name__}")
    return int(node.value)


def to_plain(node: Node) -> Plain:
    """The value of a tree as dicts, lists and scalars."""
    if isinstance(node, ScalarNode):
        return node.value
    if isinstance(node, ListNode):
        return [to_plain(item) for item in node.items]
    return {str(key.value): to_plain(value) for key, value in node.entries}


def scalar_leaves(node: Node) -> Iterator[ScalarNode]:
    """Every value below a node that is neither a list nor a mapping."""
    if isinstance(node, ScalarNode):
        yield node
    elif isinstance(node, ListNode):
        for item in node.items:
            yield from scalar_leaves(item)
    else:
        for _, value in node.entries:
            yield from scalar_leaves(value)


def problem_at(
    mark: Mark,
    message: str,
    *,
    rule: str,
    hint: str = "",
    suggestion: str = "",
    severity: Severity = "error",
) -> Problem:
    """A problem at a place. One that spans lines is shown at its first character."""
    same_line = mark.end_line == mark.line and mark.end_column > mark.column
    return Problem(
        file=mark.file,
        line=mark.line,
        column=mark.column,
        end_column=mark.end_column if same_line else mark.column + 1,
        message=message,
        hint=hint,
        suggestion=suggestion,
        rule=rule,
        severity=severity,
    )

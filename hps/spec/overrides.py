"""`--set key=value`: a dotted path into the experiment, and the YAML value for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hps.spec.problems import OVERRIDE_PREFIX, Problem, SpecError, quoted, shown
from hps.spec.secret_values import MASK, is_secret_key, mask_text
from hps.spec.source import has_control
from hps.spec.yaml_tree import ListNode, MapNode, Mark, Node, ScalarNode, compose, problem_at

_FORM = "write --set key=value, such as --set data.size=50MiB or --set matrix.concurrency=[1,4]"
_MAX_LENGTH = 10_000
_MAX_PARTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Override:
    """One override: the parts of its path with their places, and its value."""

    parts: tuple[str, ...]
    marks: tuple[Mark, ...]
    value: Node


def apply_overrides(root: Node, overrides: Sequence[str], problems: list[Problem]) -> Node:
    """The tree with each override applied, in order; adds a problem for each that does not fit."""
    for text in overrides:
        try:
            override = _parse(text, problems)
            root = _insert(root, override, 0)
        except SpecError as error:
            problems.extend(error.problems)
    return root


def label(text: str) -> str:
    """The override as problems show it in place of a file's name, with secrets masked."""
    if "=" not in text and is_secret_key(text):
        return OVERRIDE_PREFIX + MASK
    return OVERRIDE_PREFIX + shown(mask_text(text))


def _parse(text: str, problems: list[Problem]) -> _Override:
    path, equals, value = text.partition("=")
    parts = tuple(path.split("."))
    marks = _marks(text, parts)
    if len(text) > _MAX_LENGTH or len(parts) > _MAX_PARTS:
        raise _fault(marks[0], "this override is too long")
    if has_control(text):
        raise _fault(marks[0], "this override holds a control character, or bytes that are no text")
    if not equals or not all(part.strip() == part and part for part in parts):
        what = "there is no '=' in it" if not equals else "its key has an empty part"
        raise _fault(marks[0], f"this is not an override: {what}")
    return _Override(parts=parts, marks=marks, value=_value(text, value, problems))


def _value(text: str, value: str, problems: list[Problem]) -> Node:
    offset = len(text) - len(value)
    composed = compose(value, label(text), offset)
    problems.extend(composed.problems)
    if composed.root is not None:
        return composed.root
    mark = _mark(text, offset, len(text))
    # A broken value gets no second problem from the checks that follow.
    return ScalarNode(mark=mark, text="", value=None, broken=bool(composed.problems))


def _insert(node: Node | None, override: _Override, index: int) -> Node:
    if index == len(override.parts):
        return override.value
    part, mark = override.parts[index], override.marks[index]
    if isinstance(node, ListNode):
        return _insert_in_list(node, override, index)
    if node is None or (isinstance(node, ScalarNode) and node.value is None):
        node = MapNode(mark=mark, entries=())
    if isinstance(node, ScalarNode):
        parent = quoted(".".join(override.parts[:index]))
        raise _fault(mark, f"{parent} is a value, so it has no key {quoted(part)}")
    below = _insert(node.get(part), override, index + 1)
    new_key = ScalarNode(mark=mark, text=part, value=part)
    old_key = node.key(part)
    if old_key is None:
        return replace(node, entries=(*node.entries, (new_key, below)))
    # Problems with a value that the override replaces as a whole point to the override's key.
    kept = new_key if index == len(override.parts) - 1 else old_key
    entries = tuple(
        (kept, below) if key is old_key else (key, value) for key, value in node.entries
    )
    return replace(node, entries=entries)


def _insert_in_list(node: ListNode, override: _Override, index: int) -> Node:
    part, mark = override.parts[index], override.marks[index]
    position = int(part) if part.isascii() and part.isdecimal() and len(part) < 6 else -1
    if not 0 <= position < len(node.items):
        parent = quoted(".".join(override.parts[:index]))
        last = len(node.items) - 1
        what = f"{parent} is a list, whose positions are 0 to {last}"
        raise _fault(mark, what if node.items else f"{parent} is an empty list")
    items = list(node.items)
    items[position] = _insert(items[position], override, index + 1)
    return replace(node, items=tuple(items))


def _marks(text: str, parts: tuple[str, ...]) -> tuple[Mark, ...]:
    marks, begin = [], 0
    for part in parts:
        marks.append(_mark(text, begin, begin + len(part)))
        begin += len(part) + 1
    return tuple(marks)


def _mark(text: str, begin: int, end: int) -> Mark:
    return Mark(
        file=label(text), line=1, column=begin + 1, end_line=1, end_column=max(begin, end) + 1
    )


def _fault(mark: Mark, message: str) -> SpecError:
    return SpecError([problem_at(mark, message, rule="bad-override", hint=_FORM)])

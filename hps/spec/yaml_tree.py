"""The tree of an experiment file: values that know where they were written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import yaml
from yaml import events

from hps.spec.problems import Problem, Severity, SpecError, lines, quoted
from hps.spec.yaml_syntax import explain_syntax

# -------------------------------------------------------------------------------------------------
# The meaning of plain scalars: by the core schema of YAML 1.2, and by YAML 1.1 where that differs.

Scalar = str | int | float | bool | None

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
# Longer numbers stay text: no key takes one, and turning them into numbers is slow.
_MAX_DIGITS = 40
_TEXT = "text"


def resolve(text: str) -> Scalar:
    """A plain scalar's value by YAML 1.2's core schema. Infinities and not-a-number stay text."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    return _number(text)


def is_too_large(text: str) -> bool:
    """True for a number that is too long or too large, and so is kept as text."""
    return isinstance(resolve(text), str) and _FLOAT.fullmatch(text) is not None


def old_reading(text: str) -> str:
    """A sentence on how YAML 1.1 reads a plain scalar, where that differs; else an empty text."""
    old, now = _both(text)
    return f"YAML 1.1 reads {text} as {old}, YAML 1.2 (used here) as {now}" if old != now else ""


def numbers_read(text: str) -> tuple[str, ...]:
    """The values of a number in YAML 1.2 and 1.1 where they differ; only the first if 1.1 has text.

    Empty where they agree, or YAML 1.2 has no number.
    """
    old, now = _both(text)
    if old == now or isinstance(resolve(text), str | bool | None):
        return ()
    return (now,) if old == _TEXT else (now, old)


def _both(text: str) -> tuple[str, str]:
    """The values of a plain scalar in YAML 1.1 and 1.2, as text."""
    old = _old_value(text) if len(text) <= _MAX_DIGITS else ""
    new = resolve(text)
    if isinstance(new, float) and new.is_integer():
        new = int(new)
    now = _TEXT if isinstance(new, str) else f"{new}"
    return old or now, now


def _number(text: str) -> Scalar:
    if len(text) > _MAX_DIGITS:
        return text
    if _DECIMAL.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        number = float(text)
        return text if number in (float("inf"), float("-inf")) else number
    return text


def _old_value(text: str) -> str:
    return next((read(text) for form, read in _OLD_FORMS if form.fullmatch(text)), "")


def _base_60(text: str) -> str:
    total = Decimal(0)
    for part in text.lstrip("+-").replace("_", "").split(":"):
        total = total * 60 + Decimal(part)
    return f"{-total if text.startswith('-') else total}"


def _int(base: int) -> Callable[[str], str]:
    return lambda text: str(int(text.replace("_", ""), base))


# Forms that YAML 1.1 reads in another way, and its values for them. The first that matches counts.
_OLD_FORMS: tuple[tuple[re.Pattern[str], Callable[[str], str]], ...] = (
    (re.compile("y|yes|on", re.IGNORECASE), lambda _: "true"),
    (re.compile("n|no|off", re.IGNORECASE), lambda _: "false"),
    (re.compile("[-+]?0[0-7_]+"), _int(8)),
    (re.compile("[-+]?0[0-9]*[89][0-9]*"), lambda _: _TEXT),
    (re.compile("0o[0-7]+"), lambda _: _TEXT),
    (re.compile("[-+]?0b_*[01][01_]*"), _int(2)),
    (re.compile("[-+]?0x_*[0-9a-fA-F][0-9a-fA-F_]*"), _int(16)),
    (re.compile("[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+(?:\\.[0-9_]*)?"), _base_60),
    (
        re.compile("(?=.*_)[-+]?[0-9][0-9_]*(?:\\.[0-9_]*)?"),
        lambda text: text.replace("_", ""),
    ),
    (re.compile("[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"), lambda _: "a date"),
    (re.compile("[-+]?[0-9]+[eE][-+]?[0-9]+"), lambda _: _TEXT),
    (re.compile("[-+]?(?:[0-9]+\\.[0-9]*|\\.[0-9]+)[eE][0-9]+"), lambda _: _TEXT),
)


# -------------------------------------------------------------------------------------------------

PathStep: TypeAlias = str | int
KeyPath: TypeAlias = tuple[PathStep, ...]
Plain: TypeAlias = "Scalar | list[Plain] | dict[str, Plain]"


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
    """One value. `text` is as written, `value` its meaning once variables are filled in.

    `filled_from`: the variables whose value was filled in, and `unset` those whose default was.
    `filled`: the resulting text, which is never shown. `broken`: it has a problem already, so no
    other is reported. `secret`: it is never shown. `plain`: it is not in quotes.
    """

    mark: Mark
    text: str
    value: Scalar
    plain: bool = True
    filled_from: tuple[str, ...] = ()
    unset: tuple[str, ...] = ()
    filled: str | None = field(default=None, repr=False)
    broken: bool = False
    secret: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ListNode:
    mark: Mark
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MapNode:
    """A mapping. Keys are text, and each occurs once."""

    mark: Mark
    entries: tuple[tuple[ScalarNode, Node], ...]

    def key(self, name: str) -> ScalarNode | None:
        return next((key for key, _ in self.entries if key.value == name), None)

    def get(self, name: str) -> Node | None:
        return next((value for key, value in self.entries if key.value == name), None)

    def names(self) -> tuple[str, ...]:
        return tuple(str(key.value) for key, _ in self.entries)


Node: TypeAlias = ScalarNode | ListNode | MapNode


def find(root: Node, path: KeyPath) -> Node | None:
    node: Node | None = root
    for step in path:
        node = child(node, step)
    return node


def child(node: Node | None, step: PathStep) -> Node | None:
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


# -------------------------------------------------------------------------------------------------
# YAML text -> tree, in one pass over the parser's events, within bounds.

MAX_DEPTH = 50
MAX_NODES = 20_000
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE = "tag:yaml.org,2002:"
_TEXT_TAGS = frozenset({"!", f"{_CORE}str"})
_TYPED_TAGS = frozenset(f"{_CORE}{name}" for name in ("int", "float", "bool", "null"))
_COLLECTION_TAGS = frozenset({"!", f"{_CORE}map", f"{_CORE}seq"})
# A long run of %TAG lines would keep the parser busy for minutes.
_DIRECTIVE = re.compile(r"^%(?!YAML )", re.MULTILINE)
_MERGE_HINT = "write the keys out; merge keys are not part of YAML 1.2"


class Composed(NamedTuple):
    """A tree, and the problems in it. `root` is None where no document could be read."""

    root: Node | None
    problems: tuple[Problem, ...]


class _Sized(NamedTuple):
    """A node, the number of nodes that it expands to, and the levels below it."""

    node: Node
    size: int
    height: int


_Start: TypeAlias = events.SequenceStartEvent | events.MappingStartEvent


@lru_cache(maxsize=8)  # masking the lines of problems needs the same tree again
def compose(text: str, file: str, column_offset: int = 0) -> Composed:
    """The tree of one document, and every problem of it as YAML.

    `column_offset` is added to the columns of line 1. Whatever the text, depth and the number of
    nodes are bounded, also where aliases expand.
    """
    if (directive := _DIRECTIVE.search(text)) is not None:
        return Composed(None, (_directive_problem(text[: directive.start()], file),))
    composer = _Composer(text, file, column_offset)
    root = None
    try:
        root = composer.document()
    except yaml.MarkedYAMLError as error:
        composer.problems.append(explain_syntax(error, text, file, column_offset))
    except SpecError as error:
        composer.problems.extend(error.problems)
    return Composed(root, tuple(composer.problems))


class _Composer:
    """Makes a tree of the parser's events, and collects anchors and problems on the way."""

    def __init__(self, text: str, file: str, column_offset: int) -> None:
        self.problems: list[Problem] = []
        self._events: Iterator[events.Event] = iter(yaml.parse(text, Loader=_LOADER))
        self._file = file
        self._column_offset = column_offset
        self._anchors: dict[str, _Sized] = {}
        self._open_anchors: set[str] = set()
        self._nodes = 0

    def document(self) -> Node | None:
        """The document, with a problem where a second follows; None where the text is empty."""
        next(self._events)
        if isinstance(next(self._events), events.StreamEndEvent):
            return None
        root = self._compose(next(self._events), 1).node
        next(self._events)
        after = next(self._events)
        if not isinstance(after, events.StreamEndEvent):
            hint = "keep one document in a file"
            self._report(after, "a second document begins here", "several-documents", hint)
        return root

    def _compose(self, event: events.Event, depth: int) -> _Sized:
        if depth > MAX_DEPTH:
            raise self._stop(event, f"nested deeper than {MAX_DEPTH} levels", "too-deep")
        if isinstance(event, events.AliasEvent):
            return self._alias(event, depth)
        self._count(event, 1)
        anchor = getattr(event, "anchor", None)
        if anchor:
            self._open_anchors.add(anchor)
        sized = self._inner(event, depth)
        if anchor:
            self._open_anchors.discard(anchor)
            self._anchors[anchor] = sized
        return sized

    def _inner(self, event: events.Event, depth: int) -> _Sized:
        if isinstance(event, events.SequenceStartEvent):
            return self._list(event, depth)
        if isinstance(event, events.MappingStartEvent):
            return self._mapping(event, depth)
        if not isinstance(event, events.ScalarEvent):
            raise TypeError(f"unexpected {type(event).__name__}")
        return _Sized(self._scalar(event), 1, 0)

    def _alias(self, event: events.AliasEvent, depth: int) -> _Sized:
        known = self._anchors.get(str(event.anchor))
        if known is None or event.anchor in self._open_anchors:
            inside = event.anchor in self._open_anchors
            what = "an alias stands inside what it names" if inside else "unknown alias"
            hint = "" if inside else "anchor a value with &name before it is used as *name"
            self._report(event, what, "bad-alias", hint)
            return _Sized(_broken(self._mark(event)), 1, 0)
        if depth + known.height > MAX_DEPTH:
            raise self._stop(event, f"nested deeper than {MAX_DEPTH} levels", "too-deep")
        self._count(event, known.size)
        return known

    def _list(self, event: events.SequenceStartEvent, depth: int) -> _Sized:
        known = self._has_known_tag(event)
        items: list[_Sized] = []
        while not isinstance(following := next(self._events), events.SequenceEndEvent):
            items.append(self._compose(following, depth + 1))
        mark = self._mark(event, following)
        node: Node = ListNode(mark=mark, items=tuple(item.node for item in items))
        if not known:
            node = _broken(mark)
        return _Sized(node, 1 + sum(item.size for item in items), _height(items))

    def _mapping(self, event: events.MappingStartEvent, depth: int) -> _Sized:
        known = self._has_known_tag(event)
        parts: list[_Sized] = []
        entries: dict[str, tuple[ScalarNode, Node]] = {}
        while not isinstance(following := next(self._events), events.MappingEndEvent):
            key = self._compose(following, depth + 1)
            value = self._compose(next(self._events), depth + 1)
            parts += (key, value)
            if self._is_good_key(key.node, entries):
                name = as_scalar(key.node)
                entries[str(name.value)] = (name, value.node)
        mark = self._mark(event, following)
        node: Node = MapNode(mark=mark, entries=tuple(entries.values()))
        if not known:
            node = _broken(mark)
        return _Sized(node, 1 + sum(part.size for part in parts), _height(parts))

    def _is_good_key(self, key: Node, entries: dict[str, tuple[ScalarNode, Node]]) -> bool:
        if not isinstance(key, ScalarNode):
            what = "a list" if isinstance(key, ListNode) else "a mapping"
            self._report_mark(key.mark, f"a key is {what}", "bad-key", "keys are text")
        elif key.broken:
            return False
        elif not isinstance(key.value, str):
            hint = f'keys are text; if it is one, put it in quotes: "{key.text}"'
            self._report_mark(
                key.mark, f"the key {key.text or '(nothing)'} is not text", "bad-key", hint
            )
        elif key.plain and key.value == "<<":
            self._report_mark(key.mark, "merge keys are not supported", "merge-key", _MERGE_HINT)
        elif key.value in entries:
            first = entries[key.value][0].mark.line
            what = f"the key {quoted(key.value)} occurs twice"
            self._report_mark(key.mark, what, "duplicate-key", f"it is on line {first} already")
        else:
            return True
        return False

    def _scalar(self, event: events.ScalarEvent) -> ScalarNode:
        plain = event.tag in _TYPED_TAGS or (not event.style and event.tag not in _TEXT_TAGS)
        known = event.tag is None or event.tag in _TEXT_TAGS or event.tag in _TYPED_TAGS
        if not known:
            self._unknown_tag(event, str(event.tag))
        return ScalarNode(
            mark=self._mark(event),
            text=event.value,
            value=resolve(event.value) if plain else event.value,
            plain=plain,
            broken=not known,
        )

    def _has_known_tag(self, event: _Start) -> bool:
        known = event.tag is None or event.tag in _COLLECTION_TAGS
        if not known:
            self._unknown_tag(event, str(event.tag))
        return known

    def _unknown_tag(self, event: events.Event, tag: str) -> None:
        shown = "!!" + tag.removeprefix(_CORE) if tag.startswith(_CORE) else tag
        hint = "write plain values; tags are not used here"
        self._report(event, f"unknown tag {quoted(shown)}", "unknown-tag", hint)

    def _count(self, event: events.Event, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            what = f"more than {MAX_NODES:,} values, aliases expanded"
            raise self._stop(event, what, "too-many-nodes")

    def _stop(self, event: events.Event, message: str, rule: str) -> SpecError:
        return SpecError([problem_at(self._mark(event), message, rule=rule)])

    def _report(self, event: events.Event, message: str, rule: str, hint: str) -> None:
        self._report_mark(self._mark(event), message, rule, hint)

    def _report_mark(self, mark: Mark, message: str, rule: str, hint: str) -> None:
        self.problems.append(problem_at(mark, message, rule=rule, hint=hint))

    def _mark(self, first: events.Event, last: events.Event | None = None) -> Mark:
        start, end = first.start_mark, (last or first).end_mark
        if start is None or end is None:
            raise TypeError(f"{type(first).__name__} has no place")
        return Mark(
            file=self._file,
            line=start.line + 1,
            column=start.column + 1 + (self._column_offset if start.line == 0 else 0),
            end_line=end.line + 1,
            end_column=end.column + 1 + (self._column_offset if end.line == 0 else 0),
        )


def _broken(mark: Mark) -> ScalarNode:
    """Takes the place of a value that has a problem already."""
    return ScalarNode(mark=mark, text="", value=None, broken=True)


def _height(parts: list[_Sized]) -> int:
    return 1 + max((part.height for part in parts), default=-1)


def _directive_problem(before: str, file: str) -> Problem:
    return Problem(
        file=file,
        line=len(lines(before)),
        message="a line begins with '%'",
        hint="delete the line; tags are not used here",
        rule="directive",
    )

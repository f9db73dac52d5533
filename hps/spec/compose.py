"""YAML text -> tree, in one pass over the parser's events, within bounds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import yaml
from yaml import events

from hps.spec import scalars
from hps.spec.nodes import ListNode, MapNode, Mark, Node, ScalarNode, as_scalar, problem_at
from hps.spec.problems import Problem, SpecError
from hps.spec.quote import quoted
from hps.spec.source import lines
from hps.spec.syntax import explain_syntax

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
    """A tree (None where there is no document that could be read) and the problems found in it."""

    root: Node | None
    problems: tuple[Problem, ...]


class _Sized(NamedTuple):
    """A node, how many nodes it expands to (`size`), and how deep it reaches."""

    node: Node
    size: int
    height: int


_Start: TypeAlias = events.SequenceStartEvent | events.MappingStartEvent


@lru_cache(maxsize=8)  # the lines that problems are shown with need the tree again
def compose(text: str, file: str, column_offset: int = 0) -> Composed:
    """The tree of one document, with everything that is wrong with it as YAML.

    `column_offset` is added to the columns of line 1. Depth, nodes and what aliases expand to are
    bounded, whatever the text.
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
    """Holds the parser's events, the anchors so far and the problems so far."""

    def __init__(self, text: str, file: str, column_offset: int) -> None:
        self.problems: list[Problem] = []
        self._events: Iterator[events.Event] = iter(yaml.parse(text, Loader=_LOADER))
        self._file = file
        self._column_offset = column_offset
        self._anchors: dict[str, _Sized] = {}
        self._open_anchors: set[str] = set()
        self._nodes = 0

    def document(self) -> Node | None:
        """The only document; None where the text holds nothing."""
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
            value=scalars.resolve(event.value) if plain else event.value,
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
    """What stands for a value that has a problem already."""
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

"""The schema's rules applied to a tree, with each violation located and explained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from hps.spec import yaml_tree
from hps.spec.explain import EXPLAINERS
from hps.spec.formats import FORMATS, FormatError
from hps.spec.problems import MAX_PROBLEMS, Problem
from hps.spec.schema import Violation, bad_paths, filled_in_schema, unknown_keys
from hps.spec.wording import name_of, say
from hps.spec.yaml_tree import (
    KeyPath,
    ListNode,
    MapNode,
    Node,
    ScalarNode,
    find,
    problem_at,
    to_plain,
)

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, FormatChecker
    from jsonschema.exceptions import ValidationError

_MOST_VIOLATIONS = 2 * MAX_PROBLEMS


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A tree whose values were held against the schema.

    `bad` holds the paths of all values with a problem. Checks that go further leave them out.
    Where there were too many to look at each (`cut`), no value is known to be good.
    """

    root: MapNode
    problems: tuple[Problem, ...]
    bad: frozenset[KeyPath]
    cut: bool = False

    def is_good(self, path: KeyPath) -> bool:
        """True where neither the value, nor anything in it or around it, has a problem."""
        return not self.cut and not any(
            one[: len(path)] == path or (one and path[: len(one)] == one) for one in self.bad
        )

    def good(self, *path: str | int) -> Node | None:
        """The node at a path, if it is there and nothing is wrong with it."""
        return find(self.root, path) if self.is_good(path) else None


def check_schema(root: MapNode) -> Checked:
    """Every violation of the schema (the first hundreds, where there are more)."""
    errors = islice(_validator().iter_errors(to_plain(root)), _MOST_VIOLATIONS)
    violations = [_violation(root, error) for error in errors]
    problems = [
        p for violation in _telling(violations) for p in EXPLAINERS[violation.keyword](violation)
    ]
    bad = {path for violation in violations for path in bad_paths(violation) if path}
    bad.update(path for path, leaf in _leaves(root, ()) if leaf.broken)
    ambiguous = [one for one in _leaves(root, ()) if one[0] not in bad and _numbers(one[1])]
    problems.extend(_read_twice(path, leaf) for path, leaf in ambiguous)
    bad.update(path for path, _ in ambiguous)
    cut = len(violations) == _MOST_VIOLATIONS
    return Checked(root=root, problems=tuple(problems), bad=frozenset(bad), cut=cut)


def _numbers(leaf: ScalarNode) -> tuple[str, ...]:
    """The two numbers that a value is, by the version of YAML, or the one where it is also text."""
    text = leaf.text if leaf.filled is None else leaf.filled
    return yaml_tree.numbers_read(text) if leaf.plain and not leaf.secret else ()


def _read_twice(path: KeyPath, leaf: ScalarNode) -> Problem:
    message = f"{name_of(path)} is {say(leaf)}, which YAML reads in two ways"
    if leaf.filled is None:
        hint = f"{yaml_tree.old_reading(leaf.text)}; write {' or '.join(_numbers(leaf))}"
    else:
        told = "YAML 1.1 reads it otherwise than YAML 1.2 (used here)"
        hint = f"{told}; write it in digits alone, without a zero before them"
    return problem_at(leaf.mark, message, rule="two-readings", hint=hint)


@cache
def _validator() -> Draft202012Validator:
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - slow to import

    return Draft202012Validator(filled_in_schema(), format_checker=_format_checker())


def _format_checker() -> FormatChecker:
    from jsonschema import FormatChecker  # noqa: PLC0415 - slow to import

    checker = FormatChecker(formats=())
    for name, check in FORMATS.items():
        checker.checks(name, raises=FormatError)(_accepting(check))
    return checker


def _accepting(check: Callable[[str], None]) -> Callable[[object], bool]:
    def accepts(instance: object) -> bool:
        if isinstance(instance, str):
            check(instance)
        return True

    return accepts


def _violation(root: MapNode, error: ValidationError) -> Violation:
    rules: Mapping[str, Any] = error.schema if isinstance(error.schema, dict) else {}
    path = tuple(error.absolute_path)
    in_names = "propertyNames" in error.absolute_schema_path
    cause = error.cause if isinstance(error.cause, FormatError) else None
    return Violation(
        root=root,
        path=(*path, str(error.instance)) if in_names else path,
        keyword="propertyNames" if in_names else str(error.validator),
        rules=dict(rules),
        cause=cause,
    )


def _telling(violations: list[Violation]) -> Iterator[Violation]:
    """Those that say something new: one mistake often breaks several rules."""
    unknown: dict[KeyPath, tuple[str, ...]] = {}
    for one in violations:
        if one.keyword == "additionalProperties":
            unknown[one.path] = tuple(str(key.value) for key in unknown_keys(one))
    crowded = {one.path for one in violations if one.is_crowded_step}
    for violation in violations:
        node = find(violation.root, violation.path)
        if isinstance(node, ScalarNode) and node.broken:
            continue
        if violation.path[:2] in crowded and not violation.is_crowded_step:
            continue
        yield replace(violation, unknown=unknown.get(violation.path, ()))


def _leaves(node: Node, path: KeyPath) -> Iterator[tuple[KeyPath, ScalarNode]]:
    if isinstance(node, ScalarNode):
        yield path, node
    elif isinstance(node, ListNode):
        for index, item in enumerate(node.items):
            yield from _leaves(item, (*path, index))
    else:
        for key, value in node.entries:
            yield from _leaves(value, (*path, str(key.value)))

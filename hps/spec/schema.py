"""The JSON Schema of an experiment file, and the rules of it that a tree breaks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hps.catalog.tools import TOOL_FACTS
from hps.errors import HpsError
from hps.model import COUNT_KNOBS, KNOBS, SIZE_KNOBS
from hps.spec import yaml_tree
from hps.spec.formats import FORMATS, FormatError
from hps.spec.problems import MAX_PROBLEMS, Problem
from hps.spec.wording import describe, mark_of, name_of
from hps.spec.yaml_tree import (
    KeyPath,
    ListNode,
    MapNode,
    Mark,
    Node,
    ScalarNode,
    find,
    problem_at,
    to_plain,
)

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, FormatChecker
    from jsonschema.exceptions import ValidationError

FILE_NAME = "experiment.schema.json"
_PACKAGE = Path(__file__).resolve().parent.parent
# In an installed package the schemas lie inside it, in a checkout beside it.
_FOLDERS = (_PACKAGE / "schemas", _PACKAGE.parent / "schemas")
_INTERPOLATED = "#/$defs/interpolated"
_LABELS = frozenset({"description", "examples", "default"})


def schema() -> dict[str, Any]:
    """The published schema, with the tools that there are.

    Raises `HpsError` where the installation lacks it.
    """
    for folder in _FOLDERS:
        path = folder / FILE_NAME
        if path.is_file():
            loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            loaded["$defs"]["tool"]["anyOf"][0]["enum"] = list(TOOL_FACTS)
            return loaded
    hint = "install hps again; its schemas folder is missing"
    raise HpsError(f"{FILE_NAME} was not found", hint)


@cache
def filled_in_schema() -> dict[str, Any]:
    """The schema for a tree without any `${…}`, with every `$ref` resolved.

    A value with a `format` has no `pattern` here, since the format's own check explains more.
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
# One rule of the schema that a value breaks.

MATRIX_KEYS = (*KNOBS, "exclude", "include")
RANGED = SIZE_KNOBS | COUNT_KNOBS


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A value at `path` that breaks the rule `keyword` of the schema `rules`.

    `cause` is what a check of a format raised; `unknown` has the keys of the same mapping that the
    schema does not know.
    """

    root: MapNode
    path: KeyPath
    keyword: str
    rules: Mapping[str, Any]
    cause: FormatError | None = None
    unknown: tuple[str, ...] = ()

    @property
    def node(self) -> Node | None:
        return find(self.root, self.path)

    @property
    def mark(self) -> Mark:
        return mark_of(self.root, self.path)

    @property
    def is_step(self) -> bool:
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
    node = violation.node
    known = violation.rules.get("properties", {})
    keys = node.entries if isinstance(node, MapNode) else ()
    return tuple(key for key, _ in keys if key.value not in known)


def missing_keys(violation: Violation) -> tuple[str, ...]:
    node = violation.node
    present = node.names() if isinstance(node, MapNode) else ()
    return tuple(key for key in violation.rules["required"] if key not in present)


def bad_paths(violation: Violation) -> tuple[KeyPath, ...]:
    """The paths of values that can't be used because of a violation.

    Unknown or missing keys of a mapping leave its other keys usable.
    """
    if violation.keyword == "additionalProperties":
        return tuple((*violation.path, str(key.value)) for key in unknown_keys(violation))
    if violation.keyword == "required":
        return tuple((*violation.path, key) for key in missing_keys(violation))
    return (violation.path,)


# -------------------------------------------------------------------------------------------------
# The schema's rules applied to a tree, with each violation located and explained.

# By the keyword of the schema that is broken: what makes problems of the violation.
Explainers = Mapping[str, Callable[[Violation], Iterator[Problem]]]
_MOST_VIOLATIONS = 2 * MAX_PROBLEMS


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A tree whose values were checked by the schema.

    `bad` has the paths of all values with a problem, which further checks leave out. `cut`: there
    were too many problems to look at each, so that no value is known to be good.
    """

    root: MapNode
    problems: tuple[Problem, ...]
    bad: frozenset[KeyPath]
    cut: bool = False

    def is_good(self, path: KeyPath) -> bool:
        """True where neither the value, nor anything in it or around it, has a problem."""
        return not self.cut and not any(
            bad[: len(path)] == path or (bad and path[: len(bad)] == bad) for bad in self.bad
        )

    def good(self, *path: str | int) -> Node | None:
        """The node at a path; None where there is none, or something is wrong with it."""
        return find(self.root, path) if self.is_good(path) else None


def check_schema(root: MapNode, explainers: Explainers) -> Checked:
    """The tree with a problem for each violation of the schema, up to `_MOST_VIOLATIONS`."""
    errors = islice(_validator().iter_errors(to_plain(root)), _MOST_VIOLATIONS)
    violations = [_violation(root, error) for error in errors]
    problems = [
        p
        for violation in _without_repeats(violations)
        for p in explainers[violation.keyword](violation)
    ]
    bad = {path for violation in violations for path in bad_paths(violation) if path}
    bad.update(path for path, leaf in _leaves(root, ()) if leaf.broken)
    for path, leaf in _leaves(root, ()):
        if path not in bad and _numbers(leaf):
            problems.append(_read_twice(path, leaf))
            bad.add(path)
    cut = len(violations) == _MOST_VIOLATIONS
    return Checked(root=root, problems=tuple(problems), bad=frozenset(bad), cut=cut)


def _numbers(leaf: ScalarNode) -> tuple[str, ...]:
    """The numbers that a value is to YAML 1.2 and 1.1, where these read it differently."""
    text = leaf.text if leaf.filled is None else leaf.filled
    return yaml_tree.numbers_read(text) if leaf.plain and not leaf.secret else ()


def _read_twice(path: KeyPath, leaf: ScalarNode) -> Problem:
    message = f"{name_of(path)} is {describe(leaf)}, which YAML reads in two ways"
    if leaf.filled is None:
        hint = f"{yaml_tree.old_reading(leaf.text)}; write {' or '.join(_numbers(leaf))}"
    else:
        differs = "YAML 1.1 reads it otherwise than YAML 1.2 (used here)"
        hint = f"{differs}; write it in digits alone, without a zero before them"
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


def _without_repeats(violations: list[Violation]) -> Iterator[Violation]:
    """Leave out violations that follow from others: one mistake often breaks several rules."""
    unknown = {
        violation.path: tuple(str(key.value) for key in unknown_keys(violation))
        for violation in violations
        if violation.keyword == "additionalProperties"
    }
    crowded = {violation.path for violation in violations if violation.is_crowded_step}
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

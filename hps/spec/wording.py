"""The words of problems for keys, for values, and for what was expected of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from hps.spec import yaml_tree
from hps.spec.formats import EXPECTED, UNIT_FORMATS
from hps.spec.problems import quoted, shown
from hps.spec.yaml_tree import KeyPath, ListNode, MapNode, Mark, Node, ScalarNode, child, find

_MAX_WORD = 64
_MAX_CHOICES = 20
_BARE_VARIABLE = re.compile(r"(?<!\$)\$([A-Za-z_][A-Za-z0-9_]*)")


def path_text(path: KeyPath) -> str:
    """`('matrix', 'concurrency', 2)` -> `matrix.concurrency[2]`."""
    parts = (f"[{step}]" if isinstance(step, int) else f".{shown(step)}" for step in path)
    return "".join(parts).removeprefix(".")


def name_of(path: KeyPath) -> str:
    """A key by its path, in quotes."""
    return f"'{path_text(path)}'"


def describe(node: Node | None) -> str:
    """A value in words: as it was written, never what an environment variable filled in."""
    if isinstance(node, ListNode):
        return "a list"
    if isinstance(node, MapNode):
        return "a mapping"
    if node is None or (node.value is None and not node.filled_from):
        return "empty"
    if node.secret:
        return "something that is not shown"
    return _describe_scalar(node)


def _describe_scalar(node: ScalarNode) -> str:
    if node.filled_from:
        return f"{quoted(node.text)}, filled in from {_names(node.filled_from)}"
    if node.unset:
        return f"{quoted(node.text)}, where {_names(node.unset)} is unset"
    return quoted(node.text) if isinstance(node.value, str) else shown(node.text)


def expected(schema: dict[str, Any]) -> str:
    """What a schema asks of a value, in words."""
    if "errorMessage" in schema:
        return f"expected {schema['errorMessage']}"
    if "enum" in schema:
        return expected_choice(schema["enum"])
    if "const" in schema:
        return f"expected {schema['const']}"
    kind = schema.get("type")
    if kind in {"integer", "number"}:
        number = "a whole number" if kind == "integer" else "a number"
        return f"expected {number} from {schema['minimum']:,} to {schema['maximum']:,}"
    if kind == "string":
        return f"expected {_text(schema)}"
    kinds = {"boolean": "true or false", "array": "a list", "object": "a mapping"}
    return f"expected {kinds[str(kind)]}"


def expected_choice(choices: Iterable[object]) -> str:
    """`expected one of a, b, c`, cut short where there are many."""
    words = [str(choice) for choice in choices]
    if len(words) == 1:
        return f"expected {words[0]}"
    more = ", …" if len(words) > _MAX_CHOICES else ""
    return f"expected one of {', '.join(words[:_MAX_CHOICES])}{more}"


def near(word: str, choices: Iterable[object], *, likeness: float = 0.6) -> str:
    """The choice that was probably meant, whatever its case; else an empty text."""
    if len(word) > _MAX_WORD:
        return ""
    by_plain = {_plain(str(choice)): str(choice) for choice in choices}
    found = get_close_matches(_plain(word), by_plain, n=1, cutoff=likeness)
    return by_plain[found[0]] if found else ""


def why(node: Node | None, schema: dict[str, Any]) -> str:
    """A hint at the cause of a wrong value: how YAML reads it, quotes, `$NAME` without braces."""
    if not isinstance(node, ScalarNode) or node.secret:
        return ""
    wants_text = schema.get("type") == "string"
    if not wants_text and "enum" not in schema and not node.plain and isinstance(node.value, str):
        return "" if schema.get("type") in {"object", "array"} else _why_quoted(node)
    if (
        wants_text
        and schema.get("format") not in UNIT_FORMATS
        and not isinstance(node.value, str | None)
    ):
        return f'put it in quotes where text is meant: "{shown(node.text)}"'
    if node.plain and not wants_text and yaml_tree.is_too_large(node.text):
        return "no number here can be so large"
    if node.plain and "${" not in node.text:
        bare = _BARE_VARIABLE.search(node.text)
        return f"write ${{{bare[1]}}} for a variable" if bare else yaml_tree.old_reading(node.text)
    return ""


def mark_of(root: Node, path: KeyPath) -> Mark:
    """The place of a problem with a value: the value, or its key where the value spans lines."""
    node = find(root, path)
    if node is not None and (node.mark.line == node.mark.end_line or not path):
        return node.mark
    return key_mark(root, path)


def key_mark(root: Node, path: KeyPath) -> Mark:
    """The place of a key, of an item in a list, or of the whole file for an empty path."""
    if path:
        parent, last = find(root, path[:-1]), path[-1]
        if isinstance(parent, MapNode) and (key := parent.key(str(last))) is not None:
            return key.mark
        if (node := child(parent, last)) is not None:
            return node.mark
        return key_mark(root, path[:-1])
    return root.mark


def _why_quoted(node: ScalarNode) -> str:
    if "${" in node.text:
        return (
            "leave the quotes out; inside [ ] or { }, where it needs them, "
            "write the list or mapping on lines of its own instead"
        )
    return "leave the quotes out" if yaml_tree.resolve(node.text) != node.text else ""


def _text(schema: dict[str, Any]) -> str:
    if "format" in schema:
        return EXPECTED[schema["format"]]
    return str(schema.get("patternErrorMessage", "text"))


def _names(variables: tuple[str, ...]) -> str:
    return ", ".join(variables)


def _plain(word: str) -> str:
    return word.lower().replace("-", "_").replace(" ", "_")

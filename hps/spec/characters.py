"""Characters that no value may have, however it got them: by an escape, or from a variable."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hps.spec.nodes import ListNode, Node, ScalarNode, problem_at
from hps.spec.problems import Problem

# Terminals obey control characters, and show text in another order after those for directions; a
# lone surrogate stands for a byte that is no text.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def check_characters(node: Node) -> Iterator[Problem]:
    """A problem for each value and key below a node that holds such a character."""
    if isinstance(node, ScalarNode):
        yield from _check(node)
    elif isinstance(node, ListNode):
        for item in node.items:
            yield from check_characters(item)
    else:
        for key, value in node.entries:
            yield from _check(key)
            yield from check_characters(value)


def _check(node: ScalarNode) -> Iterator[Problem]:
    found = _CONTROL.search(node.value) if isinstance(node.value, str) else None
    if found is None:
        return
    name = f"U+{ord(found[0]):04X}"
    what = f"this value holds a control character, {name}"
    if node.filled_from:
        what = f"{', '.join(node.filled_from)} holds a control character, {name}"
    yield problem_at(node.mark, what, rule="control-character", hint="write plain text")

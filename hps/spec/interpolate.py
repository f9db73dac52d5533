"""`${NAME}`, `${NAME:-default}` and `${NAME:?message}` in values, filled in from the environment.

`$${` stands for a literal `${`. An empty variable counts as unset for `:-` and `:?`, as in sh.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from hps.spec import scalars
from hps.spec.nodes import ListNode, MapNode, Mark, Node, ScalarNode, problem_at
from hps.spec.problems import Problem
from hps.spec.quote import quoted
from hps.spec.variables import Refusal, Refuse, odd_variable, tells_the_place

MAX_FILLED_CHARACTERS = 1024**2
# Of one value; more would say nothing new.
_MAX_FAULTS = 20
_OPENING = re.compile(r"\$?\$\{")
_REFERENCE = re.compile(
    r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<operator>:[-?])(?P<word>[^{}]*))?\}"
)
_NAME = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)")
_FORMS = "write ${NAME}, ${NAME:-default} or ${NAME:?message}, or $${ for a literal ${"


@dataclass(slots=True, kw_only=True)
class _Filling:
    """One scalar while it is filled in. `told`: the values that are not the defaults."""

    refuse: Callable[[str], Refusal | None]
    pieces: list[str] = field(default_factory=list)
    filled_from: list[str] = field(default_factory=list)
    unset: list[str] = field(default_factory=list)
    told: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fault:
    """What is wrong with one `${`, the `index`th of its scalar."""

    index: int
    length: int
    message: str
    hint: str
    rule: str


class Interpolator:
    """Fills in a whole tree, and bounds the total of the text that this gives.

    `refuse` says which variables may not be named, in `file` or in an override.
    """

    def __init__(
        self,
        env: Mapping[str, str],
        file: str,
        text_lines: Sequence[str],
        refuse: Refuse = lambda name, in_file: None,
    ) -> None:
        self.problems: list[Problem] = []
        self._told: dict[str, str] = {}
        self._env = env
        self._file = file
        self._lines = text_lines
        self._refuse = refuse
        self._odd: dict[str, Refusal | None] = {}
        self._characters = 0

    @property
    def told(self) -> dict[str, str]:
        """What the environment made of the file: each variable's value, where no default is it.

        Without those that tell the machines of one experiment apart.
        """
        return {name: value for name, value in self._told.items() if not tells_the_place(name)}

    def fill(self, node: Node) -> Node:
        """The same tree with every `${…}` filled in; `problems` gathers what could not be."""
        if isinstance(node, ListNode):
            return replace(node, items=tuple(self.fill(item) for item in node.items))
        if isinstance(node, MapNode):
            entries = tuple((key, self.fill(value)) for key, value in node.entries)
            return replace(node, entries=entries)
        return node if node.broken or "${" not in node.text else self._scalar(node)

    def _scalar(self, node: ScalarNode) -> ScalarNode:
        in_file = node.mark.file == self._file
        filling = _Filling(refuse=lambda name: self._refusal(name, in_file))
        faults = list(islice(_fill_text(node.text, self._env, filling), _MAX_FAULTS))
        text = "".join(filling.pieces)
        self._characters += len(text)
        if self._characters > MAX_FILLED_CHARACTERS:
            hint = f"all values together may have {MAX_FILLED_CHARACTERS:,} characters"
            what = "too much text once variables are filled in"
            self.problems.append(problem_at(node.mark, what, rule="too-large", hint=hint))
        if faults:
            self.problems.extend(self._problem(node, fault) for fault in faults)
        if faults or self._characters > MAX_FILLED_CHARACTERS:
            return replace(node, broken=True)
        self._told |= filling.told
        return replace(
            node,
            value=scalars.resolve(text) if node.plain else text,
            filled_from=tuple(dict.fromkeys(filling.filled_from)),
            unset=tuple(dict.fromkeys(filling.unset)),
            filled=text,
        )

    def _refusal(self, name: str, in_file: bool) -> Refusal | None:
        if name not in self._odd:
            self._odd[name] = odd_variable(name, self._env)
        return self._refuse(name, in_file) or self._odd[name]

    def _problem(self, node: ScalarNode, fault: _Fault) -> Problem:
        mark = self._mark_of(node.mark, fault)
        return problem_at(mark, fault.message, rule=fault.rule, hint=fault.hint)

    def _mark_of(self, mark: Mark, fault: _Fault) -> Mark:
        """Where the `${` stands, if the value is on one line of the file; else the value."""
        if mark.file != self._file or mark.line != mark.end_line:
            return mark
        source = self._lines[mark.line - 1][: mark.end_column - 1]
        openings = _OPENING.finditer(source, mark.column - 1)
        opening = next(islice(openings, fault.index, None), None)
        if opening is None:
            return mark
        column = opening.start() + 1
        return replace(mark, column=column, end_column=column + fault.length)


def _fill_text(text: str, env: Mapping[str, str], filling: _Filling) -> Iterator[_Fault]:
    position = 0
    for index, opening in enumerate(_OPENING.finditer(text)):
        if opening.start() < position:
            continue
        filling.pieces.append(text[position : opening.start()])
        position = opening.end()
        if opening.group() == "$${":
            filling.pieces.append("${")
            continue
        reference = _REFERENCE.match(text, opening.start())
        if reference is None:
            yield _malformed(text[opening.start() :], index)
            return
        position = reference.end()
        yield from _fill_reference(reference, index, env, filling)
    filling.pieces.append(text[position:])


def _fill_reference(
    reference: re.Match[str], index: int, env: Mapping[str, str], filling: _Filling
) -> Iterator[_Fault]:
    name, operator, word = reference["name"], reference["operator"], reference["word"]
    value = env.get(name)
    refusal = filling.refuse(name)
    if refusal is not None:
        yield _refused(reference, index, refusal)
    elif value or (value is not None and operator is None):
        filling.pieces.append(value)
        filling.filled_from.append(name)
        if operator != ":-" or value != word:
            filling.told[name] = value
    elif operator == ":-":
        filling.pieces.append(word)
        filling.unset.append(name)
    else:
        yield _unset(reference, index, is_empty=value is not None)


def _unset(reference: re.Match[str], index: int, *, is_empty: bool) -> _Fault:
    name, word = reference["name"], reference["word"]
    state = "is set but empty" if is_empty else "is not set"
    asked = f"it has to be: {word.strip()}" if word and word.strip() else ""
    return _Fault(
        index=index,
        length=len(reference.group()),
        message=f"the environment variable {name} {state}",
        hint=asked or f"set it, or write a default: ${{{name}:-…}}",
        rule="unset-variable",
    )


def _refused(reference: re.Match[str], index: int, refusal: Refusal) -> _Fault:
    return _Fault(
        index=index,
        length=len(reference.group()),
        message=refusal.message,
        hint=refusal.hint,
        rule=refusal.rule,
    )


def _malformed(rest: str, index: int) -> _Fault:
    name = _NAME.match(rest)
    if "}" not in rest:
        message = "'${' without its '}'"
        hint = "close it; a ' #' inside begins a comment, unless the value is in quotes"
    elif name is None:
        message, hint = "'${' is not followed by the name of a variable", _FORMS
    elif "{" in rest[2 : rest.index("}")]:
        message, hint = "'${…}' inside '${…}' is not supported", _FORMS
    else:
        after = rest[name.end() :].split("}", maxsplit=1)[0]
        message, hint = f"{quoted(after[:2])} after ${{{name[1]} is not understood", _FORMS
    return _Fault(index=index, length=2, message=message, hint=hint, rule="bad-interpolation")

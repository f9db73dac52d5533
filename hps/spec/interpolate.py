"""Filling the variables of the environment into the tree of an experiment."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from hps.redaction import SECRET_PREFIX, VARIABLE_PREFIX, is_called_like_a_secret, may_name_secret
from hps.spec import yaml_tree
from hps.spec.odd_values import oddity
from hps.spec.problems import OVERRIDE_PREFIX, Problem, lines, quoted
from hps.spec.secret_values import SECRET_KEYS, hide_secrets, is_safe_env_name, is_secret_key
from hps.spec.source import SpecText, decode
from hps.spec.yaml_tree import ListNode, MapNode, Mark, Node, ScalarNode, as_mapping, problem_at

# -------------------------------------------------------------------------------------------------
# Which variables of the environment an experiment that came over a network may use.
#
# Such an experiment names the server that gets what is filled in, and the values are stored with
# the results: so it may use only the variables of the shipped experiments, and those whose prefix
# says that they are meant for it. A secret is never filled in, but signatures made with it go to
# that server. They don't reveal the secret; still only secrets of storage may be named.

VARIABLES = frozenset(
    {
        "AWS_ENDPOINT_URL",
        "AWS_REGION",
        "BUCKET",
        "CLOUDFLARE_ENDPOINT_URL",
        "CLOUDFLARE_REGION",
        "DLSPEED",
        "FOLDER",
        "SIZE",
        "ULSPEED",
    }
)
_PATH_KEY = "ca_cert"
_WHOLE_VARIABLE = re.compile(rf"\$\{{{VARIABLE_PREFIX}[A-Z0-9_]+(?::\?[^{{}}]*)?\}}")
_SALAD = re.compile(r"SALAD_[A-Z_]+_(ID|NAME)")


def may_fill_in(name: str) -> bool:
    """True for variables that `${…}` may name in an experiment from a network."""
    known = name in VARIABLES or _SALAD.fullmatch(name) is not None
    return known or name.startswith(VARIABLE_PREFIX)


def _not_allowed(name: str, prefix: str) -> Refusal:
    return Refusal(
        message=f"an experiment from a network may not use the environment variable {name}",
        hint=f"pass the value as {prefix}…, or run a copy of the file from a path that you trust",
        rule="variable-not-allowed",
    )


def check_paths(root: MapNode, file: str) -> Iterator[Problem]:
    """A problem for each path of this machine in `file`, an experiment from a network.

    A variable that was set for it may hold a path.
    """
    targets = root.get("targets")
    for _, target in targets.entries if isinstance(targets, MapNode) else ():
        node = target.get(_PATH_KEY) if isinstance(target, MapNode) else None
        if not isinstance(node, ScalarNode) or node.mark.file != file:
            continue
        if not _WHOLE_VARIABLE.fullmatch(node.text):
            message = "an experiment from a network may not name a file of this machine"
            hint = f"write ${{{VARIABLE_PREFIX}CA_CERT}}, pass the path by it, or use --set"
            yield problem_at(node.mark, message, rule="path-not-allowed", hint=hint)


def check_secret_names(root: MapNode, file: str) -> Iterator[Problem]:
    """A problem for each variable that a target in `file` may not take a secret from."""
    targets = root.get("targets")
    for _, target in targets.entries if isinstance(targets, MapNode) else ():
        if isinstance(target, MapNode):
            yield from (_problem(node) for node in _named(target) if _is_foreign(node, file))


def _named(target: MapNode) -> Iterator[ScalarNode]:
    for key in SECRET_KEYS:
        reference = target.get(key)
        name = reference.get("env") if isinstance(reference, MapNode) else None
        if isinstance(name, ScalarNode) and not name.broken:
            yield name


def _is_foreign(node: ScalarNode, file: str) -> bool:
    return node.mark.file == file and not may_name_secret(str(node.value))


def _problem(node: ScalarNode) -> Problem:
    shown = node.text if is_safe_env_name(node.text) else "that is named here"
    refusal = _not_allowed(shown, SECRET_PREFIX)
    return problem_at(node.mark, refusal.message, rule=refusal.rule, hint=refusal.hint)


# -------------------------------------------------------------------------------------------------
# Which variables of the environment `${…}` may name, whoever wrote it.
#
# What is filled in is shown by plans and stored with results, so that no secret may be: neither a
# variable that the experiment itself takes a secret from, nor one with the name of a secret.

# Variables that say where a run takes place, and not what it does.
_PLACE_NAME = re.compile(
    r"SALAD_[A-Z_]+_(?:ID|NAME)|HOSTNAME|(?:HOST|NODE|POD|MACHINE)_(?:ID|NAME)"
)
_RULE = "secret-filled-in"
_ODD_RULE = "odd-variable"
_SHOWN = "what is filled in is shown and stored with results"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a variable may not be filled in, and what to do instead."""

    message: str
    hint: str
    rule: str


# Called with a variable's name, and whether it stands in the file (else in an override).
Refuse = Callable[[str, bool], Refusal | None]


def names_the_machine(name: str) -> bool:
    """True for variables that differ between the machines of one experiment."""
    return _PLACE_NAME.fullmatch(name) is not None


def secret_nodes(node: Node) -> Iterator[ScalarNode]:
    """Every `NAME` of an `{env: NAME}` below a key of a secret, misspelt ones too."""
    if isinstance(node, ListNode):
        for item in node.items:
            yield from secret_nodes(item)
    for key, value in node.entries if isinstance(node, MapNode) else ():
        name = value.get("env") if isinstance(value, MapNode) else None
        if is_secret_key(str(key.value)) and isinstance(name, ScalarNode):
            yield name
        else:
            yield from secret_nodes(value)


def refusing(secrets: Mapping[str, ScalarNode], *, trusted: bool) -> Refuse:
    """A function that refuses names in `${…}`. `secrets`: where variables of secrets are named."""

    def refuse(name: str, in_file: bool) -> Refusal | None:
        if name in secrets:
            return _refuse_secret(name, secrets[name])
        if is_called_like_a_secret(name):
            return _refuse_secret_name(name)
        if in_file and not trusted and not may_fill_in(name):
            return _not_allowed(name, VARIABLE_PREFIX)
        return None

    return refuse


def odd_variable(name: str, env: Mapping[str, str], *, is_key: bool = False) -> Refusal | None:
    """Why the value of a variable is surely a mistake; None where it is not, or unset."""
    odd = oddity(env.get(name, ""), is_key=is_key)
    if odd is None:
        return None
    message = f"the environment variable {name} {odd.what}"
    return Refusal(message=message, hint=odd.hint, rule=_ODD_RULE)


def _refuse_secret(name: str, node: ScalarNode) -> Refusal:
    mark = node.mark
    place = mark.file if mark.file.startswith(OVERRIDE_PREFIX) else f"line {mark.line}"
    return Refusal(
        message=f"the environment variable {name} holds a secret, and would be filled in here",
        hint=f"{place} takes a secret from it, and {_SHOWN}; use another variable, or plain text",
        rule=_RULE,
    )


def _refuse_secret_name(name: str) -> Refusal:
    return Refusal(
        message=f"the environment variable {name} is called like a secret",
        hint=f"{_SHOWN}; name a secret as {{env: {name}}} where a target takes it, and pass what "
        f"is none by another name, such as {VARIABLE_PREFIX}…",
        rule=_RULE,
    )


# -------------------------------------------------------------------------------------------------
# `${NAME}`, `${NAME:-default}` and `${NAME:?message}` in values, filled in from the environment.
#
# `$${` stands for a literal `${`. An empty variable counts as unset for `:-` and `:?`, as in sh.

MAX_FILLED_CHARACTERS = 1024**2
# The most that are reported of one value.
_MAX_FAULTS = 20
_OPENING = re.compile(r"\$?\$\{")
_REFERENCE = re.compile(
    r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<operator>:[-?])(?P<word>[^{}]*))?\}"
)
_NAME = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)")
_FORMS = "write ${NAME}, ${NAME:-default} or ${NAME:?message}, or $${ for a literal ${"


@dataclass(slots=True, kw_only=True)
class _Filling:
    """One scalar while it is filled in, see `ScalarNode` and `Interpolator.env_values`."""

    refuse: Callable[[str], Refusal | None]
    pieces: list[str] = field(default_factory=list)
    filled_from: list[str] = field(default_factory=list)
    unset: list[str] = field(default_factory=list)
    env_values: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fault:
    """What is wrong with one `${`, the `index`th of its scalar."""

    index: int
    length: int
    message: str
    hint: str
    rule: str


class Interpolator:
    """Fills in a whole tree, whose values may have `MAX_FILLED_CHARACTERS` in all.

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
        self._env_values: dict[str, str] = {}
        self._env = env
        self._file = file
        self._lines = text_lines
        self._refuse = refuse
        self._odd: dict[str, Refusal | None] = {}
        self._characters = 0

    @property
    def env_values(self) -> dict[str, str]:
        """The variables that were filled in, with their values, where these are not the defaults.

        Without those that differ between the machines of one experiment.
        """
        return {
            name: value for name, value in self._env_values.items() if not names_the_machine(name)
        }

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
        self._env_values |= filling.env_values
        return replace(
            node,
            value=yaml_tree.resolve(text) if node.plain else text,
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
            filling.env_values[name] = value
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


# -------------------------------------------------------------------------------------------------
# Characters that no value may have, whether by an escape or from a variable.

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


# -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A tree without any `${…}`, see `Interpolator.env_values`."""

    root: MapNode
    env_values: Mapping[str, str]
    problems: tuple[Problem, ...]


def fill_in(root: MapNode, source: SpecText, env: Mapping[str, str]) -> Filled:
    """Fill in every variable, with a problem for each that may not or cannot be filled in."""
    problems: list[Problem] = []
    hidden = hide_secrets(root, problems)
    text_lines = lines(decode(source))
    secrets = _secrets(hidden, Interpolator(env, source.name, text_lines))
    problems.extend(_odd(secrets, env, trusted=source.trusted))
    refuse = refusing(secrets, trusted=source.trusted)
    interpolator = Interpolator(env, source.name, text_lines, refuse)
    filled = as_mapping(interpolator.fill(hidden))
    problems.extend(interpolator.problems)
    problems.extend(check_characters(filled))
    if not source.trusted:
        problems.extend(check_secret_names(filled, source.name))
        problems.extend(check_paths(filled, source.name))
    return Filled(root=filled, env_values=interpolator.env_values, problems=tuple(problems))


def _odd(
    secrets: Mapping[str, ScalarNode], env: Mapping[str, str], *, trusted: bool
) -> Iterator[Problem]:
    """A problem for each secret whose value is surely a mistake.

    A variable that the experiment may not name gets none, which would reveal something of it.
    """
    for name, node in secrets.items():
        odd = odd_variable(name, env, is_key=True)
        if odd is not None and (trusted or may_name_secret(name)):
            yield problem_at(node.mark, odd.message, rule=odd.rule, hint=odd.hint)


def _secrets(root: Node, interpolator: Interpolator) -> dict[str, ScalarNode]:
    """The variables that secrets are taken from; their names may be filled in themselves."""
    filled = (interpolator.fill(node) for node in secret_nodes(root))
    return {str(node.value): node for node in filled if isinstance(node, ScalarNode)}

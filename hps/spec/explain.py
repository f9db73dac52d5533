"""Violations of the schema -> problems, with what to write instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any

from hps.catalog.providers import PROVIDERS
from hps.catalog.steps import STEP_KINDS
from hps.catalog.tools import NOT_TOOLS
from hps.model import KNOBS, SIZE_KNOBS
from hps.redaction import is_called_like_a_secret
from hps.spec.formats import FORMATS, UNIT_FORMATS, FormatError
from hps.spec.problems import Problem, quoted, shown
from hps.spec.readings import bare, bare_text, readings
from hps.spec.schema import (
    MATRIX_KEYS,
    RANGED,
    Violation,
    filled_in_schema,
    missing_keys,
    unknown_keys,
)
from hps.spec.secret_values import is_safe_env_name
from hps.spec.wording import (
    describe,
    expected,
    expected_choice,
    key_mark,
    name_of,
    near,
    path_text,
    why,
)
from hps.spec.yaml_tree import (
    KeyPath,
    ListNode,
    MapNode,
    Node,
    ScalarNode,
    as_scalar,
    find,
    problem_at,
)
from hps.units import spelled

# -------------------------------------------------------------------------------------------------
# What to write in place of a value of the wrong kind, where its shape shows what was meant.

# Other names of providers, and their names here.
PROVIDER_NAMES: Mapping[str, str] = MappingProxyType(
    {other: name for name, facts in PROVIDERS.items() for other in facts.other_names}
)
# Other names of keys, and their names here.
_KEY_NAMES: Mapping[str, str] = MappingProxyType(
    {"container": "bucket", "storage_account": "account", "account_name": "account"}
)
_AZURE_KEYS = (
    "azure takes account_key, sas_token, or tenant_id, client_id and client_secret, and neither "
    "regions nor S3's settings"
)
# The unit that a number alone most likely has.
_FORMAT_UNITS: Mapping[str, str] = MappingProxyType(
    {"hps-size": "MiB", "hps-rate": "Mbps", "hps-time": "s"}
)
# An example of a value that a step needs.
_EXAMPLES: Mapping[str, str] = MappingProxyType({"hps-size": "10MiB", "hps-time": "10s"})
# The formats of keys in a mapping for which only one value was written.
_KEY_FORMATS: Mapping[str, str] = MappingProxyType(
    {"size": "hps-size", "timeout": "hps-time", "duration": "hps-time"}
)
# The keys that a number, and a word, in place of the mapping at a path most likely stand for.
_KEYS: Mapping[KeyPath, tuple[str, str]] = MappingProxyType(
    {
        **{("steps", kind): ("timeout", "") for kind in STEP_KINDS},
        ("steps", "load"): ("timeout", "method"),
        ("order",): ("seed", "kind"),
        ("data",): ("size", ""),
        ("node", "probe"): ("seconds", "method"),
    }
)
# Texts that need no quotes inside [ ] and { }.
_WORD = re.compile(r"[A-Za-z0-9_./+-]{1,40}")
_ITEM = re.compile(r"[A-Za-z0-9_./+-][A-Za-z0-9_./+ -]{,39}")
_MAX_ITEMS = 8


def advice(violation: Violation) -> str:
    """What to write instead; an empty text where the shape of the value shows nothing."""
    node = violation.node
    if isinstance(node, MapNode):
        return _of_mapping(violation.path, node, str(violation.rules.get("format", "")))
    if isinstance(node, ListNode):
        return _of_list(violation.path)
    if not isinstance(node, ScalarNode) or node.secret or node.value is None:
        return ""
    if node.value is False and "countries" in violation.path:
        return 'write "NO", in quotes, for Norway: a program that reads YAML 1.1 makes false of NO'
    if violation.rules.get("type") == "object":
        return _as_mapping(violation, node)
    return _as_list(violation, node)


def unit(violation: Violation, node: ScalarNode) -> str:
    """What to write for a number that lacks its unit; an empty text for any other value."""
    wanted, found = str(violation.rules.get("format")), bare(node)
    if found is None or wanted not in UNIT_FORMATS:
        return ""
    texts = readings(violation.path, wanted, found)
    if not node.filled_from and not node.unset:
        return spelled(texts) if texts else ""
    # The value of a variable is not shown.
    number = f"{found.number:f}"
    units = [text.removeprefix(number) for text in texts if text.startswith(number)]
    whole = node.text.strip()
    if not units or not whole.endswith(found.prefix):
        return ""
    return f"write {' or '.join(whole.removesuffix(found.prefix) + unit for unit in units)}"


def _of_mapping(path: KeyPath, node: MapNode, wanted: str) -> str:
    name = node.get("env")
    if isinstance(name, ScalarNode) and node.names() == ("env",) and is_safe_env_name(name.text):
        return _from_environment(name.text, wanted)
    if _is_axis(path) and path[1] in RANGED and {"from", "to"} & set(node.names()):
        return f"write {path[1]}: {{range: {{{_written(path, node)}}}}}"
    return ""


def _from_environment(name: str, wanted: str) -> str:
    if is_called_like_a_secret(name):
        return "only what a target takes as a secret is named by {env: …}"
    unit = _FORMAT_UNITS.get(wanted)
    number = f", or ${{{name}}}{unit} where it holds a number alone" if unit else ""
    return f"write ${{{name}}}{number}; {{env: …}} is for secrets"


def _written(path: KeyPath, node: MapNode) -> str:
    """The entries of a range, with the units that they lack; with `…` where one is not plain."""
    words = [
        (name, _with_unit((*path, "range", name), _axis_format(path), _word(value)))
        for name, value in ((str(key.value), value) for key, value in node.entries)
    ]
    known = all(name and word for name, word in words)
    return ", ".join(f"{name}: {word}" for name, word in words) if known else "from: …, to: …"


def _of_list(path: KeyPath) -> str:
    if path == ("targets",):
        return "write each target as NAME: {provider: …}"
    if path == ("matrix",):
        return "write each axis as KNOB: [value, value]"
    if path[-1] in KNOBS and path[0] in {"data", "steps"}:
        return f"to vary it, write {path[-1]}: [value, value] under 'matrix'"
    if path[-1] in KNOBS and path[1] in {"exclude", "include"}:
        return "write an entry for each value"
    return ""


def _as_mapping(violation: Violation, node: ScalarNode) -> str:
    """`order: shuffled` is meant as `order: {kind: shuffled}`."""
    path, word = violation.path, _word(node)
    key = _key_of(violation, word)
    if not word or not key:
        return ""
    if path == ("targets",):
        return f"write targets: {{NAME: {{provider: {word}}}}}"
    if key == "provider":
        word = PROVIDER_NAMES.get(word.lower(), word)
    word = _with_unit((*path, key), _KEY_FORMATS.get(key, ""), word)
    return f"write {path[-1]}: {{{key}: {word}}}"


def _key_of(violation: Violation, word: str) -> str:
    """The key that a single value most likely stands for."""
    path = tuple(step for step in violation.path if isinstance(step, str))
    if path[0] == "targets":
        return "provider" if word.lower() in {*PROVIDERS, *PROVIDER_NAMES} else ""
    if path == ("results",):
        targets = violation.root.get("targets")
        declared = targets.names() if isinstance(targets, MapNode) else ()
        return "target" if word in declared else "folder"
    needed = _needed_settings(path[-1]) if path[0] == "steps" else {}
    if needed:
        return next(iter(needed))
    of_number, of_word = _KEYS.get(path, ("", ""))
    return of_number if word[:1].isdigit() else of_word


def _as_list(violation: Violation, node: ScalarNode) -> str:
    """`upload, download` is meant as `[upload, download]`; a variable never gives a list."""
    path, is_list = violation.path, violation.rules.get("type") == "array"
    if not is_list and not _is_axis(path[:2]):
        return ""
    if "${" in node.text:
        several = isinstance(node.value, str) and re.search(r"[,\[\s]", node.value.strip())
        return _no_list(path) if is_list or several else ""
    text = node.text.strip().strip("[]")
    # Blanks can't separate values that may have units.
    by = None if "," not in text and (is_list or "enum" in violation.rules) else ","
    words = [word.strip() for word in text.split(by)]
    many = is_list or (len(words) > 1 and _is_axis(path))
    if not many or len(words) > _MAX_ITEMS or not all(map(_ITEM.fullmatch, words)):
        return ""
    wanted = _axis_format(path) if _is_axis(path) else ""
    return f"write a list: [{', '.join(_with_unit(path, wanted, word) for word in words)}]"


def _no_list(path: KeyPath) -> str:
    key = path_text(path if isinstance(path[-1], str) else path[:-1])
    return (
        "a variable gives one value and never a list; write the list out, with a ${…} for each, "
        f"or use --set {key}=[…]"
    )


def _with_unit(path: KeyPath, wanted: str, word: str) -> str:
    """A word as it is, or, for a number that lacks its unit, with the likeliest unit."""
    found = bare_text(word) if wanted else None
    return next(iter(readings(path, wanted, found)), word) if found else word


def _axis_format(path: KeyPath) -> str:
    return "hps-size" if path[1] in SIZE_KNOBS else ""


def _is_axis(path: KeyPath) -> bool:
    return len(path) == 2 and path[0] == "matrix"


def _word(node: Node) -> str:
    """A value as written, or an empty text where it would need quotes inside { }."""
    if not isinstance(node, ScalarNode) or node.secret or not _WORD.fullmatch(node.text):
        return ""
    return node.text


# -------------------------------------------------------------------------------------------------
# Where a key belongs that stands in the wrong mapping.

_TOP = "at the top level"
_FEW = 2


def home(key: str) -> str:
    """`it belongs under 'data'`, for a key that is valid elsewhere; else an empty text."""
    places = _places().get(key, ())
    if not places:
        return ""
    return f"it belongs {_TOP if _TOP in places else f'under {_either(places)}'}"


def owner(setting: str) -> str:
    """`it is a setting of 'load'`, for one that few kinds of step have; else an empty text."""
    kinds = [f"'{kind.name}'" for kind in STEP_KINDS.values() if setting in kind.settings]
    return f"it is a setting of {_either(kinds)}" if 0 < len(kinds) <= _FEW else ""


def _either(words: Sequence[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


@cache
def _places() -> Mapping[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for place, keys in _mappings():
        for key in keys:
            found.setdefault(key, []).append(place)
    for kind in STEP_KINDS.values():
        for key in kind.settings:
            found.setdefault(key, ["a step"])
    return {key: tuple(places) for key, places in found.items()}


def _mappings() -> Iterator[tuple[str, Mapping[str, Any]]]:
    top = filled_in_schema()["properties"]
    yield _TOP, top
    for name in ("data", "matrix", "node", "order", "results"):
        yield f"'{name}'", top[name]["properties"]
    yield "'node.probe'", top["node"]["properties"]["probe"]["properties"]
    yield "a target", top["targets"]["additionalProperties"]["properties"]


# -------------------------------------------------------------------------------------------------

_MAX_KEYS = 50
# How alike a misspelt key is to the one that was meant; more so where it may be misplaced instead.
_LIKELY, _SURE = 0.6, 0.85


def _problem(
    violation: Violation, message: str, rule: str, *hints: str, suggestion: str = ""
) -> Problem:
    hint = "; ".join(hint for hint in hints if hint)
    return problem_at(violation.mark, message, rule=rule, hint=hint, suggestion=suggestion)


def _unknown(violation: Violation) -> Iterator[Problem]:
    if violation.is_unknown_axis:
        yield _unknown_axis(violation)
        return
    known = list(violation.rules.get("properties", {}))
    where = f" in {name_of(violation.path)}" if violation.path else ""
    what, rule = ("step", "unknown-step") if violation.is_step else ("key", "unknown-key")
    for key in unknown_keys(violation)[:_MAX_KEYS]:
        word = str(key.value)
        message = f"unknown {what} {quoted(word)}{'' if violation.is_step else where}"
        place = _place(violation, word)
        yield problem_at(
            key.mark,
            message,
            rule=rule,
            hint=place or expected_choice(known),
            suggestion=_other_name(word, known)
            or near(word, known, likeness=_SURE if place else _LIKELY),
        )


def _other_name(key: str, known: Sequence[str]) -> str:
    """What a key is called here that others call so; an empty text where there is none."""
    name = _KEY_NAMES.get(key, "")
    return name if name in known else ""


def _place(violation: Violation, key: str) -> str:
    """A hint at where an unknown key would be valid."""
    if violation.is_step:
        return ""
    in_step = violation.path[:1] == ("steps",)
    if in_step and any(key in kind.settings for kind in STEP_KINDS.values()):
        return owner(key)
    return home(key)


def _unknown_axis(violation: Violation) -> Problem:
    if violation.path[1] in KNOBS:
        return _odd_axis(violation)
    name = str(violation.path[1])
    place = home(name)
    hint = (
        f"a knob takes a list ({', '.join(KNOBS)}); any other name takes {{zip: {{knob: [...]}}}}"
    )
    return problem_at(
        key_mark(violation.root, violation.path),
        f"unknown axis {quoted(name)}",
        rule="unknown-axis",
        hint=place or hint,
        suggestion=near(name, MATRIX_KEYS, likeness=_SURE if place else _LIKELY),
    )


def _odd_axis(violation: Violation) -> Problem:
    """The problem of a knob whose value is a mapping, and no range."""
    knob = str(violation.path[1])
    ranged = ", or {range: {from, to}}" if knob in RANGED else ""
    hint = f"expected a list{ranged}; a zip has a name of its own, such as pair: {{zip: {{...}}}}"
    mark = key_mark(violation.root, violation.path)
    message = f"{name_of(violation.path)} is a mapping"
    return problem_at(mark, message, rule="wrong-type", hint=advice(violation) or hint)


def _missing(violation: Violation) -> Iterator[Problem]:
    if violation.is_unknown_axis:
        yield _unknown_axis(violation)
        return
    owner = name_of(violation.path) if violation.path else "the file"
    mark = key_mark(violation.root, violation.path)
    for key in missing_keys(violation):
        # A misspelt key of nearly that name is reported already.
        if not near(key, violation.unknown):
            yield problem_at(
                mark, f"{owner} lacks '{key}'", rule="missing-key", hint=f"add '{key}'"
            )


def _wrong_type(violation: Violation) -> Iterator[Problem]:
    if violation.is_unknown_axis:
        yield _unknown_axis(violation)
        return
    node, rules = violation.node, dict(violation.rules)
    if isinstance(node, ScalarNode) and "format" in rules and node.value is not None:
        yield from _bad_format(violation)
        return
    message = f"{name_of(violation.path)} is {describe(node)}"
    hint = _without_settings(violation) or advice(violation) or expected(rules)
    yield _problem(violation, message, "wrong-type", hint, why(node, rules))


def _without_settings(violation: Violation) -> str:
    """What to write for a step that ends in ':' without settings below it."""
    node, path = violation.node, violation.path
    if len(path) == 3 and path[0] == "steps" and isinstance(node, ScalarNode) and not node.text:
        return f"write - {path[2]} where it has no settings, else indent them below it"
    return ""


def _bad_format(violation: Violation) -> Iterator[Problem]:
    """Problems of texts, and of numbers where a text with a unit was expected."""
    node, cause = as_scalar(violation.node), violation.cause
    if cause is None:
        cause = _format_error(str(violation.rules["format"]), node)
    if cause is None:
        message = f"{name_of(violation.path)} is {describe(node)}"
        rules = dict(violation.rules)
        yield _problem(violation, message, "wrong-type", expected(rules), why(node, rules))
        return
    if cause.unit_error is not None and not _is_filled(node):
        message = f"{name_of(violation.path)}: {cause.unit_error.message}"
        hint = cause.unit_error.hint
    else:
        message = f"{name_of(violation.path)} {cause.message}: {describe(node)}"
        hint = cause.hint
    hint = advice(violation) or unit(violation, node) or hint
    if cause.rule == "secret-literal":
        message = f"{name_of(violation.path)} {cause.message}"
    yield _problem(violation, message, cause.rule, hint, why(node, dict(violation.rules)))


def _format_error(name: str, node: ScalarNode) -> FormatError | None:
    try:
        FORMATS[name](node.text if not _is_filled(node) else str(node.value))
    except FormatError as error:
        return error
    return None


def _is_filled(node: ScalarNode) -> bool:
    return bool(node.filled_from or node.unset)


def _wrong_value(violation: Violation) -> Iterator[Problem]:
    node, rules = violation.node, dict(violation.rules)
    choices = rules.get("enum", [rules.get("const")])
    if violation.is_step and isinstance(node, ScalarNode):
        needed = _needed_settings(str(node.value))
        if needed:
            yield _bare_step(violation, str(node.value), needed)
            return
        message, rule = f"unknown step {describe(node)}", "unknown-step"
    else:
        message, rule = f"{name_of(violation.path)} is {describe(node)}", "unknown-value"
    if violation.is_step:
        choices = list(STEP_KINDS)
        rules = {"enum": choices}
    word = str(node.value) if isinstance(node, ScalarNode) and not node.secret else ""
    no_tool = NOT_TOOLS.get(word.lower(), "") if "tool" in violation.path else ""
    hints = (advice(violation) or expected(rules), no_tool or why(node, rules))
    likely = PROVIDER_NAMES.get(word.lower(), "") if violation.path[-1:] == ("provider",) else ""
    yield _problem(violation, message, rule, *hints, suggestion=likely or near(word, choices))


def _bare_step(violation: Violation, kind: str, needed: Mapping[str, Any]) -> Problem:
    """The problem of a step without settings whose kind needs some."""
    examples = {key: _EXAMPLES.get(str(rules.get("format")), "…") for key, rules in needed.items()}
    written = ", ".join(f"{key}: {example}" for key, example in examples.items())
    hint = f"write - {kind}: {{{written}}}"
    return _problem(violation, f"'{kind}' lacks '{next(iter(needed))}'", "missing-key", hint)


def _needed_settings(kind: str) -> Mapping[str, Any]:
    """The settings that a kind of step can't do without, each with its rules."""
    kinds = filled_in_schema()["properties"]["steps"]["items"]["then"]["properties"]
    rules = kinds.get(kind, {})
    return {key: rules["properties"][key] for key in rules.get("required", ())}


def _out_of_range(violation: Violation) -> Iterator[Problem]:
    rules = dict(violation.rules)
    message = f"{name_of(violation.path)} is {describe(violation.node)}"
    hints = (expected(rules), why(violation.node, rules))
    yield _problem(violation, message, "out-of-range", *hints)


def _bad_name(violation: Violation) -> Iterator[Problem]:
    rules = dict(violation.rules)
    message = f"{name_of(violation.path)} is {describe(violation.node)}"
    yield _problem(violation, message, "bad-name", expected(rules), why(violation.node, rules))


def _bad_key(violation: Violation) -> Iterator[Problem]:
    if "not" in violation.rules:
        yield from _forbidden(violation)
        return
    mark = key_mark(violation.root, violation.path)
    message = f"{quoted(str(violation.path[-1]))} is not a name for a target"
    hint = f"expected {violation.rules['patternErrorMessage']}"
    yield problem_at(mark, message, rule="bad-name", hint=hint)


def _too_few(violation: Violation) -> Iterator[Problem]:
    what = "a list" if isinstance(violation.node, ListNode) else "a mapping"
    message = f"{name_of(violation.path)} is {what} with nothing in it"
    yield _problem(violation, message, "empty", "expected at least one entry")


def _too_many(violation: Violation) -> Iterator[Problem]:
    node, rules = violation.node, violation.rules
    if violation.is_crowded_step:
        hint = "begin each step with '- ', and indent the settings of a step below its name"
        yield _problem(violation, "a step has more than one name", "crowded-step", hint)
        return
    count = len(node.items) if isinstance(node, ListNode) else len(_entries(node))
    most = rules.get("maxItems", rules.get("maxProperties"))
    message = f"{name_of(violation.path)} has {count:,} entries"
    yield _problem(violation, message, "too-many", f"expected at most {most:,}")


def _too_long(violation: Violation) -> Iterator[Problem]:
    most = violation.rules["maxLength"]
    message = f"{name_of(violation.path)} is longer than {most:,} characters"
    yield _problem(violation, message, "too-long", "make it shorter")


def _forbidden(violation: Violation) -> Iterator[Problem]:
    mark, key = key_mark(violation.root, violation.path), shown(str(violation.path[-1]))
    node = find(violation.root, (*violation.path[:-1], "provider"))
    provider = str(as_scalar(node).value)
    if provider == "embedded":
        hint = "leave it out: it has an address and keys of its own; or name another provider"
        message = f"an embedded target takes no '{key}'"
        yield problem_at(mark, message, rule="not-for-embedded", hint=hint)
        return
    hint = _AZURE_KEYS if provider == "azure" else "only provider: azure takes it"
    message = f"a target of provider '{provider}' takes no '{key}'"
    yield problem_at(mark, message, rule="not-for-provider", hint=f"leave it out: {hint}")


def _entries(node: Node | None) -> tuple[tuple[ScalarNode, Node], ...]:
    return node.entries if isinstance(node, MapNode) else ()


EXPLAINERS: Mapping[str, Callable[[Violation], Iterator[Problem]]] = MappingProxyType(
    {
        "additionalProperties": _unknown,
        "required": _missing,
        "type": _wrong_type,
        "format": _bad_format,
        "enum": _wrong_value,
        "const": _wrong_value,
        "minimum": _out_of_range,
        "maximum": _out_of_range,
        "pattern": _bad_name,
        "propertyNames": _bad_key,
        "minItems": _too_few,
        "minProperties": _too_few,
        "maxItems": _too_many,
        "maxProperties": _too_many,
        "maxLength": _too_long,
    }
)

"""What each keyword of the schema, when broken, says to a person."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from hps.model import KNOBS
from hps.spec.advice import PROVIDER_NAMES, advice, unit
from hps.spec.formats import FORMATS, FormatError
from hps.spec.homes import home, owner
from hps.spec.nodes import (
    ListNode,
    MapNode,
    Node,
    ScalarNode,
    as_scalar,
    problem_at,
)
from hps.spec.problems import Problem
from hps.spec.quote import quoted, shown
from hps.spec.violation import MATRIX_KEYS, RANGED, Violation, missing_keys, unknown_keys
from hps.spec.wording import expected, key_mark, name_of, near, one_of, say, why
from hps.step_kinds import STEP_KINDS

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
            hint=place or one_of(known),
            suggestion=near(word, known, likeness=_SURE if place else _LIKELY),
        )


def _place(violation: Violation, key: str) -> str:
    """Where an unknown key is known."""
    if violation.is_step:
        return ""
    if violation.path[:1] == ("steps",) and any(key in one.settings for one in STEP_KINDS.values()):
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
    """A knob with a mapping that is no range below it."""
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
        # A key of nearly that name is reported already: it is one typing error.
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
    message = f"{name_of(violation.path)} is {say(node)}"
    hint = _without_settings(violation) or advice(violation) or expected(rules)
    yield _problem(violation, message, "wrong-type", hint, why(node, rules))


def _without_settings(violation: Violation) -> str:
    """What to write for a step that ends in ':' with no settings below it."""
    node, path = violation.node, violation.path
    if len(path) == 3 and path[0] == "steps" and isinstance(node, ScalarNode) and not node.text:
        return f"write - {path[2]} where it has no settings, else indent them below it"
    return ""


def _bad_format(violation: Violation) -> Iterator[Problem]:
    """Also for numbers where a text with a unit is due: the unit is what they lack."""
    node, cause = as_scalar(violation.node), violation.cause
    if cause is None:
        cause = _format_error(str(violation.rules["format"]), node)
    if cause is None:
        message = f"{name_of(violation.path)} is {say(node)}"
        rules = dict(violation.rules)
        yield _problem(violation, message, "wrong-type", expected(rules), why(node, rules))
        return
    if cause.unit_error is not None and not _is_filled(node):
        message = f"{name_of(violation.path)}: {cause.unit_error.message}"
        hint = cause.unit_error.hint
    else:
        message = f"{name_of(violation.path)} {cause.message}: {say(node)}"
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
        if node.value in STEP_KINDS:
            yield _bare_pause(violation, node)
            return
        message, rule = f"unknown step {say(node)}", "unknown-step"
    else:
        message, rule = f"{name_of(violation.path)} is {say(node)}", "unknown-value"
    if violation.is_step:
        choices = list(STEP_KINDS)
        rules = {"enum": choices}
    word = str(node.value) if isinstance(node, ScalarNode) and not node.secret else ""
    hints = (advice(violation) or expected(rules), why(node, rules))
    likely = PROVIDER_NAMES.get(word.lower(), "") if violation.path[-1:] == ("provider",) else ""
    yield _problem(violation, message, rule, *hints, suggestion=likely or near(word, choices))


def _bare_pause(violation: Violation, node: ScalarNode) -> Problem:
    """A kind of step that cannot do without settings was written as a name alone."""
    hint = f"write - {node.value}: {{duration: 10s}}"
    return _problem(violation, f"'{node.value}' lacks 'duration'", "missing-key", hint)


def _out_of_range(violation: Violation) -> Iterator[Problem]:
    rules = dict(violation.rules)
    message = f"{name_of(violation.path)} is {say(violation.node)}"
    hints = (expected(rules), why(violation.node, rules))
    yield _problem(violation, message, "out-of-range", *hints)


def _bad_name(violation: Violation) -> Iterator[Problem]:
    rules = dict(violation.rules)
    message = f"{name_of(violation.path)} is {say(violation.node)}"
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
    mark = key_mark(violation.root, violation.path)
    message = f"an embedded target takes no '{shown(str(violation.path[-1]))}'"
    hint = "leave it out: it has an address and keys of its own; or name another provider"
    yield problem_at(mark, message, rule="not-for-embedded", hint=hint)


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

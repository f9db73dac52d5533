"""`${…}` in values: what it becomes, and what it never touches."""

from __future__ import annotations

import pytest

from hps.model import Spec
from hps.spec.load import load
from hps.spec.problems import Problem, SpecError
from hps.spec.source import SpecText

_REST = "targets: {local: {provider: embedded}}\ndata: {size: 20MiB}\nsteps: [upload]\n"


def _load(line: str, **env: str) -> Spec:
    head = "" if line.startswith("name:") else "name: case\n"
    content = f"api: hps/v1\n{head}{line}\n{_REST}".encode()
    return load(SpecText(name="a.yaml", content=content), env=env)


def _problems(line: str, **env: str) -> tuple[Problem, ...]:
    with pytest.raises(SpecError) as caught:
        _load(line, **env)
    return caught.value.problems


@pytest.mark.parametrize(
    ("text", "env", "value"),
    [
        ("${A}", {"A": "x"}, "x"),
        ("a${A}b${A}c", {"A": "-"}, "a-b-c"),
        ("${A:-x y}", {}, "x y"),
        ("${A:-x}", {"A": ""}, "x"),
        ("${A:-x}", {"A": "y"}, "y"),
        ("${A:?needed}", {"A": "y"}, "y"),
        ('"${A}"', {"A": ""}, ""),
        ("$${A}", {}, "${A}"),
        ("$$${A}", {"A": "x"}, "$${A}"),
        ("$A $ {A} 5$", {"A": "x"}, "$A $ {A} 5$"),
        ("${A}", {"A": "${B}"}, "${B}"),
        ("'${A}'", {"A": "12"}, "12"),
        ("|-\n  one ${A}\n  two ${A}", {"A": "x"}, "one x\ntwo x"),
    ],
)
def test_text(text: str, env: dict[str, str], value: str) -> None:
    assert _load(f"description: {text}", **env).description == value


def test_a_plain_value_is_resolved_again_for_its_type() -> None:
    assert _load("repetitions: ${A:-3}").repetitions == 3
    assert _load("repetitions: ${A}0", A="1").repetitions == 10
    assert _load("name: ${A}", A="x1").name == "x1"


def test_a_quoted_value_stays_text() -> None:
    (problem,) = _problems('repetitions: "${A:-3}"')
    assert problem.rule == "wrong-type"
    assert "leave the quotes out" in problem.hint


def test_an_empty_plain_value_is_no_value() -> None:
    (problem,) = _problems("repetitions: ${A}", A="")
    assert problem.message == "'repetitions' is '${A}', filled in from A"


def test_keys_are_never_filled_in() -> None:
    (problem,) = _problems("${A}: 1", A="repetitions")
    assert problem.message == "unknown key '${A}'"


def test_each_reference_is_located() -> None:
    problems = _problems('description: "é ${A} ${B:?say it} $${C} ${D}"')
    assert [(p.column, p.end_column, p.rule) for p in problems] == [
        (17, 21, "unset-variable"),
        (22, 34, "unset-variable"),
        (41, 45, "unset-variable"),
    ]
    assert problems[1].hint == "it has to be: say it"


def test_in_a_block_of_text_the_block_is_located() -> None:
    (problem,) = _problems("description: |\n  one\n  ${A}")
    assert (problem.line, problem.column) == (3, 14)


def test_an_empty_variable_counts_as_unset_where_a_value_is_asked_for() -> None:
    (problem,) = _problems("description: ${A:?}", A="")
    assert problem.message == "the environment variable A is set but empty"


@pytest.mark.parametrize("text", ["${", "${}", "${1A}", "${A", "${A-b}", "${A:+b}", "${A:-${B}}"])
def test_what_is_malformed(text: str) -> None:
    assert [problem.rule for problem in _problems(f"description: {text}")] == ["bad-interpolation"]


def test_the_value_of_a_variable_is_never_told() -> None:
    secret = "wJalrXUtnFEMI"
    lines = ("repetitions: ${A}", "timeout: ${A}", "name: A${A}", "results: {target: '${A}'}")
    for line in lines:
        for problem in _problems(line, A=secret):
            assert secret not in repr(problem)

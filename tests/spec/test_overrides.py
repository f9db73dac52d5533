"""`--set key=value`."""

from __future__ import annotations

import pytest

from hps.model import Axis, Spec, Step
from hps.spec.load import load
from hps.spec.problems import Problem, SpecError
from hps.spec.source import SpecText

CONTENT = b"""api: hps/v1
name: case
targets: {local: {provider: embedded}}
data: {size: 20MiB}
matrix: {chunk_size: [5MiB, 10MiB]}
steps: [upload, download]
"""


def _load(*overrides: str, **env: str) -> Spec:
    return load(SpecText(name="a.yaml", content=CONTENT), env=env, overrides=overrides)


def _problems(*overrides: str) -> tuple[Problem, ...]:
    with pytest.raises(SpecError) as caught:
        _load(*overrides)
    return caught.value.problems


def test_a_value_is_replaced() -> None:
    spec = _load("data.size=1MiB", "data.files=3")
    assert (spec.data.size_bytes, spec.data.files) == (1024**2, 3)
    assert spec.overrides == ("data.size=1MiB", "data.files=3")
    assert spec.text == CONTENT.decode()


def test_the_last_one_wins() -> None:
    assert _load("repetitions=2", "repetitions=5").repetitions == 5


def test_missing_mappings_are_made() -> None:
    assert _load("node.probe.connections=3").node.probe.connections == 3


def test_lists_are_replaced_or_changed_in_place() -> None:
    spec = _load("matrix.concurrency=[1,4]", "matrix.chunk_size.1=8MiB", "steps=[upload, delete]")
    assert spec.matrix.axes == (
        Axis(knobs=("chunk_size",), rows=((5 * 1024**2,), (8 * 1024**2,))),
        Axis(knobs=("concurrency",), rows=((1,), (4,))),
    )
    assert spec.steps == (Step(kind="upload"), Step(kind="delete"))


def test_a_value_may_hold_an_equals_sign_and_a_variable() -> None:
    assert _load("description=a=${A}", A="b").description == "a=b"


def test_settings_of_a_step_in_a_list() -> None:
    spec = _load("steps.1={download: {concurrency: 7}}")
    assert spec.steps[1].settings == {"concurrency": 7}


def test_problems_are_located_in_the_override() -> None:
    (problem,) = _problems("data.files=many")
    assert (problem.file, problem.line, problem.column) == ("--set data.files=many", 1, 12)
    assert problem.end_column == 16
    assert problem.source_line == ""


def test_a_problem_elsewhere_is_located_in_the_file() -> None:
    problems = _problems("data={files: 2}", "name=Bad")
    assert [p.file for p in problems] == ["--set data={files: 2}", "--set name=Bad"]


@pytest.mark.parametrize("override", ["", "a", "=1", ".a=1", "a.=1", "a..b=1", " a=1", "x" * 20000])
def test_what_is_no_override(override: str) -> None:
    assert [problem.rule for problem in _problems(override)] == ["bad-override"]


@pytest.mark.parametrize("override", ["steps.2=list", "steps.-1=list", "steps.x=list", "name.a=1"])
def test_what_does_not_fit_the_file(override: str) -> None:
    assert [problem.rule for problem in _problems(override)] == ["bad-override"]


def test_a_path_of_many_parts_is_refused() -> None:
    assert [problem.rule for problem in _problems(".".join("a" * 500) + "=1")] == ["bad-override"]


def test_an_empty_value_is_empty() -> None:
    (problem,) = _problems("name=")
    assert problem.message == "'name' is empty"

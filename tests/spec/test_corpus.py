"""Every example experiment: the good ones load, the bad ones say exactly what is expected."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from hps.plan.expand import expand
from hps.spec.load import load
from hps.spec.problems import SpecError, as_data, to_github, to_text
from hps.spec.source import SpecText
from tests.spec.corpus import FOLDER, Case, cases

EXPERIMENTS = sorted((FOLDER.parent.parent / "experiments").glob("*.yaml"))
INVALID = cases("invalid")
# What stands for a secret, or for the value of a variable, in the bad examples.
NEVER_SHOWN = ("wJalrXUtnFEMI", "AKIAIOSFODNN7EXAMPLE")


def _id(case: Case) -> str:
    return case.path.stem


@pytest.mark.parametrize("case", cases("valid"), ids=_id)
def test_a_good_example_loads_and_can_be_planned(case: Case) -> None:
    spec = case.load()
    assert spec.source == case.path.name
    assert len(expand(spec).operations) >= 1


@pytest.mark.parametrize("case", INVALID, ids=_id)
def test_a_bad_example_says_what_is_wrong(case: Case) -> None:
    with pytest.raises(SpecError) as caught:
        case.load()
    assert to_text(caught.value.problems) == case.expected
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("case", INVALID, ids=_id)
def test_no_output_shows_a_secret_or_the_value_of_a_variable(case: Case) -> None:
    with pytest.raises(SpecError) as caught:
        case.load()
    error = caught.value
    problems = error.problems
    texts = [to_text(problems, colour=True, with_source=True), repr(as_data(problems))]
    texts += [to_github(problems), str(error), error.message, error.hint]
    for text in texts:
        assert not any(secret in text for secret in NEVER_SHOWN)


@pytest.mark.parametrize("case", INVALID, ids=_id)
def test_every_problem_lies_inside_the_file(case: Case) -> None:
    with pytest.raises(SpecError) as caught:
        case.load()
    lengths = [len(line) for line in case.path.read_bytes().decode("latin-1").splitlines()] or [0]
    for problem in caught.value.problems:
        if not problem.in_override:
            assert 1 <= problem.line <= len(lengths)
            assert 1 <= problem.column <= lengths[problem.line - 1] + 1
        assert problem.end_column > problem.column


def test_each_expectation_has_its_example() -> None:
    expectations = {path.stem for path in (FOLDER / "invalid").glob("*.expected")}
    assert expectations == {case.path.stem for case in INVALID}
    assert len(INVALID) >= 70


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_a_shipped_experiment_loads(path: Path) -> None:
    source = SpecText(name=path.name, content=path.read_bytes())
    env = {"CLOUDFLARE_ENDPOINT_URL": "https://account.r2.cloudflarestorage.com"}
    assert load(source, env=env).name == path.stem


def test_problems_come_in_the_order_of_their_places_and_once_each() -> None:
    for case in INVALID:
        with pytest.raises(SpecError) as caught:
            case.load()
        problems = [p for p in caught.value.problems if not p.in_override]
        places = [(problem.line, problem.column) for problem in problems]
        assert places == sorted(places)
        assert len(set(map(dataclasses.astuple, problems))) == len(problems)

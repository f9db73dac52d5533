"""Variables whose values nobody meant as they are: each use of one is a problem at its place."""

from __future__ import annotations

import pytest

from hps.spec.load import load
from hps.spec.problems import Problem, SpecError
from hps.spec.source import SpecText

_SPEC = """\
api: hps/v1
name: case
targets:
  s3:
    provider: other
    endpoint: ${ENDPOINT:-http://127.0.0.1:9}
    region: ${REGION:-us-east-1}
    bucket: ${BUCKET:-bucket}
    folder: a/${FOLDER:-b}/c
    access_key_id: {env: HPS_SECRET_ID}
    secret_access_key: {env: HPS_SECRET_KEY}
    session_token: {env: HPS_SECRET_TOKEN}
data: {size: 20MiB}
timeout: ${TIMEOUT:-60}s
steps: [upload]
"""
_GOOD = {
    "ENDPOINT": "https://s3.example.org",
    "REGION": "eu-1",
    "BUCKET": "other",
    "FOLDER": "deep",
    "TIMEOUT": "5",
    "HPS_SECRET_ID": "AKIAIOSFODNN7EXAMPLE",
    "HPS_SECRET_KEY": "wJalrXUtnFEMI/K7MDENG",
    "HPS_SECRET_TOKEN": "FwoGZXIvYXdzEBYaD",
}
_PLACES = {
    **{"ENDPOINT": (6, 15), "REGION": (7, 13), "BUCKET": (8, 13), "FOLDER": (9, 15)},
    **{"HPS_SECRET_ID": (10, 26), "HPS_SECRET_KEY": (11, 30), "HPS_SECRET_TOKEN": (12, 26)},
    "TIMEOUT": (14, 10),
}
_ODD = ["{}\n", "{}\r", "{}\r\n", "{} ", " ", "'{}'", '"{}"', "\ufeff{}", "{}\u200b", "{}\u00a0"]


def _problems(
    env: dict[str, str], *, text: str = _SPEC, trusted: bool = True
) -> tuple[Problem, ...]:
    try:
        load(SpecText(name="a.yaml", content=text.encode(), trusted=trusted), env=env)
    except SpecError as error:
        return error.problems
    return ()


def test_ordinary_ones_are_taken_and_secrets_need_not_be_set() -> None:
    assert _problems(_GOOD) == ()
    assert _problems({}) == ()
    assert _problems(dict.fromkeys(_GOOD, "")) == ()


@pytest.mark.parametrize("form", _ODD)
@pytest.mark.parametrize("name", _GOOD)
def test_an_odd_one_is_named_at_its_place(name: str, form: str) -> None:
    (problem,) = _problems({**_GOOD, name: form.format(_GOOD[name])})
    assert problem.rule == "odd-variable"
    assert problem.message.startswith(f"the environment variable {name} ")
    assert (problem.line, problem.column) == _PLACES[name]
    if len(_GOOD[name]) > 1:
        assert _GOOD[name] not in repr(problem)


def test_a_file_of_variables_with_line_ends_of_windows_is_told_all_at_once() -> None:
    problems = _problems({name: f"{value}\r" for name, value in _GOOD.items()})
    assert [problem.rule for problem in problems] == ["odd-variable"] * len(_GOOD)
    assert all("Windows" in problem.hint for problem in problems)


def test_a_default_is_the_files_own() -> None:
    text = _SPEC.replace("name: case", 'name: case\ndescription: "${TEXT:-ends in a blank }"')
    assert _problems(_GOOD, text=text) == ()


def test_an_experiment_from_a_network_learns_nothing_of_other_variables() -> None:
    text = _SPEC.replace("HPS_SECRET_KEY", "OTHER_KEY").replace("ENDPOINT:", "HOME:")
    env = {**_GOOD, "OTHER_KEY": "x\n", "HOME": "/root\n"}
    rules = {problem.rule for problem in _problems(env, text=text, trusted=False)}
    assert rules == {"variable-not-allowed"}

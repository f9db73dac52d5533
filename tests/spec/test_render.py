"""Problems as text, JSON and GitHub annotations."""

from __future__ import annotations

import json

import pytest

from hps.spec.load import load
from hps.spec.problems import Problem, SpecError, as_data, to_github, to_text
from hps.spec.source import SpecText

PROBLEM = Problem(
    file="a:b,c.yaml",
    line=3,
    column=5,
    end_column=9,
    message="100% wrong\nreally",
    hint="expected better",
    suggestion="good",
    rule="unknown-key",
    source_line="    word: 1",
)


def test_text_is_one_line() -> None:
    assert str(PROBLEM) == (
        "a:b,c.yaml:3:5: error: 100% wrong\nreally; expected better; did you mean 'good'? "
        "[unknown-key]"
    )


def test_hint_and_suggestion_may_be_left_out() -> None:
    problem = Problem(file="a.yaml", message="wrong", rule="r", severity="warning")
    assert to_text([problem]) == "a.yaml:1:1: warning: wrong [r]\n"


def test_the_source_line_comes_with_a_caret_below_the_place() -> None:
    shown = to_text([PROBLEM], with_source=True).splitlines()
    assert shown[-2:] == ["  3 |     word: 1", "    |     ^^^^"]


def test_colour_changes_nothing_but_colour() -> None:
    coloured = to_text([PROBLEM], colour=True, with_source=True)
    plain = to_text([PROBLEM], with_source=True)
    for code in ("\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m"):
        coloured = coloured.replace(code, "")
    assert coloured == plain


def test_a_long_line_is_cut_around_the_place() -> None:
    line = "x" * 500 + "HERE" + "y" * 500
    problem = Problem(
        file="a", message="m", rule="r", line=1, column=501, end_column=505, source_line=line
    )
    _, text, caret = to_text([problem], with_source=True).splitlines()
    begin = caret.index("^")
    assert text[begin : begin + caret.count("^")] == "HERE"
    assert len(text) < 200


def test_data_has_every_field_but_the_source_line() -> None:
    assert json.loads(json.dumps(as_data([PROBLEM]))) == [
        {
            "file": "a:b,c.yaml",
            "line": 3,
            "column": 5,
            "end_column": 9,
            "message": "100% wrong\nreally",
            "hint": "expected better",
            "suggestion": "good",
            "rule": "unknown-key",
            "severity": "error",
        }
    ]


def test_github_annotations_are_escaped() -> None:
    assert to_github([PROBLEM]) == (
        "::error file=a%3Ab%2Cc.yaml,line=3,endLine=3,col=5,endColumn=8,"
        "title=hps%3A unknown-key::100%25 wrong%0Areally; expected better; did you mean 'good'?\n"
    )


def test_foreign_text_cannot_steer_a_terminal_or_a_workflow() -> None:
    text = 'api: hps/v1\nname: case\n"\\e[31m\\n::error::x": 1\nsteps: [upload]\n'
    with pytest.raises(SpecError) as caught:
        load(SpecText(name="a.yaml", content=text.encode()), env={})
    for output in (to_text(caught.value.problems), to_github(caught.value.problems)):
        assert "\x1b" not in output
        assert "\n::error::x" not in output


def test_a_problem_knows_its_line() -> None:
    text = "api: hps/v1\nname: Bad\ntargets: {a: {provider: embedded}}\nsteps: [upload]\n"
    with pytest.raises(SpecError) as caught:
        load(SpecText(name="a.yaml", content=text.encode()), env={})
    assert "name: Bad" in [problem.source_line for problem in caught.value.problems]

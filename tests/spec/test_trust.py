"""What an experiment that came over a network may use of the environment."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hps.model import Spec
from hps.redaction import may_name_secret
from hps.spec.interpolate import may_fill_in
from hps.spec.load import load
from hps.spec.problems import Problem, SpecError
from hps.spec.source import SpecText
from tests.command import REPOSITORY

_ENV = {"HOME": "/home/wJalrXUtnFEMI", "HPS_VAR_TEXT": "fine", "BUCKET": "b", "EMPTY": ""}
_SPEC = """\
api: hps/v1
name: case
description: {description}
targets:
  s3:
    provider: other
    endpoint: https://s3.example.org
    bucket: b
    access_key_id: {{env: {key}}}
    secret_access_key: {{env: {secret}}}
data: {{size: 20MiB}}
steps: [upload]
"""


def _load(
    description: str = "x",
    key: str = "AWS_ACCESS_KEY_ID",
    secret: str = "HPS_SECRET_1",
    *,
    trusted: bool = False,
    overrides: tuple[str, ...] = (),
) -> Spec:
    content = _SPEC.format(description=description, key=key, secret=secret).encode()
    source = SpecText(name="https://h/a.yaml", content=content, trusted=trusted)
    return load(source, env=_ENV, overrides=overrides)


def _problems(*arguments: str) -> tuple[Problem, ...]:
    with pytest.raises(SpecError) as caught:
        _load(*arguments)
    return caught.value.problems


def test_what_is_allowed() -> None:
    spec = _load("${HPS_VAR_TEXT} ${BUCKET} ${SALAD_MACHINE_ID:-none}")
    assert spec.description == "fine b none"


@pytest.mark.parametrize("text", ["${HOME}", "${NOT_SET}", "${NOT_SET:-x}", "${EMPTY:?x}"])
def test_another_variable_is_refused_whether_it_is_set_or_not(text: str) -> None:
    (problem,) = _problems(f"a {text}")
    name = text[2:].partition(":")[0].removesuffix("}")
    assert problem.rule == "variable-not-allowed"
    assert problem.message.endswith(f"may not use the environment variable {name}")
    assert "HPS_VAR_" in problem.hint
    assert (problem.line, problem.column) == (3, 16)
    assert "wJalrXUtnFEMI" not in repr(problem)


def test_an_allowed_one_that_is_not_set_is_told_apart() -> None:
    (problem,) = _problems("${SIZE}")
    assert problem.rule == "unset-variable"


@pytest.mark.parametrize("name", ["MY_SECRET", "CLOUDFLARE_KEY_2", "HPS_VAR_X", "HOME"])
def test_another_secret_is_refused(name: str) -> None:
    (problem,) = _problems("x", "AWS_ACCESS_KEY_ID", name)
    assert problem.rule == "variable-not-allowed"
    assert name in problem.message
    assert "HPS_SECRET_" in problem.hint
    assert problem.line == 10


def test_the_name_of_a_secret_that_is_filled_in_is_checked_too() -> None:
    (problem,) = _problems("x", "${HPS_VAR_TEXT}")
    assert "fine" not in repr(problem)


def test_a_trusted_file_may_use_any() -> None:
    assert _load("${HOME}", secret="MY_SECRET", trusted=True).description == _ENV["HOME"]


def test_overrides_may_use_any() -> None:
    overrides = ("description=${HOME}", "targets.s3.secret_access_key.env=MY_SECRET")
    spec = _load("${NOT_ALLOWED}", secret="NOR_THIS", overrides=overrides)
    assert spec.description == _ENV["HOME"]


@pytest.mark.parametrize("path", sorted((REPOSITORY / "experiments").glob("*.yaml")), ids=str)
def test_the_shipped_experiments_run_from_anywhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert all(map(may_fill_in, re.findall(r"\$\{([A-Z_]+)", text)))
    assert all(map(may_name_secret, re.findall(r"\{env: ([A-Z_]+)\}", text)))


@pytest.mark.parametrize(
    "name", ["HPS_RCLONE", "SALAD_TOKEN", "AWS_SECRET_ACCESS_KEY", "PATH", "XSIZE", "SIZE2"]
)
def test_names_that_are_only_alike(name: str) -> None:
    assert not may_fill_in(name)

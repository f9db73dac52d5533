"""Which variables `${…}` may name: never one that holds a secret, or is called like one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hps.model import Spec
from hps.redaction import is_called_like_a_secret
from hps.spec.interpolate import VARIABLES, names_the_machine
from hps.spec.load import load
from hps.spec.problems import Problem, SpecError
from hps.spec.source import SpecText
from tests.command import REPOSITORY
from tests.spec.corpus import FOLDER

SECRET = "wJalrXUtnFEMI"
_SPEC = """\
api: hps/v1
name: case
description: {description}
targets:
  s3:
    provider: other
    endpoint: https://s3.example.org
    bucket: b
    folder: {folder}
    access_key_id: {{env: MY_ID}}
    secret_access_key: {{env: "${{WHICH:-MY_WORD}}"}}
data: {{size: 20MiB}}
steps: [upload]
"""
_ENV = {"MY_ID": SECRET, "MY_WORD": SECRET, "OTHER": SECRET, "PLAIN": "fine"}


def _load(
    text: str,
    *overrides: str,
    folder: str = "f",
    trusted: bool = True,
    env: dict[str, str] | None = None,
) -> Spec:
    content = _SPEC.format(description=text, folder=folder).encode()
    source = SpecText(name="a.yaml", content=content, trusted=trusted)
    return load(source, env=_ENV | (env or {}), overrides=overrides)


def _problem(text: str, *overrides: str, **more: str) -> Problem:
    with pytest.raises(SpecError) as caught:
        _load(text, *overrides, **more)  # type: ignore[arg-type]
    (problem,) = caught.value.problems
    assert problem.rule == "secret-filled-in"
    assert SECRET not in repr(problem)
    return problem


@pytest.mark.parametrize("text", ["${MY_ID}", "${MY_ID:-x}", "${MY_ID:?x}", "${MY_WORD}"])
def test_a_variable_that_a_secret_is_taken_from(text: str) -> None:
    problem = _problem(f"a {text}")
    assert (problem.line, problem.column, problem.end_column) == (3, 16, 16 + len(text))
    assert "holds a secret" in problem.message
    assert f"line {10 if 'MY_ID' in text else 11} takes a secret" in problem.hint


def test_also_where_it_is_not_set() -> None:
    content = _SPEC.format(description="${MY_ID:-x}", folder="f").encode()
    with pytest.raises(SpecError) as caught:
        load(SpecText(name="a.yaml", content=content), env={})
    assert [problem.rule for problem in caught.value.problems] == ["secret-filled-in"]


def test_the_name_of_the_secret_s_variable_may_be_filled_in() -> None:
    assert _load("${MY_WORD}", env={"WHICH": "OTHER"}).description == SECRET
    with pytest.raises(SpecError) as caught:
        _load("${OTHER}", env={"WHICH": "OTHER"})
    assert [problem.rule for problem in caught.value.problems] == ["secret-filled-in"]


@pytest.mark.parametrize("key", ["name", "folder", "targets.s3.region", "results.folder"])
def test_no_key_takes_it(key: str) -> None:
    with pytest.raises(SpecError) as caught:
        _load("x", f"{key}=${{MY_ID}}")
    assert "secret-filled-in" in {problem.rule for problem in caught.value.problems}
    assert SECRET not in repr(caught.value.problems)


def test_an_override_that_takes_a_secret_is_named() -> None:
    problem = _problem("${OTHER}", "targets.s3.session_token={env: OTHER}")
    assert "--set targets.s3.session_token={env: OTHER} takes a secret" in problem.hint


def test_a_file_from_a_network_is_told_the_same() -> None:
    content = _SPEC.format(description="${AWS_SESSION_TOKEN}", folder="f")
    content = content.replace("MY_ID", "AWS_ACCESS_KEY_ID").replace("MY_WORD", "CLOUDFLARE_KEY")
    content = content.replace("${WHICH:-CLOUDFLARE_KEY}", "CLOUDFLARE_KEY")
    with pytest.raises(SpecError) as caught:
        load(SpecText(name="a.yaml", content=content.encode(), trusted=False), env=_ENV)
    assert [problem.rule for problem in caught.value.problems] == ["secret-filled-in"]


def test_one_that_is_called_like_a_secret() -> None:
    problem = _problem("${GITHUB_TOKEN:-none}")
    assert "is called like a secret" in problem.message
    assert "HPS_VAR_" in problem.hint


@pytest.mark.parametrize(
    "name",
    [
        *("KEY", "MY_KEY", "my_key", "CLOUDFLARE_KEY", "CLOUDFLARE_ID", "B2_KEY_ID", "APIKEY"),
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "SALAD_API_KEY"),
        *("HPS_SECRET_1", "GITHUB_TOKEN", "TOKEN_2", "DB_PASSWORD", "DB_PASS", "DB_PWD"),
        *("BASIC_AUTH", "GOOGLE_CREDENTIALS", "SECRET_WORD", "SSH_PRIVATE_KEY_PATH"),
    ],
)
def test_names_of_secrets(name: str) -> None:
    assert is_called_like_a_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        *("PWD", "KEYBOARD", "MONKEY", "KEY_PREFIX", "TOKENS", "MAX_TOKENS", "AUTHOR", "COMPASS"),
        *("SESSION", "PASSES", "SALAD_MACHINE_ID", "R2_ACCOUNT_ID", "HPS_VAR_KEY", "HOSTNAME"),
        *sorted(VARIABLES),
    ],
)
def test_names_of_other_things(name: str) -> None:
    assert not is_called_like_a_secret(name)
    assert _load(f"${{{name}}}", env={name: "fine"}).description == "fine"


_SHIPPED = [*(REPOSITORY / "experiments").glob("*.yaml"), *(FOLDER / "valid").glob("*.yaml")]


@pytest.mark.parametrize("path", sorted(_SHIPPED), ids=lambda path: path.stem)
def test_no_shipped_experiment_fills_one_in(path: Path) -> None:
    names = re.findall(r"\$\{([A-Za-z_][A-Za-z0-9_]*)", path.read_text(encoding="utf-8-sig"))
    assert [name for name in names if is_called_like_a_secret(name)] == []


def test_what_tells_machines_apart() -> None:
    places = ("HOSTNAME", "NODE_NAME", "POD_NAME", "SALAD_MACHINE_ID", "SALAD_CONTAINER_GROUP_ID")
    assert all(map(names_the_machine, places))
    assert not any(
        map(names_the_machine, (*VARIABLES, "MACHINE", "NAME", "XHOSTNAME", "NODE_NAME_2"))
    )

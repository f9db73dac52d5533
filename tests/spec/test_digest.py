"""The digest: the same for the same experiment, another for another, and blind to secrets."""

from __future__ import annotations

import hashlib

import pytest

from hps.spec.load import digest, load
from hps.spec.source import SpecText

_SPEC = """\
api: hps/v1
name: ${NAME:-case}
description: on ${HOSTNAME:-some host} and ${SALAD_MACHINE_ID:-some machine}
targets:
  s3:
    provider: other
    endpoint: ${ENDPOINT}
    bucket: ${BUCKET:-b}
    folder: ${FOLDER:-f}
    access_key_id: {env: "${WHICH:-A_KEY}"}
    secret_access_key: {env: B_KEY}
data: {}
matrix:
  size:
    - ${SIZE:-20}MiB
    - ${SIZE:-30}GiB
steps: [upload]
"""
_ENV = {"ENDPOINT": "https://s3.example.org"}
_CONTENT = _SPEC.encode()


def _digest(*overrides: str, **env: str) -> str:
    source = SpecText(name="a.yaml", content=_CONTENT)
    return load(source, env=_ENV | env, overrides=overrides).sha256


def test_of_a_file_that_takes_its_defaults_it_is_the_file_s() -> None:
    content = _CONTENT.replace(b"${ENDPOINT}", b"${ENDPOINT:-https://s3.example.org}")
    source = SpecText(name="a.yaml", content=content)
    assert load(source, env={}).sha256 == hashlib.sha256(content).hexdigest()
    assert load(source, env=_ENV).sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    "env",
    [
        {"SIZE": "21"},
        {"SIZE": "20"},  # which is the first default, and not the second
        {"ENDPOINT": "https://s3.example.com"},
        {"BUCKET": "c"},
        {"FOLDER": "elsewhere"},
        {"WHICH": "C_KEY"},
    ],
    ids=str,
)
def test_what_is_filled_in_changes_it(env: dict[str, str]) -> None:
    assert _digest(**env) != _digest()
    assert _digest(**env) == _digest(**env)


@pytest.mark.parametrize(
    "env",
    [
        {"BUCKET": "b"},  # the default, said aloud
        {"BUCKET": ""},
        {"UNUSED": "x"},
        {"A_KEY": "wJalrXUtnFEMI", "B_KEY": "AKIAIOSFODNN7EXAMPLE"},
        {"HOSTNAME": "node-7", "SALAD_MACHINE_ID": "machine-7"},
    ],
    ids=str,
)
def test_what_makes_no_other_experiment_does_not(env: dict[str, str]) -> None:
    assert _digest(**env) == _digest()


def test_overrides_change_it() -> None:
    chosen = ((), ("repetitions=2",), ("repetitions=2", "warmup=1"), ("repetitions=${N}",))
    digests = {_digest(*overrides, N="2") for overrides in chosen}
    assert len(digests) == len(chosen)
    assert _digest("repetitions=${N}", N="3") not in digests


def test_what_an_override_replaces_is_not_asked_for() -> None:
    override = "matrix.size=50MiB"
    assert _digest(override, SIZE="21") == _digest(override)


def test_overrides_and_variables_are_not_mistaken_for_each_other() -> None:
    assert _digest("name=x") != _digest(NAME="x")
    assert _digest(BUCKET="c") != _digest(FOLDER="c")
    assert digest(b"", ["A=1"], {}) != digest(b"", [], {"A": "1"})
    assert digest(b"", ["A=1", "B=1"], {}) != digest(b"", ["A=1"], {"B": "1"})


def test_a_variable_that_is_no_text_has_a_digest() -> None:
    assert digest(b"", [], {"A": "\udcff"}) != digest(b"", [], {})

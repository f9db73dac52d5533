"""What an experiment can't do, however it is written: run, read, or reach what is not its own."""

from __future__ import annotations

import json

import pytest

from hps.spec.load import load
from hps.spec.problems import Problem, SpecError
from hps.spec.source import SpecText

_SPEC = """\
api: hps/v1
name: case
description: "{description}"
targets:
  s3:
    provider: other
    endpoint: "{endpoint}"
    region: "{region}"
    bucket: "{bucket}"
    folder: "{folder}"
    ca_cert: "{ca_cert}"
    access_key_id: {{env: AWS_ACCESS_KEY_ID}}
    secret_access_key: {{env: AWS_SECRET_ACCESS_KEY}}
data: {{size: 20MiB}}
steps: [upload]
"""
_GOOD = {
    "description": "x",
    "endpoint": "https://s3.example.org",
    "region": "auto",
    "bucket": "b",
    "folder": "f",
    "ca_cert": "${HPS_VAR_CA}",
}
_ENV = {"HPS_VAR_CA": "/ca.pem", "HPS_VAR_ODD": "a\x1b[2J", "HPS_VAR_BYTES": "\udcff"}
_OPTIONS = (
    *(
        "-x",
        "--config=/etc/passwd",
        ":s3,env_auth=true:b",
        "b,env_auth=true",
        "b c",
        "a:b",
        "b\\nc",
    ),
    *("$AWS_SECRET_ACCESS_KEY", "../b", "..", "b/../c", "b//c", "b\\tc", "b\\0"),
)


def _problems(*overrides: str, trusted: bool = True, **values: str) -> tuple[Problem, ...]:
    content = _SPEC.format(**(_GOOD | values)).encode()
    source = SpecText(name="a.yaml", content=content, trusted=trusted)
    try:
        load(source, env=_ENV, overrides=overrides)
    except SpecError as error:
        return error.problems
    return ()


def test_the_good_one_is_good() -> None:
    assert _problems() == ()
    assert _problems(trusted=False) == ()


@pytest.mark.parametrize("key", ["bucket", "endpoint", "region"])
@pytest.mark.parametrize("value", [one for one in _OPTIONS if "-x" not in one])
def test_no_value_can_be_an_option_or_another_remote(key: str, value: str) -> None:
    assert _problems(f"targets.s3.{key}={json.dumps(value)}")


@pytest.mark.parametrize(
    "value",
    ["-x", "/-x", "..", "a/../b", "a//b", ".", "a\\nb", "a\\u001bb", "$HOME", "a/$X", "a\\0"],
)
def test_no_folder_leaves_its_place_or_is_filled_in_by_a_shell(value: str) -> None:
    (problem, *_) = _problems(folder=value)
    assert problem.rule in {"bad-folder", "control-character"}


@pytest.mark.parametrize("name", ["-x", "../x", "a/b", ".hidden", "a b", "A", "a..b", "x" * 64, ""])
def test_no_name_leaves_its_place(name: str) -> None:
    assert _problems(f"name='{name}'")


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "~/.ssh/id", "${HPS_VAR_CA}/x", "${HPS_VAR_CA:-/etc/passwd}", "x.pem"]
)
def test_from_a_network_it_names_no_file_of_the_machine(path: str) -> None:
    (problem,) = _problems(ca_cert=path, trusted=False)
    assert problem.rule == "path-not-allowed"
    assert problem.line == 11
    assert _problems("targets.s3.ca_cert=/ca.pem", ca_cert=path, trusted=False) == ()


@pytest.mark.parametrize(
    "text",
    ["\\e[2J", "a\\0", "\\x7f", "\\x9b31m", "\\u202e", "\\r", "${HPS_VAR_ODD}", "${HPS_VAR_BYTES}"],
)
def test_no_value_has_what_a_terminal_obeys(text: str) -> None:
    (problem,) = _problems(description=text)
    assert problem.rule == ("odd-variable" if "$" in text else "control-character")
    assert problem.text.isprintable()


@pytest.mark.parametrize("override", ["name=\x01", "name=\udcff", "na\x1bme=x", "description=\x9b"])
def test_no_override_has(override: str) -> None:
    (problem, *_) = _problems(override)
    assert problem.in_override
    assert str(problem).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "!!python/object/apply:os.system [id]",
        "!!python/name:os.system",
        "!!map {a: b}\n--- b",
        "&a [*a]",
        "{<<: {a: b}}",
        "a: 1\na: 2",
        "[" * 100_000,
        "{a: " * 100_000,
        "- " * 100_000,
        "9" * 100_000,
        "!" * 100_000,
        "%TAG ! tag:x,2000:\n" * 20_000,
        "&a " * 50_000,
        "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9) if i else 1}]\n" for i in range(50)),
        "? " * 50_000,
        "'" * 100_001,
        "a: |\n" + " x\n" * 200_000,
        "\x00",
        "\ud800",
        "\ufeff\ufeff",
        "#" * 1_000_000,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_yaml_is_data(text: str) -> None:
    source = SpecText(name="a.yaml", content=text.encode("utf-8", "surrogatepass"))
    with pytest.raises(SpecError):
        load(source, env={})

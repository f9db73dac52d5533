"""Secrets in a file: refused, and masked in whatever is printed."""

from __future__ import annotations

import pytest

from hps.spec.load import load
from hps.spec.problems import SpecError, as_data, to_github, to_text
from hps.spec.secret_values import mask_lines
from hps.spec.source import SpecText

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCY"
TARGET = """api: hps/v1
name: case
targets:
  s3:
    provider: aws
    bucket: b
    access_key_id: {env: A}
"""
REST = "data: {size: 20MiB}\nsteps: [upload]\n"

# Ways to write a secret into the file, well-formed or not.
SHAPES = [
    f"    secret_access_key: {SECRET}\n",
    f'    secret_access_key: "{SECRET}"\n',
    f"    'secret_access_key': '{SECRET}'\n",
    f'    "secret\\x5faccess_key": "{SECRET}"\n',
    f"    secret_access_key: |\n      {SECRET}\n      {SECRET}\n",
    f"    secret_access_key: >-\n\n      {SECRET}\n",
    f"    secret_access_key:\n      {SECRET}\n",
    f"    secret_access_key: {{value: {SECRET}}}\n",
    f"    secret_access_key:\n      value: {SECRET}\n",
    f"    secret_access_key:\n      - {SECRET}\n",
    f"    secret_access_key: {{env: {SECRET}}}\n",
    f"    secret_access_key: {{env: [{SECRET}]}}\n",
    f"    secret_access_key: ${{X:-{SECRET}}}\n",
    f"    secret_access_key: ${{X:?{SECRET}}}\n",
    f"    secret_access_key: !secret {SECRET}\n",
    f"    secret_access_key: &key {SECRET}\n",
    f"    secret_access_key: *{SECRET}\n",
    f"    ? secret_access_key\n    : {SECRET}\n",
    f"    secret_acess_key: {SECRET}\n",
    f"    secretKey: {SECRET}\n",
    f"    Secret-Access-Key: {SECRET}\n",
    f"    secret_access_key: {SECRET}: {SECRET}\n",
    f'    secret_access_key: "{SECRET}\n',
    f"    secret_access_key: [{SECRET}\n",
    f"    secret_access_key = {SECRET}\n",
    f"    secret_access_key: {SECRET}\n   bad_indent: 1\n",
    f"    secret_access_key: {SECRET}\n    secret_access_key: {SECRET}\n",
    f"    endpoint: https://me:{SECRET.replace('/', '')}@example.org\n",
    f"    endpoint: [https://me:{SECRET.replace('/', '')}@example.org\n",
]


def _outputs(text: str, *overrides: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load(SpecText(name="a.yaml", content=text.encode()), env={}, overrides=overrides)
    problems = caught.value.problems
    plain = to_text(problems, with_source=True)
    coloured = to_text(problems, colour=True, with_source=True)
    return [plain, coloured, repr(as_data(problems)), to_github(problems), str(caught.value)]


@pytest.mark.parametrize("shape", SHAPES)
def test_no_way_to_write_a_secret_gets_it_printed(shape: str) -> None:
    # A part of it is as bad as the whole.
    for output in _outputs(TARGET + shape + REST):
        assert SECRET[:8] not in output


@pytest.mark.parametrize("shape", SHAPES)
def test_nor_do_problems_on_the_lines_around(shape: str) -> None:
    text = "".join(f"{line} # \x01\n" for line in (TARGET + shape + REST).splitlines())
    for output in _outputs(text):
        assert SECRET[:8] not in output


def test_an_anchor_elsewhere_is_masked_too() -> None:
    text = f"x: &key {SECRET}\n{TARGET}    secret_access_key: *key\n{REST}"
    for output in _outputs(text):
        assert SECRET[:8] not in output


def test_one_line_with_everything_is_masked() -> None:
    before = "targets: {s3: {provider: awz, access_key_id: {env: A}, secret_access_key: "
    line = f"{before}{SECRET}}}}}"
    outputs = _outputs(f"api: hps/v1\nname: case\n{line}\n{REST}")
    for output in outputs:
        assert SECRET[:8] not in output
    assert f"{before}***" in outputs[0]


@pytest.mark.parametrize(
    "override",
    [
        f"targets.s3.secret_access_key={SECRET}",
        f"targets.s3.secret_access_key={{env: '{SECRET}'}}",
        f"targets={{s3: {{secret_access_key: {SECRET}}}}}",
        f"targets.s3.secretkey={SECRET}",
        f"targets.s3.endpoint=https://me:{SECRET.replace('/', '')}@example.org",
        f"secret_access_key {SECRET}",
    ],
)
def test_an_override_is_masked(override: str) -> None:
    text = f"{TARGET}    secret_access_key: {{env: B}}\n{REST}"
    for output in _outputs(text, override, "repetitions=0"):
        assert SECRET[:8] not in output


def test_names_of_variables_stay_visible() -> None:
    lines = [
        "access_key_id: {env: A}   # a comment",
        "{access_key_id: {env: A}, secret_access_key: {env: B}, bucket: b}",
        "secret_access_key:",
        "  env: NAME",
        "bucket: b",
    ]
    assert mask_lines(lines, None) == lines


def test_a_secret_variable_need_not_be_set() -> None:
    text = f"{TARGET}    secret_access_key: {{env: NOT_SET}}\n{REST}"
    spec = load(SpecText(name="a.yaml", content=text.encode()), env={})
    secret = spec.targets["s3"].secret_access_key
    assert secret is not None
    assert secret.env == "NOT_SET"

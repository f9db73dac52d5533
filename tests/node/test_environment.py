from __future__ import annotations

import re

import pytest

from hps.node.facts import OWN_NAMES, SALAD_NAMES, is_allowed, stored_environment
from hps.targets.embedded import KEY_ID_ENV, SECRET_ENV
from tests.command import REPOSITORY

SECRET = "planted-secret-value-0123456789"
SECRET_NAMES = (
    "CLOUDFLARE_ID",
    "CLOUDFLARE_KEY",
    "AWS_SECRET_ACCESS_KEY",
    "HPS_KEY",
    "HPS_ACCESS_KEY_ID",
    "HPS_ID",
    "HPS_SECRET",
    "HPS_API_TOKEN",
    "HPS_VAR_API_TOKEN",
    "HPS_PASSWORD",
    "HPS_DB_PASS",
    "HPS_JWT",
    "HPS_CREDENTIALS",
    "RCLONE_CONFIG_R2_SECRET_ACCESS_KEY",
    "SALAD_API_KEY",
    "SALAD_TOKEN",
    "PATH",
    "HOME",
)


def test_no_planted_secret_is_stored() -> None:
    env = dict.fromkeys(SECRET_NAMES, SECRET) | {"EXPERIMENT": "a.yaml"}
    assert stored_environment(env) == {"EXPERIMENT": "a.yaml"}


def test_the_names_that_tell_something_are_stored_sorted() -> None:
    names = (*SALAD_NAMES, "BUCKET", "FOLDER", "SIZE", "ULSPEED", "DLSPEED", "HPS_COUNTRY")
    stored = stored_environment(dict.fromkeys(names, "x") | {"CLOUDFLARE_REGION": "auto"})
    assert set(stored) == {*names, "CLOUDFLARE_REGION"}
    assert list(stored) == sorted(stored)


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("https://me:pw@host/x.yaml?sig=abc#y", "https://host/x.yaml"),
        ("git+https://tok@host/repo@main#dir/x.yaml", "git+https://host/repo@main#dir/x.yaml"),
        ("experiments/x.yaml", "experiments/x.yaml"),
        ("https://[broken", "***"),
    ],
)
def test_addresses_lose_what_may_be_secret(value: str, stored: str) -> None:
    assert stored_environment({"EXPERIMENT": value}) == {"EXPERIMENT": stored}


def test_a_secrets_value_is_hidden_under_any_name() -> None:
    env = {"CLOUDFLARE_KEY": SECRET, "BUCKET": SECRET, "FOLDER": f"x/{SECRET}/y", "SIZE": "200"}
    assert stored_environment(env) == {"BUCKET": "***", "FOLDER": "***", "SIZE": "200"}


def test_a_long_value_is_cut() -> None:
    assert len(stored_environment({"FOLDER": "x" * 5000})["FOLDER"]) == 1000


def test_what_kubernetes_sets_for_a_service_of_this_name_is_not_stored() -> None:
    address = "tcp://10.0.0.1:80"
    service = dict.fromkeys(("HPS_PORT", "HPS_PORT_80_TCP", "HPS_LOG_PORT"), address)
    service |= {"HPS_SERVICE_HOST": "10.0.0.1", "HPS_SERVICE_PORT": "80", "HPS_VARIOUS": "x"}
    assert stored_environment({**service, "HPS_VAR_TEXT": "x"}) == {"HPS_VAR_TEXT": "x"}


def test_every_name_that_this_program_reads_is_stored_or_is_a_secret() -> None:
    text = "\n".join(path.read_text("utf-8") for path in (REPOSITORY / "hps").rglob("*.py"))
    names = set(re.findall(r"[\"`(]HPS_([A-Z][A-Z0-9_]*[A-Z])\b", text))
    ours = {KEY_ID_ENV, SECRET_ENV, "HPS_CHILD"}  # these are set by this program, for its children
    assert {f"HPS_{name}" for name in names} - ours == set(OWN_NAMES)


@pytest.mark.parametrize("name", ["HPS_VAR_IDLE", "HPS_VAR_VALID", "HPS_OUTPUT"])
def test_words_that_only_contain_a_short_one_are_allowed(name: str) -> None:
    assert is_allowed(name)

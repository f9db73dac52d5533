"""A target as rclone sees it, and how little else its process is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hps.errors import HpsError
from hps.model import SecretRef, Target
from hps.tools.invocation import INHERITED
from hps.tools.rclone.command import child_env
from hps.tools.rclone.remote import remote_of
from tests.builders import LOCAL, S3

SECRETS = {"TEST_KEY_ID": "key", "TEST_SECRET": "secret"}


def test_a_target_is_a_remote_in_the_environment() -> None:
    remote = remote_of(replace(S3, region="eu-1"))
    assert remote.env == {
        "RCLONE_CONFIG_S3_TYPE": "s3",
        "RCLONE_CONFIG_S3_PROVIDER": "Other",
        "RCLONE_CONFIG_S3_ENDPOINT": "http://127.0.0.1:9",
        "RCLONE_CONFIG_S3_REGION": "eu-1",
        "RCLONE_CONFIG_S3_NO_CHECK_BUCKET": "true",
        "RCLONE_CONFIG_S3_FORCE_PATH_STYLE": "true",
    }
    assert remote.secret_env == {
        "RCLONE_CONFIG_S3_ACCESS_KEY_ID": SecretRef(env="TEST_KEY_ID"),
        "RCLONE_CONFIG_S3_SECRET_ACCESS_KEY": SecretRef(env="TEST_SECRET"),
    }


def test_what_is_not_declared_is_left_to_rclone() -> None:
    remote = remote_of(LOCAL)
    assert set(remote.env) == {
        "RCLONE_CONFIG_LOCAL_TYPE",
        "RCLONE_CONFIG_LOCAL_PROVIDER",
        "RCLONE_CONFIG_LOCAL_NO_CHECK_BUCKET",
    }
    assert remote.secret_env == {}


def test_a_session_token_and_a_name_with_a_dash() -> None:
    remote = remote_of(replace(S3, name="my-r2", session_token=SecretRef(env="TOKEN")))
    assert remote.secret_env["RCLONE_CONFIG_MY_R2_SESSION_TOKEN"] == SecretRef(env="TOKEN")
    assert remote.path("a") == "my_r2:bucket/tests/a"


@pytest.mark.parametrize(
    ("target", "setting", "value"),
    [
        (Target(name="r", provider="cloudflare"), "PROVIDER", "Cloudflare"),
        (Target(name="r", provider="cloudflare"), "REGION", "auto"),
        (Target(name="r", provider="aws"), "PROVIDER", "AWS"),
        (Target(name="r", provider="aws"), "REGION", "us-east-1"),
        (Target(name="r", provider="aws", region="eu-west-1"), "REGION", "eu-west-1"),
        (
            Target(name="r", provider="aws", endpoint="https://s3.eu-west-1.amazonaws.com"),
            *("REGION", "eu-west-1"),
        ),
        (Target(name="r", provider="gcs"), "PROVIDER", "GCS"),
        (Target(name="r", provider="gcs"), "ENDPOINT", "https://storage.googleapis.com"),
        (Target(name="r", provider="wasabi"), "ENDPOINT", "https://s3.us-east-1.wasabisys.com"),
        (
            Target(name="r", provider="wasabi", region="eu-central-1"),
            *("ENDPOINT", "https://s3.eu-central-1.wasabisys.com"),
        ),
        (
            Target(name="r", provider="scaleway", endpoint="https://s3.nl-ams.scw.cloud"),
            *("REGION", "nl-ams"),
        ),
        (Target(name="r", provider="tigris", force_path_style=True), "FORCE_PATH_STYLE", "true"),
        (
            Target(name="r", provider="other", quirks=(("use_x_id", False),)),
            *("USE_X_ID", "false"),
        ),
        (
            Target(name="r", provider="aws", endpoint="http://host"),
            "USE_UNSIGNED_PAYLOAD",
            "true",
        ),
        (Target(name="r", provider="minio"), "PROVIDER", "Minio"),
        (Target(name="r", provider="backblaze"), "PROVIDER", "Other"),
        (Target(name="r", provider="embedded"), "PROVIDER", "Rclone"),
        (Target(name="r", provider="other", force_path_style=False), "FORCE_PATH_STYLE", "false"),
    ],
)
def test_what_a_provider_needs(target: Target, setting: str, value: str) -> None:
    assert remote_of(target).env[f"RCLONE_CONFIG_R_{setting}"] == value


@pytest.mark.parametrize("endpoint", [None, "https://host"])
def test_what_goes_to_amazon_by_tls_is_signed_as_usual(endpoint: str | None) -> None:
    remote = remote_of(Target(name="r", provider="aws", endpoint=endpoint))
    assert "RCLONE_CONFIG_R_USE_UNSIGNED_PAYLOAD" not in remote.env


@pytest.mark.parametrize(
    ("folder", "parts", "path"),
    [
        ("", (), "s3:bucket"),
        ("", ("a", "b"), "s3:bucket/a/b"),
        ("deep/down", ("a/b", "", "c"), "s3:bucket/deep/down/a/b/c"),
    ],
)
def test_paths_on_a_remote(folder: str, parts: tuple[str, ...], path: str) -> None:
    assert remote_of(replace(S3, folder=folder)).path(*parts) == path


def test_a_child_knows_its_remote_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = {
        "RCLONE_BWLIMIT": "1k",
        "RCLONE_CONFIG_S3_ENDPOINT": "http://elsewhere",
        "RCLONE_CONFIG": "/home/somebody/rclone.conf",
        "AWS_SECRET_ACCESS_KEY": "of somebody else",
        "TEST_SECRET": "not by this way",
        "SALAD_MACHINE_ID": "m",
    }
    for name, value in foreign.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    remote = remote_of(S3)
    env = child_env(remote, SECRETS)
    inherited = {name: value for name, value in env.items() if name in INHERITED}
    assert inherited["HTTPS_PROXY"] == "http://proxy:3128"
    assert "PATH" in inherited
    own = {name: value for name, value in env.items() if name not in INHERITED}
    assert own == {
        **remote.env,
        "RCLONE_CONFIG": "/dev/null",
        "HPS_CHILD": "1",
        "TZ": "UTC",
        "LC_ALL": "C",
        "RCLONE_CONFIG_S3_ACCESS_KEY_ID": "key",
        "RCLONE_CONFIG_S3_SECRET_ACCESS_KEY": "secret",
    }
    assert set(child_env(None, SECRETS)) - set(INHERITED) == {
        "RCLONE_CONFIG",
        "TZ",
        "LC_ALL",
        "HPS_CHILD",
    }


@pytest.mark.parametrize("secrets", [{}, {"TEST_KEY_ID": "key"}, SECRETS | {"TEST_SECRET": ""}])
def test_a_secret_that_is_not_set_is_named_and_shown_how_to_set(secrets: dict[str, str]) -> None:
    missing = "TEST_SECRET" if "TEST_KEY_ID" in secrets else "TEST_KEY_ID"
    with pytest.raises(HpsError) as caught:
        child_env(remote_of(S3), secrets)
    assert caught.value.message == (
        f"the environment variable {missing} is not set: target 's3' needs it"
    )
    assert caught.value.hint == f"export {missing}=…, or pass -e {missing} to the container"

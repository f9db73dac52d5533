"""A target as rclone sees it, and how little else its process is told."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest

from hps.errors import HpsError
from hps.model import SecretRef, Target
from hps.tools.invocation import INHERITED
from hps.tools.rclone.command import access, child_env
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


AZURE = Target(
    name="az",
    provider="azure",
    account="mystorage",
    bucket="data",
    folder="a/b",
    account_key=SecretRef(env="TEST_SECRET"),
)


def test_a_container_of_azure_is_a_remote_of_its_own_kind() -> None:
    remote = remote_of(AZURE)
    assert remote.env == {
        "RCLONE_CONFIG_AZ_TYPE": "azureblob",
        "RCLONE_CONFIG_AZ_ACCOUNT": "mystorage",
        "RCLONE_CONFIG_AZ_ENDPOINT": "https://mystorage.blob.core.windows.net",
        "RCLONE_CONFIG_AZ_NO_CHECK_CONTAINER": "true",
    }
    assert remote.secret_env == {"RCLONE_CONFIG_AZ_KEY": SecretRef(env="TEST_SECRET")}
    assert remote.path("c") == "az:data/a/b/c"


@pytest.mark.parametrize("token", ["sv=1&sig=a%2Fb", "?sv=1&sig=a%2Fb"])
def test_a_signature_stands_behind_the_containers_address(token: str) -> None:
    signed = replace(AZURE, account_key=None, sas_token=SecretRef(env="TEST_SECRET"))
    env = child_env(remote_of(signed), {"TEST_SECRET": token})
    address = "https://mystorage.blob.core.windows.net/data"
    assert env["RCLONE_CONFIG_AZ_SAS_URL"] == f"{address}?sv=1&sig=a%2Fb"
    # As a shell fills it in, where somebody pastes the printed command.
    shown = access(remote_of(signed)).shown()["RCLONE_CONFIG_AZ_SAS_URL"]
    run = subprocess.run(
        ["sh", "-c", f"printf %s {shown}"],
        env={"TEST_SECRET": token},
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    assert run.stdout == env["RCLONE_CONFIG_AZ_SAS_URL"]


def test_a_service_principal_asks_the_authority_that_is_named() -> None:
    principal = replace(
        AZURE,
        account_key=None,
        tenant_id=SecretRef(env="TENANT_ID"),
        client_id=SecretRef(env="CLIENT_ID"),
        client_secret=SecretRef(env="CLIENT_SECRET"),
    )
    remote = remote_of(principal)
    assert remote.env["RCLONE_CONFIG_AZ_ENV_AUTH"] == "true"
    assert remote.secret_env == {
        "AZURE_TENANT_ID": SecretRef(env="TENANT_ID"),
        "AZURE_CLIENT_ID": SecretRef(env="CLIENT_ID"),
        "AZURE_CLIENT_SECRET": SecretRef(env="CLIENT_SECRET"),
    }
    assert "AZURE_AUTHORITY_HOST" not in remote.env
    elsewhere = remote_of(replace(principal, authority="https://login.example.org"))
    assert elsewhere.env["AZURE_AUTHORITY_HOST"] == "https://login.example.org"
    assert elsewhere.env["RCLONE_CONFIG_AZ_DISABLE_INSTANCE_DISCOVERY"] == "true"

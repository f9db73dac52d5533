"""One file of a real bucket, named by what the environment says of it."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest

from hps.errors import HpsError
from hps.source import bucket
from hps.source.address import BucketAddress
from hps.spec.source import MAX_BYTES
from hps.targets import well_known
from tests.servers.rclone_client import remote_environment, run_rclone
from tests.servers.s3_server import S3Server


def _r2(server: S3Server) -> dict[str, str]:
    return {
        **_rclone(),
        "CLOUDFLARE_ENDPOINT_URL": server.endpoint,
        "CLOUDFLARE_ID": server.access_key_id,
        "CLOUDFLARE_KEY": server.secret_access_key,
        "BUCKET": server.bucket,
        "FOLDER": "sources/one",
    }


def _s3(server: S3Server) -> dict[str, str]:
    return {
        **_rclone(),
        "AWS_ENDPOINT_URL": server.endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": server.access_key_id,
        "AWS_SECRET_ACCESS_KEY": server.secret_access_key,
        "BUCKET": server.bucket,
        "FOLDER": "/sources/one/",
    }


def _rclone() -> dict[str, str]:
    return {name: os.environ[name] for name in ("HPS_RCLONE",) if name in os.environ}


@pytest.fixture
def stored(s3_server: S3Server, tmp_path: Path) -> S3Server:
    """The server, with a few files below `sources/one`."""
    (tmp_path / "d").mkdir()
    (tmp_path / "a.yaml").write_bytes(b"a: \xff\r\n")
    (tmp_path / "d/b [1].yaml").write_bytes(b"b")
    (tmp_path / "d/large.yaml").write_bytes(b"x" * (MAX_BYTES + 100_000))
    place = f"T:{s3_server.bucket}/sources/one"
    run_rclone(["copy", str(tmp_path), place], env=remote_environment(s3_server))
    return s3_server


def _address(target: str, path: str) -> BucketAddress:
    return BucketAddress(target=target, path=path)


def _failure(target: str, path: str, env: dict[str, str]) -> HpsError:
    with pytest.raises(HpsError) as caught:
        bucket.fetch(_address(target, path), env)
    assert caught.value.hint
    return caught.value


def test_each_target_gives_the_bytes_of_the_file(stored: S3Server) -> None:
    assert bucket.fetch(_address("r2", "a.yaml"), _r2(stored)) == b"a: \xff\r\n"
    assert bucket.fetch(_address("s3", "d/b [1].yaml"), _s3(stored)) == b"b"


def test_no_more_than_a_mebibyte_and_a_byte_is_read(stored: S3Server) -> None:
    content = bucket.fetch(_address("r2", "d/large.yaml"), _r2(stored))
    assert len(content) == MAX_BYTES + 1


@pytest.mark.parametrize("path", ["nowhere.yaml", "d", "d/nowhere/a.yaml"])
def test_what_is_no_file(stored: S3Server, path: str) -> None:
    error = _failure("r2", path, _r2(stored))
    assert error.message == f"r2:{path}: there is no file bucket/sources/one/{path}"
    assert "FOLDER" in error.hint


def test_a_bucket_that_is_not_there(stored: S3Server) -> None:
    error = _failure("r2", "a.yaml", {**_r2(stored), "BUCKET": "nowhere"})
    assert "there is no file nowhere/sources/one/a.yaml" in error.message


def test_keys_that_are_wrong_are_named_and_not_shown(stored: S3Server) -> None:
    wrong = f"wrong{secrets.token_hex(16)}"
    error = _failure("r2", "a.yaml", {**_r2(stored), "CLOUDFLARE_KEY": wrong})
    assert "403" in error.message
    assert "CLOUDFLARE_ID, CLOUDFLARE_KEY" in error.hint
    assert wrong not in error.message + error.hint
    assert stored.access_key_id not in error.message + error.hint


def test_nothing_is_left_behind(
    stored: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "temporary"
    own.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(own))
    bucket.fetch(_address("r2", "a.yaml"), _r2(stored))
    assert list(own.iterdir()) == []


def test_an_endpoint_that_never_answers(tmp_path: Path, s3_server: S3Server) -> None:
    hanging = tmp_path / "rclone"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o755)
    env = {**_r2(s3_server), "HPS_RCLONE": str(hanging)}
    with pytest.raises(HpsError, match=r"took longer than 0\.3 s"):
        bucket.fetch(_address("r2", "a.yaml"), env, timeout_s=0.3)


def test_the_defaults_of_the_published_names(s3_server: S3Server) -> None:
    env = {**_r2(s3_server), "BUCKET": "", "FOLDER": ""}
    target = well_known.target("r2", env)
    assert (target.bucket, target.folder) == ("transcripts", "high_performance_storage")
    assert target.region is None


def test_amazon_itself_and_a_token(s3_server: S3Server) -> None:
    env = {**_s3(s3_server), "AWS_ENDPOINT_URL": "", "AWS_SESSION_TOKEN": "t"}
    target = well_known.target("s3", env)
    assert (target.provider, target.endpoint, target.region) == ("aws", None, "us-east-1")
    assert target.session_token is not None
    assert target.session_token.env == "AWS_SESSION_TOKEN"


def test_every_variable_that_is_missing_is_named() -> None:
    with pytest.raises(HpsError) as caught:
        well_known.target("s3", {"AWS_REGION": "x", "BUCKET": ""})
    assert "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, BUCKET" in caught.value.message


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CLOUDFLARE_ENDPOINT_URL", "https://user:hunter2@h", "holds a user name or password"),
        ("CLOUDFLARE_ENDPOINT_URL", "example.org", "is not an address of a service"),
        ("BUCKET", "a/b", "is not the name of a bucket"),
        ("FOLDER", "a/../b", "holds '..'"),
    ],
)
def test_a_variable_that_is_wrong(s3_server: S3Server, name: str, value: str, said: str) -> None:
    with pytest.raises(HpsError) as caught:
        well_known.target("r2", {**_r2(s3_server), name: value})
    assert caught.value.message == f"the environment variable {name} {said}"
    assert "hunter2" not in caught.value.hint

"""Rights as a server enforces them: the policy of docs/rights.md suffices, and each is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import boto3
import pytest

from tests.command import REPOSITORY, hps, keys_of, targets_yaml
from tests.servers.child import ask
from tests.servers.moto_s3 import serve_moto
from tests.servers.s3_server import S3Server

_SPEC = """\
api: hps/v1
name: rights
{targets}
data: {{size: 11MiB, files: 2}}
matrix: {{target: [s3], chunk_size: [5MiB]}}
steps: [upload, list, download, verify, delete]
"""
_RIGHTS = ("PutObject", "GetObject", "DeleteObject", "ListBucket")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A server that enforces rights, by who may do everything but one thing, and nobody else."""

    server: S3Server
    keys: dict[str, tuple[str, str]]

    def without(self, right: str) -> S3Server:
        """The server with the keys of the user that lacks a right; empty: lacks none."""
        key_id, secret = self.keys[right]
        return replace(self.server, access_key_id=key_id, secret_access_key=secret)


def _policy(bucket: str, lacking: str) -> str:
    """That of the documentation, for the whole bucket, and without one right."""
    text = (REPOSITORY / "docs/rights.md").read_text().split("## AWS", 1)[1]
    policy = json.loads(text.split("```json", 1)[1].split("```", 1)[0])
    for statement in policy["Statement"]:
        actions = [action for action in statement["Action"] if action != f"s3:{lacking}"]
        statement["Action"] = actions or ["s3:GetBucketTagging"]
        resource = statement["Resource"]
        statement["Resource"] = resource.replace("BUCKET/FOLDER", bucket).replace("BUCKET", bucket)
    return json.dumps(policy)


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with serve_moto(tmp_path_factory.mktemp("iam")) as server:
        iam = boto3.client(
            "iam",
            endpoint_url=server.endpoint,
            region_name="us-east-1",
            aws_access_key_id=server.access_key_id,
            aws_secret_access_key=server.secret_access_key,
        )
        keys = {}
        for right in ("", *_RIGHTS):
            user = f"without-{right}"
            iam.create_user(UserName=user)
            policy = _policy(server.bucket, right)
            iam.put_user_policy(UserName=user, PolicyName="hps", PolicyDocument=policy)
            made = iam.create_access_key(UserName=user)["AccessKey"]
            keys[right] = made["AccessKeyId"], made["SecretAccessKey"]
        status, _ = ask(server.endpoint, "POST", "/moto-api/reset-auth", b"0")
        assert status == 200
        yield Account(server=server, keys=keys)


def _spec(folder: Path, server: S3Server) -> Path:
    path = folder / "rights.yaml"
    path.write_text(_SPEC.format(targets=targets_yaml(server.endpoint, server)))
    return path


def test_the_documented_policy_suffices_for_a_whole_run(account: Account, tmp_path: Path) -> None:
    server = account.without("")
    ran = hps("run", _spec(tmp_path, server), "--output", tmp_path / "out", env=keys_of(server))
    assert ran.code == 0, ran.err
    assert "results_delayed" not in ran.err


@pytest.mark.parametrize("right", _RIGHTS)
def test_each_right_that_is_missing_is_named(right: str, account: Account, tmp_path: Path) -> None:
    server = account.without(right)
    ran = hps("check", _spec(tmp_path, server), env=keys_of(server))
    assert ran.code == 2, ran.out
    assert f"s3:{right}" in ran.out + ran.err


def test_keys_that_nobody_has_are_told_as_such(account: Account, tmp_path: Path) -> None:
    server = replace(account.server, access_key_id="AKIA0000000000000000")
    ran = hps("check", _spec(tmp_path, server), "--format", "json", env=keys_of(server))
    assert ran.code == 2
    assert '"bad_credentials"' in ran.out

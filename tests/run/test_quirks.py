"""The quirks of a server reach rclone, the printed commands and the stored record."""

from __future__ import annotations

from pathlib import Path

from tests.command import hps, keys_of, target_text
from tests.servers.s3_server import S3Server

_SPEC = """\
api: hps/v1
name: quirks
targets:
{target}
    quirks: {{sign_accept_encoding: false, list_version: 1}}
data: {{size: 1MiB}}
steps: [upload, download, verify, delete]
"""


def test_quirks_are_used_shown_and_stored(s3_server: S3Server, tmp_path: Path) -> None:
    spec = tmp_path / "quirks.yaml"
    target = target_text("s3", s3_server.endpoint, s3_server.bucket, folder=tmp_path.name)
    spec.write_text(_SPEC.format(target=target))
    shown = {"RCLONE_CONFIG_S3_SIGN_ACCEPT_ENCODING=false", "RCLONE_CONFIG_S3_LIST_VERSION=1"}

    planned = hps("plan", spec, "--format", "commands", env=keys_of(s3_server))
    assert all(one in planned.out for one in shown), planned.err

    ran = hps("run", spec, "--output", tmp_path / "out", "--format", "json", env=keys_of(s3_server))
    assert ran.code == 0, ran.err
    upload = ran.results()[0]
    assert all(one in upload["command"] for one in shown)
    assert ran.records()[0]["targets"]["s3"]["quirks"] == {
        "sign_accept_encoding": False,
        "list_version": 1,
    }

"""A bucket that other people use too, looked at without any code of `hps`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

import pytest

from tests.servers.s3_server import S3Server

# Some servers refuse some of these.
_ODD = (
    "..", "../x", "../../x", "a/../../x", "./x", "/x", "//x", "x//y", " x", "x ", "x\ny", "x\ty",
    "x\ry", "*", "**", "?", "[x]", "{a,b}", "{{.*}}", "x.", "x/.", "~", "-x", "--include=*",
    "$HOME", "%2e%2e/x", "%2F", "a\\b", '"x"', "'x'", "`x`", ";x", "\xe9", "e\u0301",
    "\uff21\uff22", "\uff0e\uff0e/x", "\u201b\uff0e", "\U0001f642", "\u202ex", "\u200b", "x:y",
    "#x", "+ *", "- *", "x\x7f", "x\x01",
)  # fmt: skip

boto3 = pytest.importorskip("boto3", reason="boto3 comes with moto")
botocore = pytest.importorskip("botocore")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A client of its own for each call, closed at its end."""

    server: S3Server

    def fill(self, keys: Iterable[str]) -> None:
        """Put an object at each key that the server takes."""
        with self._client() as client:
            for key in keys:
                body = f"somebody else's: {key}".encode()
                with contextlib.suppress(botocore.exceptions.ClientError):
                    client.put_object(Bucket=self.server.bucket, Key=key, Body=body)

    def put(self, key: str, body: bytes = b"x") -> None:
        """One object."""
        with self._client() as client:
            client.put_object(Bucket=self.server.bucket, Key=key, Body=body)

    def begin(self, *keys: str) -> None:
        """Begin a multipart upload with a part at each key, and leave it."""
        with self._client() as client:
            for key in keys:
                place = {"Bucket": self.server.bucket, "Key": key}
                upload = client.create_multipart_upload(**place)["UploadId"]
                client.upload_part(**place, UploadId=upload, PartNumber=1, Body=b"x" * 9)

    def objects(self) -> dict[str, tuple[str, int, datetime]]:
        """By key of every object: the digest of its content, its size and its time."""
        with self._client() as client:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=self.server.bucket)
            found = [one for page in pages for one in page.get("Contents", ())]
        return {one["Key"]: (one["ETag"], one["Size"], one["LastModified"]) for one in found}

    def names(self) -> set[str]:
        """Every key."""
        return set(self.objects())

    def begun(self) -> list[str]:
        """The keys of all incomplete uploads."""
        return sorted(key for key, _ in self.uploads())

    def uploads(self) -> list[tuple[str, str]]:
        """All incomplete uploads: key and id."""
        try:
            with self._client() as client:
                found = client.list_multipart_uploads(Bucket=self.server.bucket)
        except botocore.exceptions.ClientError:
            return []  # rclone's server says that there is no such upload
        return [(one["Key"], one["UploadId"]) for one in found.get("Uploads", ())]

    def _client(self) -> contextlib.closing[Any]:
        config = botocore.config.Config(
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            retries={"total_max_attempts": 1},
        )
        client = boto3.client(
            "s3",
            endpoint_url=self.server.endpoint,
            aws_access_key_id=self.server.access_key_id,
            aws_secret_access_key=self.server.secret_access_key,
            region_name="us-east-1",
            config=config,
        )
        return contextlib.closing(client)


def hostile_names(experiment: str, run_id: str) -> list[str]:
    """Keys of other people's objects below the folder of a target, which look much like ours."""
    trial = "0123456789ab"
    home, run = f"data/{experiment}", f"data/{experiment}/{run_id}"
    near = [
        run,
        f"{run}x/{trial}/0.bin",
        f"{run}x",
        f"{run}-/{trial}/0.bin",
        f"{run} /{trial}/0.bin",
        f"{home}/x{run_id}/{trial}/0.bin",
        f"{home}/{run_id.upper()}/{trial}/0.bin",
        f"{home}/not-a-run/{trial}/0.bin",
        f"{home}/{run_id[:-1]}/{trial}/0.bin",
        f"{home}2/{run_id}/{trial}/0.bin",
        f"{home}.old/{run_id}/{trial}/0.bin",
        f"data/another/{run_id}/{trial}/0.bin",
        f"Data/{experiment}/{run_id}/{trial}/0.bin",
        f"data2/{experiment}/{run_id}/{trial}/0.bin",
        f"x/data/{experiment}/{run_id}/{trial}/0.bin",
        f"results/{experiment}/{trial}/{run_id}.jsonl.bak",
        f"results2/{experiment}/{trial}/{run_id}.jsonl",
    ]
    inside = [
        f"{run}/somebody.txt",
        f"{run}/{trial}x/0.bin",
        f"{run}/{trial}/0.bin.bak",
        f"{run}/{trial}/notes/0.bin",
        f"{run}/probe2/sent/0.bin",
        f"{run}/probe/sent/0.bin/x",
    ]
    places = ("", f"{home}/", f"{run}/{trial}/")
    return [*near, *inside, *(f"{place}{name}" for place in places for name in _ODD)]


def as_files(keys: Iterable[str]) -> list[str]:
    """Those that a server can keep as files: no empty or dotted part, no file as a folder."""
    plain = [key for key in keys if not {"", ".", ".."} & set(key.split("/"))]
    folders = {str(folder) for key in plain for folder in PurePosixPath(key).parents}
    return [key for key in plain if key not in folders]

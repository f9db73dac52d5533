"""One file from the bucket of a well-known target, and one into it, by rclone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hps.errors import HpsError
from hps.model import Failure
from hps.redaction import Scrubber
from hps.source.address import BucketAddress
from hps.spec.source import MAX_BYTES
from hps.targets import well_known
from hps.targets.workplace import Said, Workplace, opened
from hps.tools.rclone import command as rclone
from hps.tools.rclone.errors import bare, explain
from hps.tools.rclone.remote import Remote, remote_of

TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A well-known target within reach of an rclone."""

    remote: Remote
    binary: str
    place: Workplace
    secrets: Mapping[str, str] = field(repr=False)

    def run(self, *arguments: str) -> Said:
        """Run rclone; nothing that it says holds a secret. Raises `HpsError` if it is too slow."""
        invocation = rclone.invocation((*arguments, *rclone.BRIEF), self.remote)
        command = invocation.command(self.binary, self.secrets)
        said = self.place.run(command, most_bytes=MAX_BYTES + 1)
        return Said(code=said.code, out=said.out, err=Scrubber(self.secrets).text(said.err))


def reach(name: str, env: Mapping[str, str], place: Workplace) -> Bucket:
    """The bucket of a well-known target. Raises `HpsError` where something for it is missing."""
    remote = remote_of(well_known.target(name, env))
    names = (reference.env for reference in remote.secret_env.values())
    return Bucket(
        remote=remote,
        binary=rclone.find_binary(env),
        place=place,
        secrets={secret: env[secret] for secret in names},
    )


def fetch(address: BucketAddress, env: Mapping[str, str], *, timeout_s: float = TIMEOUT_S) -> bytes:
    """The file's bytes, at most 1 MiB and one. Raises `HpsError`."""
    with opened(f"reading {address.name}", timeout_s=timeout_s) as place:
        bucket = reach(address.target, env, place)
        path = bucket.remote.path(address.path)
        _check_is_file(address, bucket, path)
        # Its size may have changed in between.
        said = bucket.run("cat", f"--count={MAX_BYTES + 1}", path)
        if said.code != 0:
            raise _failed(address, bucket, said)
        return said.out


def send(path: Path, key: str, bucket: Bucket) -> Failure | None:
    """Copy a local file to `key` below the target's folder. Returns why that failed."""
    said = bucket.run("copyto", "--no-check-dest", str(path), bucket.remote.path(key))
    return None if said.code == 0 else _why(said)


def _check_is_file(address: BucketAddress, bucket: Bucket, path: str) -> None:
    """`cat` of a folder would give all the files in it; what is missing looks like a folder."""
    said = bucket.run("lsjson", "--stat", "--no-modtime", "--no-mimetype", path)
    if said.code == 0 and not json.loads(said.out)["IsDir"]:
        return
    why = _why(said)
    if said.code == 0 or why.code == "not_found":
        hint = "check the path: it is looked for below FOLDER in BUCKET"
        raise HpsError(
            f"{address.name}: there is no file {bucket.remote.root}/{address.path}", hint
        )
    raise _failed(address, bucket, said)


def _failed(address: BucketAddress, bucket: Bucket, said: Said) -> HpsError:
    names = ", ".join(bucket.secrets)
    hint = f"check the endpoint, and the keys in {names}: may they read {bucket.remote.root}?"
    why = _why(said)
    return HpsError(f"{address.name} cannot be read: {why.reason}", hint)


def _why(said: Said) -> Failure:
    """What the tool complained of, in words."""
    return explain(bare(said.last_line))

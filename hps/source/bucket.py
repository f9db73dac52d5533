"""An experiment from the bucket of a well-known target."""

from __future__ import annotations

from collections.abc import Mapping

from hps.errors import HpsError
from hps.model import Failure
from hps.process.temporary import open_workplace
from hps.source.address import BucketAddress
from hps.spec.source import MAX_BYTES
from hps.targets.bucket import SMALL_FILE_TIMEOUT_S, WellKnownBucket, find_well_known


def fetch(
    address: BucketAddress, env: Mapping[str, str], *, timeout_s: float = SMALL_FILE_TIMEOUT_S
) -> bytes:
    """The file's bytes, at most 1 MiB and one. Raises `HpsError`."""
    with open_workplace(f"reading {address.name}", timeout_s=timeout_s) as place:
        bucket = find_well_known(address.target, env, place)
        found = bucket.get(address.path, most_bytes=MAX_BYTES + 1)
        if isinstance(found, Failure):
            raise _failed(address, bucket, found)
        return found


def _failed(address: BucketAddress, bucket: WellKnownBucket, why: Failure) -> HpsError:
    if why.code == "not_found":
        hint = "check the path: it is looked for below FOLDER in BUCKET"
        return HpsError(f"{address.name}: there is no file {bucket.root}/{address.path}", hint)
    names = ", ".join(bucket.secrets)
    hint = f"check the endpoint, and the keys in {names}: may they read {bucket.root}?"
    return HpsError(f"{address.name} cannot be read: {why.reason}", hint)

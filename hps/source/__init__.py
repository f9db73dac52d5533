"""Where an experiment comes from: a path, a web address, a git repository or a bucket.

- `experiments/quickstart.yaml`: a file of this machine
- `https://host/folder/file.yaml`: plain `http://` only from loopback
- `git+https://host/repository.git@rev#folder/file.yaml`: a branch, a tag or a whole commit id, else
  the default branch; `git+file:///…` for a repository of this machine
- `r2:folder/file.yaml`, `s3:folder/file.yaml`: below `FOLDER` in `BUCKET`, with the endpoint and
  the keys from the environment, see `hps.targets.well_known`

Each is read once, within a time-out, and at most 1 MiB and a byte of it. What came over a network
is not trusted: it may fill in, and take its secrets from, only the variables that
`hps.spec.interpolate` allows it.
"""

from __future__ import annotations

from collections.abc import Mapping

from hps.errors import HpsError
from hps.source import bucket, git, web
from hps.source.address import BucketAddress, FilePath, GitAddress, WebAddress, parse, shown
from hps.spec.source import MAX_BYTES, SpecText, read_file

__all__ = ["read", "shown"]

_PAGE_STARTS = (b"<!doctype html", b"<html", b"<?xml")


def read(text: str, env: Mapping[str, str]) -> SpecText:
    """The experiment that `text` names; `env` has the addresses and keys of well-known buckets.

    Its name may be printed and stored: it has no query, and the whole id of a commit.
    Raises `HpsError`, whose texts hold no credentials.
    """
    address = parse(text)
    match address:
        case FilePath():
            return read_file(address.path)
        case WebAddress():
            return _fetched(address.name, web.fetch(address), trusted=False)
        case GitAddress():
            commit, content = git.fetch(address)
            return _fetched(address.pinned(commit), content, trusted=address.is_local)
        case BucketAddress():
            return _fetched(address.name, bucket.fetch(address, env), trusted=False)


def _fetched(name: str, content: bytes, *, trusted: bool) -> SpecText:
    if len(content) > MAX_BYTES:
        hint = "an experiment file is at most 1 MiB; data does not belong in it"
        raise HpsError(f"{name} is larger than 1 MiB", hint)
    if content.lstrip().lower().startswith(_PAGE_STARTS):
        hint = "name the file itself, often called its raw address, not the page that shows it"
        raise HpsError(f"{name} is a web page, not an experiment", hint)
    return SpecText(name=name, content=content, trusted=trusted)

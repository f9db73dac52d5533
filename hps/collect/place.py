"""Where results are kept in a bucket, and what is needed to reach it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hps.errors import HpsError
from hps.model import Spec, Target
from hps.source import well_known
from hps.targets import Remote, remote_of
from hps.tools import rclone

FOLDER = "results"


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketPlace:
    """The folder `<target's folder>/<folder>/` of a bucket, within reach of an rclone."""

    remote: Remote
    folder: str
    binary: str
    secrets: Mapping[str, str] = field(repr=False)

    @property
    def name(self) -> str:
        """What may be printed: `r2:bucket/folder/results`."""
        return self.remote.path(self.folder)


def well_known_place(name: str, folder: str | None, env: Mapping[str, str]) -> BucketPlace:
    """Results in the bucket of `r2` or `s3`. Raises `HpsError` naming what is not set."""
    return _place(well_known.target(name, env), FOLDER if folder is None else folder, env)


def place_of(spec: Spec, folder: str | None, env: Mapping[str, str]) -> BucketPlace:
    """Where an experiment stores its results. Raises `HpsError` where nobody else can reach it."""
    target = spec.targets[spec.results.target]
    if target.provider == "embedded":
        raise HpsError(
            f"results of '{spec.name}' are stored in a server that ends with each run",
            "they are in hps-results, or what --output named, on the machine that ran it",
        )
    return _place(target, spec.results.folder if folder is None else folder, env)


def _place(target: Target, folder: str, env: Mapping[str, str]) -> BucketPlace:
    remote = remote_of(target)
    names = (reference.env for reference in remote.secret_env.values())
    return BucketPlace(
        remote=remote,
        folder=folder.strip("/"),
        binary=rclone.find_binary(env),
        secrets={name: env[name] for name in names if name in env},
    )

"""The image, built once for all tests in this folder, and a container of it."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.command import REPOSITORY
from tests.container import base, pip_settings
from tests.container.box import Box
from tests.container.buildah import Buildah

IMAGE = "localhost/hps-test:latest"
VERSION = "1.2.3-test"
_CACHE = Path(os.environ.get("HPS_IMAGE_CACHE", "/var/tmp/hps-image-test"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """The image, the base it stands on, and the arguments it was built with."""

    buildah: Buildah
    base: str
    name: str
    version: str
    revision: str


@pytest.fixture(scope="session")
def built() -> Iterator[Built]:
    """The image, built from this checkout as a person would build it."""
    buildah = Buildah(storage=_CACHE)
    buildah("rm", "--all")  # what an earlier test left that was killed
    revision = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.strip()
    bottom = base.ensure(buildah)
    _build(buildah, bottom, revision)
    yield Built(buildah=buildah, base=bottom, name=IMAGE, version=VERSION, revision=revision)
    buildah("rmi", IMAGE)


@pytest.fixture(scope="session")
def box(built: Built) -> Iterator[Box]:
    """A container of the image."""
    container = built.buildah("from", built.name)
    root = Path(built.buildah("mount", container))
    yield Box(root=root, config=built.buildah.config(built.name))
    built.buildah("umount", container)
    built.buildah("rm", container)


def _build(buildah: Buildah, bottom: str, revision: str) -> None:
    arguments = {"BASE": bottom, "VERSION": VERSION, "REVISION": revision}
    with tempfile.TemporaryDirectory(prefix="hps-pip-") as folder:
        volumes = pip_settings.volumes(pip_settings.read(), Path(folder) / "pip.conf")
        buildah(
            "bud",
            *("--isolation", "chroot", "--tag", IMAGE),
            *(f"--volume={volume}" for volume in volumes),
            *(f"--build-arg={name}={value}" for name, value in arguments.items()),
            REPOSITORY,
        )

"""A small base for the image: Debian with Python and pip, and like PyTorch's image no ensurepip."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from tests.container.buildah import Buildah

_SUITE = "bookworm"
_PACKAGES = ("ca-certificates", "python3", "python3-pip")
NAME = f"localhost/hps-test-base:{_SUITE}"
_TIMEOUT_S = 900


def ensure(buildah: Buildah) -> str:
    """Make the base unless an earlier test did; returns its name."""
    if not buildah.has_image(NAME):
        with tempfile.TemporaryDirectory(prefix="hps-base-") as folder:
            _bootstrap(Path(folder))
            _import(buildah, Path(folder))
    return NAME


def _bootstrap(folder: Path) -> None:
    wanted = f"--include={','.join(_PACKAGES)}"
    done = subprocess.run(
        ["debootstrap", "--variant=minbase", wanted, _SUITE, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"debootstrap: {done.stdout[-4000:]}")


def _import(buildah: Buildah, folder: Path) -> None:
    container = buildah("from", "scratch")
    buildah("copy", "--quiet", container, folder, "/")
    buildah("config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", container)
    buildah("commit", "--quiet", "--rm", container, NAME)

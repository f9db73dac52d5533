"""buildah without a daemon, privileges or a storage of the machine's: what the tests use of it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TIMEOUT_S = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Buildah:
    """One storage for images and containers, in a folder of its own."""

    storage: Path

    def __call__(self, command: str, *arguments: str | Path) -> str:
        """Run `buildah COMMAND`; standard output without the last line's end.

        Raises `RuntimeError` with what it said where it fails.
        """
        done = subprocess.run(
            ["buildah", *self._where(), command, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"buildah {command}: {done.stdout[-4000:]}\n{done.stderr[-4000:]}")
        return done.stdout.strip()

    def has_image(self, name: str) -> bool:
        """Is there an image of this name?"""
        return name in self("images", "--format", "{{.Name}}:{{.Tag}}").splitlines()

    def config(self, image: str) -> dict[str, Any]:
        """An image's configuration as OCI defines it: `Entrypoint`, `Cmd`, `Env`, `Labels`, …"""
        described = json.loads(self("inspect", "--type", "image", image))
        config: dict[str, Any] = described["OCIv1"]["config"]
        return config

    def _where(self) -> tuple[str, ...]:
        # vfs copies instead of mounting, so that it works inside containers too.
        return (
            *("--root", str(self.storage / "root")),
            *("--runroot", str(self.storage / "run")),
            *("--storage-driver", "vfs"),
        )

"""pip inside a build reaches packages the way pip outside does, and none of it gets in the image.

The settings of this machine become one file, which is mounted for the length of the build, with
the certificates and folders that it names.
"""

from __future__ import annotations

import ast
import configparser
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

MOUNTED_AT = "/etc/pip.conf"
# About pip's own output and installation; the rest is about where packages come from.
_LEFT_OUT = ("disable-pip-version-check", "user", "target", "prefix", "require-virtualenv")


def read() -> dict[str, str]:
    """What `pip config list` says here, the later line winning; lists have one item a line."""
    listing = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    return parse(listing)


def parse(listing: str) -> dict[str, str]:
    """Options by their names from lines such as `global.cert='/etc/ca.pem'`."""
    settings: dict[str, str] = {}
    for line in listing.splitlines():
        name, _, value = line.partition("=")
        section, _, option = name.rpartition(".")
        if section in ("global", "install", ":env:") and option not in _LEFT_OUT:
            settings[option] = str(ast.literal_eval(value))
    return settings


def volumes(settings: dict[str, str], file: Path) -> tuple[str, ...]:
    """Write the settings to `file`; the volumes a build needs, such as `/a:/a:ro`."""
    config = configparser.RawConfigParser()
    config["global"] = {name: value.replace("\n", "\n  ") for name, value in settings.items()}
    file.touch(mode=0o600)
    with file.open("w") as stream:
        config.write(stream)
    paths = dict.fromkeys(_paths(settings))
    return (f"{file}:{MOUNTED_AT}:ro", *(f"{path}:{path}:ro" for path in paths))


def _paths(settings: dict[str, str]) -> Iterator[Path]:
    for word in " ".join(settings.values()).split():
        path = Path(urlsplit(word).path if word.startswith("file://") else word)
        if path.is_absolute() and path.exists():
            yield _served_folder(path)


def _served_folder(path: Path) -> Path:
    """An index in a folder may link to files beside it, so its parent is what is mounted."""
    return path.parent if path.name == "simple" and path.is_dir() else path

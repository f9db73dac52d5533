"""Which stored files a command reads: those named, and those found below named folders."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hps.errors import HpsError

SUFFIXES = (".jsonl", ".parquet")
# Size in bytes, mtime and ctime in ns.
Stamp = tuple[int, int, int]
OUTPUT = Path("hps-results")
CACHE = Path("hps-cache")
CACHE_VARIABLE = "HPS_CACHE"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file below `folder` (absolute), at `name`; `stamp` changes whenever its content does."""

    folder: Path
    name: str
    stamp: Stamp

    @property
    def size_bytes(self) -> int:
        return self.stamp[0]

    @property
    def path(self) -> str:
        return f"{self.folder}/{self.name}"

    @property
    def is_parquet(self) -> bool:
        return self.name.endswith(".parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFiles:
    """The files of some inputs, each once; `skipped` says by path why others can't be read."""

    files: tuple[StoredFile, ...]
    skipped: Mapping[str, str]


def cache_folder(env: Mapping[str, str]) -> Path:
    """Where `hps results pull` writes: `HPS_CACHE`, else `hps-cache` in the current folder."""
    return Path(env.get(CACHE_VARIABLE) or CACHE)


def default_inputs(env: Mapping[str, str]) -> tuple[Path, ...]:
    """The folders that `hps run` and `hps results pull` write to, as far as they exist.

    Raises `HpsError` where neither does.
    """
    places = (Path(env.get("HPS_OUTPUT") or OUTPUT), cache_folder(env))
    there = tuple(place for place in places if place.is_dir())
    if not there:
        raise HpsError(
            f"there are no results: neither {places[0]} nor {places[1]} is a folder here",
            "measure with hps run, fetch with hps results pull, or name files with --input",
        )
    return there


def stamp_of(path: Path) -> Stamp | None:
    """A file's stamp; None where it does not exist, or can't be looked at."""
    try:
        return _stamp(path.stat())
    except OSError:
        return None


def find(inputs: Sequence[Path]) -> FoundFiles:
    """The files that `inputs` name, and those below the folders among them.

    Folders whose names begin with a dot are passed over, and links to folders are not followed.
    Raises `HpsError` for an input that is not there.
    """
    search = _Search()
    for given in inputs:
        search.look_at(given)
    return FoundFiles(files=tuple(search.files.values()), skipped=search.skipped)


class _Search:
    def __init__(self) -> None:
        self.files: dict[str, StoredFile] = {}
        self.skipped: dict[str, str] = {}

    def look_at(self, given: Path) -> None:
        path = Path(os.path.realpath(given))
        if path.is_dir():
            self._folder(path, "")
        elif not path.exists():
            raise HpsError(f"there is no file or folder {given}", "name what exists with --input")
        elif path.name.endswith(SUFFIXES):
            self._file(path.parent, path.name)
        else:
            raise HpsError(
                f"{given} is neither *.jsonl nor *.parquet", "results are stored as these"
            )

    def _folder(self, root: Path, below: str) -> None:
        try:
            entries = sorted(os.scandir(root / below), key=lambda entry: entry.name)
        except OSError as error:
            self.skipped[f"{root}/{below}"] = str(error.strerror)
            return
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith("."):
                    self._folder(root, f"{below}{entry.name}/")
            elif entry.name.endswith(SUFFIXES):
                self._file(root, f"{below}{entry.name}")

    def _file(self, folder: Path, name: str) -> None:
        path = f"{folder}/{name}"
        try:
            path.encode()
            status = os.stat(path)  # noqa: PTH116 - ten thousand Path objects take their time
        except UnicodeEncodeError:
            self.skipped[path] = "its name is no text"
            return
        except OSError as error:
            self.skipped[path] = str(error.strerror)
            return
        if not stat.S_ISREG(status.st_mode):
            self.skipped[path] = "is not a file"
        elif not os.access(path, os.R_OK):
            self.skipped[path] = "may not be read"
        elif path not in self.files:
            self.files[path] = StoredFile(folder=folder, name=name, stamp=_stamp(status))


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns

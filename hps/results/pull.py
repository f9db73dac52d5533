"""Results from a bucket into a folder of this machine: only what is new, and whole files only."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hps.errors import HpsError, MachineError
from hps.process import process, temporary
from hps.process.stop import NEVER
from hps.targets.copy import BucketPlace, Watch, fetch
from hps.tools.client import PARTIAL, Copied

_LOCK = ".hps-pull.lock"
_ATTEMPTS = 3
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """How many files were new, had changed (a run grows), or were here already.

    By name: `skipped` files can't be stored here, or are gone; `missing` could not be fetched this
    time.
    """

    new: int
    changed: int
    unchanged: int
    bytes: int
    skipped: Mapping[str, str]
    missing: Mapping[str, str]


def pull(
    place: BucketPlace,
    cache: Path,
    experiments: Sequence[str],
    watch: Watch,
    stop: process.Stop = NEVER,
) -> Pulled:
    """Fetch what `cache` lacks of these experiments (none named: all), and of failed runs.

    Raises `HpsError` for names that no experiment has, and for a folder that can't be written to;
    `MachineError` where the bucket can't be read, or another pull is at work on the folder, and
    once the pull is stopped.
    """
    rules = _rules(experiments)
    with _locked(cache):
        _remove_partial(cache)
        state = _State(cache)
        for _ in range(_ATTEMPTS):
            copied = fetch(place, cache, watch, rules=rules, stop=stop)
            _check(place, copied)
            state.add(copied)
            if not state.missing:
                break
        return state.pulled()


@dataclass(slots=True)
class _State:
    """What all attempts together have fetched, and what failed in the last of them."""

    cache: Path
    new: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    failed: Mapping[str, str] = field(default_factory=dict)
    for_good: frozenset[str] = frozenset()
    bytes: int = 0
    unchanged: int = 0

    def add(self, copied: Copied) -> None:
        # Unlike a Path, this answers for names that no path can have.
        there = {name for name in copied.failed if os.path.exists(self.cache / name)}  # noqa: PTH110
        others = self.new | self.changed | copied.replaced | there
        self.unchanged = copied.checked - len(others)
        self.new |= copied.new
        self.changed |= copied.replaced - self.new
        self.bytes += copied.bytes
        self.failed = copied.failed
        self.for_good = copied.for_good

    @property
    def missing(self) -> dict[str, str]:
        return {name: why for name, why in self.failed.items() if name not in self.for_good}

    def pulled(self) -> Pulled:
        return Pulled(
            new=len(self.new),
            changed=len(self.changed),
            unchanged=self.unchanged,
            bytes=self.bytes,
            skipped={name: why for name, why in self.failed.items() if name in self.for_good},
            missing=self.missing,
        )


def _rules(experiments: Sequence[str]) -> tuple[str, ...]:
    for name in experiments:
        if not _NAME.fullmatch(name):
            hint = "names are lower-case letters, digits, '.', '_' and '-'"
            raise HpsError(f"{name!r} is not the name of an experiment", hint)
    if experiments:
        any_of = "{" + ",".join(experiments) + "}"
        wanted = [f"/{any_of}/**.jsonl", "/failed/**.jsonl"]
        wanted.append(f"/compact/*/experiment={any_of}/**.parquet")
    else:
        wanted = ["**.jsonl", "/compact/**.parquet"]
    # Names that begin with a dot are this program's own.
    return "- .*", "- .*/**", *(f"+ {pattern}" for pattern in wanted), "- **"


def _check(place: BucketPlace, copied: Copied) -> None:
    if copied.nothing_there:
        hint = "check the bucket, and the folder (FOLDER, --folder)"
        raise MachineError(f"there is nothing at {place.name}", hint)
    if copied.error:
        names = ", ".join(place.secrets)
        hint = f"check the endpoint, and the keys in {names}: may they list the bucket?"
        raise MachineError(f"{place.name} cannot be read: {copied.error}", hint)


@contextlib.contextmanager
def _locked(cache: Path) -> Iterator[None]:
    """Locks the folder: another process would write to the same unfinished files."""
    hint = "name a folder that can be written to with --cache"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        temporary.check_writable(cache, hint)
        if not (cache / _LOCK).exists() and any(cache.iterdir()):
            # What a run is writing here must not be replaced by an older copy of it.
            other = "name another with --cache; results of hps run stay where they are"
            raise HpsError(f"{cache} holds files that no pull has brought", other)
        descriptor = os.open(cache / _LOCK, os.O_WRONLY | os.O_CREAT, 0o644)
    except OSError as error:
        raise HpsError(f"cannot write to {cache}: {error.strerror}", hint) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        hint = "wait for it, or name another folder with --cache"
        raise MachineError(f"another pull is writing to {cache}", hint) from error
    finally:
        os.close(descriptor)


def _remove_partial(cache: Path) -> None:
    """Removes what a pull that was killed had not finished."""
    for folder, _, names in os.walk(cache):
        for name in names:
            if name.endswith(PARTIAL):
                (Path(folder) / name).unlink()

"""Copies many files from a bucket or to it, by one client, for as long as anything moves."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hps.errors import HpsError, MachineError
from hps.model import Spec, Target
from hps.process import process, temporary
from hps.process.stop import NEVER
from hps.redaction import Scrubber
from hps.targets import well_known
from hps.targets.bucket import AnswerBound
from hps.tools import CLIENT, COPIER
from hps.tools.client import Copied, CopyLog, Progress
from hps.tools.invocation import Invocation

# -------------------------------------------------------------------------------------------------
# Where a bucket has results, and what it takes to reach them.

FOLDER = "results"


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketPlace:
    """The folder `<target's folder>/<folder>/` of a bucket, with what it takes to reach it."""

    target: Target
    folder: str
    binary: str
    secrets: Mapping[str, str] = field(repr=False)

    @property
    def name(self) -> str:
        """The name that may be printed: `r2:bucket/folder/results`."""
        return CLIENT.path(self.target, self.folder)

    def inside(self, folder: str) -> BucketPlace:
        """A folder of this folder."""
        return replace(self, folder="/".join(part for part in (self.folder, folder) if part))


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
    names = (reference.env for reference in target.secrets)
    return BucketPlace(
        target=target,
        folder=folder.strip("/"),
        binary=CLIENT.find_program(env),
        secrets={name: env[name] for name in names if name in env},
    )


# -------------------------------------------------------------------------------------------------

_STALLED_S = 120.0
_LONGEST_S = 24 * 3600.0

Watch = Callable[[Progress], None]


def fetch(
    place: BucketPlace,
    into: Path,
    watch: Watch,
    *,
    rules: Sequence[str],
    stop: process.Stop = NEVER,
) -> Copied:
    """Copy files that are new, or have another size or time, from the bucket to a local folder.

    `rules` are `+ PATTERN` or `- PATTERN`: the first that fits says whether a file is copied.
    `watch` is called with each progress. Raises `MachineError` where nothing moves any more, where
    the server's list has no end, and once the copy is stopped.
    """
    return _copy(place, COPIER.fetch(place.target, place.folder, into, rules), watch, stop)


def send(place: BucketPlace, folder: Path, watch: Watch) -> Copied:
    """Copy files that are new, or have another content, to the bucket. Raises as `fetch`."""
    return _copy(place, COPIER.send(place.target, folder, place.folder), watch)


def _copy(place: BucketPlace, call: Invocation, watch: Watch, stop: process.Stop = NEVER) -> Copied:
    with process.Guard() as guard, temporary.folder("hps-copy-") as folder:
        path = folder / "log"
        path.touch()
        log = COPIER.log(path, Scrubber(place.secrets).text)
        bounded = AnswerBound(out=path)
        ended = process.run(
            call.command(place.binary, place.secrets),
            timeout_s=_LONGEST_S,
            guard_process=guard,
            stderr=path,
            stop=_Stalled(log, watch, stop),
            sampler=bounded,
        )
        _check_end(place, ended, bounded, stop)
        return log.copied(ended.returncode)


def _check_end(
    place: BucketPlace, ended: process.Exit, bounded: AnswerBound, stop: process.Stop
) -> None:
    """Raises `MachineError` where the client was stopped before its end."""
    if bounded.failure:
        what = f"{place.name} cannot be read: {bounded.failure.reason}"
        raise MachineError(what, "is it an S3 server that answers there?")
    if ended.ended != "exit" and stop.is_set():
        raise MachineError(f"{place.name}: the copy was stopped", "what is fetched stays")
    if ended.ended != "exit":
        what = f"{place.name}: nothing has moved for {_STALLED_S:g} s"
        raise MachineError(what, "what is fetched stays; try again once the endpoint answers")


@dataclass(slots=True)
class _Stalled:
    """A `process.Stop` that is set once nothing has moved for too long, or the other is."""

    log: CopyLog
    watch: Watch
    other: process.Stop
    progress: Progress = field(default_factory=Progress)
    _moved_s: float = field(default_factory=time.monotonic)

    def is_set(self) -> bool:
        """Reads the log on the way, and passes on what is new."""
        now = self.log.read()
        if now != self.progress:
            self._moved_s, self.progress = time.monotonic(), now
            self.watch(now)
        return self.other.is_set() or time.monotonic() - self._moved_s > _STALLED_S

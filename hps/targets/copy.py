"""Copies many files from a bucket or to it, by one rclone, for as long as anything moves."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hps.errors import HpsError, MachineError, printable
from hps.model import Spec, Target
from hps.process import process, temporary
from hps.redaction import Scrubber
from hps.targets import well_known
from hps.targets.bucket import AnswerBound
from hps.tools.rclone import command as rclone
from hps.tools.rclone.remote import Remote, remote_of

# -------------------------------------------------------------------------------------------------
# Where a bucket has results, and what it takes to reach them.

FOLDER = "results"


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketPlace:
    """The folder `<target's folder>/<folder>/` of a bucket, with what it takes to reach it."""

    remote: Remote
    folder: str
    binary: str
    secrets: Mapping[str, str] = field(repr=False)

    @property
    def name(self) -> str:
        """The name that may be printed: `r2:bucket/folder/results`."""
        return self.remote.path(self.folder)

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
    remote = remote_of(target)
    names = (reference.env for reference in remote.secret_env.values())
    return BucketPlace(
        remote=remote,
        folder=folder.strip("/"),
        binary=rclone.find_binary(env),
        secrets={name: env[name] for name in names if name in env},
    )


# -------------------------------------------------------------------------------------------------

# The end of the names of files that are not whole.
PARTIAL = ".hps-partial"
_PARTIAL_NAME = re.compile(rf"(\.[0-9a-f]{{8}})?{re.escape(PARTIAL)}$")
_SHOWN_CHARACTERS = 200
_FAILED = "Failed to copy: "
# rclone's words for errors that another try can't mend: of a name, or of an object that is gone.
_FOR_GOOD = (
    "file name too long",
    "not a directory",
    "is a directory",
    "incompatible remotes",
    "object not found",
)
_STALLED_S = 120.0
_MOST_LISTED = 10_000_000
_LONGEST_S = 24 * 3600.0
_FLAGS = (
    "--use-server-modtime",  # any other time needs a request for each file
    "--fast-list",  # a request for a thousand names, not one for each folder
    "--max-backlog=1000000",  # so that the totals are known
    f"--partial-suffix={PARTIAL}",
    "--transfers=64",
    "--checkers=64",
    "--buffer-size=0",
    "--disable-http2",
    "--retries=1",
    "--low-level-retries=3",
    "--contimeout=10s",
    "--timeout=60s",
    "--use-json-log",
    "-v",
    "--stats=500ms",
    "--stats-log-level=NOTICE",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far it is. The totals grow while the bucket is still being listed."""

    files: int = 0
    files_total: int = 0
    bytes: int = 0
    listed: int = 0
    checked: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """The result of a copy, by the names of files below the folder.

    `checked` files were there before. `error` is why not all could be looked at; why single files
    failed is in `failed`, and no further try can mend those that are `for_good`.
    """

    new: frozenset[str]
    replaced: frozenset[str]
    failed: dict[str, str]
    for_good: frozenset[str]
    checked: int
    bytes: int
    nothing_there: bool
    error: str


Watch = Callable[[Progress], None]


# Compare by size and time. The server's times come with the names, and may be rounded to seconds.
_BY_TIME = "--modify-window=2s"
_BY_CHECKSUM = "--checksum"


def fetch(place: BucketPlace, into: Path, watch: Watch, *, rules: Sequence[str]) -> Copied:
    """Copy files that are new, or have another size or time, from the bucket to a local folder.

    `rules` are `+ PATTERN` or `- PATTERN`: the first that fits says whether a file is copied.
    `watch` is called with each progress. Raises `MachineError` where nothing moves any more, and
    where the server's list has no end.
    """
    filters = (f"--filter={rule}" for rule in rules)
    # With the slash, an object of the folder's very name is not taken for it.
    return _copy(place, (f"{place.name}/", str(into.absolute()), *filters, _BY_TIME), watch)


def send(place: BucketPlace, folder: Path, watch: Watch) -> Copied:
    """Copy files that are new, or have another content, to the bucket. Raises as `fetch`."""
    return _copy(place, (str(folder), place.name, _BY_CHECKSUM), watch)


def _copy(place: BucketPlace, arguments: tuple[str, ...], watch: Watch) -> Copied:
    certificate = (f"--ca-cert={place.remote.ca_cert}",) if place.remote.ca_cert else ()
    call = rclone.invocation(("copy", *arguments, *_FLAGS, *certificate), place.remote)
    with process.Guard() as guard, temporary.folder("hps-copy-") as folder:
        log = folder / "log"
        log.touch()
        reader = _Log(log, Scrubber(place.secrets), watch)
        bounded = AnswerBound(out=log)
        ended = process.run(
            call.command(place.binary, place.secrets),
            timeout_s=_LONGEST_S,
            guard_process=guard,
            stderr=log,
            stop=reader,
            sampler=bounded,
        )
        reader.read()
    _check_end(place, ended, bounded)
    return reader.copied(ended.returncode)


def _check_end(place: BucketPlace, ended: process.Exit, bounded: AnswerBound) -> None:
    """Raises `MachineError` where rclone was stopped before its end."""
    if bounded.failure:
        what = f"{place.name} cannot be read: {bounded.failure.reason}"
        raise MachineError(what, "is it an S3 server that answers there?")
    if ended.ended != "exit":
        what = f"{place.name}: nothing has moved for {_STALLED_S:g} s"
        raise MachineError(what, "what is fetched stays; try again once the endpoint answers")


@dataclass(slots=True)
class _Log:
    """Reads rclone's log as it grows; as a `process.Stop` it is set once nothing moves."""

    path: Path
    scrubber: Scrubber
    watch: Watch
    progress: Progress = field(default_factory=Progress)
    new: set[str] = field(default_factory=set)
    replaced: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    for_good: set[str] = field(default_factory=set)
    error: str = ""
    incomplete: bool = False
    _offset: int = 0
    _moved_s: float = field(default_factory=time.monotonic)

    def is_set(self) -> bool:
        """True where nothing has moved for too long; reads the log on the way."""
        before = self.progress
        self.read()
        if self.progress != before:
            self._moved_s = time.monotonic()
            self.watch(self.progress)
        return time.monotonic() - self._moved_s > _STALLED_S

    def read(self) -> None:
        """Read what was written since the last time."""
        for entry in self._entries():
            if "stats" in entry:
                self._count(entry["stats"])
            elif "object" in entry:
                self._add(str(entry["object"]), entry)
            elif str(entry["msg"]).startswith(_FAILED):
                self.error = _text(self.scrubber, entry).removeprefix(_FAILED)

    def _entries(self) -> Iterator[dict[str, Any]]:
        with self.path.open("rb") as stream:
            stream.seek(self._offset)
            written = stream.read()
        whole = written[: written.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            if line.startswith(b"{"):
                yield json.loads(line)

    def _count(self, stats: dict[str, Any]) -> None:
        self.progress = Progress(
            files=stats["transfers"],
            files_total=stats["totalTransfers"],
            bytes=stats["bytes"],
            # More names are no progress: such a list has no end.
            listed=min(stats.get("listed", 0), _MOST_LISTED),
            checked=stats["checks"],
        )

    def _add(self, name: str, entry: dict[str, Any]) -> None:
        message = str(entry["msg"])
        if message.startswith("Copied (new)"):
            self.new.add(name)
        elif message.startswith("Copied (replaced"):
            self.replaced.add(name)
        elif entry["level"] == "error" and str(entry.get("objectType")).endswith("Fs"):
            self.incomplete = True  # a folder, or the bucket itself
        elif entry["level"] == "error":
            name = _PARTIAL_NAME.sub("", name)
            self.failed[name] = _text(self.scrubber, entry)
            if any(words in message for words in _FOR_GOOD):
                self.for_good.add(name)

    def copied(self, code: int) -> Copied:
        """The result, once the process has ended with this exit code."""
        all_known = bool(self.failed) and not self.incomplete
        return Copied(
            new=frozenset(self.new),
            replaced=frozenset(self.replaced),
            failed=self.failed,
            for_good=frozenset(self.for_good),
            checked=self.progress.checked,
            bytes=self.progress.bytes,
            nothing_there=code == rclone.NO_FOLDER,
            error="" if code == 0 or all_known else self.error or f"rclone ended with code {code}",
        )


def _text(scrubber: Scrubber, entry: dict[str, Any]) -> str:
    """The message of an entry; the end of a long one, for it begins with a name."""
    text = scrubber.text(str(entry["msg"])).partition("\n")[0]
    return printable(text if len(text) <= _SHOWN_CHARACTERS else f"…{text[-_SHOWN_CHARACTERS:]}")

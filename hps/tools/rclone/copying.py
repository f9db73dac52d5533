"""rclone copies many files from a bucket, or to it: its flags, and what its log says meanwhile."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hps.errors import printable
from hps.model import Target
from hps.tools.client import PARTIAL, Copied, Progress
from hps.tools.invocation import Invocation
from hps.tools.rclone.command import NO_FOLDER, ca_flags, invocation
from hps.tools.rclone.remote import remote_of

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
_MOST_LISTED = 10_000_000
# Compare by size and time. The server's times come with the names, and may be rounded to seconds.
_BY_TIME = "--modify-window=2s"
_BY_CHECKSUM = "--checksum"
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


class RcloneCopier:
    """The calls that copy results, and how their logs are read."""

    def fetch(self, target: Target, folder: str, into: Path, rules: Sequence[str]) -> Invocation:
        """Copy files that are new, or have another size or time, to a local folder.

        The first of the rules that fits says whether a file is copied: `+ PATTERN` or `- PATTERN`,
        with `*` within a name, `**` across folders, and `{a,b}` for one of several.
        """
        filters = (f"--filter={rule}" for rule in rules)
        # With the slash, an object of the folder's very name is not taken for it.
        place = f"{remote_of(target).path(folder)}/"
        return _call(target, place, str(into.absolute()), *filters, _BY_TIME)

    def send(self, target: Target, local: Path, folder: str) -> Invocation:
        """Copy files that are new, or have another content, to a folder of the bucket."""
        return _call(target, str(local), remote_of(target).path(folder), _BY_CHECKSUM)

    def log(self, path: Path, clean: Callable[[str], str]) -> RcloneCopyLog:
        """The log of such a call, which is being written; `clean` takes secrets out of a text."""
        return RcloneCopyLog(path, clean)


def _call(target: Target, *arguments: str) -> Invocation:
    remote = remote_of(target)
    return invocation(("copy", *arguments, *_FLAGS, *ca_flags(remote)), remote)


@dataclass(slots=True)
class RcloneCopyLog:
    """Fits `hps.tools.client.CopyLog`."""

    path: Path
    clean: Callable[[str], str]
    progress: Progress = field(default_factory=Progress)
    new: set[str] = field(default_factory=set)
    replaced: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    for_good: set[str] = field(default_factory=set)
    error: str = ""
    incomplete: bool = False
    _offset: int = 0

    def read(self) -> Progress:
        """Read what was written since the last time. Returns how far the copy is."""
        for entry in self._entries():
            if "stats" in entry:
                self._count(entry["stats"])
            elif "object" in entry:
                self._add(str(entry["object"]), entry)
            elif str(entry["msg"]).startswith(_FAILED):
                self.error = _text(self.clean, entry).removeprefix(_FAILED)
        return self.progress

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
            self.failed[name] = _text(self.clean, entry)
            if any(words in message for words in _FOR_GOOD):
                self.for_good.add(name)

    def copied(self, code: int) -> Copied:
        """The result, by the rest of the log, once the process has ended with this exit code."""
        self.read()
        all_known = bool(self.failed) and not self.incomplete
        return Copied(
            new=frozenset(self.new),
            replaced=frozenset(self.replaced),
            failed=self.failed,
            for_good=frozenset(self.for_good),
            checked=self.progress.checked,
            bytes=self.progress.bytes,
            nothing_there=code == NO_FOLDER,
            error="" if code == 0 or all_known else self.error or f"rclone ended with code {code}",
        )


def _text(clean: Callable[[str], str], entry: dict[str, Any]) -> str:
    """The message of an entry; the end of a long one, for it begins with a name."""
    text = clean(str(entry["msg"])).partition("\n")[0]
    return printable(text if len(text) <= _SHOWN_CHARACTERS else f"…{text[-_SHOWN_CHARACTERS:]}")

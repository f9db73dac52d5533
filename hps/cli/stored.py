"""What the commands over stored results share: the tables, the bucket, and how far a copy is."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hps.cli import output
from hps.cli.output import require_report
from hps.errors import HpsError

if TYPE_CHECKING:
    from hps.log import Format
    from hps.model import Spec
    from hps.results.tables import Tables
    from hps.targets.copy import BucketPlace, Progress


_MOST_NAMED = 10
_WELL_KNOWN = ("r2", "s3")
_EVENT_EVERY_S = 10.0


@contextlib.contextmanager
def opened(inputs: Sequence[Path]) -> Iterator[Tables]:
    """The tables of these inputs, or of the default ones; what is passed over is told."""
    require_report()
    from hps.results import tables
    from hps.results.files import default_inputs

    with tables.opened(tuple(inputs) or default_inputs(os.environ), remark) as found:
        tell_skipped(found.skipped)
        yield found


def tell_skipped(skipped: Mapping[str, str]) -> None:
    """Name the files that something was passed over in, on standard error."""
    for path, why in list(skipped.items())[:_MOST_NAMED]:
        remark(f"passed over: {path}: {why}")
    if len(skipped) > _MOST_NAMED:
        remark(f"and {len(skipped) - _MOST_NAMED} more files")


def remark(text: str) -> None:
    """A line for people, on standard error."""
    from hps.report.values import printable

    output.tell(f"hps: {printable(text)}")


def place(where: str | None, folder: str | None, env: Mapping[str, str]) -> BucketPlace:
    """Where results are: `r2` or `s3`, or as the experiment file `where` says.

    None: the one whose variables are set. Raises `HpsError`.
    """
    from hps.targets.copy import place_of, well_known_place

    name = (where or _the_one_that_is_set(env)).removesuffix(":")
    if name in _WELL_KNOWN:
        return well_known_place(name, folder, env)
    return place_of(experiment(str(where), env), folder, env)


def experiment(file: str, env: Mapping[str, str]) -> Spec:
    """An experiment file, read and checked. Raises `HpsError` with the first thing wrong."""
    from hps.cli import validate

    checked = validate.check(file, (), env, None)
    if checked.spec is None:
        first = checked.problems[0]
        raise HpsError(f"{checked.name}: {first.message}", "hps validate says all about it")
    output.keep_out_secrets_of(checked.spec)
    return checked.spec


def is_file(text: str) -> bool:
    """True for what names an experiment file, not an experiment."""
    return "/" in text or ":" in text or text.endswith((".yaml", ".yml"))


def _the_one_that_is_set(env: Mapping[str, str]) -> str:
    from hps.targets import well_known

    for name in _WELL_KNOWN:
        if not well_known.missing(name, env):
            return name
    raise HpsError(
        "where are the results? --from is not given, and the variables of r2: and s3: are not set",
        "--from r2, --from s3, or --from FILE with an experiment whose results are wanted",
    )


@dataclass(slots=True)
class Shown:
    """Shows how far a copy is: on a terminal in a line of its own, else as events."""

    style: Format
    _told_s: float = field(default_factory=time.monotonic)
    _drawn: bool = False

    def __call__(self, progress: Progress) -> None:
        if self.style != "json" and sys.stderr.isatty():
            self._draw(progress)
        elif time.monotonic() - self._told_s > _EVENT_EVERY_S:
            self._told_s = time.monotonic()
            event("copying", files=progress.files, of=progress.files_total, bytes=progress.bytes)

    def _draw(self, progress: Progress) -> None:
        from hps.units import format_size_rounded

        self._drawn = True
        line = f"{progress.files}/{progress.files_total} files"
        line += f", {format_size_rounded(progress.bytes)}, {progress.listed} listed"
        sys.stderr.write(f"\r\x1b[K{line}")
        sys.stderr.flush()

    def clear(self) -> None:
        """Take the line away."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def event(name: str, **fields: object) -> None:
    """Tell an event; a warning where something is missing."""
    from hps.log import events

    level = events().warning if "reason" in fields else events().info
    level(name, **fields)


@contextlib.contextmanager
def shown(style: Format, secrets: Mapping[str, str]) -> Iterator[Callable[[Progress], None]]:
    """For the length of a `with` block: events are set up, and progress is shown."""
    from hps import log
    from hps.redaction import Scrubber

    log.configure(style, Scrubber(secrets))
    watch = Shown(style)
    try:
        yield watch
    finally:
        watch.clear()

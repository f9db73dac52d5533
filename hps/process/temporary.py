"""Temporary folders, and programs that run in one.

Python looks for a folder that it can write to in `TMPDIR`, `TEMP` and `TMP`, then in `/tmp`,
`/var/tmp`, `/usr/tmp` and the current folder, and its error names them all where it finds none.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hps.errors import HpsError, MachineError, printable
from hps.process import process


@contextlib.contextmanager
def folder(prefix: str = "hps-") -> Iterator[Path]:
    """A new folder that only this user may look into, for the length of a `with` block.

    Raises `MachineError`.
    """
    try:
        made = tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True)
    except OSError as error:
        place = f" in {Path(error.filename).parent}" if error.filename else ""
        raise MachineError(
            f"no temporary folder can be made{place}: {error.strerror or error}",
            "name one that can be written, and has space, in TMPDIR",
        ) from error
    with made as name:
        yield Path(name)


def free_bytes() -> int | None:
    """Bytes that may still be written in the folder for temporary files; None where unknown."""
    try:
        return shutil.disk_usage(tempfile.gettempdir()).free
    except OSError:
        return None  # what uses the folder reports what is wrong with it


def check_writable(place: Path, hint: str) -> None:
    """See whether files can be made in a folder, before the work for them begins.

    Nothing stays there, for the file that is tried has no name. Raises `HpsError`.
    """
    try:
        tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        raise HpsError(f"cannot write to {place}: {error.strerror}", hint) from error


def check_file(path: Path, hint: str) -> None:
    """`check_writable` for a file that is to be written, whose name may be at fault too.

    What is there and no file, such as a device or a pipe, would be replaced by one.
    """
    check_writable(path.parent, hint)
    try:
        with contextlib.suppress(FileNotFoundError):
            path.lstat()
            if path.exists() and not path.is_file():
                raise HpsError(f"cannot write {path}: it is there, and no file", hint)
    except OSError as error:
        raise HpsError(f"cannot write {path}: {error.strerror}", hint) from error


# -------------------------------------------------------------------------------------------------
# Programs run in a temporary folder, with one deadline for all.

_ERR_BYTES = 4096
# What a program may write, into files in the temporary folder.
_MOST_WRITTEN_BYTES = 256 << 20
# Of a line of a program that somebody else wrote.
SHOWN_CHARACTERS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """How a program ended and what it wrote; `err` is the end of its standard error."""

    code: int
    out: bytes
    err: str

    @property
    def last_line(self) -> str:
        """The last line of standard error, printable: usually what went wrong."""
        last = (self.err.strip().splitlines() or ["it said nothing"])[-1]
        return printable(last, SHOWN_CHARACTERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """An open folder; `what` is the name of the work, for the error once `timeout_s` is over."""

    folder: Path
    what: str
    timeout_s: float
    _deadline_s: float
    _guard: process.Guard

    def run(self, command: process.Command, *, most_bytes: int) -> Output:
        """Run a program to its end. Raises `HpsError` where it can't start or is too slow.

        Its output goes through files, byte for byte; no more than `most_bytes` of it is read.
        """
        out, err = self.folder / "out", self.folder / "err"
        ended = process.run(
            command,
            timeout_s=max(0.0, self._deadline_s - time.monotonic()),
            guard_process=self._guard,
            stdout=out,
            stderr=err,
            most_output_bytes=_MOST_WRITTEN_BYTES,
        )
        if ended.ended == "flooded":
            raise HpsError(f"{self.what}: {command.argv[0]} writes without end")
        if ended.ended != "exit":
            hint = "is the host reachable from here, perhaps through a proxy (HTTPS_PROXY)?"
            raise HpsError(f"{self.what} took longer than {self.timeout_s:g} s", hint)
        message = err.read_bytes()[-_ERR_BYTES:].decode(errors="replace")
        with out.open("rb") as stream:
            return Output(code=ended.returncode, out=stream.read(most_bytes), err=message)


@contextlib.contextmanager
def open_workplace(what: str, *, timeout_s: float) -> Iterator[Workplace]:
    """A folder that is gone afterwards, even if this process is killed."""
    with process.Guard() as guard, folder() as place:
        guard.send("remove", str(place))
        yield Workplace(
            folder=place,
            what=what,
            timeout_s=timeout_s,
            _deadline_s=time.monotonic() + timeout_s,
            _guard=guard,
        )

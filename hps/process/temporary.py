"""The folder for temporary files: one place to use it, and to say that there is none.

Python looks for one that it can write to in `TMPDIR`, `TEMP` and `TMP`, then in `/tmp`, `/var/tmp`,
`/usr/tmp` and the current folder, and names all of them where none will do.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hps.errors import HpsError, MachineError


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
        return None  # whoever needs the folder says what is wrong with it


def check_writable(place: Path, hint: str) -> None:
    """See whether files can be made in a folder, before the work for them begins.

    Nothing is left there, for the file that is tried has no name. Raises `HpsError`.
    """
    try:
        tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        raise HpsError(f"cannot write to {place}: {error.strerror}", hint) from error


def check_file(path: Path, hint: str) -> None:
    """The same for a file that is to be written, whose name may be at fault too."""
    check_writable(path.parent, hint)
    try:
        with contextlib.suppress(FileNotFoundError):
            path.lstat()
    except OSError as error:
        raise HpsError(f"cannot write {path}: {error.strerror}", hint) from error

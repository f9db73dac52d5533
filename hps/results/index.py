"""A cache of parsed journals beside them, as Parquet, so that each is parsed only once.

`<folder>/.hps-index/<version>/part-…/` holds the rows of some files, and in `part.json` each file's
size and times when it was read. A part is written under another name, renamed, and never changed.
Rows of a file that has changed since are passed over; so is a part that can't be read. Where a
folder can't be written to, or little is to be read, nothing is kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hps.results import columns, database, reading
from hps.results.database import PATTERN, text, texts
from hps.results.files import Stamp, StoredFile, stamp_of

if TYPE_CHECKING:
    from hps.results.database import Connection


FOLDER = ".hps-index"
# Less than this is parsed each time, in a fraction of a second.
WORTH_KEEPING_BYTES = 32 * 1024**2
MOST_PARTS = 8
_VERSION = hashlib.sha256(
    json.dumps(
        [columns.LINE, columns.TABLES, columns.IS_RUN, columns.IS_RESUME, columns.IS_RESULT]
    ).encode()
).hexdigest()[:12]
_NOTE = "part.json"
# Other processes may still read a part that is out of use, for so long after its last change.
_SPARED_S = 600.0

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Rows of some files of one folder, in the folder `path`.

    `stamps` and `remarks` are by the files' names; a remark says what was passed over in its file.
    """

    path: Path
    stamps: Mapping[str, Stamp]
    remarks: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """A part, and those of its files that are wanted and have not changed since it was made."""

    part: Part
    names: frozenset[str]

    def query(self, table: str, folder: str = "") -> str:
        """A query for the wanted rows of a table, with `folder` before the names of files."""
        query = (
            f"SELECT * REPLACE ({text(folder)} || file AS file)"
            f" FROM read_parquet({text(self.part.path / reading.FILES[table])})"
        )
        if len(self.names) == len(self.part.stamps):
            return query
        return f"{query} WHERE file IN (SELECT unnest({texts(sorted(self.names))}))"

    @property
    def paths(self) -> tuple[str, ...]:
        """The Parquet files that the queries read."""
        return tuple(str(self.part.path / name) for name in reading.FILES.values())

    @property
    def remarks(self) -> dict[str, str]:
        """What was passed over in the wanted files, by name."""
        return {name: why for name, why in self.part.remarks.items() if name in self.names}


def gather(
    connection: Connection, files: Sequence[StoredFile], scratch: Path, tell: Tell
) -> tuple[Live, ...]:
    """The rows of files in one folder: from its index as far as they are there, else read now.

    All `files` are in the same folder. `scratch` takes rows that are not kept; `tell` is called
    with a line where reading takes a while.
    """
    home = files[0].folder / FOLDER / _VERSION
    wanted = {file.name: file.stamp for file in files}
    parts = _parts(connection, home)
    found = _live(parts, wanted)
    known = frozenset[str]().union(*(live.names for live in found))
    fresh = [file for file in files if file.name not in known]
    if not fresh:
        return found
    size_bytes = sum(file.size_bytes for file in fresh)
    if size_bytes >= WORTH_KEEPING_BYTES:
        tell(f"reading {len(fresh)} files, {size_bytes / 1e6:.0f} MB, once")
        kept = _kept(connection, fresh, home)
        if kept is not None:
            return _live(_tidied(connection, files[0].folder, [kept, *parts]), wanted)
    part = _read(connection, fresh, scratch)
    return (*found, Live(part=part, names=frozenset(part.stamps)))


def _kept(connection: Connection, files: Sequence[StoredFile], home: Path) -> Part | None:
    """A new part of the index; None where it can't be written."""
    try:
        return _read(connection, files, home) if _can_write(home) else None
    except database.shortages():
        return None  # there may be more space in the temporary folder


def _live(parts: Iterable[Part], wanted: Mapping[str, Stamp]) -> tuple[Live, ...]:
    """Each wanted file in the first part that has it as it is now."""
    missing = dict(wanted)
    found = []
    for part in parts:
        names = frozenset(name for name, stamp in part.stamps.items() if missing.get(name) == stamp)
        if names:
            found.append(Live(part=part, names=names))
        for name in names:
            del missing[name]
    return tuple(found)


def _parts(connection: Connection, home: Path) -> list[Part]:
    """All parts that can be read, the newest first."""
    paths = sorted(home.glob("part-*"), reverse=True) if home.is_dir() else []
    return [part for path in paths if (part := _opened(connection, path)) is not None]


def _opened(connection: Connection, path: Path) -> Part | None:
    try:
        note = json.loads((path / _NOTE).read_bytes())
        if note["rows"] != _rows(connection, path):
            return None
        files = note["files"].items()
        return Part(
            path=path,
            stamps={str(name): (int(a), int(b), int(c)) for name, (a, b, c) in files},
            remarks={str(name): str(why) for name, why in note["remarks"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, database.sql_error()):
        return None  # it is made anew


def _rows(connection: Connection, path: Path) -> dict[str, int]:
    """How many rows of each table a part has. Raises `ValueError` for other columns."""
    counted = {}
    for table, name in reading.FILES.items():
        rows = f"FROM read_parquet({text(path / name)})"
        described = connection.execute(f"SELECT * {rows} LIMIT 0").description
        if [column[0] for column in described] != list(columns.TABLES[table]):
            raise ValueError(f"{name} has other columns")
        counted[table] = int((connection.execute(f"SELECT count(*) {rows}").fetchone() or (0,))[0])
    return counted


def _can_write(home: Path) -> bool:
    if PATTERN.search(str(home)):
        return False
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(home, os.W_OK)


def _read(connection: Connection, files: Sequence[StoredFile], place: Path) -> Part:
    def write(into: Path) -> dict[str, str]:
        return reading.read(connection, files, into)

    return _made(connection, place, {file.name: file.stamp for file in files}, write)


def _made(
    connection: Connection,
    place: Path,
    stamps: Mapping[str, Stamp],
    write: Callable[[Path], dict[str, str]],
) -> Part:
    """A new part in `place`, which is there as a whole or not at all."""
    place.mkdir(parents=True, exist_ok=True)
    token = secrets.token_hex(6)
    unfinished, path = place / f"new-{token}", place / f"part-{time.time_ns():020d}-{token}"
    try:
        remarks = write(unfinished)
        rows = _rows(connection, unfinished)
        note = {"rows": rows, "files": stamps, "remarks": remarks}
        (unfinished / _NOTE).write_text(json.dumps(note), encoding="utf-8")
        unfinished.rename(path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return Part(path=path, stamps=stamps, remarks=remarks)


def _tidied(connection: Connection, folder: Path, parts: Sequence[Part]) -> Sequence[Part]:
    """The parts, merged into one where there are many or most of their rows are out of date."""
    names = {name for part in parts for name in part.stamps}
    now = {name: stamp for name in names if (stamp := stamp_of(folder / name)) is not None}
    live = _live(parts, now)
    alive = sum(len(one.names) for one in live)
    stored = sum(len(one.part.stamps) for one in live)
    if len(live) > MOST_PARTS or 2 * alive < stored:
        merged = _merged(connection, live, folder / FOLDER / _VERSION)
        parts = [merged, *parts]
        live = _live(parts, now)
    _remove_the_rest(folder / FOLDER, {one.part.path for one in live})
    return parts


def _merged(connection: Connection, live: Sequence[Live], home: Path) -> Part:
    def write(into: Path) -> dict[str, str]:
        into.mkdir()
        for table, name in reading.FILES.items():
            query = " UNION ALL ".join(one.query(table) for one in live)
            database.write_parquet(connection, query, into / name)
        return {name: why for one in live for name, why in one.remarks.items()}

    stamps = {name: one.part.stamps[name] for one in live for name in one.names}
    return _made(connection, home, stamps, write)


def _remove_the_rest(root: Path, used: set[Path]) -> None:
    """Removes parts that are out of use, or were left unfinished, of this version and others."""
    for path in root.glob("*/*-*"):
        if path not in used and time.time() - path.stat().st_mtime > _SPARED_S:
            shutil.rmtree(path, ignore_errors=True)

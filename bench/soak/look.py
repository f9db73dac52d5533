"""What a run of `hps` holds, seen from outside: memory, files, threads, processes, a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

MIB = 1024**2
HPS, GUARD, DAEMON, SERVER = "hps", "its guard", "the results' daemon", "the embedded server"
RESIDENT, PRIVATE = "resident memory, MiB", "private memory, MiB"
FILES, THREADS = "open files", "threads"
WHOLE = "the whole run"
PROCESSES = "processes"
ENTRIES, SIZE = "temporary folder, entries", "temporary folder, MiB"

# Who, and what of it.
Name = tuple[str, str]
Look = Mapping[Name, float]

# Those that live as long as the run; every other child is an operation.
_ARGUMENTS: Mapping[str, Callable[[Sequence[str]], bool]] = {
    GUARD: lambda argv: argv[-1].endswith("guard.py"),
    DAEMON: lambda argv: argv[1:2] == ["rcd"],
    SERVER: lambda argv: argv[1:3] == ["serve", "s3"],
}
_ALL = {WHOLE, HPS, *_ARGUMENTS}


def look(pid: int, temporary: Path) -> Look:
    """One look at a run: at process `pid`, at all that it has started, at its temporary folder.

    Nothing where the run is ending, and not all of them are there any more.
    """
    try:
        seen = _of_processes(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return {}
    return {**seen, **_of_folder(temporary)} if {who for who, _ in seen} == _ALL else {}


def _of_processes(own: psutil.Process) -> dict[Name, float]:
    children = own.children(recursive=True)
    seen: dict[Name, float] = {(WHOLE, PROCESSES): 1 + len(children), **_of_process(HPS, own)}
    for child in children:
        who = _who(child)
        if who:
            seen |= _of_process(who, child)
    return seen


def _who(process: psutil.Process) -> str:
    try:
        argv = process.cmdline()
    except psutil.NoSuchProcess:
        return ""
    return next((who for who, fits in _ARGUMENTS.items() if argv and fits(argv)), "")


def _of_process(who: str, process: psutil.Process) -> dict[Name, float]:
    memory = process.memory_full_info()
    return {
        (who, RESIDENT): memory.rss / MIB,
        (who, PRIVATE): memory.uss / MIB,
        (who, FILES): process.num_fds(),
        (who, THREADS): process.num_threads(),
    }


def _of_folder(folder: Path) -> dict[Name, float]:
    entries, size_bytes = 0, 0
    for place, folders, names in os.walk(folder):
        entries += len(folders) + len(names)
        size_bytes += sum(_size_of(Path(place, name)) for name in names)
    return {(WHOLE, ENTRIES): entries, (WHOLE, SIZE): size_bytes / MIB}


def _size_of(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0  # an operation has just removed it

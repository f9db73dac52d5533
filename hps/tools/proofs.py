"""Which versions of a tool are proved: what it does on the wire is what it is told, and says.

A tool's log is evidence only where somebody has held it against the wire. The project's tests have
done so for the versions in `hps.tools.PROVED`; `hps tools prove` does it on this machine, and what
it finds is remembered in a small file for each version of a tool.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, cast, get_args

import hps
from hps.errors import HpsError, printable
from hps.process import temporary
from hps.spec import odd_values
from hps.tools import PROVED
from hps.tools.base import Installed, Missing, Proof, Scheme

SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
STATE_VARIABLE = "HPS_STATE"
_HINT = f"name a folder for proofs in {STATE_VARIABLE}"
_MOST_BYTES = 64 * 1024
_MAJOR_MINOR = re.compile(r"v?(\d+\.\d+)(?![0-9])")
# What may be part of a file's name.
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def find(tool: str, version: str, env: Mapping[str, str]) -> Proof:
    """The proof of a tool's version: by the tests, else one that this machine remembers."""
    found = _MAJOR_MINOR.match(version)
    if found and found[1] in PROVED.get(tool, ()):
        return Proof(schemes=frozenset(SCHEMES))
    path = _path(tool, version, env)
    return Proof() if path is None else _read(path, tool, version)


def find_all(tools: Mapping[str, Installed | Missing], env: Mapping[str, str]) -> dict[str, Proof]:
    """The proof of each tool that is here."""
    here = {name: one for name, one in tools.items() if isinstance(one, Installed)}
    return {name: find(name, one.version, env) for name, one in here.items()}


def prepare(tool: str, version: str, env: Mapping[str, str]) -> Path:
    """Where the proof will be written, in a folder that is there. Raises `HpsError`."""
    path = _path(tool, version, env)
    if path is None:
        raise HpsError(
            f"the proof of {tool} {printable(version, 64)} can't be remembered: there is no place",
            _HINT,
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_written(path, error) from error
    temporary.check_writable(path.parent, _HINT)
    return path


def remember(
    tool: str, version: str, schemes: Iterable[Scheme], at: datetime, env: Mapping[str, str]
) -> Path:
    """Write a proof to its file, whole. Raises `HpsError` where that can't be done."""
    path = prepare(tool, version, env)
    proof = {
        "tool": tool,
        "version": version,
        "hps": hps.__version__,
        "schemes": sorted(schemes),
        "proved_at": f"{at:%Y-%m-%dT%H:%M:%SZ}",
    }
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(json.dumps(proof, indent=1) + "\n")
        unfinished.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise _not_written(path, error) from error
    return path


def _not_written(path: Path, error: OSError) -> HpsError:
    return HpsError(f"cannot write {path}: {error.strerror or error}", _HINT)


def forget(tool: str, version: str, env: Mapping[str, str]) -> None:
    """Remove what is remembered of a version that is not proved any more. Raises `HpsError`."""
    path = _path(tool, version, env)
    try:
        if path is not None:
            path.unlink(missing_ok=True)
    except NotADirectoryError:
        return
    except OSError as error:
        raise HpsError(f"cannot remove {path}: {error.strerror}", "remove it by hand") from error


# --- the file ------------------------------------------------------------------------------------


def _path(tool: str, version: str, env: Mapping[str, str]) -> Path | None:
    """Where the proof of a version is remembered; None: nowhere, for there is no place."""
    folder = _folder(env)
    if folder is None or _VERSION.fullmatch(version) is None:
        return None
    return folder / "proofs" / f"{tool}-{version}.json"


def _folder(env: Mapping[str, str]) -> Path | None:
    """`HPS_STATE`, else the place of the XDG rule, where relative paths don't count."""
    named = env.get(STATE_VARIABLE)
    if named:
        return Path(odd_values.checked(STATE_VARIABLE, named))
    state, home = Path(env.get("XDG_STATE_HOME", "")), Path(env.get("HOME", ""))
    if state.is_absolute():
        return state / "hps"
    return home / ".local" / "state" / "hps" if home.is_absolute() else None


def _read(path: Path, tool: str, version: str) -> Proof:
    try:
        read = _load(path)
    except FileNotFoundError:
        return Proof()
    except OSError as error:
        return Proof(wrong=f"{path} can't be read: {error.strerror}")
    except (ValueError, RecursionError):
        return Proof(wrong=f"{path} is broken, and no proof")
    schemes, at, by = (read.get(name) for name in ("schemes", "proved_at", "hps"))
    named = (read.get("tool"), read.get("version")) == (tool, version)
    known = isinstance(schemes, list) and bool(schemes) and all(one in SCHEMES for one in schemes)
    if not (named and known and isinstance(at, str) and _TIME.fullmatch(at)):
        return Proof(wrong=f"{path} is no proof of {tool} {version}")
    if by != hps.__version__:
        # Another hps calls the tool, and reads its log, in its own way.
        return Proof(wrong=f"{path} is by another version of hps")
    return Proof(schemes=frozenset(cast("list[Scheme]", schemes)), proved_at=at)


def _load(path: Path) -> Mapping[str, Any]:
    """Raises `OSError`, and `ValueError` where it is no JSON object of a small regular file."""
    # A pipe that nobody writes to would block here without O_NONBLOCK.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ValueError("not a regular file")
        text = os.read(handle, _MOST_BYTES + 1)
    finally:
        os.close(handle)
    if len(text) > _MOST_BYTES:
        raise ValueError("too long for a proof")
    read = json.loads(text)
    if not isinstance(read, dict):
        raise ValueError("not an object")
    return read

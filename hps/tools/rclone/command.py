"""rclone: which binary, which version, and the exact arguments that make a cell happen.

Each flag has its reason beside it; the behaviour was measured on the wire, see `tests/wire`.
Options: https://rclone.org/docs/; those of each kind of target are in `remote`.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hps.errors import HpsError
from hps.model import Settings
from hps.process import process
from hps.run_folder import OwnFolder
from hps.tools.invocation import Access, Invocation
from hps.tools.rclone.remote import Remote

NAME = "rclone"
# 1.69 reads the embedded server's keys from its environment otherwise, and refuses them.
OLDEST = (1, 70, 0)
HOW_TO_GET = (
    f"install rclone {'.'.join(map(str, OLDEST))} or newer (https://rclone.org/install/) and set "
    "HPS_RCLONE to its path"
)
# rclone's exit code where a folder is not there.
NO_FOLDER = 3

# One attempt, every byte moved, and a log that a program can read: a measured operation that
# rclone silently repeats or skips is not the one that was planned. Most retries are made by the
# library inside rclone that speaks to the server, which logs them only where it is told to.
_ONCE = (
    "--ignore-times",
    "--error-on-no-transfer",  # a missing object is no error otherwise
    "--retries=1",
    "--low-level-retries=3",
)
_STATS = ("--stats=500ms", "--stats-log-level=NOTICE")
# For calls that move no payload: an endpoint that is away must not delay the run for minutes.
BRIEF = ("--disable-http2", "--retries=1", "--low-level-retries=2", "--contimeout=10s")


def access(remote: Remote | None) -> Access:
    """The environment of a call: no file of settings, and the variables of the remote."""
    own = {"RCLONE_CONFIG": os.devnull}
    if remote is None:
        return Access(env=own)
    return Access(
        target=remote.name,
        env={**own, **remote.env},
        secret_env=remote.secret_env,
        before=remote.before,
        ca_cert=remote.ca_cert,
    )


def child_env(remote: Remote | None, secrets: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of an rclone that talks to `remote`. Raises `HpsError`, as `Access`."""
    return access(remote).environment(secrets)


def invocation(args: tuple[str, ...], remote: Remote | None = None) -> Invocation:
    """One call of rclone, with the environment that reaches the remote."""
    return Invocation(tool=NAME, args=args, access=access(remote))


def upload(
    remote: Remote, local: str, key: str, settings: Settings, *, size_bytes: int, folder: bool
) -> Invocation:
    """Copy a file, or all files of a folder, to `key` under the remote's root."""
    what = ("copy", local, inside(remote, key)) if folder else ("copyto", local, remote.path(key))
    # Each trial has a folder of its own: to look there first is time that moves nothing, and takes
    # the right to see that a key is missing.
    flags = ("--no-check-dest", *_upload_flags(remote, settings, size_bytes))
    return _transfer(what, remote, settings, flags)


def download(
    remote: Remote, key: str, local: str, settings: Settings, *, folder: bool
) -> Invocation:
    """Copy an object, or all objects under `key`, to a local path."""
    what = ("copy", inside(remote, key), local) if folder else ("copyto", remote.path(key), local)
    return _transfer(what, remote, settings, _download_flags(settings))


def sync_up(
    remote: Remote, local: str, folder: OwnFolder, settings: Settings, *, size_bytes: int
) -> Invocation:
    """Make the objects of a trial equal to a local folder; of others it may delete none."""
    flags = (*only_made(folder), *_upload_flags(remote, settings, size_bytes))
    return _transfer(("sync", local, inside(remote, folder.key)), remote, settings, flags)


def sync_down(remote: Remote, key: str, local: str, settings: Settings) -> Invocation:
    """Make a local folder equal to the objects under `key`."""
    flags = _download_flags(settings)
    return _transfer(("sync", inside(remote, key), local), remote, settings, flags)


def with_log(call: Invocation, remote: Remote) -> Invocation:
    """The call with a log that has its retries and what it deleted."""
    return _in_log(replace(call, args=(*call.args, *_log_flags(remote))), remote)


def make_files(paths: tuple[str, ...], size_bytes: int, *, zeros: bool) -> Invocation:
    """Write files of exactly `size_bytes` each: incompressible bytes, or zeros."""
    content = "--zero" if zeros else "--seed=1"
    return invocation(("test", "makefile", content, f"{size_bytes}B", *paths))


def _transfer(
    what: tuple[str, ...], remote: Remote, settings: Settings, flags: tuple[str, ...]
) -> Invocation:
    # HTTP/2 folds all streams into one connection.
    http = ("--disable-http2",) if settings.http2 is False else ()
    at_once = () if settings.transfers is None else (f"--transfers={settings.transfers}",)
    measured = (*_ONCE, *_log_flags(remote), *_STATS, *at_once)
    return _in_log(invocation((*what, *measured, *flags, *http, *ca_flags(remote)), remote), remote)


def _log_flags(remote: Remote) -> tuple[str, ...]:
    return (*remote.backend.log_flags, "--use-json-log", "-vv")


def _in_log(call: Invocation, remote: Remote) -> Invocation:
    """The call with the variables by which its library logs what it sends again."""
    env = {**call.access.env, **remote.backend.log_env}
    return replace(call, access=replace(call.access, env=env))


def _upload_flags(remote: Remote, settings: Settings, size_bytes: int) -> tuple[str, ...]:
    flags: list[str] = []
    backend, chunk_bytes = remote.backend, settings.chunk_size_bytes
    if chunk_bytes is not None:
        flags += backend.sizes(chunk_bytes, chunk_bytes >= size_bytes)
    if settings.concurrency is not None:
        flags += [
            f"--{backend.name}-upload-concurrency={settings.concurrency}",
            "--multi-thread-streams=1",  # rclone takes the larger of this and the line above
        ]
    if settings.checksum is False:
        flags += [f"--{backend.name}-disable-checksum", "--ignore-checksum"]
    return tuple(flags)


def _download_flags(settings: Settings) -> tuple[str, ...]:
    flags: list[str] = []
    if settings.chunk_size_bytes is not None:
        flags += [
            f"--multi-thread-chunk-size={settings.chunk_size_bytes}B",
            "--multi-thread-cutoff=0B",  # default: one GET up to 256 MiB
        ]
    if settings.concurrency is not None:
        flags.append(f"--multi-thread-streams={settings.concurrency}")
    if settings.checksum is False:
        flags.append("--ignore-checksum")
    return tuple(flags)


def ca_flags(remote: Remote) -> tuple[str, ...]:
    """The authorities that sign the certificates of the target, where it names any."""
    return (f"--ca-cert={remote.ca_cert}",) if remote.ca_cert else ()


def find_binary(env: Mapping[str, str]) -> str:
    """`HPS_RCLONE`, else the one installed with this package, else the one on PATH.

    Raises `HpsError` saying how to get one.
    """
    named = env.get("HPS_RCLONE")
    if named:
        if not os.access(named, os.X_OK) or Path(named).is_dir():
            raise HpsError(f"HPS_RCLONE names '{named}', which is no program", HOW_TO_GET)
        return named
    beside = Path(sys.executable).parent / "rclone"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("rclone")
    if found is None:
        raise HpsError("there is no rclone on this machine", HOW_TO_GET)
    return found


def read_version(binary: str) -> str:
    """The version of a binary, `1.75.2`. Raises `HpsError` where it is too old or isn't rclone."""
    command = process.Command(argv=(binary, "version"), env=child_env(None, {}))
    code, out = process.capture(command, timeout_s=20)
    match = re.match(r"rclone v(\d+)\.(\d+)\.?(\d*)", out)
    if code != 0 or match is None:
        raise HpsError(f"{binary} does not answer like rclone", HOW_TO_GET)
    version = tuple(int(part or 0) for part in match.groups())
    text = ".".join(map(str, version))
    if version < OLDEST:
        raise HpsError(f"{binary} is rclone {text}, which is too old", HOW_TO_GET)
    return text


def only_made(folder: OwnFolder) -> tuple[str, ...]:
    """Whatever else a server lists in the folder is passed over."""
    wanted = (f"--filter=+ /{{{{{pattern}}}}}" for pattern in folder.made_patterns)
    return (*wanted, "--filter=- **")


def inside(remote: Remote, key: str) -> str:
    """A folder: without the slash rclone first asks for an object of that very name.

    Whatever the server then answers, other than that there is none, would end it (since 1.72).
    """
    return f"{remote.path(key)}/"

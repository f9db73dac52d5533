"""rclone as the client of buckets: the calls by which `hps` itself lists, puts, gets and deletes.

Each says how its end is judged, for rclone's exit codes and logs differ by command. Whatever
deletes takes an `OwnFolder`. Calls that copy many files are in `copying`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from hps.catalog.failures import failure
from hps.model import Failure, Target
from hps.run_folder import OwnFolder
from hps.tools.base import Installed
from hps.tools.client import ClientCall, Listed
from hps.tools.invocation import Invocation
from hps.tools.rclone import command, errors
from hps.tools.rclone import log as rclone_log
from hps.tools.rclone.command import BRIEF, NO_FOLDER, ca_flags, inside, invocation, only_made
from hps.tools.rclone.remote import Remote, remote_of

# rclone's exit code where it has moved all that it may.
_TRANSFER_LIMIT = 8
_PATIENT = ("--disable-http2", "--retries=1", "--low-level-retries=3", "--contimeout=10s")
_LOOK = ("lsjson", "--stat", "--no-modtime", "--no-mimetype")


class RcloneClient:
    """Keys are below the target's folder, but for those of `OwnFolder`; paths are local ones."""

    name = command.NAME

    def find(self, env: Mapping[str, str]) -> Installed:
        """The rclone of this machine. Raises `HpsError` where there is none that will do."""
        program = command.find_binary(env)
        return Installed(program=program, version=command.read_version(program))

    def find_program(self, env: Mapping[str, str]) -> str:
        """The path of its program, which is not asked for its version. Raises as `find`."""
        return command.find_binary(env)

    def path(self, target: Target, *parts: str) -> str:
        """The name of a place that may be printed: `r2:bucket/folder/part/part`."""
        return remote_of(target).path(*parts)

    def root(self, target: Target) -> str:
        """`bucket/folder`: where keys begin."""
        return remote_of(target).root

    # Small objects.

    def put(self, target: Target, local: str, key: str) -> ClientCall:
        """Upload a small file by a single PUT: nothing is asked before or after it."""
        remote = remote_of(target)
        flags = ("--no-check-dest", *remote.backend.unasked, *remote.backend.whole)
        return _brief(remote, "copyto", local, remote.path(key), *flags)

    def get(self, target: Target, key: str, *, most_bytes: int | None = None) -> ClientCall:
        """Print the content of one object, or its first bytes; nothing is listed."""
        remote = remote_of(target)
        part = () if most_bytes is None else (f"--count={most_bytes}",)
        return _brief(remote, "cat", *part, remote.path(key))

    def get_named(self, target: Target, folder: str, names: str, *, most_bytes: int) -> ClientCall:
        """Print the first bytes of the objects whose names in a folder a local file has.

        One GET for each, also where there is none, and nothing else.
        """
        remote = remote_of(target)
        flags = (f"--count={most_bytes}", "--no-traverse", *remote.backend.unlooked)
        what = ("cat", *flags, f"--files-from-raw={names}", inside(remote, folder))
        return _brief(remote, *what)

    def get_listed(self, target: Target, folder: str) -> ClientCall:
        """Print the content of the objects right in this folder."""
        remote = remote_of(target)
        return _brief(remote, "cat", "--max-depth=1", inside(remote, folder))

    def get_matching(self, target: Target, folder: str, pattern: str, into: str) -> ClientCall:
        """Copy the objects that match, such as `/a/*.jsonl`, to a local folder.

        That there are none is no failure.
        """
        remote = remote_of(target)
        what = ("copy", inside(remote, folder), into, f"--include={pattern}")
        return _logged(remote, *what, well=(0, NO_FOLDER))

    # Lists.

    def list_names(self, target: Target, folder: str) -> ClientCall:
        """Print the names of all objects in a folder, one a line."""
        remote = remote_of(target)
        return _brief(remote, *_names(remote, folder))

    def list_objects(self, target: Target, folder: str) -> ClientCall:
        """Print all objects in a folder, one a line, as `read_objects` takes them."""
        remote = remote_of(target)
        flags = ("--recursive", "--files-only", "--fast-list", "--no-mimetype")
        return _brief(remote, "lsjson", *flags, "--use-server-modtime", inside(remote, folder))

    def read_objects(self, out: Path) -> Iterator[Listed]:
        """The answer to `list_objects`; keys are below the listed folder.

        Raises `ValueError` at its end where it is not whole.
        """
        return _read_objects(out)

    def look_for(self, target: Target, key: str) -> ClientCall:
        """Print an object of this very name, as `is_object` takes it.

        That is a single request, and where there is none one more.
        """
        remote = remote_of(target)
        return _brief(remote, *_LOOK, remote.path(key))

    def is_object(self, answer: str) -> bool:
        """True where the answer to `look_for` names an object; folders are none."""
        return _is_object(answer)

    # Uploads in parts.

    def begin_and_abort(self, target: Target, local: str, key: str) -> ClientCall:
        """Begin a multipart upload to S3 that may move no byte: rclone aborts it, and ends so."""
        remote = remote_of(target)
        flags = ("--no-check-dest", "--s3-upload-cutoff=0", "--max-transfer=1B")
        what = ("copyto", local, remote.path(key), *BRIEF, *flags, "--cutoff-mode=HARD")
        call = invocation((*what, *ca_flags(remote)), remote)
        return ClientCall(
            invocation=command.with_log(call, remote),
            explain=_why_not_aborted,
            trouble=_first_failure,
        )

    def list_uploads(self, target: Target, key: str) -> ClientCall:
        """Print, as `read_uploads` takes it, the uploads whose key begins with `key`."""
        remote = remote_of(target)
        return _brief(remote, "backend", "list-multipart-uploads", inside(remote, key))

    def read_uploads(self, target: Target, out: Path) -> list[Listed]:
        """The answer to `list_uploads`. Keys elsewhere in the bucket begin with a slash.

        Raises `ValueError` where it is not whole.
        """
        return _read_uploads(out, remote_of(target))

    def abort_uploads(self, target: Target, folder: OwnFolder, name: str = "") -> ClientCall:
        """Abort the incomplete multipart uploads whose key begins with the folder's and `name`.

        That is also `…/00.binary` where `name` is `00.bin`: look first what there is.
        """
        key = f"{folder.key}/{name}" if name else folder.key
        if not folder.part or ".." in key:
            raise ValueError(f"not a place in a trial's own folder: {key}")
        remote = remote_of(target)
        # Of a server whose clock is ahead, all uploads begin in the future.
        args = ("backend", "cleanup", *BRIEF, "-o", "max-age=-48h", inside(remote, key))
        return ClientCall(
            invocation=invocation((*args, *ca_flags(remote)), remote),
            explain=_why_refused,
            trouble=errors.first_failure,
        )

    # Deleting.

    def delete(self, target: Target, folder: OwnFolder) -> ClientCall:
        """Delete the objects of a trial, or of the probe; finding none is not an error."""
        _check_part(folder)
        return self.delete_made(target, folder)

    def delete_made(self, target: Target, folder: OwnFolder) -> ClientCall:
        """Delete what a run made in its folder, known by its names; anything else there stays."""
        remote = remote_of(target)
        return _brief(remote, *_deletion(remote, folder))

    def delete_object(self, target: Target, folder: OwnFolder, name: str) -> ClientCall:
        """Delete one object that a run made in its folder; nothing is listed."""
        key = f"{folder.key}/{name}"
        if not folder.made(key):
            raise ValueError(f"no object of a run's own: {key}")
        remote = remote_of(target)
        return _brief(remote, "deletefile", remote.path(key))

    # Calls that are measured: as steps, and by the probe.

    def measured_list(self, target: Target, folder: OwnFolder) -> Invocation:
        """Print the names of a trial's objects, one a line; its log has the retries."""
        remote = remote_of(target)
        call = _brief(remote, *_names(remote, folder.key)).invocation
        return command.with_log(call, remote)

    def measured_delete(self, target: Target, folder: OwnFolder) -> Invocation:
        """Delete the objects of a trial; its log has the retries, see also `count_deleted`."""
        return command.with_log(self.delete(target, folder).invocation, remote_of(target))

    def count_deleted(self, log: Path) -> int:
        """How many objects a `measured_delete` has deleted, by its log."""
        return rclone_log.read(log).deleted

    def put_whole(self, target: Target, local: str, folder: str, *, at_once: int) -> ClientCall:
        """Copy a file, or what the names in a folder link to, to a folder: one PUT for each.

        No incomplete multipart upload remains where it is cut off.
        """
        remote = remote_of(target)
        flags = (*remote.backend.whole, "--no-check-dest", "--copy-links")
        what = ("copy", local, inside(remote, folder), *flags, f"--transfers={at_once}")
        return _logged(remote, *what)

    def read_again(self, target: Target, folder: str, *, times: int, at_once: int) -> ClientCall:
        """Read the objects of a folder so many times, each by one GET, and keep nothing of it."""
        remote = remote_of(target)
        flags = (
            "--download",
            f"--transfers={at_once}",
            "--checkers=1",  # looks for objects by one more connection, which moves next to nothing
            "--disable=ListR",
        )
        return _logged(remote, "hashsum", "crc32", _repeated(inside(remote, folder), times), *flags)


def _names(remote: Remote, folder: str) -> tuple[str, ...]:
    return "lsf", "--recursive", "--files-only", inside(remote, folder)


def _deletion(remote: Remote, folder: OwnFolder) -> tuple[str, ...]:
    return "delete", *only_made(folder), inside(remote, folder.key)


def _check_part(folder: OwnFolder) -> None:
    if not folder.part:
        raise ValueError(f"not a folder of one trial: {folder.key}")


def _repeated(place: str, times: int) -> str:
    """A remote with many folders that are all the same one."""
    quoted = place.replace('"', '""')
    upstreams = " ".join(f'"{number}={quoted}"' for number in range(times))
    escaped = upstreams.replace("'", "''")
    return f":combine,upstreams='{escaped}':"


# -------------------------------------------------------------------------------------------------
# How calls end.


def _brief(remote: Remote, *what: str) -> ClientCall:
    """A call that moves no payload, with a plain log; what follows the command comes first."""
    return ClientCall(
        invocation=invocation((*what, *BRIEF, *ca_flags(remote)), remote),
        explain=_why_plain,
        trouble=errors.first_failure,
    )


def _logged(remote: Remote, *what: str, well: tuple[int, ...] = (0,)) -> ClientCall:
    """A call whose log, in JSON, has failures alone; it ended well with the codes of `well`."""
    log = ("--use-json-log", "--log-level=ERROR")

    def explain(code: int, text: str) -> Failure | None:
        return None if code in well else _why(code, text)

    return ClientCall(
        invocation=invocation((*what, *_PATIENT, *log, *ca_flags(remote)), remote),
        explain=explain,
        trouble=_first_failure,
    )


def _why_plain(code: int, log: str) -> Failure | None:
    return None if code == 0 else errors.last_failure(log) or _by_code(code)


def _why(code: int, log: str) -> Failure:
    """Of a log in JSON."""
    return _first_failure(log) or _by_code(code)


def _why_refused(code: int, log: str) -> Failure | None:
    """Of aborted uploads: rclone ends with 0 also where the server refused."""
    return _why_plain(code, log) or errors.first_failure(log)


def _why_not_aborted(code: int, log: str) -> Failure | None:
    if code != _TRANSFER_LIMIT:
        return _why(code, log)
    message = rclone_log.parse(_lines(log)).not_aborted
    return errors.explain(message) if message else None


def _by_code(code: int) -> Failure:
    """Of a call without any error in its log."""
    if code < 0:
        return failure("tool_crashed", f"rclone was ended by signal {-code}")
    return failure("tool_failed", f"rclone ended with code {code}")


def _first_failure(log: str) -> Failure | None:
    """The first error of a log in JSON, or the crash of rclone; None where there is neither."""
    for line in _lines(log):
        read = rclone_log.parse([line])
        if read.crash:
            return failure("tool_crashed", f"rclone crashed: {read.crash}")
        if read.last_error:
            return errors.explain(read.last_error)
    return None


def _lines(log: str) -> list[bytes]:
    return log.encode().splitlines()


# -------------------------------------------------------------------------------------------------
# What rclone lists. Names may be anybody's and of any kind; they are read, and never put into a
# command.


def _read_objects(path: Path) -> Iterator[Listed]:
    """The answer to `lsjson` in a file; keys are below the listed folder.

    Raises `ValueError` at its end where it is not whole: rclone doesn't say that a disk was full.
    """
    entry = ""
    with path.open(encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            entry = line.strip().rstrip(",")
            if entry not in {"", "[", "]"}:
                found = json.loads(entry)
                yield Listed(
                    key=str(found["Path"]),
                    at=_moment(found.get("ModTime")),
                    size_bytes=int(found["Size"]),
                )
    if entry != "]":
        raise ValueError("the list has no end")


def _is_object(answer: str) -> bool:
    """True where the answer to `lsjson --stat` names an object; what is missing is a folder."""
    try:
        found = json.loads(answer)
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("IsDir") is False


def _read_uploads(path: Path, remote: Remote) -> list[Listed]:
    """The answer to `list-multipart-uploads` in a file; keys are below the target's folder.

    Keys of uploads elsewhere in the bucket, which a server may add, begin with a slash. Raises
    `ValueError` where the answer is not whole.
    """
    bucket, _, folder = remote.root.partition("/")
    prefix = f"{folder}/" if folder else ""
    found = json.loads(path.read_text(encoding="utf-8", errors="surrogateescape"))
    return [
        Listed(key=_below(prefix, upload.get("Key")), at=_moment(upload.get("Initiated")))
        for upload in found.get(bucket) or ()
    ]


def _below(prefix: str, key: object) -> str:
    if not isinstance(key, str):
        raise ValueError("an upload without a key")
    return key.removeprefix(prefix) if key.startswith(prefix) else f"/{key}"


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

"""The client of buckets: list, put, get, delete and abort in a folder.

It is rclone, whichever tool is measured. Nothing above this package knows that: the calls are made
here, and their answers are read here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from hps.catalog import failures
from hps.catalog.failures import failure
from hps.catalog.providers import PROVIDERS
from hps.errors import MachineError
from hps.model import Failure, Target
from hps.process import process
from hps.process.temporary import Output, Workplace
from hps.redaction import Scrubber
from hps.run_folder import OwnFolder
from hps.targets import well_known
from hps.tools.base import Installed
from hps.tools.invocation import Invocation
from hps.tools.rclone import command, errors, listed
from hps.tools.rclone import log as rclone_log
from hps.tools.rclone.errors import bare, explain
from hps.tools.rclone.listed import Listed
from hps.tools.rclone.remote import Remote, remote_of
from hps.tools.rclone.tool import find

__all__ = ["AnswerBound", "Link", "Listed", "delete_call", "find_client", "list_call"]

# The name of the client's tool.
CLIENT = command.NAME


def list_call(target: Target, folder: OwnFolder) -> Invocation:
    """Print the names of a trial's objects, one a line; its log has the retries."""
    remote = remote_of(target)
    return command.with_log(command.list_files(remote, folder.key), remote)


def delete_call(target: Target, folder: OwnFolder) -> Invocation:
    """Delete the objects of a trial; its log has the retries, see also `count_deleted`."""
    remote = remote_of(target)
    return command.with_log(command.delete(remote, folder), remote)


def name_of(target: Target) -> str:
    """The name of a target's folder that may be printed: `r2:bucket/folder`."""
    return remote_of(target).path()


def count_deleted(log: Path) -> int:
    """How many objects a `delete_call` has deleted, by its log."""
    return rclone_log.read(log).deleted


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Access to a folder of a bucket: `key` below the target's folder, and the client's program.

    Methods that return an `Invocation` only build the call; `run` starts it.
    """

    target: Target
    key: str
    binary: str
    secrets: Mapping[str, str] = field(repr=False)
    guard: process.Guard
    scratch: Path
    stop: process.Stop

    def run(
        self,
        call: Invocation,
        *,
        timeout_s: float,
        name: str,
        stop: process.Stop | None = None,
        sampler: process.Sampler | None = None,
    ) -> process.Exit:
        """Run one call; its output is in `<name>.out` and `<name>.log` of the scratch folder."""
        return process.run(
            call.command(self.binary, self.secrets),
            timeout_s=timeout_s,
            guard_process=self.guard,
            stdout=self.scratch / f"{name}.out",
            stderr=self.log(name),
            stop=stop,
            sampler=sampler,
        )

    @property
    def remote(self) -> Remote:
        return remote_of(self.target)

    @property
    def keeps_uploads(self) -> bool:
        """False where what was uploaded of an object in parts goes away by itself."""
        return PROVIDERS[self.target.provider].keeps_uploads

    @property
    def name(self) -> str:
        """The name that may be printed: `r2:bucket/folder/key`."""
        return self.remote.path(self.key)

    def log(self, name: str) -> Path:
        """The file with the standard error of the last call of this name."""
        return self.scratch / f"{name}.log"

    def why(self, name: str, ended: process.Exit) -> Failure:
        """Why the last call of this name failed; its log is JSON."""
        if ended.ended == "timeout":
            return failure("timeout", f"it took more than {ended.duration_s:.0f} s")
        if ended.ended == "stopped":
            return failure("stopped", "the run was stopped")
        return first_failure(self.log(name)) or tool_failed(ended)

    def why_plain(self, name: str, ended: process.Exit) -> Failure:
        """Why the last call of this name failed; its log is plain text."""
        logged = errors.last_failure(self.log(name)) if ended.ended == "exit" else None
        return logged or self.why(name, ended)

    def put(self, local: str, key: str) -> Invocation:
        """Upload a small file by a single PUT: nothing is asked before or after it."""
        return command.put_object(self.remote, local, key)

    def get(self, key: str) -> Invocation:
        """Print the content of one object; nothing is listed."""
        return command.print_file(self.remote, key)

    def get_matching(self, pattern: str, into: Path) -> Invocation:
        """Copy the objects that match, such as `/machine/*.jsonl`, to a folder: `why_not_got`."""
        return command.copy_matching(self.remote, self.key, str(into), pattern)

    def why_not_got(self, name: str, ended: process.Exit, bounded: AnswerBound) -> Failure | None:
        """Why the last `get_matching` of this name failed; None also where there is no object."""
        if ended.ended == "exit" and ended.returncode in {0, command.NO_FOLDER}:
            return None
        return bounded.failure or self.why(name, ended)

    def get_listed(self) -> Invocation:
        """Print the content of the objects right in this folder."""
        return command.print_files(self.remote, self.key)

    def list_names(self) -> Invocation:
        """Print the names of all objects in this folder, one a line."""
        return command.list_files(self.remote, self.key)

    def delete(self, own: OwnFolder) -> Invocation:
        """Delete the objects of a trial, a probe or a check; finding none is not an error."""
        return command.delete(self.remote, own)

    def delete_object(self, own: OwnFolder, name: str) -> Invocation:
        """Delete one object that a run made; nothing is listed."""
        return command.delete_file(self.remote, own, name)

    def begin_and_abort(self, local: str, key: str) -> Invocation:
        """Begin a multipart upload, and abort it: see `why_not_aborted`."""
        return command.begin_and_abort(self.remote, local, key)

    def why_not_aborted(self, name: str, ended: process.Exit) -> Failure | None:
        """Why the last `begin_and_abort` of this name failed; None where it did not."""
        if ended.ended != "exit" or ended.returncode != command.TRANSFER_LIMIT:
            return self.why(name, ended)
        message = rclone_log.read(self.log(name)).not_aborted
        return explain(message) if message else None

    def list_objects(
        self, name: str, *, timeout_s: float, stop: process.Stop | None
    ) -> Iterator[Listed]:
        """Yield the objects in this folder while the answer is read from the disk.

        Raises `HpsError` where they can't be listed, and where the list is not whole.
        """
        out = self.scratch / f"{name}.out"
        bounded, call = AnswerBound(out=out), command.list_objects(self.remote, self.key)
        ended = self.run(call, timeout_s=timeout_s, name=name, stop=stop, sampler=bounded)
        if ended.ended != "exit" or ended.returncode != 0:
            why = bounded.failure or self.why_plain(name, ended)
            raise MachineError(
                f"{self.name} can't be listed: {why.reason}",
                "check the endpoint, the bucket, and the keys: may they list it?",
            )
        try:
            yield from listed.objects(out)
        except ValueError as error:
            what = f"the list of {self.name} is not whole"
            raise MachineError(what, "is there space in the temporary folder?") from error

    def is_there(self, key: str, name: str, *, timeout_s: float, stop: process.Stop | None) -> bool:
        """True where the server answers that there is an object of this key: a single request."""
        call = command.look_for(self.remote, key)
        ended = self.run(call, timeout_s=timeout_s, name=name, stop=stop)
        answered = ended.ended == "exit" and ended.returncode == 0
        return answered and listed.is_object(self.scratch / f"{name}.out")

    def put_whole(self, local: Path, folder: str, *, at_once: int = 1) -> Invocation:
        """Upload a file, or what the names in a folder link to, by one PUT each."""
        key = f"{self.key}/{folder}"
        return command.upload_whole(self.remote, str(local), key, at_once=at_once)

    def read_again(self, folder: str, *, times: int, at_once: int) -> Invocation:
        """Read the objects of a folder so many times, each by one GET, and keep nothing of it."""
        key = f"{self.key}/{folder}"
        return command.read_again(self.remote, key, times=times, at_once=at_once)


def find_client(env: Mapping[str, str]) -> Installed:
    """The client's program on this machine.

    Raises `HpsError` where there is none, or none that is new enough, with how to get one.
    """
    return find(env)


def first_failure(log: Path) -> Failure | None:
    """The first error of a JSON log, or the crash of the tool; None where there is neither."""
    for line in log.read_bytes().splitlines():
        read = rclone_log.parse([line])
        if read.crash:
            return failure("tool_crashed", f"rclone crashed: {read.crash}")
        if read.last_error:
            return explain(read.last_error)
    return None


def tool_failed(ended: process.Exit) -> Failure:
    """The failure of a call without any error in its log: by its exit code, or its signal."""
    code = ended.returncode
    if code < 0:
        return failure("tool_crashed", f"rclone was ended by signal {-code}")
    return failure("tool_failed", f"rclone ended with code {code}")


# -------------------------------------------------------------------------------------------------
# A bound on the memory and disk that a server's answer may use: some lists have no end.

_MOST_BYTES = 1024**3
_ENDLESS = "the server's answer has no end, or takes too much memory to be read"


@dataclass(slots=True, kw_only=True)
class AnswerBound:
    """A `process.Sampler` that kills a process whose memory and output in `out` get too large.

    `failure` is then set; it is None where nothing was killed.
    """

    out: Path
    most_bytes: int = _MOST_BYTES
    interval_s: float = 0.2
    failure: Failure | None = None

    def sample(self, pid: int) -> None:
        """Look at process `pid`, and kill it where it uses more than `most_bytes`."""
        try:
            process = psutil.Process(pid)
            used_bytes = process.memory_info().rss + self.out.stat().st_size
            if used_bytes > self.most_bytes:
                process.kill()
                self.failure = failures.failure("bad_answer", _ENDLESS, hint="")
        except (psutil.Error, FileNotFoundError):
            return  # it has just ended, or has written nothing yet


# -------------------------------------------------------------------------------------------------
# Small files in the bucket of a well-known target, outside of any run.

SMALL_FILE_TIMEOUT_S = 30.0
_NO_FILE = failure("not_found", "there is no such file")


@dataclass(frozen=True, slots=True, kw_only=True)
class WellKnownBucket:
    """A well-known target, with what it takes to read and write small files there."""

    target: Target
    program: str
    place: Workplace
    secrets: Mapping[str, str] = field(repr=False)

    @property
    def root(self) -> str:
        """`bucket/folder`: where keys begin."""
        return remote_of(self.target).root

    def name(self, key: str) -> str:
        """The name that may be printed: `r2:bucket/folder/key`."""
        return remote_of(self.target).path(key)

    def get(self, key: str, *, most_bytes: int) -> bytes | Failure:
        """The content of a file, at most `most_bytes`; or why it can't be read.

        A folder is no file: `cat` would give all that is in it. Raises `HpsError` where the server
        is too slow.
        """
        looked = self._run("lsjson", "--stat", "--no-modtime", "--no-mimetype", self.name(key))
        if looked.code != 0:
            return _why(looked)
        if json.loads(looked.out)["IsDir"]:
            return _NO_FILE  # what is missing looks like a folder
        # Its size may have changed in between.
        read = self._run("cat", f"--count={most_bytes}", self.name(key), most_bytes=most_bytes)
        return _why(read) if read.code != 0 else read.out

    def put(self, path: Path, key: str) -> Failure | None:
        """Copy a local file to `key` below the target's folder. Returns why that failed."""
        sent = self._run("copyto", "--no-check-dest", str(path), self.name(key))
        return None if sent.code == 0 else _why(sent)

    def _run(self, *arguments: str, most_bytes: int = 1024**2) -> Output:
        """Run a call to its end; its standard error is without secrets."""
        call = command.invocation((*arguments, *command.BRIEF), remote_of(self.target))
        ran = self.place.run(call.command(self.program, self.secrets), most_bytes=most_bytes)
        return replace(ran, err=Scrubber(self.secrets).text(ran.err))


def find_well_known(name: str, env: Mapping[str, str], place: Workplace) -> WellKnownBucket:
    """The bucket of a well-known target. Raises `HpsError` for what is missing in `env`."""
    target = well_known.target(name, env)
    return WellKnownBucket(
        target=target,
        program=command.find_binary(env),
        place=place,
        secrets={key.env: env[key.env] for key in target.secrets},
    )


def _why(ended: Output) -> Failure:
    return explain(bare(ended.last_line))

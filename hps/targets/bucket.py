"""The client of buckets: list, put, get, delete and abort in a folder of one.

It goes there with rclone, whichever tool is measured. Nothing above this package knows that: its
calls are made here, and so is what their answers mean.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from hps.catalog import failures
from hps.catalog.failures import failure
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

__all__ = ["Bounded", "Link", "Listed", "delete_call", "installed", "list_call"]

# By which of the tools it goes there.
CLIENT = command.NAME
_FLAGS = (
    "--disable-http2",  # it would fold all into one connection
    "--retries=1",
    "--low-level-retries=3",
    "--contimeout=10s",
    "--use-json-log",
    "--log-level=ERROR",  # so that anything in the log is a failure
)


def list_call(target: Target, folder: OwnFolder) -> Invocation:
    """Print the names of a trial's objects, one a line; its log tells of retries."""
    return command.with_log(command.list_files(remote_of(target), folder.key))


def delete_call(target: Target, folder: OwnFolder) -> Invocation:
    """Delete the objects of a trial; its log tells of retries, see `count_deleted`."""
    return command.with_log(command.delete(remote_of(target), folder))


def name_of(target: Target) -> str:
    """A target's folder, as it may be printed: `r2:bucket/folder`."""
    return remote_of(target).path()


def count_deleted(log: Path) -> int:
    """How many objects a `delete_call` has deleted."""
    return rclone_log.read(log).deleted


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The way to a folder of a bucket: `key` below the target's, and what to go there with."""

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
        """The target, as the client's program takes it."""
        return remote_of(self.target)

    @property
    def name(self) -> str:
        """What may be printed: `r2:bucket/folder/key`."""
        return self.remote.path(self.key)

    def log(self, name: str) -> Path:
        """Where the calls of this name write what goes wrong."""
        return self.scratch / f"{name}.log"

    def why(self, name: str, ended: process.Exit) -> Failure:
        """Why the last call of this name came to no good end."""
        if ended.ended == "timeout":
            return failure("timeout", f"it took more than {ended.duration_s:.0f} s")
        if ended.ended == "stopped":
            return failure("stopped", "the run was stopped")
        return first_failure(self.log(name)) or tool_failed(ended)

    def why_plain(self, name: str, ended: process.Exit) -> Failure:
        """The same for a call whose log is a plain one."""
        said = errors.last_failure(self.log(name)) if ended.ended == "exit" else None
        return said or self.why(name, ended)

    def put(self, local: str, key: str) -> Invocation:
        """Upload a small file by a single PUT: nothing is asked before or after it."""
        return command.put_object(self.remote, local, key)

    def get(self, key: str) -> Invocation:
        """Print what one object holds; nothing is listed."""
        return command.print_file(self.remote, key)

    def get_listed(self) -> Invocation:
        """Print what the objects right in this folder hold."""
        return command.print_files(self.remote, self.key)

    def list_names(self) -> Invocation:
        """Print the names of all objects in this folder, one a line."""
        return command.list_files(self.remote, self.key)

    def delete(self, own: OwnFolder) -> Invocation:
        """Delete the objects of a trial, a probe or a check; finding none is not an error."""
        return command.delete(self.remote, own)

    def delete_one(self, own: OwnFolder, name: str) -> Invocation:
        """Delete one object that a run made; nothing is listed."""
        return command.delete_file(self.remote, own, name)

    def begin_and_abort(self, local: str, key: str) -> Invocation:
        """Begin an upload in parts, and abort it: see `why_not_aborted`."""
        return command.begin_and_abort(self.remote, local, key)

    def why_not_aborted(self, name: str, ended: process.Exit) -> Failure | None:
        """Why the last `begin_and_abort` of this name did not go well; None where it did."""
        if ended.ended != "exit" or ended.returncode != command.TRANSFER_LIMIT:
            return self.why(name, ended)
        told = rclone_log.read(self.log(name)).not_aborted
        return explain(told) if told else None

    def list_objects(
        self, name: str, *, timeout_s: float, stop: process.Stop | None
    ) -> Iterator[Listed]:
        """The objects in this folder, as they are read from the disk.

        Raises `HpsError` where they can't be listed, and where the list is not whole.
        """
        out = self.scratch / f"{name}.out"
        bounded, call = Bounded(out=out), command.list_objects(self.remote, self.key)
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
        """True where the server says that there is an object of this name: a single request."""
        call = command.look_for(self.remote, key)
        ended = self.run(call, timeout_s=timeout_s, name=name, stop=stop)
        answered = ended.ended == "exit" and ended.returncode == 0
        return answered and listed.is_object(self.scratch / f"{name}.out")

    def place(self, *parts: str) -> str:
        """A folder below the key, as rclone takes it.

        With the slash at its end rclone does not ask first whether it is a file.
        """
        return f"{self.remote.path(self.key, *parts)}/"

    def call(self, *args: str) -> Invocation:
        """A call on this link with the flags that all of them share."""
        trust = (f"--ca-cert={self.remote.ca_cert}",) if self.remote.ca_cert else ()
        return command.invocation((*args, *_FLAGS, *trust), self.remote)


def installed(env: Mapping[str, str]) -> Installed:
    """The program of the client on this machine.

    Raises `HpsError` where there is none that will do, saying how to get one.
    """
    return find(env)


def first_failure(log: Path) -> Failure | None:
    """What the tool complained of first in its JSON log, or plainly where it crashed."""
    for line in log.read_bytes().splitlines():
        read = rclone_log.parse([line])
        if read.crash:
            return failure("tool_crashed", f"rclone crashed: {read.crash}")
        if read.last_error:
            return explain(read.last_error)
    return None


def tool_failed(ended: process.Exit) -> Failure:
    """Of a call that said nothing: its exit code, or the signal that ended it."""
    code = ended.returncode
    if code < 0:
        return failure("tool_crashed", f"rclone was ended by signal {-code}")
    return failure("tool_failed", f"rclone ended with code {code}")


# -------------------------------------------------------------------------------------------------
# A bound to what a server's answer may take on this machine: some lists have no end.

_MOST_BYTES = 1024**3
_ENDLESS = "the server's answer has no end, or takes too much memory to be read"


@dataclass(slots=True, kw_only=True)
class Bounded:
    """A `process.Sampler` that ends a process: its memory and its output in `out` count together.

    `failure` then says so; it is None where nothing was ended.
    """

    out: Path
    most_bytes: int = _MOST_BYTES
    interval_s: float = 0.2
    failure: Failure | None = None

    def sample(self, pid: int) -> None:
        """One look at process `pid`."""
        try:
            process = psutil.Process(pid)
            taken_bytes = process.memory_info().rss + self.out.stat().st_size
            if taken_bytes > self.most_bytes:
                process.kill()
                self.failure = failures.failure("bad_answer", _ENDLESS, hint="")
        except (psutil.Error, FileNotFoundError):
            return  # it has just ended, or has written nothing yet


# -------------------------------------------------------------------------------------------------
# One file from the bucket of a well-known target, and one into it.

TIMEOUT_S = 30.0
_NO_FILE = failure("not_found", "there is no such file")


@dataclass(frozen=True, slots=True, kw_only=True)
class WellKnown:
    """A well-known target within reach, for small files."""

    target: Target
    program: str
    place: Workplace
    secrets: Mapping[str, str] = field(repr=False)

    @property
    def root(self) -> str:
        """`bucket/folder`."""
        return remote_of(self.target).root

    def name(self, key: str) -> str:
        """What may be printed: `r2:bucket/folder/key`."""
        return remote_of(self.target).path(key)

    def get(self, key: str, *, most_bytes: int) -> bytes | Failure:
        """What a file holds, no more than `most_bytes` of it; or why it can't be read.

        A folder is no file: `cat` would give all that is in it. Raises `HpsError` where the server
        is too slow.
        """
        said = self._run("lsjson", "--stat", "--no-modtime", "--no-mimetype", self.name(key))
        if said.code != 0:
            return _why(said)
        if json.loads(said.out)["IsDir"]:
            return _NO_FILE  # what is missing looks like a folder
        # Its size may have changed in between.
        said = self._run("cat", f"--count={most_bytes}", self.name(key), most_bytes=most_bytes)
        return _why(said) if said.code != 0 else said.out

    def put(self, path: Path, key: str) -> Failure | None:
        """Copy a local file to `key` below the target's folder. Returns why that failed."""
        said = self._run("copyto", "--no-check-dest", str(path), self.name(key))
        return None if said.code == 0 else _why(said)

    def _run(self, *arguments: str, most_bytes: int = 1024**2) -> Output:
        """Nothing that it says holds a secret."""
        call = command.invocation((*arguments, *command.BRIEF), remote_of(self.target))
        said = self.place.run(call.command(self.program, self.secrets), most_bytes=most_bytes)
        return Output(code=said.code, out=said.out, err=Scrubber(self.secrets).text(said.err))


def reach(name: str, env: Mapping[str, str], place: Workplace) -> WellKnown:
    """The bucket of a well-known target. Raises `HpsError` where something for it is missing."""
    target = well_known.target(name, env)
    return WellKnown(
        target=target,
        program=command.find_binary(env),
        place=place,
        secrets={key.env: env[key.env] for key in target.secrets},
    )


def _why(said: Output) -> Failure:
    """What the client complained of, in words."""
    return explain(bare(said.last_line))

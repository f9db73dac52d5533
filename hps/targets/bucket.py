"""The client of buckets: list, put, get, delete and abort in a folder.

It is one program, whichever tool is measured, and only `hps.tools` knows which. The calls are
started here, and how they ended is judged here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from hps.catalog import failures
from hps.catalog.failures import failure
from hps.catalog.providers import PROVIDERS
from hps.errors import MachineError, printable
from hps.model import Failure, Target
from hps.process import process
from hps.process.temporary import SHOWN_CHARACTERS, Workplace
from hps.redaction import Scrubber
from hps.run_folder import OwnFolder
from hps.targets import well_known
from hps.tools import CLIENT
from hps.tools.client import ClientCall, Listed

MOST_ANSWER_BYTES = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnd:
    """How a call ended, and why it failed; None: it did not. `out` has what it printed."""

    exit: process.Exit
    out: Path
    failure: Failure | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Access to a folder of a bucket: `key` below the target's folder, and the client's program.

    Methods that return a `ClientCall` only build the call; `run` starts it.
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
        call: ClientCall,
        *,
        timeout_s: float,
        name: str,
        stop: process.Stop | None = None,
        sampler: process.Sampler | None = None,
        most_bytes: int = MOST_ANSWER_BYTES,
    ) -> CallEnd:
        """Run one call; its output is in `<name>.out` and `<name>.log` of the scratch folder.

        An answer that takes more than `most_bytes` ends it, unless a `sampler` watches it.
        """
        out, log = self.scratch / f"{name}.out", self.log(name)
        bounded = AnswerBound(out=out, most_bytes=most_bytes)
        ended = process.run(
            call.invocation.command(self.binary, self.secrets),
            timeout_s=timeout_s,
            guard_process=self.guard,
            stdout=out,
            stderr=log,
            stop=stop,
            sampler=sampler or bounded,
        )
        why = bounded.failure or _why_ended(call, ended, log)
        return CallEnd(exit=ended, out=out, failure=why)

    @property
    def keeps_uploads(self) -> bool:
        """False where what was uploaded of an object in parts goes away by itself."""
        return PROVIDERS[self.target.provider].keeps_uploads

    @property
    def name(self) -> str:
        """The name that may be printed: `r2:bucket/folder/key`."""
        return CLIENT.path(self.target, self.key)

    def log(self, name: str) -> Path:
        """The file with the standard error of the last call of this name."""
        return self.scratch / f"{name}.log"

    def put(self, local: str, key: str) -> ClientCall:
        """Upload a small file by a single PUT: nothing is asked before or after it."""
        return CLIENT.put(self.target, local, key)

    def get(self, key: str) -> ClientCall:
        """Print the content of one object; nothing is listed."""
        return CLIENT.get(self.target, key)

    def get_matching(self, pattern: str, into: Path) -> ClientCall:
        """Copy the objects that match, such as `/machine/*.jsonl`, to a folder; none is well."""
        return CLIENT.get_matching(self.target, self.key, pattern, str(into))

    def get_listed(self) -> ClientCall:
        """Print the content of the objects right in this folder."""
        return CLIENT.get_listed(self.target, self.key)

    def list_names(self) -> ClientCall:
        """Print the names of all objects in this folder, one a line."""
        return CLIENT.list_names(self.target, self.key)

    def delete(self, own: OwnFolder) -> ClientCall:
        """Delete the objects of a trial, a probe or a check; finding none is not an error."""
        return CLIENT.delete(self.target, own)

    def delete_object(self, own: OwnFolder, name: str) -> ClientCall:
        """Delete one object that a run made; nothing is listed."""
        return CLIENT.delete_object(self.target, own, name)

    def begin_and_abort(self, local: str, key: str) -> ClientCall:
        """Begin a multipart upload, and abort it."""
        return CLIENT.begin_and_abort(self.target, local, key)

    def put_whole(self, local: Path, folder: str, *, at_once: int = 1) -> ClientCall:
        """Upload a file, or what the names in a folder link to, by one PUT each."""
        key = f"{self.key}/{folder}"
        return CLIENT.put_whole(self.target, str(local), key, at_once=at_once)

    def read_again(self, folder: str, *, times: int, at_once: int) -> ClientCall:
        """Read the objects of a folder so many times, each by one GET, and keep nothing of it."""
        key = f"{self.key}/{folder}"
        return CLIENT.read_again(self.target, key, times=times, at_once=at_once)

    def list_objects(
        self, name: str, *, timeout_s: float, stop: process.Stop | None
    ) -> Iterator[Listed]:
        """Yield the objects in this folder while the answer is read from the disk.

        Raises `HpsError` where they can't be listed, and where the list is not whole.
        """
        call = CLIENT.list_objects(self.target, self.key)
        ended = self.run(call, timeout_s=timeout_s, name=name, stop=stop)
        if ended.failure:
            raise MachineError(
                f"{self.name} can't be listed: {ended.failure.reason}",
                "check the endpoint, the bucket, and the keys: may they list it?",
            )
        try:
            yield from CLIENT.read_objects(ended.out)
        except ValueError as error:
            what = f"the list of {self.name} is not whole"
            raise MachineError(what, "is there space in the temporary folder?") from error

    def is_there(self, key: str, name: str, *, timeout_s: float, stop: process.Stop | None) -> bool:
        """True where the server answers that there is an object of this key."""
        call = CLIENT.look_for(self.target, key)
        ended = self.run(call, timeout_s=timeout_s, name=name, stop=stop)
        return ended.failure is None and CLIENT.is_object(_text(ended.out))

    def get_if_there(
        self,
        folder: str,
        object_name: str,
        *,
        most_bytes: int,
        timeout_s: float,
        name: str,
    ) -> bytes | Failure | None:
        """The first bytes of an object below this folder; None: there is none. A single GET."""
        names = self.scratch / f"{name}.names"
        names.write_text(f"{object_name}\n")
        key = f"{self.key}/{folder}"
        call = CLIENT.get_named(self.target, key, str(names), most_bytes=most_bytes)
        ended = self.run(call, timeout_s=timeout_s, name=name, stop=self.stop)
        if ended.failure is None:
            return ended.out.read_bytes()
        return None if ended.failure.code == "not_found" else ended.failure


def _why_ended(call: ClientCall, ended: process.Exit, log: Path) -> Failure | None:
    if ended.ended == "timeout":
        return failure("timeout", f"it took more than {ended.duration_s:.0f} s")
    if ended.ended == "stopped":
        return failure("stopped", "the run was stopped")
    return call.explain(ended.returncode, _text(log))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


# -------------------------------------------------------------------------------------------------
# A bound on the memory and disk that a server's answer may use: some lists have no end.

_ENDLESS = "the server's answer has no end, or takes too much memory to be read"


@dataclass(slots=True, kw_only=True)
class AnswerBound:
    """A `process.Sampler` that kills a process whose memory and output in `out` get too large.

    `failure` is then set; it is None where nothing was killed.
    """

    out: Path
    most_bytes: int = MOST_ANSWER_BYTES
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
_MOST_LOOK_BYTES = 1024**2
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
        return CLIENT.root(self.target)

    def name(self, key: str) -> str:
        """The name that may be printed: `r2:bucket/folder/key`."""
        return CLIENT.path(self.target, key)

    def get(self, key: str, *, most_bytes: int) -> bytes | Failure:
        """The content of a file, at most `most_bytes`; or why it can't be read.

        A folder is no file. Raises `HpsError` where the server is too slow.
        """
        looked = self._run(CLIENT.look_for(self.target, key), _MOST_LOOK_BYTES)
        if isinstance(looked, Failure):
            return looked
        if not CLIENT.is_object(looked.decode(errors="replace")):
            return _NO_FILE  # what is missing looks like a folder
        # Its size may have changed in between.
        return self._run(CLIENT.get(self.target, key, most_bytes=most_bytes), most_bytes)

    def put(self, path: Path, key: str) -> Failure | None:
        """Copy a local file to `key` below the target's folder. Returns why that failed."""
        sent = self._run(CLIENT.put(self.target, str(path), key), 0)
        return sent if isinstance(sent, Failure) else None

    def _run(self, call: ClientCall, most_bytes: int) -> bytes | Failure:
        """Run a call to its end; what it printed, or why it failed, without secrets."""
        command = call.invocation.command(self.program, self.secrets)
        ran = self.place.run(command, most_bytes=most_bytes)
        why = call.explain(ran.code, Scrubber(self.secrets).text(ran.err))
        if why is None:
            return ran.out
        # A server may answer with anything, such as all that it was sent.
        return why.with_text(printable(why.text, SHOWN_CHARACTERS))


def find_well_known(name: str, env: Mapping[str, str], place: Workplace) -> WellKnownBucket:
    """The bucket of a well-known target. Raises `HpsError` for what is missing in `env`."""
    target = well_known.target(name, env)
    return WellKnownBucket(
        target=target,
        program=CLIENT.find_program(env),
        place=place,
        secrets={key.env: env[key.env] for key in target.secrets},
    )

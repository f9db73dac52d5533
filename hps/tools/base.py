"""What a tool is to this program: a value that finds, calls, reads and explains one.

A tool is a module in this package that fits `Tool`, listed in `hps.tools.TOOLS`; what it can be
told stands in `hps.catalog.tools`. Outside its own module nothing knows its flags or its log.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from hps.model import Applied, Failure, Observed, Operation, SeenBy, Settings, Target
from hps.process.process import Exit
from hps.process.sockets import ConnectionCounter
from hps.run_folder import OwnFolder
from hps.tools.arrivals import Arrivals
from hps.tools.invocation import Invocation

Movement = Literal["upload", "download", "sync_up", "sync_down"]
Scheme = Literal["http", "https"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A tool on this machine: the path of its program, and its version."""

    program: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A tool that this machine has not, or not as it is needed."""

    why: str
    how_to_get: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Over which schemes a version of a tool is proved; none: it is not.

    `proved_at` is when, on this machine; empty for a proof by the project's tests. `wrong` says why
    a remembered proof is none.
    """

    schemes: frozenset[Scheme] = frozenset()
    proved_at: str = ""
    wrong: str = ""

    def covers(self, target: Target) -> bool:
        """True where the proof counts for transfers to and from this target."""
        plain = (target.endpoint or "").lower().startswith("http://")
        return ("http" if plain else "https") in self.schemes


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be moved, in words of no tool.

    `name` is that of the only file, below the folder `local` and below `folder` in the bucket;
    None: all files there are moved. Paths are text, since a printed command has `$WORK` in them.
    """

    movement: Movement
    target: Target
    folder: OwnFolder
    local: str
    name: str | None
    settings: Settings
    size_bytes: int
    files: int

    @property
    def key(self) -> str:
        """The object, or the folder of the objects, below the target's folder."""
        return f"{self.folder.key}/{self.name}" if self.name else self.folder.key

    @property
    def path(self) -> str:
        """The local file, or the local folder."""
        return f"{self.local}/{self.name}" if self.name else self.local


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A download that is about to begin: its output and its log are not there yet.

    `streams`: so many chunks of each file are in flight at once, as planned.
    """

    job: Job
    streams: int
    out: Path
    log: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A call that is over, and what it left to be read: its output, its log, its connections.

    `clean` takes secrets out of what a tool says, before anything is cut to a length.
    `offers_http2` is None where the endpoint was not asked.
    """

    operation: Operation
    ended: Exit
    out: Path
    log: Path
    counter: ConnectionCounter
    offers_http2: bool | None
    clean: Callable[[str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What really ran, by the tool's log and its connections.

    `effective` is None where nothing shows that payload was moved; `wrong` says why what ran is not
    what was asked for. `setup_s` lasts from the start of the process to the first request with
    payload; None where the log has no times. `repeated` tells of requests that were sent again,
    `crash` is what the program's runtime said as it ended, and `silent_s` for how long the log
    says nothing though it should. `moved_s` lasts from the start of the process to when its
    connections last moved anything, of a tool that goes on for longer. `proof` says what of this
    was seen by: the tool's own log, or its connections alone.
    """

    effective: Applied | None = None
    observed: Observed = field(default_factory=Observed)
    wrong: Failure | None = None
    setup_s: float | None = None
    retries: int | None = 0
    repeated: str = ""
    crash: str = ""
    silent_s: float = 0.0
    moved_s: float | None = None
    proof: SeenBy = "log"

    def by_sockets(self) -> Evidence:
        """What is left where nobody has proved that the tool's log is true: its connections.

        What its runtime said as it crashed is kept, which explains a failure and makes none.
        """
        seen = self.observed
        counted = Observed(connections=seen.connections, connection_samples=seen.connection_samples)
        return Evidence(
            observed=counted,
            retries=None,
            crash=self.crash,
            moved_s=self.moved_s,
            proof="sockets",
        )


class Tool(Protocol):
    """All that this program asks of a tool."""

    @property
    def name(self) -> str:
        """As experiments and results name it."""

    def find(self, env: Mapping[str, str]) -> Installed | Missing:
        """The program on this machine, asked for its version."""

    def call(self, job: Job) -> Invocation:
        """The command that moves what the job says, with each knob as asked. Pure."""

    def arrivals(self, running: Running) -> Arrivals:
        """What is on the disk while a download runs."""

    def read(self, ran: Ran) -> Evidence:
        """What the call really did."""

    def explain(self, ran: Ran) -> Failure:
        """Why a call that ended by itself came to no good end."""

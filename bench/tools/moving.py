"""Transfers by one tool: whole processes, timed, and what the proxy saw of them."""

from __future__ import annotations

import resource
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from bench.link.settings import WAYS, Way
from bench.tools.place import Place
from bench.tools.seen import Seen, see
from bench.tools.tool import Task, Terms, Tool, plain_environment
from hps.data import payload
from hps.data.shape import Payload
from hps.errors import MachineError
from hps.process import process
from hps.redaction import Scrubber
from hps.results.record import new_run_id, utc_text
from hps.run_folder import OwnFolder, run_folder
from hps.tools.rclone import command

_BRIEF_TIMEOUT_S = 120.0
_MOST_SAID = 300
# How long a request is held at least where the peak is looked for, so that one too many shows.
_HELD_S = 0.3
_FETCHED = "fetched.bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A transfer. `cpu_s` is the tool's own; `why` says how it failed, empty where it did not."""

    started_at: str
    duration_s: float
    cpu_s: float
    seen: Seen
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mover:
    """Moves a file between `scratch` and a place's server, on the same terms for all tools.

    `sender` sends for tools that only fetch.
    """

    place: Place
    terms: Terms
    sender: Tool
    scratch: Path
    guard: process.Guard
    made: Payload
    timeout_s: float

    def both_ways(self, tool: Tool, *, gathered: bool = False) -> Mapping[Way, Moved]:
        """Send the file under a new name, fetch it and compare; the tool's own ways of these.

        `gathered`: as many chunks are brought in flight at once as the tool wants to.
        """
        front = self.place.front
        front.gather = self.terms.concurrency if gathered else 0
        front.min_data_s = _HELD_S if gathered else 0.0
        folder, fetched = f"{_run_key()}/{secrets.token_hex(6)}", self.scratch / _FETCHED
        up = self._task("up", self.made.single_file, folder)
        done = {"up": self._move(tool if "up" in tool.ways else self.sender, up)}
        if not done["up"].why:
            done["down"] = self._compared(self._move(tool, self._task("down", fetched, folder)))
        fetched.unlink(missing_ok=True)
        self._delete(up, folder)
        return {way: done[way] for way in WAYS if way in done and way in tool.ways}

    def idle_s(self, tool: Tool) -> float:
        """How long the tool takes to start, load and end."""
        command = process.Command(argv=tool.idle, env=plain_environment(self.scratch))
        return self._run(command, _BRIEF_TIMEOUT_S).duration_s

    def _task(self, way: Way, file: Path, folder: str) -> Task:
        return Task(
            way=way,
            file=file,
            key=f"{folder}/0.bin",
            server=self.place.server,
            terms=self.terms,
            home=self.scratch,
        )

    def _move(self, tool: Tool, task: Task) -> Moved:
        self.place.front.clear()
        before_s = _cpu_s()
        ended = self._run(tool.command(task), self.timeout_s)
        cpu_s = _cpu_s() - before_s
        seen = see(self.place.front.requests(), task.way, task.key)
        good = ended.ended == "exit" and ended.returncode == 0
        why = "" if good else f"{ended.ended} {ended.returncode}: {self._said()}"
        return Moved(
            started_at=utc_text(ended.started_at),
            duration_s=ended.duration_s,
            cpu_s=cpu_s,
            seen=seen,
            why=why,
        )

    def _run(self, command: process.Command, timeout_s: float) -> process.Exit:
        with self.place.inside():
            return process.run(
                command,
                timeout_s=timeout_s,
                guard_process=self.guard,
                stdout=self.scratch / "out.log",
                stderr=self.scratch / "err.log",
            )

    def _said(self) -> str:
        """The last of what the process wrote, without keys."""
        server = self.place.server
        scrubber = Scrubber({"key id": server.access_key_id, "key": server.secret_access_key})
        logs = [
            (self.scratch / name).read_text(errors="replace") for name in ("out.log", "err.log")
        ]
        lines = "\n".join(logs).strip().splitlines()[-1:] or ["it said nothing"]
        return scrubber.text(lines[0])[-_MOST_SAID:]

    def _compared(self, moved: Moved) -> Moved:
        name = self.made.single_file.name
        digest = payload.hash_files(self.scratch, (_FETCHED,)).get(_FETCHED)
        same = digest == self.made.sha256[name]
        return moved if moved.why or same else replace(moved, why="what came down differs")

    def _delete(self, task: Task, folder: str) -> None:
        call = command.delete(task.remote, OwnFolder(folder))
        binary = self.sender.idle[0]
        ended = self._run(
            replace(self.sender.command(task), argv=(binary, *call.args)), _BRIEF_TIMEOUT_S
        )
        if ended.returncode != 0:
            raise MachineError(f"what was sent can't be deleted: {self._said()}")


def _run_key() -> str:
    return run_folder("tools", new_run_id(datetime.now(UTC))).key


def _cpu_s() -> float:
    """Of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime

"""An experiment that is killed again and again, and what has to hold once it has completed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from tests.command import REPOSITORY, hps, keys_of, target_text
from tests.kills.phases import ALL, CLEAN_UP, PROBE, Phases, read_lock
from tests.servers.faults import Reset, Rule
from tests.servers.proxy import RecordingProxy
from tests.servers.rclone_client import remote_environment, run_rclone
from tests.servers.s3_server import S3Server

Record = dict[str, Any]
# Ends a run, and returns the phase that it ended it in; empty where that was over before.
End = Callable[[subprocess.Popen[str], Phases], str]
PATIENCE_S = 120.0
_STRAY_S = 30.0
_HPS_RUN = (sys.executable, "-m", "hps", "run")
MACHINE = "machine-1"
# What is left of a run once it is in order.
FILES = (".csv", ".jsonl", ".txt")
_SPEC = """\
api: hps/v1
name: {name}
targets:
{target}
results: {{target: s3}}
data: {{size: 6MiB}}
matrix: {{chunk_size: [5MiB], concurrency: [1, 2]}}
steps: {steps}
{rules}
"""
_RULES = "node: {min_upload: 1kbps, on_unknown: accept, probe: {target: s3, seconds: 1}}"
_STEPS = "[upload, download, verify, {pause: {duration: 100ms}}, delete]"


class Site:
    """One experiment in a folder of its own, over a proxy in front of a real server."""

    def __init__(self, folder: Path, server: S3Server, proxy: RecordingProxy, phase: str) -> None:
        self.folder, self.server, self.proxy = folder, server, proxy
        self.name = folder.name
        self.output, self.temporary = folder / "out", folder / "tmp"
        self.temporary.mkdir(parents=True)
        self.spec = folder / "kills.yaml"
        text = _SPEC.format(
            name=self.name,
            target=target_text("s3", proxy.endpoint, server.bucket),
            steps="[upload, download]" if phase == CLEAN_UP else _STEPS,
            rules=_RULES if phase == PROBE else "",
        )
        self.spec.write_text(text)
        keys = {**keys_of(server), "SALAD_MACHINE_ID": MACHINE}
        self.env = {**os.environ, **keys, "TMPDIR": str(self.temporary)}
        self.home = self.output / self.name / MACHINE
        self.steps = self._planned()
        self.seen: list[Record] = []
        self.told: list[dict[str, object]] = []

    def _planned(self) -> dict[str, str]:
        planned = hps("plan", self.spec, "--format", "json", env=self.env)
        assert planned.code == 0, planned.err
        operations = json.loads(planned.out)["operations"]
        return {operation["operation_id"]: operation["step"] for operation in operations}

    def run(self, *options: str, end: End | None = None, rules: Iterable[Rule] = ()) -> Ended:
        """Run to the end, or until `end` makes one; `rules` are faults of the server."""
        left = set(self.steps) - {r["operation_id"] for r in self.results() if _final(r)}
        phases = Phases(self.home / ".lock", self.steps, len(left))
        # Befalls nothing: it is there to look.
        looks = Rule(match=phases.look_at_request, action=Reset(), times=None)
        self.proxy.rules[:] = [looks, *rules]
        start_s = time.monotonic()
        with (
            (self.folder / "answer").open("w") as out,
            subprocess.Popen(
                [*_HPS_RUN, str(self.spec), "--output", str(self.output), *options],
                env=self.env,
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.PIPE,
                text=True,
            ) as child,
            ThreadPoolExecutor(2) as readers,
        ):
            assert child.stderr is not None
            said = readers.submit(phases.read_events, child.stderr)
            readers.submit(phases.watch_lock)
            ended = Ended(killed_in=end(child, phases) if end else "")
            ended.code = child.wait(PATIENCE_S)
            ended.took_s = time.monotonic() - start_s
            ended.err = said.result(PATIENCE_S)
        if ended.killed_in:
            self._remember()
        return ended

    def _remember(self) -> None:
        """What was there at the kill: it must not be lost."""
        results = self.results()
        assert results[: len(self.seen)] == self.seen, "a stored result was changed"
        self.seen = results
        told = read_lock(self.home / ".lock")
        done = {r["operation_id"] for r in results if _final(r)}
        if "operation_id" in told and told["operation_id"] not in done:
            self.told.append(told)

    def journals(self) -> list[Path]:
        return sorted(self.output.rglob("*.jsonl"))

    def results(self) -> list[Record]:
        """Of the journals, without a line that was cut off."""
        lines = [
            json.loads(line)
            for journal in self.journals()
            for line in journal.read_bytes().split(b"\n")[:-1]
        ]
        return [line for line in lines if line["kind"] == "result"]

    def check(self, foreign: set[str]) -> None:
        """All that has to hold once the experiment has completed."""
        self._check_results()
        (journal,) = self.journals()
        kept = sorted(path.name for path in self.home.iterdir())
        assert kept == [f"{journal.stem}{suffix}" for suffix in FILES]
        assert self.ours(foreign) == {f"{self._place}/{name}" for name in kept}
        self.check_sent()
        self.check_machine()

    def _check_results(self) -> None:
        results = self.results()
        final = Counter(r["operation_id"] for r in results if _final(r))
        assert set(final) == set(self.steps), "operations were lost, or foreign ones came"
        assert set(final.values()) == {1}, "an operation was repeated"
        assert {r["status"] for r in results} <= {"ok", "interrupted"}, results
        assert results[: len(self.seen)] == self.seen, "what was stored is lost"
        interrupted = [r for r in results if not _final(r)]
        for told in self.told:
            names = [
                r["started_at"] for r in interrupted if r["operation_id"] == told["operation_id"]
            ]
            assert told["operation_started_at"] in names, f"{told} was not stored as interrupted"

    @property
    def _place(self) -> str:
        return f"tests/results/{self.name}/{MACHINE}"

    def check_sent(self) -> None:
        """The bucket has the very files that are here."""
        copy, source = self.folder / "copy", f"T:{self.server.bucket}/{self._place}"
        run_rclone(["sync", source, str(copy)], env=remote_environment(self.server))
        for path in self.home.iterdir():
            if path.suffix != ".open":
                assert (copy / path.name).read_bytes() == path.read_bytes(), f"{path.name} differs"

    def ours(self, foreign: set[str]) -> set[str]:
        """What is in the bucket that is not foreign, nor of another experiment of these tests."""
        listed = run_rclone(
            ["lsf", "-R", "--files-only", f"T:{self.server.bucket}"],
            env=remote_environment(self.server),
        )
        others = set(listed.stdout.splitlines()) - foreign
        return {name for name in others if f"/{self.name}/" in name or "/results/" not in name}

    def check_machine(self) -> None:
        """No process, temporary file or embedded server is left; what ends has a moment for it."""
        ends_s = time.monotonic() + _STRAY_S
        while (left := [*self.temporary.iterdir(), *self.strays()]) and time.monotonic() < ends_s:
            time.sleep(0.1)
        assert left == []

    def strays(self) -> list[psutil.Process]:
        """Processes that have this experiment's temporary folder in their environment."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("TMPDIR") == str(self.temporary):
                    found.append(process)
        return found

    def remove(self) -> None:
        """Take everything away, as good as it goes, so that a failed check leaves no process."""
        for process in self.strays():
            with contextlib.suppress(psutil.Error):
                process.kill()
        shutil.rmtree(self.temporary, ignore_errors=True)


class Ended:
    """How a run of `hps` ended; `killed_in` is a phase, or empty."""

    def __init__(self, killed_in: str) -> None:
        self.killed_in = killed_in
        self.code, self.took_s, self.err = 0, 0.0, ""


class Kill:
    """SIGKILL: `after_s` from the beginning, or from when `phase` was first seen.

    With `guard` the guard process dies first.
    """

    def __init__(self, phase: str, after_s: float, *, guard: bool = False) -> None:
        self.phase, self.after_s, self.guard = phase, after_s, guard

    def __call__(self, child: subprocess.Popen[str], phases: Phases) -> str:
        """Returns the phase that it was killed in; empty where it had ended before."""
        if not phases.wait_for(self.phase, PATIENCE_S):
            return ""
        ended = threading.Event()
        ended.wait(self.after_s)
        phase = phases.now
        if self.guard:
            _kill_guard(child.pid)
        child.send_signal(signal.SIGKILL)
        return phase if child.wait(PATIENCE_S) == -signal.SIGKILL else ""


def _kill_guard(pid: int) -> None:
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(pid).children():
            if any(argument.endswith("hps/process/guard.py") for argument in process.cmdline()):
                process.kill()


def _final(record: Record) -> bool:
    return bool(record["status"] != "interrupted")


def table(hits: Counter[str]) -> str:
    """How often each phase was hit."""
    lines = [f"{phase:>10} {hits[phase]:4d}" for phase in ALL]
    return "\n".join([*lines, f"{'all':>10} {sum(hits.values()):4d}"])

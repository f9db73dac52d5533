"""One long run of `hps` against the embedded target, and a look at it every few operations.

Its results go to a server that is no part of the run: one that takes a journal holds it in memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.soak.look import Look, look
from hps.errors import MachineError
from tests.servers.rclone_s3 import serve_s3
from tests.servers.s3_server import S3Server

STEPS_OF_A_TRIAL = 4
_CELLS = 2
_TIMEOUT_S = 6 * 3600.0
_END_S = 30.0
_SAID_LINES = 15
# Two parts: the smallest file that is moved in several.
_SPEC = """\
api: hps/v1
name: soak
targets:
  local: {{provider: embedded}}
  store:
    provider: other
    endpoint: {endpoint}
    bucket: {bucket}
    access_key_id: {{env: SOAK_KEY_ID}}
    secret_access_key: {{env: SOAK_SECRET}}
results: {{target: store}}
data: {{size: 6MiB}}
matrix: {{chunk_size: [5MiB], concurrency: [1, 2]}}
repetitions: {repetitions}
steps: [upload, download, verify, delete]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a run held once so many of its operations were done."""

    operations: int
    seen: Look


@dataclass(frozen=True, slots=True, kw_only=True)
class Soaked:
    """A run that is over. `left_behind` counts what it left in the temporary folder."""

    operations: int
    samples: tuple[Sample, ...]
    left_behind: int


def rounded(operations: int) -> int:
    """The next number of operations that makes whole repetitions."""
    whole = STEPS_OF_A_TRIAL * _CELLS
    return whole * -(-operations // whole)


def soak(operations: int, every: int, folder: Path, env: Mapping[str, str]) -> Soaked:
    """Run `rounded(operations)` of them; all files go below `folder`.

    `every` counts operations between looks; a multiple of 4 looks at the ends of trials.
    Raises `MachineError` where the run doesn't come to a good end.
    """
    with serve_s3(folder / "store") as store:
        return _soak(rounded(operations), every, folder, {**env, **_keys(store)}, store)


def _soak(
    operations: int, every: int, folder: Path, env: Mapping[str, str], store: S3Server
) -> Soaked:
    spec, temporary = folder / "soak.yaml", folder / "tmp"
    repetitions = operations // (STEPS_OF_A_TRIAL * _CELLS)
    spec.write_text(
        _SPEC.format(repetitions=repetitions, endpoint=store.endpoint, bucket=store.bucket)
    )
    temporary.mkdir()
    command = [sys.executable, "-m", "hps", "run", str(spec), "--output", str(folder / "results"),
               "--log", "json", "--format", "csv"]  # fmt: skip
    samples: list[Sample] = []
    said: list[str] = []
    done = 0
    with _started(command, {**os.environ, **env, "TMPDIR": str(temporary)}) as process:
        assert process.stderr is not None
        for line in process.stderr:
            said = [*said[-_SAID_LINES:], line]
            if _event(line) != "operation_done":
                continue
            done += 1
            seen = {} if done % every else look(process.pid, temporary)
            if seen:
                samples.append(Sample(operations=done, seen=seen))
        code = process.wait(timeout=_END_S)
    if code != 0 or done != operations:
        raise MachineError(f"hps run ended with {code} after {done} operations:\n{''.join(said)}")
    left = sum(1 for _ in temporary.iterdir())
    return Soaked(operations=done, samples=tuple(samples), left_behind=left)


@contextmanager
def _started(command: list[str], env: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The run, with its events in a pipe; it is stopped in the end, and after some hours."""
    with subprocess.Popen(
        command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, errors="replace",
    ) as process:  # fmt: skip
        clock = threading.Timer(_TIMEOUT_S, process.terminate)
        clock.start()
        try:
            yield process
        finally:
            clock.cancel()
            process.terminate()


def _keys(store: S3Server) -> dict[str, str]:
    return {"SOAK_KEY_ID": store.access_key_id, "SOAK_SECRET": store.secret_access_key}


def _event(line: str) -> str:
    try:
        return str(json.loads(line).get("event", ""))
    except ValueError:
        return ""  # no event: a warning of Python's, say

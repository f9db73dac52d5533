"""What it takes before the first byte moves: imports, the start of a run, and the runner's memory.

python -m bench.starting
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tabulate import tabulate

from tests.command import keys_of, targets_yaml
from tests.servers.proxy import RecordingProxy
from tests.servers.rclone_s3 import serve_s3

_REPETITIONS = 10
_RUNS = 5
_TIMEOUT_S = 120.0
_POLL_S = 0.02
_SPEC = """\
api: hps/v1
name: bench-starting
{targets}
node: {{min_upload: 1Mbps, on_unknown: accept, probe: {{target: s3, seconds: 1}}}}
data: {{size: 16MiB}}
matrix: {{concurrency: [4]}}
steps: [upload, download, verify, delete]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One run: seconds from its start to the first payload of the probe and of the first
    operation, as a proxy before the server saw them, and the most memory that it held."""

    probe_s: float
    operation_s: float
    memory_mib: float


def table() -> str:
    """Measured now, as Markdown."""
    bare_s = median(_took_s("-c", "pass") for _ in range(_REPETITIONS))
    version_s = median(_took_s("-m", "hps", "--version") for _ in range(_REPETITIONS))
    runner_s = median(_took_s("-c", "import hps.cli.run") for _ in range(_REPETITIONS))
    starts = [_start() for _ in range(_RUNS)]
    rows = [
        ["Python alone, start to end", f"{1000 * bare_s:.0f} ms"],
        ["`hps --version`", f"{1000 * version_s:.0f} ms"],
        ["importing all that a run uses", f"{1000 * (runner_s - bare_s):.0f} ms"],
        ["`hps run` to the probe's first byte", _spread([start.probe_s for start in starts], "s")],
        [
            "`hps run` to the first operation's first byte (probe of 1 s each way between)",
            _spread([start.operation_s for start in starts], "s"),
        ],
        [
            "memory of the runner, most, without rclone",
            _spread([start.memory_mib for start in starts], "MiB"),
        ],
    ]
    return tabulate(rows, headers=["starting", "median (range)"], tablefmt="github")


def _took_s(*arguments: str) -> float:
    start_s = time.monotonic()
    subprocess.run(
        [sys.executable, *arguments],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        timeout=_TIMEOUT_S,
    )
    return time.monotonic() - start_s


def _start() -> Start:
    """A run with a probe against a server whose requests are recorded."""
    with (
        tempfile.TemporaryDirectory(prefix="hps-bench-") as name,
        serve_s3(Path(name) / "served") as server,
        RecordingProxy(server.host, server.port) as proxy,
    ):
        folder = Path(name)
        spec = folder / "spec.yaml"
        spec.write_text(_SPEC.format(targets=targets_yaml(proxy.endpoint, server)))
        env = {"PATH": "/usr/bin:/bin", "HOME": name, **keys_of(server)}
        start_s = time.monotonic()
        memory_mib = _run_to_its_end(spec, folder, env)
        # The check before a run uploads, too; that is no payload.
        seen = [request for request in proxy.requests() if request.direction == "up"]
        sent = [request for request in seen if "/check-" not in request.key]
        first = {
            probe: min(
                request.started_s for request in sent if ("/probe/" in f"/{request.key}") == probe
            )
            for probe in (True, False)
        }
    return Start(
        probe_s=first[True] - start_s, operation_s=first[False] - start_s, memory_mib=memory_mib
    )


def _run_to_its_end(spec: Path, folder: Path, env: dict[str, str]) -> float:
    """The most memory that the runner's own process held, in MiB."""
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        child = subprocess.Popen(
            [sys.executable, "-m", "hps", "run", str(spec), "--output", str(folder / "results"),
             "--format", "json"],
            env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
        )  # fmt: skip
        most_kib, deadline_s = 0, time.monotonic() + _TIMEOUT_S
        try:
            while child.poll() is None and time.monotonic() < deadline_s:
                most_kib = max(most_kib, _peak_kib(child.pid))
                time.sleep(_POLL_S)
        finally:
            child.kill()
            code = child.wait(timeout=10)
    if code != 0:
        raise RuntimeError(f"hps run ended with {code}: {(folder / 'err').read_text()[-2000:]}")
    if not most_kib:
        raise RuntimeError("the memory of hps run was never seen: is /proc masked here?")
    lines = (folder / "out").read_text().splitlines()
    assert all(json.loads(line).get("status", "ok") == "ok" for line in lines)
    return most_kib / 1024


def _peak_kib(pid: int) -> int:
    """The kernel's high-water mark of a process' resident memory; 0 where it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def _spread(values: list[float], unit: str) -> str:
    return f"{median(values):.3g} {unit} ({min(values):.3g} to {max(values):.3g})"


if __name__ == "__main__":
    print(table())

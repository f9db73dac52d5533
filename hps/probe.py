"""The bandwidth probe: several connections to the experiment's own bucket, a few seconds each way.

One rclone sends more than fits into the time, and is ended; another reads one object again and
again, and keeps nothing of it. The rates are those of the kernel's counters. Neither way takes more
disk than one file, and what was sent is removed in every case.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hps import process
from hps.model import ProbeSettings
from hps.node.bandwidth import INTERVAL_S, Point, SteadyRate, rate_from_points
from hps.node.reading import Reading, Unknown, describe, known, unknown
from hps.node.socket_bytes import SocketBytes
from hps.targets import Remote, child_env
from hps.tools import evidence, rclone, rclone_log

STOPPED = "the run was stopped"
_MIB = 1024**2
_FILE_BYTES = 32 * _MIB
# What a link of 20 Gbps moves.
_MOST_BYTES_PER_S = 2.5e9
# The object that is read takes about so long to upload, and some time more where one connection is
# slower than several.
_OBJECT_S = 2.0
_OBJECT_TIMEOUT_S = 30.0
_READS = 256
_REMOVE_TIMEOUT_S = 20.0
_REMOVE_TRIES = 3
# A server may still be busy with an upload that was cut off.
_SETTLE_S = 0.5
_SPEEDTEST_TIMEOUT_S = 90.0
_FLAGS = (
    "--disable-http2",  # it would fold all into one connection
    "--retries=1",
    "--low-level-retries=3",
    "--contimeout=10s",
    "--use-json-log",
    "--log-level=ERROR",  # so that anything in the log is a failure
)
# One PUT a file: what is cut off leaves no incomplete multipart upload.
_WHOLE = ("--s3-upload-cutoff=5Gi", "--no-check-dest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The way to a folder of a bucket: `key` under the remote's root, and what to go there with."""

    remote: Remote
    key: str
    binary: str
    secrets: Mapping[str, str] = field(repr=False)
    guard: process.Guard
    scratch: Path
    stop: process.Stop

    def run(
        self,
        call: rclone.Invocation,
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

    def log(self, name: str) -> Path:
        """Where the calls of this name write what goes wrong."""
        return self.scratch / f"{name}.log"

    def place(self, *parts: str) -> str:
        """A folder below the key, as rclone takes it.

        With the slash at its end rclone does not ask first whether it is a file.
        """
        return f"{self.remote.path(self.key, *parts)}/"

    def call(self, *args: str) -> rclone.Invocation:
        """A call on this link with the flags that all of them share."""
        trust = (f"--ca-cert={self.remote.ca_cert}",) if self.remote.ca_cert else ()
        return rclone.Invocation(args=(*args, *_FLAGS, *trust), remote=self.remote)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One direction: megabits a second, and the growing count of bytes behind it."""

    mbps: Reading
    points: tuple[Point, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Both directions, as this node sees them."""

    upload: Rate
    download: Rate


def nothing(reason: str) -> Rates:
    """No rates, and why."""
    return Rates(upload=Rate(mbps=unknown(reason)), download=Rate(mbps=unknown(reason)))


def measure(link: Link, settings: ProbeSettings, event: Callable[..., object]) -> Rates:
    """Measure both directions through the link, whose folder must be this probe's own.

    What fails is unknown, with the reason. Takes at most about twice the declared seconds and a
    minute where nothing goes well.
    """
    folder = link.scratch / "probe"
    try:
        file = _random_file(folder)
        event("probe_started", direction="upload", most_s=settings.duration_s)
        upload = _upload(link, settings, file)
        event("probe_started", direction="download", most_s=settings.duration_s)
        return Rates(upload=upload, download=_download(link, settings, file, upload.mbps))
    except OSError as error:
        return nothing(f"{folder}: {describe(error)}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        left = _remove(link)
        if left:
            event("clean_up_failed", what="probe", key=link.key, reason=left)


@dataclass(slots=True)
class _Watch:
    """Looks at a process from outside until its rate is steady, or something goes wrong.

    It is a `process.Sampler`, and the `process.Stop` of the same process.
    """

    log: Path
    count: Callable[[SocketBytes], int | Unknown]
    stop: process.Stop
    interval_s: float = INTERVAL_S
    rate: SteadyRate = field(default_factory=SteadyRate)
    trouble: str = ""
    _sockets: SocketBytes | None = None

    def sample(self, pid: int) -> None:
        """One look at the bytes that process `pid` has moved."""
        if self._sockets is None:
            self._sockets = SocketBytes(pid=pid)
        total = self.count(self._sockets)
        if isinstance(total, Unknown):
            self.trouble = total.reason
        else:
            self.rate.feed(time.monotonic(), total)

    def is_set(self) -> bool:
        """True once there is no more to see."""
        # Bytes move in requests that are refused, too: their rate is none.
        if not self.trouble and self.log.stat().st_size:
            self.trouble = _first_error(self.log)
        return self.stop.is_set() or bool(self.trouble) or self.rate.steady

    def outcome(self, ended: process.Exit) -> Rate:
        """The rate, once the process has ended."""
        if self.stop.is_set():
            return Rate(mbps=unknown(STOPPED))
        if ended.ended == "exit" and ended.returncode != 0 and not self.trouble:
            self.trouble = _first_error(self.log) or f"rclone ended with code {ended.returncode}"
        if self.trouble:
            return Rate(mbps=unknown(self.trouble))
        points = tuple(self.rate.points)
        reading = rate_from_points((point.t_s, point.bytes_total) for point in points)
        return Rate(mbps=reading, points=points)


def _upload(link: Link, settings: ProbeSettings, file: Path) -> Rate:
    """Many names for one file: more than fits into the time, and no more disk than it has."""
    names = file.parent / "names"
    names.mkdir()
    most_bytes = _MOST_BYTES_PER_S * settings.duration_s
    for number in range(settings.connections + math.ceil(most_bytes / _FILE_BYTES)):
        (names / f"{number}.bin").symlink_to(file)
    call = link.call(
        "copy",
        str(names),
        link.place("sent"),
        "--copy-links",
        f"--transfers={settings.connections}",
        *_WHOLE,
    )
    return _watched(link, settings, call, SocketBytes.sent_bytes)


def _download(link: Link, settings: ProbeSettings, file: Path, upload: Reading) -> Rate:
    """Read one object again and again: it stands under many names in one combined folder."""
    if not isinstance(upload.value, float):
        return Rate(mbps=unknown(f"nothing to read, for the upload failed: {upload.reason}"))
    failed = _send_object(link, file, upload.value)
    if failed:
        return Rate(mbps=unknown(f"nothing to read: {failed}"))
    call = link.call(
        "hashsum",
        "crc32",
        _combined(link.place("read")),
        "--download",
        f"--transfers={settings.connections}",
        "--checkers=1",  # who looks for objects: one connection more, which moves next to nothing
        "--disable=ListR",
    )
    return _watched(link, settings, call, SocketBytes.received_bytes)


def _watched(
    link: Link,
    settings: ProbeSettings,
    call: rclone.Invocation,
    count: Callable[[SocketBytes], int | Unknown],
) -> Rate:
    watch = _Watch(log=link.log("probe"), count=count, stop=link.stop)
    # The first look comes one interval after the start, and the last may be missed.
    timeout_s = settings.duration_s + 2 * INTERVAL_S
    ended = link.run(call, timeout_s=timeout_s, name="probe", stop=watch, sampler=watch)
    return watch.outcome(ended)


def _send_object(link: Link, file: Path, upload_mbps: float) -> str:
    """Upload what is to be read, as large as the time allows. Returns why it failed, or nothing."""
    size_bytes = int(upload_mbps * 1e6 / 8 * _OBJECT_S)
    os.truncate(file, min(_FILE_BYTES, max(_MIB, size_bytes)))
    ended = link.run(
        link.call("copy", str(file), link.place("read"), *_WHOLE),
        timeout_s=_OBJECT_TIMEOUT_S,
        name="probe",
        stop=link.stop,
    )
    if ended.ended == "timeout":
        return f"its upload took more than {_OBJECT_TIMEOUT_S:g} s"
    if ended.ended == "stopped":
        return STOPPED
    failed = ended.returncode != 0
    return (_first_error(link.log("probe")) or f"code {ended.returncode}") if failed else ""


def _combined(place: str) -> str:
    """A remote with many folders that are all the same one."""
    quoted = place.replace('"', '""')
    upstreams = " ".join(f'"{number}={quoted}"' for number in range(_READS))
    escaped = upstreams.replace("'", "''")
    return f":combine,upstreams='{escaped}':"


def _random_file(folder: Path) -> Path:
    folder.mkdir()
    file = folder / "random.bin"
    with file.open("wb") as stream:
        for _ in range(_FILE_BYTES // _MIB):
            stream.write(os.urandom(_MIB))
    return file


def _remove(link: Link) -> str:
    """Delete what was sent, and look whether it is gone. Returns what went wrong, or nothing."""
    log, listed = link.log("remove"), link.scratch / "remove.out"
    for _ in range(_REMOVE_TRIES):
        deleted = link.run(
            rclone.delete(link.remote, link.key), timeout_s=_REMOVE_TIMEOUT_S, name="remove"
        )
        if deleted.returncode != 0:
            return evidence.last_line(log) or f"rclone ended by {deleted.ended}"
        time.sleep(_SETTLE_S)
        looked = link.run(
            rclone.list_files(link.remote, link.key), timeout_s=_REMOVE_TIMEOUT_S, name="remove"
        )
        if looked.returncode != 0:
            return evidence.last_line(log) or f"rclone ended by {looked.ended}"
        if not listed.stat().st_size:
            return ""
    return "objects keep coming"


def _first_error(log: Path) -> str:
    """What the tool complained of first, on one line of at most 300 characters."""
    for line in log.read_bytes().splitlines():
        said = rclone_log.parse([line]).last_error
        if said:
            return " ".join(said.split())[:300]
    return ""


def measure_by_speedtest(link: Link) -> Rates:
    """The rates to a public server near by, as the speedtest-cli package finds them."""
    if importlib.util.find_spec("speedtest") is None:
        return nothing("speedtest-cli is not installed: pip install 'hps[speedtest]'")
    argv = (sys.executable, "-P", "-m", "speedtest", "--json", "--secure", "--timeout=10")
    out, log = link.scratch / "speedtest.out", link.log("speedtest")
    ended = process.run(
        process.Command(argv=argv, env=child_env(None, {})),
        timeout_s=_SPEEDTEST_TIMEOUT_S,
        guard_process=link.guard,
        stdout=out,
        stderr=log,
        stop=link.stop,
    )
    if ended.ended != "exit" or ended.returncode != 0:
        why = evidence.last_line(log) or f"code {ended.returncode}"
        return nothing(STOPPED if ended.ended == "stopped" else f"speedtest: {ended.ended}, {why}")
    return parse_speedtest(out.read_text(errors="replace"))


def parse_speedtest(text: str) -> Rates:
    """The answer of `speedtest-cli --json`, which has bits a second."""
    try:
        answer = json.loads(text)
        upload, download = float(answer["upload"]), float(answer["download"])
    except (ValueError, KeyError, TypeError):
        return nothing("speedtest gave no answer that can be read")
    if upload <= 0 or download <= 0:
        return nothing("speedtest moved nothing")
    return Rates(upload=Rate(mbps=known(upload / 1e6)), download=Rate(mbps=known(download / 1e6)))

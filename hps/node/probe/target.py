"""The probe by the experiment's own bucket: several connections, a few seconds each way.

One call of the client reads an object again and again, and keeps nothing of it; another sends more
than fits into the time, and is ended. The rates are those of the kernel's counters. Neither way
needs more disk than one file, and what was sent is removed in every case.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hps.catalog.failures import failure, of_system
from hps.model import Failure, ProbeSettings, Unknown, failed
from hps.node.bandwidth import (
    INTERVAL_S,
    LEAST_BYTES,
    STOPPED,
    Rate,
    Rates,
    SteadyRate,
    no_rates,
    rate_from_points,
)
from hps.process import process
from hps.process.sockets import SocketBytes
from hps.run_folder import OwnFolder
from hps.targets.bucket import CallEnd, Link
from hps.tools.client import ClientCall

# -------------------------------------------------------------------------------------------------
# A running transfer, watched from outside until its rate is known.

# A slow link with large buffers takes many seconds.
_QUIET_TIMEOUT_S = 20.0
_QUIET_LOOKS = 2


@dataclass(slots=True)
class Watch:
    """Watches a process from outside until its rate is steady, or something goes wrong.

    It ends `most_s` after payload begins to move: what the tool does before, such as reading its
    files for their checksums, is no time of the link. It is a `process.Sampler`, and the
    `process.Stop` of the same process.
    """

    log: Path
    trouble_in: Callable[[str], Failure | None]
    count: Callable[[SocketBytes], int | Unknown]
    stop: process.Stop
    most_s: float
    interval_s: float = INTERVAL_S
    rate: SteadyRate = field(default_factory=SteadyRate)
    trouble: Failure | None = None
    _sockets: SocketBytes | None = None
    _first_bytes: int | None = None
    _moving_since_s: float | None = None

    def sample(self, pid: int) -> None:
        """Look at the bytes that process `pid` has moved."""
        if self._sockets is None:
            self._sockets = SocketBytes(pid=pid)
        total = self.count(self._sockets)
        if isinstance(total, Unknown):
            self.trouble = failure("tool_failed", total.reason)
        else:
            self._feed(time.monotonic(), total)

    def _feed(self, now_s: float, total_bytes: int) -> None:
        """Add a look; of those before payload moves only the last one is kept."""
        if self._first_bytes is None:
            self._first_bytes = total_bytes
        if self._moving_since_s is None:
            if total_bytes - self._first_bytes < LEAST_BYTES:
                self.rate.points.clear()
            else:
                self._moving_since_s = now_s
        self.rate.feed(now_s, total_bytes)

    def is_set(self) -> bool:
        """True once the rate is steady, the time is over, or something went wrong."""
        # Requests that are refused move bytes, too, and these are no rate.
        if not self.trouble and self.log.stat().st_size:
            self.trouble = self.trouble_in(self.log.read_text(errors="replace"))
        return self.stop.is_set() or self.trouble is not None or self.rate.steady or self._enough()

    def _enough(self) -> bool:
        since_s = self._moving_since_s
        return since_s is not None and time.monotonic() - since_s >= self.most_s

    def wait_for_quiet(self) -> None:
        """Wait until the kernel has sent what the ended process left in its buffers, within bounds.

        Otherwise the next measurement would share the link with that.
        """
        ends_s, last, quiet = time.monotonic() + _QUIET_TIMEOUT_S, None, 0
        while self._sockets is not None and time.monotonic() < ends_s and quiet < _QUIET_LOOKS:
            moved = self._sockets.sent_bytes()
            quiet, last = (quiet + 1 if moved == last else 0), moved
            if self.stop.is_set() or isinstance(moved, Unknown):
                return
            time.sleep(self.interval_s)

    def outcome(self, ended: CallEnd) -> Rate:
        """The rate, once the process has ended."""
        if self.stop.is_set():
            return Rate(mbps=failed(STOPPED))
        if ended.exit.ended == "exit" and not self.trouble:
            self.trouble = ended.failure
        if self.trouble:
            return Rate(mbps=failed(self.trouble))
        if self._moving_since_s is None:
            idle = failure("timeout", f"no payload moved in {ended.exit.duration_s:.3g} s")
            return Rate(mbps=failed(idle))
        points = tuple(self.rate.points)
        reading = rate_from_points((point.t_s, point.bytes_total) for point in points)
        return Rate(mbps=reading, points=points)


# -------------------------------------------------------------------------------------------------

_MIB = 1024**2
_FILE_BYTES = 32 * _MIB
# A link of 20 Gbps.
_MOST_BYTES_PER_S = 2.5e9
# The object that is read is so large that its upload takes about this time.
_OBJECT_S = 2.0
_OBJECT_TRIES = 3
_OBJECT_TIMEOUT_S = 30.0
_READS = 256
# From the start of the client to its first payload.
_BEGIN_TIMEOUT_S = 10.0
_REMOVE_TIMEOUT_S = 20.0
_STOPPED_TIMEOUT_S = 4.0
_REMOVE_TRIES = 3
# A server may still be busy with an upload that was cut off.
_BUSY_S = 0.5


def measure(link: Link, settings: ProbeSettings, event: Callable[..., object]) -> Rates:
    """Measure both directions through the link, whose folder must be this probe's own.

    A rate that can't be measured is unknown, with the reason. In the worst case this takes about
    twice the declared seconds and a minute.
    """
    folder = link.scratch / "probe"
    try:
        file = _random_file(folder)
        # Download first: an upload leaves data in buffers that would share the link.
        event("probe_started", direction="download", most_s=settings.duration_s)
        sent, failed = _send_object(link, file)
        if failed:
            return no_rates(failed.with_text(f"an object could not be sent: {failed.text}"))
        download = _download(link, settings, sent)
        event("probe_started", direction="upload", most_s=settings.duration_s)
        return Rates(upload=_upload(link, settings, file), download=download)
    except OSError as error:
        return no_rates(of_system(error, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        why = _remove(link)
        if why:
            event("clean_up_failed", what="probe", key=link.key, reason=why)


def _upload(link: Link, settings: ProbeSettings, file: Path) -> Rate:
    """Upload one file under many names: more than fits into the time."""
    names = file.parent / "names"
    names.mkdir()
    most_bytes = _MOST_BYTES_PER_S * settings.duration_s
    for number in range(settings.connections + math.ceil(most_bytes / _FILE_BYTES)):
        (names / f"{number}.bin").symlink_to(file)
    call = link.put_whole(names, "sent", at_once=settings.connections)
    return _watched(link, settings, call, SocketBytes.sent_bytes)


def _download(link: Link, settings: ProbeSettings, folder: str) -> Rate:
    call = link.read_again(folder, times=_READS, at_once=settings.connections)
    return _watched(link, settings, call, SocketBytes.received_bytes)


def _watched(
    link: Link,
    settings: ProbeSettings,
    call: ClientCall,
    count: Callable[[SocketBytes], int | Unknown],
) -> Rate:
    watch = Watch(
        log=link.log("probe"),
        trouble_in=call.trouble,
        count=count,
        stop=link.stop,
        most_s=settings.duration_s,
    )
    timeout_s = settings.duration_s + _BEGIN_TIMEOUT_S
    ended = link.run(call, timeout_s=timeout_s, name="probe", stop=watch, sampler=watch)
    watch.wait_for_quiet()
    return watch.outcome(ended)


def _send_object(link: Link, file: Path) -> tuple[str, Failure | None]:
    """Upload the object that is to be read. Returns its folder, and why that failed.

    It is as large as this link can send in about `_OBJECT_S`, found by sending larger and larger
    ones.
    """
    size_bytes, folder = _MIB, ""
    for attempt in range(_OBJECT_TRIES):
        folder = f"read-{attempt}"
        part = file.with_name(f"part-{attempt}.bin")
        with file.open("rb") as whole:
            part.write_bytes(whole.read(size_bytes))
        call = link.put_whole(part, folder)
        ended = link.run(call, timeout_s=_OBJECT_TIMEOUT_S, name="probe", stop=link.stop)
        if ended.failure:
            return folder, ended.failure
        took_s = ended.exit.duration_s
        larger_bytes = min(_FILE_BYTES, int(size_bytes / took_s * _OBJECT_S))
        if larger_bytes < 2 * size_bytes or took_s > _OBJECT_S / 2:
            break
        size_bytes = larger_bytes
    return folder, None


def _random_file(folder: Path) -> Path:
    folder.mkdir()
    file = folder / "random.bin"
    with file.open("wb") as stream:
        for _ in range(_FILE_BYTES // _MIB):
            stream.write(os.urandom(_MIB))
    return file


def _remove(link: Link) -> str:
    """Delete what was sent, and look whether it is gone. Returns why not, or nothing."""
    own = OwnFolder(link.key)
    for _ in range(_REMOVE_TRIES):
        timeout_s = _STOPPED_TIMEOUT_S if link.stop.is_set() else _REMOVE_TIMEOUT_S
        deleted = link.run(link.delete(own), timeout_s=timeout_s, name="remove")
        if deleted.failure:
            return deleted.failure.reason
        time.sleep(_BUSY_S)
        looked = link.run(link.list_names(), timeout_s=timeout_s, name="remove")
        if looked.failure:
            return looked.failure.reason
        if not looked.out.stat().st_size:
            return ""
    return "objects keep coming"

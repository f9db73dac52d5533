"""Whether a tool held back: fewer chunks, or files, at once than it was told to move.

That fewer were seen proves nothing alone: a chunk may be gone before the next one is read. It is
proved where chunks take long, are read at once, and yet each waits for another one to end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from statistics import median, quantiles

from hps.tools.rclone_log import RcloneLog

# A chunk so long is under way during several looks at the connections, and many lines of the log.
_LONG_CHUNK_S = 0.2
# In so much less than a chunk takes, the next one has to be there. Less than this share by
# accident, at each of several chunks, is not to be expected of a slow disk.
_QUICK_SHARE = 1 / 8
_ENOUGH_GAPS = 4
# So often the same files were in flight half a second later, though others waited.
_ENOUGH_HELD = 2

_Event = tuple[datetime, bool]


def held_back(log: RcloneLog, asked: int) -> bool:
    """True where fewer chunks of a file were in flight than `asked`, and not for want of them."""
    times = [list(_events(log, name)) for name in {name for name, _ in log.starts}]
    gaps_s = [gap_s for events in times for gap_s, _ in _gaps(events)]
    reading_s = [gap_s for events in times for gap_s, after_start in _gaps(events) if after_start]
    chunks_s = [(log.ends[k] - log.starts[k]).total_seconds() for k in log.ends if k in log.starts]
    if log.peak_streams >= asked or len(gaps_s) < _ENOUGH_GAPS or not chunks_s:
        return False
    chunk_s = median(chunks_s)
    quick_s = chunk_s * min(_QUICK_SHARE, 1 / asked, 1 / (2 * log.peak_streams))
    most_s = quantiles(gaps_s, n=5)[-1]  # of four in five: a machine hesitates now and then
    while_there_was_room_s = median(reading_s) if reading_s else 0.0
    return chunk_s >= _LONG_CHUNK_S and max(most_s, while_there_was_room_s) <= quick_s


def files_held_back(log: RcloneLog, asked: int) -> bool:
    """True where fewer files were in flight than `asked` although others waited."""
    return log.peak_files < asked and log.held >= _ENOUGH_HELD


def _events(log: RcloneLog, name: str) -> Iterator[_Event]:
    """When chunks of a file began (true) and ended (false)."""
    moments = [(at, True) for (file, _), at in log.starts.items() if file == name]
    moments += [(at, False) for (file, _), at in log.ends.items() if file == name]
    yield from sorted(moments)


def _gaps(events: Sequence[_Event]) -> Iterator[tuple[float, bool]]:
    """How long after the last event each chunk began, and whether that was a beginning, too."""
    for (before, was_start), (at, is_start) in pairwise(events):
        if is_start:
            yield (at - before).total_seconds(), was_start

"""The status of a fleet: a screen for people, a line for logs, and a document for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from statistics import median
from textwrap import wrap

from hps.errors import printable
from hps.fleet.engine import Offer, Started
from hps.fleet.progress import MOST_FAILURES, FleetFailure, FleetProgress
from hps.fleet.status import STATES, FleetStatus, JournalsRead
from hps.fleet.turned_down import TurnedDown
from hps.results.record import utc_text
from hps.units import format_size_rounded, format_time

WIDTH = 80
_LABEL_WIDTH = 12
_MOST_CHECKS = 8
_MOST_GROUPS = 4
Row = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What an engine has of a fleet; None: nothing. `offers` are the kinds of machines it may have.

    `unpriced` is why there are no offers, or empty. What containers have cost that are gone is not
    known, so that all money here is that of the containers there are.
    """

    engine: str
    started: Started | None
    offers: tuple[Offer, ...] = ()
    unpriced: str = ""

    @property
    def states(self) -> Mapping[str, int]:
        """How many containers are in each state, in the engine's word."""
        instances = () if self.started is None else self.started.instances
        return dict(Counter(instance.state for instance in instances).most_common())

    @property
    def billed(self) -> int:
        return 0 if self.started is None else self.started.billed

    @property
    def usd_per_hour(self) -> tuple[float, float] | None:
        """The least and the most that all which are billed cost; which kind each is isn't known."""
        prices = [offer.usd_per_hour for offer in self.offers]
        if not prices or self.started is None:
            return None
        return self.billed * min(prices), self.billed * max(prices)

    def usd_so_far(self, now: datetime) -> tuple[float, float] | None:
        """The same since each came into its state; None where that is not known of any."""
        prices, started = [offer.usd_per_hour for offer in self.offers], self.started
        if not prices or started is None:
            return None
        known = [one.since for one in started.instances if one.is_billed and one.since is not None]
        if not known and started.billed:
            return None
        hours = sum(max(0.0, (now - since).total_seconds()) for since in known) / 3600
        return hours * min(prices), hours * max(prices)


def as_text(status: FleetStatus, spending: Spending | None = None) -> str:
    """A screen of lines that fit 80 columns."""
    lines = (line for name, value in rows(status, spending) for line in _lines(name, value))
    return "".join(f"{line}\n" for line in lines)


def rows(status: FleetStatus, spending: Spending | None = None) -> list[Row]:
    """Facts by name; one without a name goes on with the one before it."""
    facts = [
        ("fleet", f"{status.fleet}, of {status.experiment}"),
        ("nodes", f"{len(status.nodes):,}{_of(status.wanted)}"),
        *_states(status),
        *_named("turned down", map(_turned_down, status.turned_down[:_MOST_CHECKS])),
        ("cells", _coverage(status.covered)),
        ("operations", _operations(status.progress)),
        ("rate", _rate(status.progress)),
        ("time left", _time_to_end(status)),
        *_named("failed", map(_failure, status.failures[:MOST_FAILURES])),
        *_named("journals", _journals(status.journals)),
        *([] if spending is None else _spending(spending, status.at)),
        ("began", _time(status.began_at) or "no node has announced itself yet"),
        ("ends", _time(status.ends_at) or ""),
        ("over", status.why_over),
    ]
    return [fact for fact in facts if fact[1]]


def as_line(status: FleetStatus) -> str:
    """As much as fits 80 columns, the most important first."""
    done = f"{status.count('done'):,}" + (f"/{status.wanted:,}" if status.wanted else "")
    progress = status.progress
    words = (("lost", "lost"), ("rejected", "turned down"))
    counts = ((status.count(state), word) for state, word in words)
    parts = [
        f"{status.at:%H:%M:%S} {done} done",
        f"{status.count('at_work'):,} at work",
        *([_percent(progress)] if progress.done is not None else []),
        *([f"{format_time(progress.left_s)} left"] if progress.left_s is not None else []),
        *(f"{count:,} {word}" for count, word in counts if count),
    ]
    line = parts[0]
    for part in parts[1:]:
        line = f"{line}, {part}" if len(line) + len(part) + 2 <= WIDTH else line
    return f"{line}\n"


def as_data(status: FleetStatus, spending: Spending | None = None) -> dict[str, object]:
    """The document for programs. Fields are only ever added."""
    return {
        "fleet": status.fleet,
        "experiment": status.experiment,
        "at": utc_text(status.at),
        "wanted": status.wanted,
        "states": {state: status.count(state) for state in STATES},
        "covered": list(status.covered),
        "began_at": _time(status.began_at),
        "ends_at": _time(status.ends_at),
        "over": status.why_over or None,
        "operations": asdict(status.progress),
        "turned_down": [asdict(line) for line in status.turned_down],
        "failures": [asdict(one) | {"at": _time(one.at)} for one in status.failures],
        "journals": asdict(status.journals),
        **({} if spending is None else {"engine": _spending_data(spending, status.at)}),
        "nodes": [
            {
                "machine_id": node.machine_id,
                "state": node.state,
                "cells": list(node.cells),
                "seen_at": _time(node.seen_at),
                "operations": asdict(node.progress),
            }
            for node in status.nodes
        ],
    }


def _lines(name: str, value: str) -> Iterator[str]:
    """A fact in lines; what has no space is broken where a line ends."""
    parts = wrap(
        printable(value), WIDTH - _LABEL_WIDTH, break_on_hyphens=False, subsequent_indent="  "
    )
    for number, part in enumerate(parts):
        yield f"{'' if number else name:<{_LABEL_WIDTH}}{part}"


def _named(name: str, values: Iterable[str]) -> list[Row]:
    return [("" if number else name, value) for number, value in enumerate(values)]


# --- nodes and cells -----------------------------------------------------------------------------


def _of(wanted: int | None) -> str:
    return " have begun" if wanted is None else f" have begun; {wanted:,} are wanted"


def _states(status: FleetStatus) -> list[Row]:
    counts = ((status.count(state), words) for state, words in STATES.items())
    return [("", f"{count:,} {words}") for count, words in counts if count]


def _turned_down(line: TurnedDown) -> str:
    words = f"{line.nodes:,} by {line.check}" + (f" ({line.bound})" if line.bound else "")
    pairs = enumerate(line.relaxed)
    relaxed = [f"{one.nodes:,}{'' if n else ' would pass'} at {one.bound}" for n, one in pairs]
    unknown = [f"{line.unknown:,} unknown"] if line.unknown and line.relaxed else []
    parts = [*relaxed, *unknown, *([line.reason] if line.reason else [])]
    return f"{words}: {', '.join(parts)}" if parts else words


def _coverage(covered: Sequence[int]) -> str:
    if not covered:
        return ""
    least, most = min(covered), max(covered)
    middle = f"{median(covered):g}"
    if least == most:
        return f"{len(covered):,}, each at {least:,} nodes"
    return f"{len(covered):,}, each at {least:,} to {most:,} nodes, {middle} in the median"


# --- operations ----------------------------------------------------------------------------------


def _operations(progress: FleetProgress) -> str:
    if not progress.planned:
        return ""
    if progress.done is None:
        return f"{progress.planned:,} planned; how many are done is not known"
    about = "about " if progress.is_estimate else ""
    return f"{about}{progress.done:,} of {progress.planned:,} done, {_percent(progress)}"


def _percent(progress: FleetProgress) -> str:
    share = (progress.done or 0) / max(1, progress.planned)
    return f"{min(100, int(100 * share))} %"


def _rate(progress: FleetProgress) -> str:
    if progress.per_min is None:
        return ""
    moved = progress.bytes_per_min
    size = "" if moved is None else f" and {format_size_rounded(moved)}"
    about = "about " if progress.is_estimate else ""
    minutes = round(progress.window_s / 60)
    over = f"{minutes} min" if minutes > 1 else format_time(progress.window_s)
    return f"{about}{_count(progress.per_min)} operations{size} a minute, over the last {over}"


def _count(number: float) -> str:
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"


def _time_to_end(status: FleetStatus) -> str:
    progress = status.progress
    if status.why_over or not status.nodes:
        return ""
    if progress.left_s is None:
        return f"can't be told: {progress.why_not_left}"
    return f"about {format_time(progress.left_s)} at this rate"


def _failure(one: FleetFailure) -> str:
    where = f"at {one.nodes:,} node{'' if one.nodes == 1 else 's'}"
    what = f"{one.operations:,} operation{'' if one.operations == 1 else 's'}"
    head = f"{one.code}: {what} {where}" if one.began else f"{one.code}: no run began {where}"
    at = f", last at {one.at:%m-%d %H:%M} UTC" if one.at else ""
    return f"{head}{at}: {one.reason}" if one.reason else f"{head}{at}"


def _journals(journals: JournalsRead) -> Iterator[str]:
    rest, size = journals.listed - journals.read, format_size_rounded(journals.bytes)
    if rest and not journals.is_whole:
        yield (
            f"{rest:,} of {journals.listed:,} were not read, so that what failed, and how much is"
            f" done, is not known for sure; --details reads all ({size})"
        )
    if journals.too_large:
        yield f"{journals.too_large:,} are too large to be a node's, and are not read"


# --- engines -------------------------------------------------------------------------------------


def _spending(spending: Spending, now: datetime) -> Iterator[Row]:
    started = spending.started
    if started is None:
        yield spending.engine, "has nothing of this fleet"
        return
    states = list(spending.states.items())
    counts = [f"{count:,} {state}" for state, count in states[:_MOST_GROUPS]]
    more = sum(count for _, count in states[_MOST_GROUPS:])
    counts += [f"{more:,} in other states"] if more else []
    names = ", ".join(started.names[:_MOST_GROUPS])
    yield spending.engine, f"{names}: {started.state}; {', '.join(counts) or 'no containers'}"
    yield "", _cost(spending, now)
    yield "", started.remark


def _cost(spending: Spending, now: datetime) -> str:
    billed = f"{spending.billed:,} billed now"
    per_hour, so_far = spending.usd_per_hour, spending.usd_so_far(now)
    if per_hour is None:
        return billed + (f"; {spending.unpriced}" if spending.unpriced else "")
    cost = f"{billed}, about {_dollars(per_hour)} an hour"
    return cost if so_far is None else f"{cost}; about {_dollars(so_far)} so far, of these"


def _dollars(span: tuple[float, float]) -> str:
    least, most = (f"{amount:,.2f}" for amount in span)
    return f"${least}" if least == most else f"${least} to ${most}"


def _spending_data(spending: Spending, now: datetime) -> dict[str, object]:
    started = spending.started
    return {
        "name": spending.engine,
        "names": [] if started is None else list(started.names),
        "state": None if started is None else started.state,
        "remark": "" if started is None else started.remark,
        "states": dict(spending.states),
        "billed": spending.billed,
        "usd_per_hour": spending.usd_per_hour,
        "usd_so_far": spending.usd_so_far(now),
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else utc_text(moment)

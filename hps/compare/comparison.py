"""The values that comparing is done with: from panels of medians to decisions. Pure.

A panel holds what may be compared with each other; a comparison says what came of it. Rates are in
Mbps (10**6 bits a second), durations in seconds, shares from 0 to 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

from hps.catalog.steps import STEP_KINDS
from hps.model import Direction

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# A name for numpy's arrays in annotations alone: `hps run` prints results without numpy.
Floats: TypeAlias = "NDArray[np.float64]"
# What `--by` and the things that all operations of a panel share are made of.
Key = Mapping[str, str | int | bool]
Unit = Literal["node", "repetition"]
PairVerdict = Literal["faster", "slower", "alike", "inconclusive"]
DecisionKind = Literal["winner", "suffices", "inconclusive", "no data"]
# The verdict on b against a, by that on a against b.
TURNED: Mapping[PairVerdict, PairVerdict] = MappingProxyType(
    {"faster": "slower", "slower": "faster", "alike": "alike", "inconclusive": "inconclusive"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Operations that were not ok for the same reason: its code, whose fault it is, how many."""

    code: str
    owner: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NeverBegan:
    """Runs that did not begin, for one reason; no verdict is held against their nodes.

    `code` and `owner` are empty where an older version stored them; `text` is what the newest says.
    """

    code: str
    owner: str
    runs: int
    nodes: int
    text: str


def direction_of(step: str) -> Direction:
    """Which way a step moves data; `none` for steps that this version does not know."""
    return STEP_KINDS[step].direction if step in STEP_KINDS else "none"


def summed(found: Iterable[Reason]) -> tuple[Reason, ...]:
    """The counts of each reason added up, the most frequent reason first."""
    counts: Counter[tuple[str, str]] = Counter()
    for one in found:
        counts[one.code, one.owner] += one.count
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Reason(code=code, owner=owner, count=count) for (code, owner), count in most)


def fault(code: str, owner: str) -> str:
    """`throttled (target)`: what went wrong, and whose fault it is."""
    return f"{code} ({owner})" if owner else code


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelCell:
    """One cell of a panel: what every unit of sampling measured in it.

    `mbps` and `duration_s` hold one value per unit of the panel, shape (units,): the median of
    its counted `ok` results, NaN where it has none. `repetitions` says of how many, and
    `spread` is the standard deviation of the logarithm of the rate within units (None: no unit
    has two). `statuses` counts all counted results, the units' together; `reasons` those of them
    that are not ok and have a code. Requests are those of one operation. `same_as` names the cell
    of this panel that was measured in this one's place. `effective` has the settings that the tool
    applied, sizes as text (empty: nothing was `ok`); `provider` is the target's where cells differ
    in it, else empty: that of the panel.
    """

    key: Key
    mbps: Floats
    duration_s: Floats
    repetitions: NDArray[np.int64]
    spread: float | None
    statuses: Mapping[str, int]
    requests_class_a: float = 0.0
    requests_class_b: float = 0.0
    size_bytes: int = 0
    same_as: Key | None = None
    effective: Key = field(default_factory=lambda: MappingProxyType({}))
    provider: str = ""
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """Operations of one kind in several cells: the same step, data, tool and other settings.

    `shared` has all that the cells have in common; `title` says what tells this panel from the
    others. `units` are the names of what was sampled: nodes, or `<node>/<run>/<repetition>`.
    `stratum` is the class of nodes, such as `RTT below 50 ms`; empty: all of them. `provider` is
    that of the target, for prices.
    """

    title: str
    shared: Key
    step: str
    direction: str
    unit: Unit
    units: tuple[str, ...]
    cells: tuple[PanelCell, ...]
    stratum: str = ""
    provider: str = ""
    notes: tuple[str, ...] = ()


def nodes_of(units: Iterable[str]) -> set[str]:
    """The nodes of units that are repetitions: `<node>/<run>/<repetition>`."""
    return {unit.partition("/")[0] for unit in units}


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """From `low` to `high`, at a level of confidence such as 0.95."""

    low: float
    high: float
    level: float = 0.95


def bounds(
    interval: Interval | None, without: float | None = None
) -> tuple[float | None, float | None]:
    """The ends of an interval; where there is none, both are `without`."""
    return (without, without) if interval is None else (interval.low, interval.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How a difference is judged. `min_effect` 0.05: a twentieth faster is the least that matters.

    `alpha` is how often equal cells may be called different, and 1 less the level of intervals.
    `power` is the chance to find a difference that is there, which `Needed` is counted for. `seed`
    is that of the bootstrap.
    """

    alpha: float = 0.05
    min_effect: float = 0.05
    power: float = 0.9
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CellSummary:
    """One cell in numbers. Rates in Mbps over the units' medians; None: too little to say so.

    `interval` is of the median, `min_mbps` and `max_mbps` are the slowest and the fastest unit's.
    `first_done_s` and `last_done_s` are the quickest and the slowest unit's median duration.
    `failure_rate` counts whatever is neither `ok` nor `interrupted`.
    """

    key: Key
    units: int
    ok: int
    statuses: Mapping[str, int]
    median_mbps: float | None
    interval: Interval | None
    p10_mbps: float | None
    p90_mbps: float | None
    first_done_s: float | None
    last_done_s: float | None
    p50_duration_s: float | None
    failure_rate: float | None
    failure_interval: Interval | None
    requests_per_gb: float | None
    dollars_per_gb: float | None
    same_as: Key | None = None
    min_mbps: float | None = None
    max_mbps: float | None = None
    reasons: tuple[Reason, ...] = ()

    @property
    def ended(self) -> int:
        """How many operations count for the rate of failures: all but the interrupted ones."""
        return sum(self.statuses.values()) - self.statuses.get("interrupted", 0)

    @property
    def not_ok(self) -> dict[str, int]:
        """How many operations have each status but `ok`; a status that none has is left out."""
        return {name: count for name, count in self.statuses.items() if count and name != "ok"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """What would decide a difference of `effect` (0.1: a tenth); None: that can't decide it.

    Both are counted in addition to what is there, and either alone is enough.
    """

    effect: float
    more_units: int | None
    more_repetitions: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two cells compared: `ratio` is the rate in `a` over that in `b`.

    `test` is `Wilcoxon` (the same units in both), `Mann-Whitney` (others), or `none`, with the
    `reason`. Not `comparable`: too few nodes measured both, so that a difference could be theirs.
    `p_adjusted` is corrected for all the pairs of the panel.
    """

    a: Key
    b: Key
    units: int
    ratio: float | None
    interval: Interval | None
    test: Literal["Wilcoxon", "Mann-Whitney", "none"]
    p: float | None
    p_adjusted: float | None
    verdict: PairVerdict
    reason: str = ""
    needed: Needed | None = None
    comparable: bool = True

    def turned(self) -> Pair:
        """The same comparison, of `b` with `a`."""
        interval = self.interval
        if interval is not None:
            interval = replace(interval, low=1 / interval.high, high=1 / interval.low)
        return replace(
            self,
            a=self.b,
            b=self.a,
            ratio=None if self.ratio is None else 1 / self.ratio,
            interval=interval,
            verdict=TURNED[self.verdict],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The answer of one panel. `cell` is the one to use; None where it is inconclusive.

    `winner`: it is faster than every other by what matters. `suffices`: none is shown to be
    faster by what matters, and of those alike it asks for least. `text` says so in a sentence.
    """

    kind: DecisionKind
    text: str
    cell: Key | None = None
    runner_up: Key | None = None
    needed: Needed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One panel, compared: its cells in numbers, its pairs, and the decision between them.

    `units` counts the units that have a rate in at least one cell. `pairs` are those that were
    kept: all of them in panels of up to 40 cells.
    """

    title: str
    shared: Key
    step: str
    direction: str
    unit: Unit
    units: int
    stratum: str
    cells: tuple[CellSummary, ...]
    pairs: tuple[Pair, ...]
    decision: Decision
    notes: tuple[str, ...] = ()
    provider: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One cell now against its baseline: `ratio` is the rate now over that of the baseline.

    `key` is the cell, and `title`, `step` and `stratum` are those of its comparison. The baseline
    is the same cell measured at another time (`n` units in both, or in the smaller of two fleets),
    or another cell of the panel. No `ratio`: the `reason` says why the cell has no counterpart,
    or is not `comparable` with it.
    `p_adjusted` is corrected for all the changes with the same title and stratum. `notes` name
    what differs between the two all the same, such as the tool's version.
    """

    title: str
    step: str
    stratum: str
    key: Key
    ratio: float | None
    interval: Interval | None
    p: float | None
    p_adjusted: float | None
    verdict: PairVerdict
    n: int
    reason: str = ""
    notes: tuple[str, ...] = ()
    comparable: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetNode:
    """One machine. Rates are medians of its own `ok` results, in Mbps; None: unknown.

    `checks` are those of its latest verdict: name, value, bound, unit, outcome, reason. `code` and
    `owner` are of what kept its latest run from beginning; empty: it began.
    """

    machine_id: str
    rtt_s: float | None
    upload_mbps: float | None
    download_mbps: float | None
    country: str | None
    gpu: str | None
    accepted: bool
    reasons: tuple[str, ...] = ()
    checks: tuple[Mapping[str, object], ...] = ()
    code: str = ""
    owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimePoint:
    """Rates of one step in one slot of time, each result over its node's own mean in that cell.

    The mean is the geometric one. `at` is the hour of the day (0 to 23, UTC), or the tenth of the
    run (0 to 9); `n` counts results, and `low_ratio` and `high_ratio` are their quartiles.
    """

    step: str
    at: int
    n: int
    median_ratio: float
    low_ratio: float
    high_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where the numbers come from; each tuple sorted, without repeats.

    `first_at` and `last_at` are when the first and the last result began, `first_run_at` and
    `last_run_at` when the first and the last run did: a run is of the day on which it began.
    """

    experiments: tuple[str, ...]
    specs: tuple[str, ...]
    sources: tuple[str, ...]
    hps_versions: tuple[str, ...]
    tools: tuple[str, ...]
    runs: int
    nodes: int
    results: int
    first_at: str
    last_at: str
    skipped_files: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    run_ids: tuple[str, ...] = ()
    first_run_at: str = ""
    last_run_at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All that was found: what `hps compare` and `hps report` print and draw.

    `changes` are against the baseline, where one is named; what its numbers come from is in
    `baseline`, unless it is a cell. `sentences` say where the answers of the strata differ.
    `thresholds` are the gates that each experiment's newest run declares.
    """

    by: tuple[str, ...]
    rule: Rule
    comparisons: tuple[Comparison, ...]
    nodes: tuple[FleetNode, ...]
    rejected: tuple[FleetNode, ...]
    hours: tuple[TimePoint, ...]
    tenths: tuple[TimePoint, ...]
    provenance: Provenance
    notes: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    sentences: tuple[str, ...] = ()
    thresholds: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))
    never_began: tuple[NeverBegan, ...] = ()
    baseline: Provenance | None = None

"""Words for what was compared: cells, ratios, how many units, what more it would take. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hps.compare.comparison import Interval, Key, Needed, NeverBegan, Reason, Unit, fault
from hps.compare.names import word

_MOST_LISTED = 4


@dataclass(frozen=True, slots=True)
class Naming:
    """How the cells of a panel are called: by what differs between them, or by all they have."""

    varying: tuple[str, ...]

    @classmethod
    def of(cls, keys: Sequence[Key]) -> Naming:
        """Cells named by the names whose values differ, or by all where none does."""
        names = list(dict.fromkeys(name for key in keys for name in key))
        varying = [name for name in names if len({key.get(name) for key in keys}) > 1]
        return cls(tuple(varying or names))

    def name(self, key: Key) -> str:
        """`chunk size 10MiB, concurrency 4`."""
        settings = [setting(name, key[name]) for name in self.varying if name in key]
        return ", ".join(settings) or "the only cell"

    def names(self, keys: Sequence[Key]) -> str:
        """Several cells, cut short; cells that differ in one name alone have it once."""
        if len(self.varying) == 1:
            values = [value_text(key[self.varying[0]]) for key in keys]
            return f"{word(self.varying[0])} {listed(values)}"
        return listed((self.name(key) for key in keys), between="; ")


def step_name(step: str, number: int) -> str:
    """`download`, and `download#2` for the second one of a trial."""
    return step if number == 1 else f"{step}#{number}"


def value_text(value: object) -> str:
    """A value as an experiment file has it: `true` for True; empty for None."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def setting(name: str, value: object) -> str:
    """A name and its value for people: `chunk size 10MiB`."""
    return f"{word(name)} {value_text(value)}"


def percent(share: float) -> str:
    """A share for people: 0.123 -> `12 %`, 0.0456 -> `4.6 %`, 0.05 -> `5 %`."""
    number = 100 * share
    text = f"{number:.0f}" if abs(number) >= 9.95 else f"{number:.1f}"
    text = text.removesuffix(".0")
    return f"{'0' if text == '-0' else text} %"


def faster(ratio: float) -> str:
    """A ratio of rates: 1.12 -> `12 % faster`, 0.9 -> `10 % slower`."""
    return f"{percent(ratio - 1)} faster" if ratio >= 1 else f"{percent(1 - ratio)} slower"


def range_of(interval: Interval | None) -> str:
    """The interval of a ratio: `95 % interval 9 to 15 %`; empty where there is none."""
    if interval is None:
        return ""
    low, high = percent(interval.low - 1).removesuffix(" %"), percent(interval.high - 1)
    return f"{percent(interval.level)} interval {low} to {high}"


def plural(number: int, unit: str) -> str:
    """A count for people: `1 node`, `1,234 nodes`."""
    return f"{number:,} {unit}{'' if number == 1 else 's'}"


def counts(numbers: Mapping[str, int]) -> str:
    """`110 ok, 1,010 failed`, in the order given."""
    return ", ".join(f"{count:,} {name}" for name, count in numbers.items())


def days(*moments: str) -> str:
    """`2026-11-01 to 2026-11-02`: the days of times in ISO 8601, each once; empty ones are none."""
    return " to ".join(dict.fromkeys(at[:10] for at in moments if at))


def evidence(interval: Interval | None, units: int, unit: Unit) -> str:
    """`95 % interval 9 to 15 %, 12 nodes`."""
    return ", ".join(part for part in (range_of(interval), plural(units, unit)) if part)


def more(needed: Needed, unit: Unit) -> str:
    """`14 more nodes, or 9 more repetitions on each,`; empty where nothing is known to help."""
    units = plural(needed.more_units, f"more {unit}") if needed.more_units else ""
    if not needed.more_repetitions or unit != "node":
        return units
    repetitions = f"{plural(needed.more_repetitions, 'more repetition')} on each"
    return f"{units}, or {repetitions}," if units else repetitions


def reasons(found: Iterable[Reason]) -> str:
    """`10 throttled (target), 2 disk_full (node)`; empty where no reason has a code."""
    return listed(f"{one.count:,} {fault(one.code, one.owner)}" for one in found)


def never_began(what: NeverBegan) -> str:
    """How many runs did not begin, and why; a mistake in the experiment is named as what."""
    runs = plural(what.runs, "run")
    if what.owner == "experiment":
        begin = f"{runs} could not begin, their experiment's mistake ({what.code})"
    else:
        begin = f"{runs} never began" + (f", {fault(what.code, what.owner)}" if what.code else "")
    return f"{begin}: {what.text}" if what.text else begin


def listed(values: Iterable[str], most: int = _MOST_LISTED, between: str = ", ") -> str:
    """`a, b and 4 more`: the first `most` of them, and how many are left out."""
    texts = list(values)
    rest = len(texts) - most
    return between.join(texts[:most]) + (f" and {rest:,} more" if rest > 0 else "")

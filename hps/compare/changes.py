"""Now against a baseline: each cell with itself at another time, or with another cell. Pure.

The tool's version, the experiment and its version, the day and the run may differ between the two,
and are named. What is moved, to where, and with which settings may not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from hps.compare import pairs
from hps.compare.comparison import Change, Floats, Key, Panel, PanelCell, Rule, nodes_of
from hps.compare.names import ROWS, UNKNOWN, word
from hps.compare.pairs import PairTest, Way, are_same_units, untested, way
from hps.compare.verdicts import compare_two, has_values, judge
from hps.compare.words import setting, value_text

# A target counts by where it leads, which stands beside its name in `shared`.
_MAY_DIFFER = frozenset({*ROWS, "target"})
_Outcome = tuple[PanelCell, PairTest]


def against_rows(now: Sequence[Panel], baseline: Sequence[Panel], rule: Rule) -> tuple[Change, ...]:
    """Each cell of `now` is compared with the same cell of `baseline`.

    A cell that has no counterpart there has a change all the same, with the reason in place of a
    ratio.
    """
    return tuple(change for panel in now for change in _of_panel(panel, baseline, rule))


def against_cell(panels: Sequence[Panel], key: Key, rule: Rule) -> tuple[Change, ...]:
    """Each cell is compared with the cell that has the values of `key`, and else its own."""
    return tuple(change for panel in panels for change in _within(panel, key, rule))


def has_cell(panels: Iterable[Panel], key: Key) -> bool:
    """True where some cell of some panel has these values."""
    return any(_has(cell.key, key) for panel in panels for cell in panel.cells)


def _of_panel(panel: Panel, baseline: Sequence[Panel], rule: Rule) -> list[Change]:
    cells = [cell for cell in panel.cells if cell.same_as is None]
    found, reason = _counterpart(panel, baseline)
    if found is None:
        return _changes(panel, [(cell, untested(reason)) for cell in cells], rule)
    before = {_frozen(cell.key): cell for cell in found.cells}
    outcomes: list[_Outcome] = []
    for cell in cells:
        other = before.get(_frozen(cell.key))
        why = _why_not(cell, other) or _why_other_units(panel, found)
        if why or other is None:
            outcomes.append((cell, untested(why)))
        else:
            a, b = _aligned(panel, cell, found, other)
            how = _how(a, b, panel, found)
            test = compare_two(a, b, rule, how=how, comparisons=len(cells), unit=panel.unit)
            outcomes.append((cell, test))
    return _changes(panel, outcomes, rule, notes=tuple(_differences(panel, found)))


def _within(panel: Panel, key: Key, rule: Rule) -> list[Change]:
    cells = {_frozen(cell.key): cell for cell in panel.cells}
    others = [c for c in panel.cells if c.same_as is None and not _has(c.key, key)]
    outcomes: list[_Outcome] = []
    for cell in others:
        other = cells.get(_frozen({**cell.key, **key}))
        if other is None:
            outcomes.append((cell, untested("the baseline's cell has no results here")))
        else:
            how = way(cell, other, panel.units, panel.unit)
            test = compare_two(
                cell.mbps, other.mbps, rule, how=how, comparisons=len(others), unit=panel.unit
            )
            outcomes.append((cell, test))
    return _changes(panel, outcomes, rule)


def _changes(
    panel: Panel, outcomes: Sequence[_Outcome], rule: Rule, notes: tuple[str, ...] = ()
) -> list[Change]:
    """The changes of one panel; Holm's correction is over all of them."""
    corrected = pairs.adjust([test.p for _, test in outcomes])
    return [
        _change(panel, cell, replace(test, p_adjusted=p), rule, notes)
        for (cell, test), p in zip(outcomes, corrected, strict=True)
    ]


def _change(
    panel: Panel, cell: PanelCell, test: PairTest, rule: Rule, notes: tuple[str, ...]
) -> Change:
    return Change(
        title=panel.title,
        step=panel.step,
        stratum=panel.stratum,
        key=cell.key,
        ratio=test.ratio,
        interval=test.interval,
        p=test.p,
        p_adjusted=test.p_adjusted,
        verdict=judge(test, rule),
        n=test.n,
        reason=test.reason,
        notes=notes if test.n else (),
        comparable=test.comparable,
    )


# --- which panels and cells are comparable --------------------------------------------------------


def _counterpart(panel: Panel, baseline: Sequence[Panel]) -> tuple[Panel | None, str]:
    """The panel of the baseline that measures the same, or why there is none."""
    kin = [
        other for other in baseline if (other.step, other.stratum) == (panel.step, panel.stratum)
    ]
    alike = [other for other in kin if _identity(other) == _identity(panel)]
    exact = [other for other in alike if _free(other) == _free(panel)]
    if len(exact) == 1 or len(alike) == 1:
        return (exact or alike)[0], ""
    if alike:
        texts = "; ".join(_settings_text(other, sorted(_free(other))) for other in alike)
        return None, f"the baseline has several: {texts}"
    if not kin:
        return None, "the baseline has no such step and class of nodes"
    nearest = min(kin, key=lambda other: len(_unlike(panel, other)))
    unlike = _unlike(panel, nearest)
    return (
        None,
        f"the baseline has {_settings_text(nearest, unlike)}, not {_settings_text(panel, unlike)}",
    )


def _identity(panel: Panel) -> Key:
    return {name: value for name, value in panel.shared.items() if name not in _MAY_DIFFER}


def _free(panel: Panel) -> Key:
    names = ("experiment", "tool_version")
    return {name: panel.shared[name] for name in names if name in panel.shared}


def _unlike(panel: Panel, other: Panel) -> list[str]:
    """The names in which two panels differ that must be alike."""
    mine, theirs = _identity(panel), _identity(other)
    names = dict.fromkeys((*mine, *theirs))
    return [name for name in names if mine.get(name) != theirs.get(name)]


def _settings_text(panel: Panel, names: Sequence[str]) -> str:
    return ", ".join(setting(name, panel.shared.get(name, UNKNOWN)) for name in names)


def _differences(panel: Panel, other: Panel) -> list[str]:
    """What differs between a panel and its counterpart although they are compared."""
    mine, theirs = _free(panel), _free(other)
    return [
        f"{word(name)}: {value_text(theirs[name])} in the baseline, {value_text(value)} now"
        for name, value in mine.items()
        if name in theirs and theirs[name] != value
    ]


def _why_not(cell: PanelCell, other: PanelCell | None) -> str:
    if other is None:
        return "the baseline does not have this cell"
    if not has_values(cell.mbps) or not has_values(other.mbps):
        return f"no operation was ok {'in the baseline' if has_values(cell.mbps) else 'now'}"
    texts = [
        f"effective {setting(name, other.effective.get(name, UNKNOWN))}, not {value_text(value)}"
        for name, value in cell.effective.items()
        if UNKNOWN not in {value, other.effective.get(name)} and value != other.effective.get(name)
    ]
    return f"the baseline ran with {', '.join(texts)}" if texts else ""


def _why_other_units(panel: Panel, other: Panel) -> str:
    if panel.unit == other.unit:
        return ""
    if panel.unit == "node":
        return "the baseline has one node and now there are several, of which it says nothing"
    return "there is one node now, and the baseline has several, of which it says nothing"


def _how(a: Floats, b: Floats, panel: Panel, found: Panel) -> Way:
    """Nodes are compared with themselves; repetitions of one node with those of another time."""
    if panel.unit == "repetition" and nodes_of(panel.units) == nodes_of(found.units):
        return "apart"
    return "within" if are_same_units(a, b) else "other nodes"


def _aligned(
    panel: Panel, cell: PanelCell, other_panel: Panel, other: PanelCell
) -> tuple[Floats, Floats]:
    """The rates of both cells over all units of both panels; NaN where one lacks a unit."""
    units = list(dict.fromkeys((*panel.units, *other_panel.units)))
    places = {unit: place for place, unit in enumerate(units)}
    return (
        _spread_out(panel.units, cell.mbps, places),
        _spread_out(other_panel.units, other.mbps, places),
    )


def _spread_out(units: Sequence[str], values: Floats, places: dict[str, int]) -> Floats:
    out: Floats = np.full(len(places), np.nan)
    out[[places[unit] for unit in units]] = values
    return out


def _has(cell: Key, key: Key) -> bool:
    return all(cell.get(name) == value for name, value in key.items())


def _frozen(key: Key) -> tuple[tuple[str, object], ...]:
    return tuple(sorted(key.items()))

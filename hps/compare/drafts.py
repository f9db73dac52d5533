"""Kinds of results -> drafts of panels, without numbers yet: what may be compared with what.

Results of one panel share everything but what `--by` names. Results of one cell share what really
ran, too: where the tool applied other settings in some runs, these are in a panel of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from hps.catalog.steps import STEP_KINDS
from hps.compare.comparison import Key, Reason, summed
from hps.compare.grouping import APART, Kind, TargetPlace, Value
from hps.compare.names import UNKNOWN, sort_key, stratum, word
from hps.compare.words import listed, setting, step_name, value_text
from hps.model import BOOLEAN_KNOBS, DEFAULT, STEP_KNOBS

_STEPS = tuple(STEP_KINDS)
# What really ran, as far as it differs from what is usual: `("concurrency", 2)`.
_Variant = tuple[tuple[str, Value], ...]
PLACE = "place"
# What goes with another name that is compared. A tool's versions are not those of others, and some
# can't be told to leave checksums out, or to make them; what a tool is not told is its own.
_GOES_WITH: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "tool_version": ("tool",),
        **dict.fromkeys(STEP_KNOBS, ("settings",)),
        "checksum": ("tool", "settings"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftCell:
    """One cell of a draft: its key, and the kinds of results that it is made of."""

    key: Key
    kinds: tuple[Kind, ...]
    same_as: Key | None = None

    @property
    def statuses(self) -> dict[str, int]:
        """How many results have each status, by name."""
        counts: Counter[str] = Counter()
        for kind in self.kinds:
            counts.update(kind.statuses)
        return dict(sorted(counts.items()))

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why results are not ok, the most frequent reason first."""
        return summed(reason for kind in self.kinds for reason in kind.reasons)

    @property
    def typical(self) -> Kind:
        """The kind with the most `ok` results."""
        return max(self.kinds, key=lambda kind: (kind.ok, not kind.filled, kind.number))


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A panel without numbers. `apart` is what all in it share.

    `variant` is what really ran, where that differs between runs of one cell. `place` is the number
    of the place that data moves to and from; None: unknown, or several. `settings` is the
    experiment's digest, where the step's settings stand in the experiment alone.
    """

    step: str
    step_no: int
    settings: str
    place: int | None
    apart: Key
    variant: Key
    cells: tuple[DraftCell, ...]
    stratum: str = ""


def drafts(kinds: Sequence[Kind], by: Sequence[str], strata: Sequence[str]) -> tuple[Draft, ...]:
    """The drafts over all nodes, in order of steps and values, each followed by its strata's."""
    implied, groups = _implied(kinds, by), dict[tuple[object, ...], list[Kind]]()
    for kind in sorted(kinds, key=lambda kind: kind.number):
        groups.setdefault(_apart_key(kind, (*by, *implied)), []).append(kind)
    whole = [
        _draft(members, variant, by)
        for group in groups.values()
        for variant, members in _variants(group, by).items()
    ]
    whole.sort(key=_order)
    named = [replace(draft, apart={**draft.apart, **implied}) for draft in whole]
    return tuple(part for draft in named for part in (draft, *_strata(draft, by, strata)))


def _implied(kinds: Sequence[Kind], by: Sequence[str]) -> dict[str, Value]:
    """What goes with the names in `by`, in words: that keeps nothing apart which is to be compared.

    A tool with several values is compared with each of them separately, as anything else is.
    """
    found: dict[str, Value] = {}
    for name in (name for name in _GOES_WITH if name not in by):
        owners = [owner for owner in _GOES_WITH[name] if owner in by]
        having: dict[Value, set[str]] = {}
        for kind in kinds if owners else ():
            if kind.values[name] not in {UNKNOWN, ""}:
                owner = " ".join(str(kind.values[one]) for one in owners)
                having.setdefault(kind.values[name], set()).add(owner)
        several = [owner for names in having.values() for owner in names]
        if len(having) > 1 and len(several) == len(set(several)):
            ordered = sorted(having.items(), key=lambda entry: sort_key(name, entry[0]))
            found[name] = ", ".join(
                f"{value_text(value)} ({listed(sorted(names))})"
                for value, names in ordered
                if value != DEFAULT
            )
    return found


def _apart_key(kind: Kind, by: Sequence[str]) -> tuple[object, ...]:
    """A key that is equal for the kinds that one panel may hold."""
    shared = (kind.values[name] for name in _apart(by) if name != "target")
    return (
        kind.step,
        kind.step_no,
        kind.step_settings,
        None if "target" in by else _place(kind),
        *shared,
    )


def _place(kind: Kind) -> object:
    """Where the target leads, whatever it is called; its name, where the run doesn't say."""
    return kind.values["target"] if kind.place is None else kind.place


def _apart(by: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in APART if name not in by)


def _draft(kinds: Sequence[Kind], variant: _Variant, by: Sequence[str]) -> Draft:
    first, places = kinds[0], {kind.place for kind in kinds}
    targets = sorted({str(kind.values["target"]) for kind in kinds})
    apart = {name: first.values[name] for name in _apart(by)}
    return Draft(
        step=first.step,
        step_no=first.step_no,
        settings=first.step_settings,
        place=first.place if len(places) == 1 else None,
        apart=apart if "target" in by else {**apart, "target": ", ".join(targets)},
        variant=dict(variant),
        cells=_cells(kinds, by),
    )


def _order(draft: Draft) -> tuple[object, ...]:
    step = _STEPS.index(draft.step) if draft.step in _STEPS else len(_STEPS)
    apart = tuple(sort_key(name, value) for name, value in draft.apart.items())
    variant = sorted((name, sort_key(name, value)) for name, value in draft.variant.items())
    place = -1 if draft.place is None else draft.place
    return step, draft.step, draft.step_no, draft.settings, apart, variant, place


# --- cells ---------------------------------------------------------------------------------------


def _cells(kinds: Sequence[Kind], by: Sequence[str]) -> tuple[DraftCell, ...]:
    members = _by_cell(kinds, by)
    found = {
        key: DraftCell(key=dict(zip(by, key, strict=True)), kinds=tuple(of_cell))
        for key, of_cell in members.items()
    }
    cells = [replace(cell, same_as=_same_as(cell, found, by)) for cell in found.values()]
    return tuple(sorted(cells, key=lambda cell: [sort_key(name, cell.key[name]) for name in by]))


def _by_cell(kinds: Sequence[Kind], by: Sequence[str]) -> dict[tuple[Value, ...], list[Kind]]:
    cells: dict[tuple[Value, ...], list[Kind]] = {}
    for kind in kinds:
        cells.setdefault(tuple(kind.values[name] for name in by), []).append(kind)
    return cells


def _same_as(
    cell: DraftCell, found: Mapping[tuple[Value, ...], DraftCell], by: Sequence[str]
) -> Key | None:
    """The cell of the same panel whose results stand for all of this one's."""
    twins = [_twin(kind, found, by) for kind in cell.kinds]
    return None if None in twins else twins[0]


def _twin(
    kind: Kind, found: Mapping[tuple[Value, ...], DraftCell], by: Sequence[str]
) -> Key | None:
    if not kind.filled:
        return None
    elsewhere = any(kind.twin[knob] != kind.values[knob] for knob in kind.twin if knob not in by)
    twin = found.get(tuple(kind.twin.get(name, kind.values[name]) for name in by))
    if elsewhere or twin is None or all(other.filled for other in twin.kinds):
        return None
    return twin.key


# --- what really ran -----------------------------------------------------------------------------


def _variants(kinds: Sequence[Kind], by: Sequence[str]) -> dict[_Variant, list[Kind]]:
    """The kinds by what really ran, where that differs between the runs of one cell."""
    cells = _by_cell(kinds, by).values()
    torn = sorted({name for cell in cells for name in _torn(cell, by)})
    if not torn:
        return {(): list(kinds)}
    found: dict[_Variant, list[Kind]] = {}
    for cell in cells:
        usual = _usual(cell, torn, by)
        for kind in cell:
            if kind.effective is not None:
                found.setdefault(_variant(kind, usual, torn, by), []).append(kind)
    commonest = max(found, key=lambda variant: sum(kind.ok for kind in found[variant]))
    for cell in cells:
        # What failed doesn't say what would have run: it counts where most of its cell is.
        silent = [kind for kind in cell if kind.effective is None]
        known = [kind for kind in cell if kind.effective is not None]
        home = commonest
        if known:
            most = max(known, key=lambda kind: kind.ok)
            home = _variant(most, _usual(cell, torn, by), torn, by)
        found[home] += silent
    return found


def _ran(kind: Kind, by: Sequence[str]) -> dict[str, Value]:
    """What may not differ within a cell: the settings applied and, of a target, the place."""
    applied = dict(kind.effective or {})
    place = -1 if kind.place is None else kind.place
    return {**applied, PLACE: place} if "target" in by else applied


def _torn(cell: Sequence[Kind], by: Sequence[str]) -> Iterator[str]:
    """The names of what differs between the `ok` results of one cell.

    What is unknown of some of them counts as what it is in the others.
    """
    ran = [_ran(kind, by) for kind in cell if kind.effective is not None]
    for name in ran[0] if ran else ():
        if len({one[name] for one in ran} - {UNKNOWN}) > 1:
            yield name


def _usual(cell: Sequence[Kind], torn: Sequence[str], by: Sequence[str]) -> Mapping[str, Value]:
    """What most of a cell's `ok` results ran with, of those that tell it."""
    counts: Counter[_Variant] = Counter()
    for kind in cell:
        if kind.effective is not None:
            ran = _values(_ran(kind, by), torn)
            counts[ran] += kind.ok
    most = max(
        counts,
        key=lambda ran: (UNKNOWN not in dict(ran).values(), counts[ran], repr(ran)),
        default=(),
    )
    return dict(most)


def _variant(
    kind: Kind, usual: Mapping[str, Value], torn: Sequence[str], by: Sequence[str]
) -> _Variant:
    """What tells a kind from what is usual in its cell.

    A switch that all cells of the panel requested alike is always among it: cells that ran with it
    and cells that ran without are never in one panel.
    """
    ran = _ran(kind, by)
    differing = [
        name
        for name in torn
        if ran[name] not in {usual[name], UNKNOWN} or (name in BOOLEAN_KNOBS and name not in by)
    ]
    return _values(ran, differing)


def _values(ran: Mapping[str, Value], names: Sequence[str]) -> _Variant:
    return tuple((name, ran[name]) for name in names)


# --- strata --------------------------------------------------------------------------------------


def _strata(draft: Draft, by: Sequence[str], strata: Sequence[str]) -> Iterator[Draft]:
    """The same draft once more for each class of nodes."""
    kinds = [kind for cell in draft.cells for kind in cell.kinds]
    for name in strata:
        values = sorted({kind.values[name] for kind in kinds}, key=lambda v: sort_key(name, v))
        for value in values:
            members = [kind for kind in kinds if kind.values[name] == value]
            label = stratum(name, str(value))
            yield replace(draft, cells=_cells(members, by), stratum=label)


# -------------------------------------------------------------------------------------------------
# What panels are called, and the words on what keeps them apart.

_MOST_LISTED = 8
_PLURALS: Mapping[str, str] = MappingProxyType(
    {
        "files": "numbers of files",
        "content": "kinds of content",
        "settings": "kinds of settings",
        "concurrency": "values of concurrency",
        "transfers": "values of transfers",
        "http2": "settings of HTTP/2",
        "checksum": "settings of checksum",
    }
)


def title(draft: Draft, drafts: Sequence[Draft], places: Sequence[TargetPlace]) -> str:
    """A panel's step, and what tells it from the other panels of that step.

    The panels of its strata have the same title.
    """
    alike = _alike(draft, drafts)
    parts = [
        setting(knob, value)
        for knob, value in draft.apart.items()
        if len({other.apart[knob] for other in alike}) > 1
    ]
    if _is_name_of_several_places(alike):
        parts.append(f"target at {_place_text(draft.place, places)}")
    if len({other.settings for other in alike}) > 1:
        parts.append(f"experiment file {draft.settings[:12]}")
    return ", ".join([step_name(draft.step, draft.step_no), *parts, *_variant_words(draft, places)])


def notes(drafts: Sequence[Draft], places: Sequence[TargetPlace]) -> tuple[str, ...]:
    """A line for each thing that keeps panels apart, which says how to have it compared."""
    lines: dict[str, None] = {}
    for draft in drafts:
        if not draft.stratum:
            lines.update(dict.fromkeys(_notes(draft, _alike(draft, drafts), places)))
    return tuple(lines)


def _notes(draft: Draft, alike: Sequence[Draft], places: Sequence[TargetPlace]) -> Iterator[str]:
    for name in draft.apart:
        values = {other.apart[name] for other in alike}
        if len(values) > 1:
            ordered = sorted(values, key=lambda value: sort_key(name, value))
            yield (
                f"{_several(name, len(values))}: {listed(map(value_text, ordered), _MOST_LISTED)};"
                f" compared separately; add {name} to --by to compare them"
            )
    for name, owners in _GOES_WITH.items():
        compared = [word(owner) for owner in owners if owner not in draft.apart]
        if compared and "(" in str(draft.apart.get(name, "")):
            yield f"{word(name)} goes with the {listed(compared)}: {draft.apart[name]}"
    if _is_name_of_several_places(alike):
        leads_to = listed(
            sorted({_place_text(other.place, places) for other in alike}), _MOST_LISTED
        )
        yield f"target {draft.apart['target']} leads to {leads_to}; compared separately"
    if (files := len({other.settings for other in alike})) > 1:
        yield (
            f"{draft.step}: {files} versions of the experiment file, which may set this step"
            " differently; compared separately"
        )
    if draft.variant:
        variant = ", ".join(_variant_words(draft, places))
        yield f"{draft.step}: {variant} in some runs only; compared separately"


def _alike(draft: Draft, drafts: Sequence[Draft]) -> list[Draft]:
    """The panels of the same step over all nodes."""
    step = draft.step, draft.step_no
    return [other for other in drafts if (other.step, other.step_no) == step and not other.stratum]


def _is_name_of_several_places(alike: Sequence[Draft]) -> bool:
    targets = {(o.apart["target"], o.place) for o in alike if "target" in o.apart}
    return len(targets) > len({name for name, _ in targets})


def _variant_words(draft: Draft, places: Sequence[TargetPlace]) -> list[str]:
    return [
        f"target at {_place_text(None if value == -1 else int(value), places)}"
        if name == PLACE
        else f"effective {setting(name, value)}"
        for name, value in draft.variant.items()
    ]


def _place_text(place: int | None, places: Sequence[TargetPlace]) -> str:
    return "an unknown place" if place is None else str(places[place])


def _several(name: str, count: int) -> str:
    return f"{count} {_PLURALS.get(name, f'{word(name)}s')}"

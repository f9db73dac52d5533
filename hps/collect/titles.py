"""What panels are called, and the words on what keeps them apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from hps.analyze.names import sort_key, word
from hps.collect.drafts import PLACE, Draft
from hps.collect.facts import TargetPlace
from hps.collect.kinds import Value

_MOST_LISTED = 8
_PLURALS: Mapping[str, str] = MappingProxyType(
    {
        "files": "numbers of files",
        "content": "kinds of content",
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
        f"{word(knob)} {_shown(value)}"
        for knob, value in draft.apart.items()
        if len({other.apart[knob] for other in alike}) > 1
    ]
    if _has_one_name_for_several_places(alike):
        parts.append(f"target at {_told(draft.place, places)}")
    if len({other.settings for other in alike}) > 1:
        parts.append(f"experiment file {draft.settings[:12]}")
    return ", ".join([step_name(draft), *parts, *_variant(draft, places)])


def step_name(draft: Draft) -> str:
    """`download`, and `download#2` for the second one of a trial."""
    return draft.step if draft.step_no == 1 else f"{draft.step}#{draft.step_no}"


def notes(drafts: Sequence[Draft], places: Sequence[TargetPlace]) -> tuple[str, ...]:
    """A line for each thing that keeps panels apart, and how to have it compared."""
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
                f"{_several(name, len(values))}: {_listed(_shown(value) for value in ordered)};"
                f" compared separately; add {name} to --by to compare them"
            )
    if _has_one_name_for_several_places(alike):
        told = sorted({_told(other.place, places) for other in alike})
        yield f"target {draft.apart['target']} leads to {_listed(told)}; compared separately"
    if len({other.settings for other in alike}) > 1:
        yield (
            f"{draft.step}: {len({other.settings for other in alike})} versions of the experiment"
            " file, which may set this step differently; compared separately"
        )
    if draft.variant:
        told_variant = ", ".join(_variant(draft, places))
        yield f"{draft.step}: {told_variant} in some runs only; compared separately"


def _alike(draft: Draft, drafts: Sequence[Draft]) -> list[Draft]:
    """The panels of the same step over all nodes."""
    step = draft.step, draft.step_no
    return [other for other in drafts if (other.step, other.step_no) == step and not other.stratum]


def _has_one_name_for_several_places(alike: Sequence[Draft]) -> bool:
    targets = {(o.apart["target"], o.place) for o in alike if "target" in o.apart}
    return len(targets) > len({name for name, _ in targets})


def _variant(draft: Draft, places: Sequence[TargetPlace]) -> list[str]:
    return [
        f"target at {_told(None if value == -1 else int(value), places)}"
        if name == PLACE
        else f"effective {word(name)} {_shown(value)}"
        for name, value in draft.variant.items()
    ]


def _told(place: int | None, places: Sequence[TargetPlace]) -> str:
    return "an unknown place" if place is None else str(places[place])


def _several(name: str, count: int) -> str:
    return f"{count} {_PLURALS.get(name, f'{word(name)}s')}"


def _listed(values: Iterable[str]) -> str:
    texts = list(values)
    more = f" and {len(texts) - _MOST_LISTED} more" if len(texts) > _MOST_LISTED else ""
    return ", ".join(texts[:_MOST_LISTED]) + more


def _shown(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

"""Results of one run -> a row per cell and step: how many, how fast, what was really applied.

Only counted `ok` results have a throughput; warm-ups are left out, and everything else is counted
as what it was. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from hps.compare.comparison import direction_of
from hps.compare.words import step_name

Record = Mapping[str, object]
# What counts of every result: a run may have a hundred thousand.
_OF_EACH = ("status", "throughput_mbps", "duration_s", "reason", "effective", "disturbed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One cell and step. Rates are Mbps, times seconds; None where nothing can be said.

    `n` counts the `ok` results, `not_ok` the others by status. `effective` has what the first `ok`
    result says of each setting, `observed` is that of the first one, `disturbed` counts those made
    while the machine was short of CPU. `same_as` names the cell that stands for this one, which
    then has no results of its own. `name` tells repeated steps apart.
    """

    cell: Mapping[str, object]
    step: str
    name: str = ""
    n: int = 0
    not_ok: Mapping[str, int]
    median_s: float | None = None
    median_mbps: float | None = None
    min_mbps: float | None = None
    max_mbps: float | None = None
    effective: Mapping[str, object] | None = None
    observed: Mapping[str, object] | None = None
    disturbed: int = 0
    same_as: Mapping[str, object] | None = None
    reason: str = ""

    @property
    def moves_payload(self) -> bool:
        return direction_of(self.step) != "none"


def summarize(records: Iterable[Record]) -> tuple[Row, ...]:
    """The rows of a run's records (its run line and its result lines), by step, then cell."""
    run: Record = {}
    groups: dict[tuple[int, str, str], list[Record]] = {}
    shown: set[tuple[int, str, str]] = set()  # by their first `ok` result
    for record in records:
        if record["kind"] == "run":
            run = record
        elif record["kind"] == "result" and not record["warmup"]:
            key, ok = _key(record), record["status"] == "ok"
            whole = key not in groups or (ok and key not in shown)
            shown |= {key} if ok else set()
            kept = record if whole else {name: record.get(name) for name in _OF_EACH}
            groups.setdefault(key, []).append(kept)
    rows = {key: _row(group) for key, group in groups.items()}
    for entry in _list(run.get("merged")):
        rows.setdefault(_key(entry), _merged_row(entry))
    order = {text: number for number, text in enumerate(_cells_in_order(run, rows))}
    in_order = sorted(rows.items(), key=lambda item: (item[0][:2], order[item[0][2]]))
    names = _names({key[:2] for key in rows})
    return tuple(replace(row, name=names[key[0]]) for key, row in in_order)


def _key(record: Record) -> tuple[int, str, str]:
    return int(str(record["step_index"])), str(record["step"]), _text(record["cell"])


def _row(group: Sequence[Record]) -> Row:
    done = [record for record in group if record["status"] == "ok"]
    rates = [float(str(r["throughput_mbps"])) for r in done if r["throughput_mbps"] is not None]
    times_s = [float(str(record["duration_s"])) for record in done]
    first = done[0] if done else group[0]
    return Row(
        cell=_mapping(group[0]["cell"]) or {},
        step=str(group[0]["step"]),
        n=len(done),
        not_ok=Counter(str(record["status"]) for record in group if record["status"] != "ok"),
        median_s=median(times_s) if times_s else None,
        median_mbps=median(rates) if rates else None,
        min_mbps=min(rates, default=None),
        max_mbps=max(rates, default=None),
        effective=_first_known(_mapping(record["effective"]) for record in done or group[:1]),
        observed=_mapping(first["observed"]),
        disturbed=sum(bool(record.get("disturbed")) for record in done),
        reason=next((str(r["reason"]) for r in group if r["status"] != "ok"), ""),
    )


def _first_known(settings: Iterable[Record | None]) -> Record | None:
    """The first known value of each setting; None where no result says anything."""
    found: dict[str, object] = {}
    for one in settings:
        for name, value in (one or {}).items():
            found[name] = value if found.get(name) is None else found[name]
    return found or None


def _merged_row(entry: Record) -> Row:
    return Row(
        cell=_mapping(entry["cell"]) or {},
        step=str(entry["step"]),
        not_ok={},
        same_as=_mapping(entry["same_as"]),
        reason=str(entry["reason"]),
    )


def _cells_in_order(run: Record, rows: Iterable[tuple[int, str, str]]) -> list[str]:
    """Cells as the experiment declares them; those that it doesn't name come last."""
    declared = [_text(cell) for cell in _list(run.get("cells"))]
    return declared + sorted({text for _, _, text in rows} - set(declared))


def _names(steps: Iterable[tuple[int, str]]) -> dict[int, str]:
    """What each step is called: `download`, and `download#2` where there are several."""
    names: dict[int, str] = {}
    seen: Counter[str] = Counter()
    for index, step in sorted(steps):
        seen[step] += 1
        names[index] = step_name(step, seen[step])
    return names


def _text(cell: object) -> str:
    return repr(sorted((_mapping(cell) or {}).items()))


def _mapping(value: object) -> Mapping[str, object] | None:
    return value if isinstance(value, Mapping) else None


def _list(value: object) -> list[Record]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []

"""What a number that lacks its unit was probably meant as: only what its key would take."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple

from hps.catalog.providers import GIB, MIB
from hps.catalog.steps import STEP_KINDS
from hps.catalog.tools import is_exact, near_exact
from hps.model import KNOBS
from hps.spec.formats import FORMATS, FormatError
from hps.spec.yaml_tree import KeyPath, ScalarNode
from hps.units import format_size, parse_size_bytes, rate_readings, size_readings, time_readings

LEAST_PART, MOST_PART = 5 * MIB, 5 * GIB
_MOST = 2
_BARE = re.compile(r"\s*([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*([kKMGT]?)\s*", re.ASCII)
# By key: a number below the first is read in the first unit, then the second; else in ms, then s.
_TIMES: Mapping[str, tuple[int, str, str]] = MappingProxyType(
    {"max_rtt": (100_000, "ms", "s"), "timeout": (10_000, "s", "m"), "duration": (10_000, "s", "m")}
)
_GIB_KEYS = frozenset({"min_disk", "min_gpu_memory"})
_GIB_BELOW, _MIB_BELOW = 1024, 16 * 1024**2


class Bare(NamedTuple):
    """A number without a unit, or with half of one: `10`, `10M`."""

    number: Decimal
    prefix: str


def bare(node: ScalarNode) -> Bare | None:
    """The number that a value is, however YAML lets it be written; None where it has a unit."""
    value = node.value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return None if isinstance(value, bool) else bare_text(str(value))


def bare_text(text: str) -> Bare | None:
    """As `bare`, of a text."""
    found = _BARE.fullmatch(text)
    return Bare(Decimal(found[1]), found[2]) if found else None


def readings(path: KeyPath, wanted: str, found: Bare) -> tuple[str, ...]:
    """What to write in place of a number, the likeliest first: only what is valid at `path`.

    `wanted` is the format of the value there.
    """
    key = _key(path)
    valid = [text for text in _candidates(key, wanted, found) if _is_valid(wanted, text)]
    if key == "chunk_size" and _is_of_parts(path):
        valid = list(_of_parts(valid, is_step=path[-1] == "step"))
    return tuple(dict.fromkeys(valid))[:_MOST]


def near_part(size_bytes: int) -> int:
    """The size nearest to this that a part may have and that no tool rounds."""
    return min(MOST_PART, max(LEAST_PART, near_exact(size_bytes)))


def _key(path: KeyPath) -> str:
    """The knob of an axis, also within a range or a list; else the key itself."""
    names = [step for step in path if isinstance(step, str)]
    known = [name for name in names if name in KNOBS]
    return known[-1] if known else (names or [""])[-1]


def _candidates(key: str, wanted: str, found: Bare) -> Iterator[str]:
    number, prefix = found
    if wanted == "hps-rate":
        yield from rate_readings(number)
    elif wanted == "hps-time":
        below, *units = _TIMES.get(key, (10_000, "s", "ms"))
        yield from (f"{number:f}{one}" for one in (units if number < below else ("ms", "s")))
        yield from time_readings(number)
    else:
        if key in _GIB_KEYS and not prefix and number < _MIB_BELOW:
            prefix = "G" if number < _GIB_BELOW else "M"
        yield from size_readings(number, prefix)
        if key == "chunk_size" and not prefix:
            # As the flags of some tools read a number alone.
            yield f"{number:f}KiB"


def _is_valid(wanted: str, text: str) -> bool:
    try:
        FORMATS[wanted](text)
    except FormatError:
        return False
    return True


def _is_of_parts(path: KeyPath) -> bool:
    """True for chunks that may become the parts of an upload."""
    if path[0] != "steps":
        return True
    kind = next((step for step in path if step in STEP_KINDS), None)
    return kind is None or STEP_KINDS[str(kind)].direction == "up"


def _of_parts(valid: Iterable[str], *, is_step: bool) -> Iterator[str]:
    """Those that parts may have; where none may, the nearest size that they may have."""
    sizes = {text: parse_size_bytes(text) for text in valid}
    least = MIB if is_step else LEAST_PART
    fitting = [
        text for text, size in sizes.items() if least <= size <= MOST_PART and is_exact(size)
    ]
    yield from fitting
    if sizes and not fitting:
        first = next(iter(sizes.values()))
        yield format_size(MIB if is_step and first < 2 * MIB else near_part(first))

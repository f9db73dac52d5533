"""What an engine has of a fleet, for people and for programs."""

from __future__ import annotations

import textwrap
from collections import Counter

from hps.errors import printable
from hps.fleet.engine import Started

_WIDTH = 80


def render(started: Started | None) -> str:
    """Lines of at most 80 columns, but for long names."""
    if started is None:
        return "nothing of it is there\n"
    lines = [f"  {printable(name)}" for name in started.names]
    states = Counter(instance.state for instance in started.instances)
    counts = [f"{count:,} {printable(state)}" for state, count in states.most_common()]
    machines = ", ".join(counts) or "no machine yet"
    billed = f"; {started.billed:,} of them billed" if started.billed else ""
    state = f"{printable(started.state)}: " if started.state else ""
    texts = [f"{state}{machines}{billed}", *([printable(started.remark)] * bool(started.remark))]
    wrapped = (textwrap.fill(text, _WIDTH, subsequent_indent="  ") for text in texts)
    return "\n".join([*lines, *wrapped]) + "\n"


def as_data(started: Started | None) -> dict[str, object]:
    """The same for programs."""
    if started is None:
        return {"names": [], "state": None, "instances": {}, "billed": 0, "remark": None}
    states = Counter(instance.state for instance in started.instances)
    return {
        "names": list(started.names),
        "state": started.state,
        "instances": dict(states),
        "billed": started.billed,
        "remark": started.remark or None,
    }

"""Findings in which every text that comes from results tries to become code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from hps.compare.comparison import Change, Findings, Interval
from tests.report.fleet import make_findings

# What ends a script, an attribute, an element, a template; what is a line's end to JavaScript.
PAYLOAD = (
    "</script></style><script>window.hacked=1</script>"
    "<img src=x onerror=\"window.hacked=2\"><svg onload='window.hacked=3'>"
    '" onmouseover="window.hacked=4" \' ${window.hacked=5} {{ 7*7 }} {% raw %}'
    " </script a <!-- ]]> &lt;b&gt; \u2028\u2029 javascript:alert(1) \x00 \U0001f600"
)
# Words with a meaning, which are not free text.
_FIXED = {"unit", "verdict", "test", "kind", "direction", "outcome", "by"}
CHANGE = Change(
    title="upload",
    step="upload",
    stratum="",
    key={"tool": "rclone"},
    ratio=0.8,
    interval=Interval(low=0.7, high=0.9),
    p=0.01,
    p_adjusted=0.02,
    verdict="slower",
    n=12,
    reason="as measured",
    notes=("another version",),
)


def make_hostile() -> Findings:
    """A small fleet with the payload behind every text: names, reasons, versions, cells, paths."""
    findings = make_findings(40)
    # Sizes are numbers by the time they get here; a tool may have any name.
    renamed = _renamed(replace(findings, by=("tool", "concurrency"), changes=(CHANGE,)))
    return _poisoned(renamed)  # type: ignore[no-any-return]


def _renamed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {"tool" if key == "chunk_size" else key: one for key, one in value.items()}
    return _mapped(value, _renamed)


def _poisoned(value: Any) -> Any:
    if isinstance(value, str):
        return f"{value}{PAYLOAD}"
    if isinstance(value, Mapping):
        return {key: one if key in _FIXED else _poisoned(one) for key, one in value.items()}
    return _mapped(value, _poisoned)


def _mapped(value: Any, change: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(change(one) for one in value)
    if not is_dataclass(value) or isinstance(value, type | np.ndarray):
        return value
    changed = {
        field.name: change(getattr(value, field.name))
        for field in fields(value)
        if field.name not in _FIXED
    }
    return replace(value, **changed)

"""What results are told apart by, as SQL over a result `r` and its run's facts `f`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from hps.analyze.names import CLASSES, UNKNOWN, WHERE
from hps.analyze.question import Condition
from hps.collect.database import text, texts
from hps.model import Knobs
from hps.step_kinds import STEP_KINDS

_DIGITS = 12
_DEFAULT_TOOL = str(Knobs(target="", size_bytes=0).tool)
TRANSFERS = tuple(name for name, kind in STEP_KINDS.items() if kind.direction != "none")
# A result that never came to a command, or to a version, is one of the tool that it was meant for.
_MEANT_FOR_TOOL = f"list_contains({texts(TRANSFERS)}, r.step) AND coalesce(r.tool_version, '') = ''"


def _classes(name: str, column: str) -> str:
    classes = CLASSES[name]
    low, middle, high = (text(label) for label in classes.labels)
    return (
        f"CASE WHEN {column} < {classes.low} THEN {low} WHEN {column} <= {classes.high}"
        f" THEN {middle} WHEN {column} > {classes.high} THEN {high} ELSE {text(UNKNOWN)} END"
    )


def _or_unknown(column: str) -> str:
    return f"coalesce({column}, {text(UNKNOWN)})"


_SQL: Mapping[str, str] = MappingProxyType(
    {
        "target": _or_unknown("r.target"),
        "tool": (
            f"CASE WHEN {_MEANT_FOR_TOOL} THEN coalesce(json_extract_string(r.cell, '$.tool'),"
            f" {text(_DEFAULT_TOOL)}) ELSE r.tool END"
        ),
        "size": "r.file_size_bytes",
        "files": "r.files",
        "content": "r.content",
        "layout": "r.layout",
        "chunk_size": "r.chunk_size_bytes",
        "concurrency": "r.concurrency",
        "transfers": "r.transfers",
        "http2": "r.http2",
        "checksum": "r.checksum",
        "experiment": "r.experiment",
        "spec": f"r.spec_sha256[:{_DIGITS}]",
        "commit": _or_unknown(f"f.spec_commit[:{_DIGITS}]"),
        "date": "strftime(f.started_at, '%Y-%m-%d')",
        "run": "r.run_id",
        "node": "r.machine_id",
        "tool_version": (
            f"CASE WHEN {_MEANT_FOR_TOOL} THEN {_or_unknown('f.rclone_version')}"
            " ELSE coalesce(r.tool_version, '') END"
        ),
        "country": _or_unknown("f.country"),
        "gpu": _or_unknown("f.gpu"),
        "rtt": _classes("rtt", "f.rtt_s"),
        "bandwidth": _classes("bandwidth", "f.probe_download_mbps"),
        "proxied": _or_unknown("f.proxied::VARCHAR"),
        "step": "r.step",
        "accepted": "coalesce(f.accepted, true)",
        "disturbed": "coalesce(r.disturbed, false)",
        "reason_code": "coalesce(r.reason_code, '')",
        "reason_owner": "coalesce(r.reason_owner, '')",
    }
)
# Names whose conditions look at more, or at something else, than cells are named by.
_SOUGHT: Mapping[str, str] = MappingProxyType(
    {
        "spec": "r.spec_sha256",
        "commit": "coalesce(f.spec_commit, '')",
        "rtt": "f.rtt_s",
        "bandwidth": "f.probe_download_mbps",
    }
)
# What is known of a run alone, so that nodes without results can be chosen by it.
OF_RUNS = frozenset(
    {
        *("experiment", "spec", "commit", "date", "run", "node"),
        *("country", "gpu", "rtt", "bandwidth", "proxied", "accepted"),
    }
)


def sql(name: str) -> str:
    """The value that a result has of a name, NULL never but where the line lacks it."""
    return _SQL[name]


def meets(condition: Condition) -> str:
    """A condition as SQL that is true or false, never NULL."""
    literals = [_literal(value) for value in condition.values]
    prefix = WHERE[condition.name] == "prefix"
    classes = condition.name in CLASSES and isinstance(condition.values[0], str)
    expression = _SQL[condition.name] if classes else _SOUGHT.get(condition.name)
    expression = expression or _SQL[condition.name]
    if condition.op not in {"=", "!="}:
        return f"coalesce({expression} {condition.op} {literals[0]}, false)"
    equal = [
        f"starts_with({expression}, {literal})" if prefix else f"{expression} = {literal}"
        for literal in literals
    ]
    any_of = f"coalesce({' OR '.join(equal)}, false)"
    return any_of if condition.op == "=" else f"NOT {any_of}"


def began_after(at: str) -> str:
    """A condition on a result's run: it began after this time, UTC; empty: none did."""
    if not at:
        return "false"
    return f"coalesce(f.started_at > TIMESTAMP {text(at.removesuffix('Z'))}, false)"


def _literal(value: str | float | bool) -> str:
    return text(value) if isinstance(value, str) else repr(value).lower()

"""A proof as a table: a row for each trial, and what follows from them."""

from __future__ import annotations

from dataclasses import asdict
from textwrap import shorten, wrap

from tabulate import tabulate

from hps.prove.judging import TrialResult, chunks_text
from hps.prove.proving import ToolFindings
from hps.tools.base import Evidence
from hps.units import format_size

_COLUMNS = ("over", "way", "file", "asked", "on the wire", "at once", "it says", "")
_WIRE_CHARACTERS = 24
_WIDTH = 78


def render(findings: ToolFindings) -> str:
    """The table of all trials; below, why some do not hold, and what follows."""
    notes = [note for result in findings.results for note in _notes(result)]
    if findings.left_out:
        notes.append(f"! https is left out: {findings.left_out}")
    table = tabulate(map(_row, findings.results), headers=_COLUMNS, disable_numparse=True)
    lines = [line for note in notes for line in _wrapped(note)]
    parts = [table, *(["\n".join(lines)] if lines else []), "\n".join(_wrapped(_outcome(findings)))]
    return "\n\n".join(parts) + "\n"


def as_data(findings: ToolFindings) -> dict[str, object]:
    """The same for JSON."""
    return {
        "tool": findings.tool,
        "version": findings.version,
        "proved_over": sorted(findings.schemes),
        "left_out": findings.left_out or None,
        "trials": [_trial_data(result) for result in findings.results],
    }


def _trial_data(result: TrialResult) -> dict[str, object]:
    trial, wire, words = result.trial, result.wire, result.said
    return {
        "scheme": trial.scheme,
        "way": trial.way,
        "size_bytes": trial.knobs.size_bytes,
        "asked": asdict(trial.asked),
        "planned": asdict(trial.planned),
        "wire": {
            "chunks_bytes": list(wire.sizes_bytes),
            "peak_in_flight": wire.at_once,
            "connections": wire.connections,
        },
        "effective": asdict(words.effective) if words and words.effective else None,
        "observed": asdict(words.observed) if words else None,
        "proof": words.proof if words else None,
        "wrong": list(result.wrong),
    }


def _outcome(findings: ToolFindings) -> str:
    named = f"{findings.tool} {findings.version}"
    over = " and ".join(sorted(findings.schemes))
    if over:
        return f"{named}: proved over {over}"
    return f"{named}: not proved"


def _wrapped(text: str) -> list[str]:
    return wrap(text, _WIDTH, subsequent_indent="  ", break_long_words=False)


def name_of(result: TrialResult) -> str:
    """`https up 26MiB, 6MiB x 3`."""
    trial = result.trial
    return f"{trial.scheme} {trial.way} {format_size(trial.knobs.size_bytes)}, {_asked(result)}"


def _row(result: TrialResult) -> tuple[str, ...]:
    trial = result.trial
    wire = result.wire
    return (
        trial.scheme,
        trial.way,
        format_size(trial.knobs.size_bytes),
        _asked(result),
        shorten(chunks_text(wire.sizes_bytes), _WIRE_CHARACTERS, placeholder=" …"),
        str(wire.at_once),
        _words(result.said),
        "no" if result.wrong else "ok",
    )


def _asked(result: TrialResult) -> str:
    asked = result.trial.asked
    return f"{format_size(asked.chunk_size_bytes or 0)} x {asked.concurrency}"


def _words(said: Evidence | None) -> str:
    """Chunks, and how many at once; of a tool that shows none its connections, as hps saw them."""
    if said is None:
        return "it failed"
    seen = said.observed
    if seen.chunks is None:
        return f"{seen.connections or '?'} conn."
    size = "?" if seen.chunk_size_bytes is None else format_size(seen.chunk_size_bytes)
    return f"{seen.chunks} of {size}, {seen.peak_in_flight or '?'}"


def _notes(result: TrialResult) -> list[str]:
    return [f"! {name_of(result)}: {why}" for why in result.wrong]

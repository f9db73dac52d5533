"""All pictures of a report, in the order in which they are looked at."""

from __future__ import annotations

from dataclasses import replace

from hps.compare.comparison import Findings
from hps.report import tables
from hps.report.pictures import (
    admission,
    changes,
    drift,
    failures,
    heatmap,
    published,
    ratios,
    streams,
)
from hps.report.pictures.picture import Draw, Drawn, Paint, Picture

_DRAWN: tuple[Draw, ...] = (
    heatmap.draw,
    streams.draw,
    ratios.draw,
    changes.draw,
    published.draw,
    drift.draw,
    failures.draw,
    admission.draw,
)


def draw(findings: Findings, paint: Paint) -> list[Drawn]:
    """Every picture that there are data for, under a name of its own, and a gap for every other."""
    drawn = [one for each in _DRAWN for one in each(findings, paint)]
    names = tables.distinct([one.name for one in drawn])
    return [replace(one, name=name) for one, name in zip(drawn, names, strict=True)]


def pictures(drawn: list[Drawn]) -> list[Picture]:
    """The pictures among them, without the gaps."""
    return [one for one in drawn if isinstance(one, Picture)]

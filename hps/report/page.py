"""Findings -> one HTML page that needs nothing else: no network, no file beside it.

Everything that comes from results is text to be shown: Jinja escapes it in HTML, `embedded` in
data for scripts. The policy in the page's head keeps it from fetching anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from jinja2 import DictLoader, Environment, StrictUndefined, Template
from markupsafe import Markup

from hps.analyze.comparison import Findings
from hps.analyze.gates import judge_all
from hps.report import compare_tables, compare_words, page_answer, page_provenance, page_table
from hps.report.pictures import chart, gallery, image
from hps.report.pictures.paint import PAGE
from hps.report.pictures.picture import Gap, Picture, Section

SECTIONS: Mapping[Section, str] = {
    "settings": "Settings",
    "fleet": "The nodes",
    "time": "Time",
    "reliability": "What failed, and who was left out",
}
# What ends a script, or a line of one, whatever stands around it.
_UNSAFE = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A picture in the page: `svg` is what is seen until, and unless, scripts draw it."""

    name: str
    title: str
    note: str
    finding: str
    least_width: int
    svg: Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """The pictures of one section, and why some are not there."""

    title: str
    figures: tuple[Figure, ...]
    gaps: tuple[str, ...]


def render(findings: Findings, *, version: str, made_at: str) -> str:
    """The page. `version` is that of hps, `made_at` a time as text."""
    drawn = gallery.draw(findings, PAGE)
    specs = {
        picture.name: chart.spec(picture, PAGE, titled=False) for picture in gallery.pictures(drawn)
    }
    return _template().render(
        findings=findings,
        answers=page_answer.answers(findings),
        sentences=page_answer.sentences(findings),
        classes=page_answer.classes(findings),
        changes=page_answer.changes(findings),
        gates=compare_tables.gates(judge_all((), findings)),
        changes_more=max(0, len(findings.changes) - page_answer.MOST_CHANGES),
        sureties=page_answer.sureties(findings),
        notes=page_answer.notes(findings),
        certainty=compare_words.certainty(findings)[:1],
        chapters=_chapters(drawn, specs),
        table=page_table.table(findings),
        facts=page_provenance.facts(findings),
        left_out=page_provenance.left_out(findings),
        specs=embedded(specs),
        library=_script(image.library()),
        code=_script(_part("page.js")),
        style=_as_is(_part("page.css")),
        version=version,
        made_at=made_at,
    )


def embedded(data: object) -> Markup:
    """Data as JSON that may stand within a script element: nothing in it can end the element."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character, escape in _UNSAFE.items():
        text = text.replace(character, escape)
    return _as_is(text)


def _as_is(made: str) -> Markup:
    """What was made here, with everything foreign in it escaped already: it goes in unchanged."""
    return Markup(made)  # noqa: S704 - see above


def _script(code: str) -> Markup:
    """Our own code, which is not escaped. Raises `ValueError` where it would end its element."""
    if "</script" in code.lower() or "<!--" in code:
        raise ValueError("a script that would end its own element")
    return _as_is(code)


def _template() -> Template:
    environment = Environment(
        loader=DictLoader({"page.html": _part("page.html")}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html")


def _part(name: str) -> str:
    return resources.files("hps.report").joinpath(name).read_text(encoding="utf-8")


def _chapters(drawn: Sequence[Picture | Gap], specs: Mapping[str, chart.Spec]) -> list[Chapter]:
    return [
        Chapter(
            title=title,
            figures=tuple(
                _figure(one, specs[one.name])
                for one in drawn
                if isinstance(one, Picture) and one.section == section
            ),
            gaps=tuple(
                one.reason for one in drawn if isinstance(one, Gap) and one.section == section
            ),
        )
        for section, title in SECTIONS.items()
    ]


def _figure(picture: Picture, spec: chart.Spec) -> Figure:
    return Figure(
        name=picture.name,
        title=picture.title,
        note=picture.note,
        finding=picture.finding,
        least_width=picture.least_width,
        svg=_as_is(image.svg(spec)),
    )

"""One input through everything that `hps validate` and `hps plan` do with it."""

from __future__ import annotations

import codecs
import json
import re
import unicodedata
from pathlib import Path

from hps.errors import HpsError
from hps.plan import estimate
from hps.plan.expand import expand
from hps.report import plan_text
from hps.results import journal
from hps.run import resume
from hps.source import address
from hps.spec.checks import Machine
from hps.spec.load import load
from hps.spec.problems import SpecError, as_data, to_github, to_text
from hps.spec.source import SpecText
from hps.steps import script
from tests.fuzz.seeds import ENV, Input

# A plan of so many operations is printed as a script too, and as data: of more the text itself
# would take the time and the memory.
_SCRIPTED = 200
_AS_DATA = 10_000
_SMALL = Machine(memory_bytes=512 * 1024**2, disk_free_bytes=1024**3)
_DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
_UNUSUAL = re.compile(r"[^\n\t\x20-\x7e]")


class WrongAnswerError(AssertionError):
    """No crash, and still not what was promised."""


def feed(one: Input) -> int:
    """Take an input as the commands do. Returns how many trials and operations it planned."""
    source = SpecText(name="fuzz.yaml", content=one.content, trusted=one.trusted)
    machine = _SMALL if one.has_machine else None
    try:
        spec = load(source, env=ENV, overrides=one.overrides, machine=machine)
    except SpecError as error:
        _check_problems(error, one)
        return 0
    plan = expand(spec)
    taken = estimate.estimate(plan)
    texts = [plan_text.render(plan, taken)]
    if len(plan.operations) <= _AS_DATA:
        texts.append("".join(plan_text.as_json(plan, taken)))
    if len(plan.operations) <= _SCRIPTED:
        texts.append(script.render(plan))
    _check_texts(texts)
    return len(plan.cells) * (spec.repetitions + spec.warmup) * len(spec.steps)


def feed_address(text: str) -> None:
    """What EXPERIMENT may hold: understood, or refused."""
    try:
        name = address.parse(text).name
    except HpsError as error:
        name = error.message + error.hint
    if not isinstance(name, str) or not isinstance(address.shown(text), str):
        raise WrongAnswerError("no text")


def feed_journal(path: Path) -> None:
    """A file of results, whole or not."""
    try:
        journal.latest(journal.read(path).records)
        resume.read(path)
    except HpsError as error:
        error.message.encode()


def _check_problems(error: SpecError, one: Input) -> None:
    if not error.problems or error.exit_code != 2:
        raise WrongAnswerError("refused without a problem")
    for problem in error.problems:
        if problem.line < 1 or problem.column < 1 or problem.end_column <= problem.column:
            raise WrongAnswerError(f"no place: {problem!r}")
        if not problem.in_override and problem.line > _lines(one.content) + 1:
            raise WrongAnswerError(f"beyond the file: {problem!r}")
    texts = [to_text(error.problems, with_source=True), to_github(error.problems)]
    if len(error.problems) < 10:
        texts.append(json.dumps(as_data(error.problems), ensure_ascii=False))
    _check_texts(texts)


def _lines(content: bytes) -> int:
    """As YAML counts them: a carriage return, and what Unicode calls a line, ends one too."""
    wide = content[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    return len(content.decode("utf-16" if wide else "utf-8", "replace").splitlines())


def _check_texts(texts: list[str]) -> None:
    """What is printed can be printed, holds no secret, and nothing that a terminal obeys."""
    for text in texts:
        text.encode()
        if ENV["MY_KEY"] in text:
            raise WrongAnswerError("a secret is shown")
        odd = [one for one in _UNUSUAL.findall(text) if _is_obeyed(one)]
        if odd:
            raise WrongAnswerError(f"{odd[0]!r} is printed")


def _is_obeyed(one: str) -> bool:
    """Control characters, half of a pair of surrogates, and what changes the direction of text."""
    if unicodedata.category(one) in {"Cc", "Cs"}:
        return True
    return unicodedata.bidirectional(one) in _DIRECTIONS

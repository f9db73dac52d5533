"""Recipes of CONTRIBUTING.md, followed in a scratch copy of the package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from hps.catalog.steps import STEP_KINDS, UPLOADS
from hps.steps import STEPS
from tests.command import REPOSITORY

_PICTURE = '''\
"""How many steps were compared: a bar for all of them."""

from hps.report.pictures import marks
from hps.report.pictures.picture import Gap, Picture, number


def draw(findings, paint):
    """One picture, or a gap where there is no step."""
    if not findings.comparisons:
        return [Gap(name="bare", section="time", reason="Bare, for there is no step.")]
    axis = number("count", "steps")
    bar = marks.rule("x", [float(len(findings.comparisons))], axis, paint.blue, dashed=False)
    return [
        Picture(
            name="bare",
            section="time",
            title="Bare steps",
            note="By a recipe.",
            finding="Some steps.",
            layers=[bar],
        )
    ]
'''
_LOOK_AT_REPORTS = """\
from dataclasses import replace
from hps.report import page
from hps.report.pictures import gallery
from hps.report.pictures.picture import FILES
from tests.report.fleet import make_findings

some = make_findings(2)
for findings in (some, replace(some, comparisons=())):
    names = [one.name for one in gallery.draw(findings, FILES)]
    text = page.render(findings, version="1", made_at="now")
    print(names[0], "Bare steps" in text, "Bare, for there is no step." in text)
"""
_TOOL = '''\
"""mine: a tool that is called as another one is."""

from hps.tools.s5cmd import S5cmd


class Mine(S5cmd):
    """Fits `hps.tools.base.Tool`."""

    name = "mine"
'''
_SPEC = """\
api: hps/v1
name: recipe
targets: {local: {provider: embedded}}
data: {size: 1MiB}
matrix: {tool: [TOOL]}
steps: [upload]
"""


@dataclass(frozen=True, slots=True)
class _Copy:
    """The package and its schemas in a folder of a test's own."""

    folder: Path

    def write(self, path: str, text: str) -> None:
        (self.folder / path).write_text(text)

    def insert(self, path: str, before: str, line: str) -> None:
        text = (self.folder / path).read_text()
        assert text.count(before) == 1, f"{path} has another form: correct this test"
        (self.folder / path).write_text(text.replace(before, f"{line}\n{before}"))

    def python(self, *arguments: str) -> tuple[int, str]:
        """Exit code and output of a Python that finds this copy first, and the tests."""
        done = subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, "PYTHONPATH": f"{self.folder}{os.pathsep}{REPOSITORY}"},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout


@pytest.fixture
def copy(tmp_path: Path) -> _Copy:
    for name in ("hps", "schemas"):
        unwanted = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=unwanted)
    return _Copy(tmp_path)


@pytest.mark.prove
def test_a_new_picture_is_in_the_list_and_on_the_page(copy: _Copy) -> None:
    gallery = "hps/report/pictures/gallery.py"
    copy.write("hps/report/pictures/bare.py", _PICTURE)
    copy.insert(gallery, "    changes,\n", "    bare,")
    copy.insert(gallery, "    heatmap.draw,\n", "    bare.draw,")

    assert copy.python("-c", _LOOK_AT_REPORTS) == (0, "bare True False\nbare False True\n")


def test_a_new_tool_is_valid_suggested_and_planned(copy: _Copy) -> None:
    copy.write("hps/tools/mine.py", _TOOL)
    tools, facts = "hps/tools/__init__.py", "hps/catalog/tools.py"
    copy.insert(
        tools, "from hps.tools.rclone.tool import Rclone\n", "from hps.tools.mine import Mine"
    )
    copy.insert(tools, '        "s5cmd": S5cmd(),\n', '        "mine": Mine(),')
    copy.insert(facts, '        "s5cmd": ToolFacts(\n', '        "mine": ToolFacts(),')
    copy.write("good.yaml", _SPEC.replace("TOOL", "mine"))
    copy.write("bad.yaml", _SPEC.replace("TOOL", "min"))

    code, output = copy.python("-m", "hps", "validate", "good.yaml")
    assert (code, output) == (0, "good.yaml: ok, 1 cell, 1 operation\n")
    code, output = copy.python("-m", "hps", "validate", "bad.yaml")
    assert (code, "did you mean 'mine'" in output) == (2, True), output
    code, output = copy.python("-m", "hps", "plan", "good.yaml", "--format", "commands")
    assert (code, " mine --json " in output) == (0, True), output


def test_a_step_that_reads_the_files_needs_an_upload() -> None:
    """They are made where a step moves them; any other reader would find none at run time."""
    for name, perform in STEPS.items():
        kind = STEP_KINDS[name]
        source = Path(str(sys.modules[perform.__module__].__file__)).read_text()
        if "context.payload(" in source and kind.direction != "up":
            assert _needs_an_upload(kind.needs), name


def _needs_an_upload(needs: tuple[str, ...]) -> bool:
    """True where one of these can come only after an upload, or is one."""
    return bool(needs) and all(
        name in UPLOADS or _needs_an_upload(STEP_KINDS[name].needs) for name in needs
    )

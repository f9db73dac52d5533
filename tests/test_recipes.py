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

from hps.report import tables
from hps.report.pictures import marks
from hps.report.pictures.picture import Gap, Picture, number


def draw(findings, paint):
    """One picture, or a gap where there is no step that counts."""
    steps = [one for one in tables.main(findings) if tables.best(one)]
    if not steps:
        return [Gap(name="bare", section="time", reason="Bare, for there is no step.")]
    axis = number("count", "steps")
    bar = marks.rule("x", [float(len(steps))], axis, paint.blue, dashed=False)
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
_STEP = '''\
"""count: see how many objects there are, as `list` does."""

from hps.steps.objects import list_call as call
from hps.steps.objects import list_objects as perform

__all__ = ["call", "perform"]
'''
_STEP_KIND = """\
    StepKind(
        name="count",
        direction="none",
        settings=("timeout",),
        needs=UPLOADS,
        summary="Count the objects.",
    ),"""
_STEP_SETTINGS = """\
    "count_settings": {
      "description": "Count the objects.",
      "type": "object",
      "additionalProperties": false,
      "properties": {"timeout": {"description": "At most.", "$ref": "#/$defs/time"}}
    },"""
_STEP_IN_SCHEMA = """\
          "count": {"description": "Count the objects.", "$ref": "#/$defs/count_settings"},"""
_ROW = """\
        "NAME": ProviderFacts(
            title="Name",
            rclone_name="Other",
            endpoint="required",
            host=r"s3\\.NAME\\.example",
            max_parts=500,
            other_names=("also-NAME",),
        ),"""
_PRICES = """\
        "priced": Prices(
            title="Priced",
            as_of="2026-01-01",
            source="https://priced.example/prices",
            class_a_per_million=1.0,
            class_b_per_million=1.0,
            egress_per_gb=0.0,
        ),"""
_TARGET = """\
  new: {provider: NAME, endpoint: "https://s3.NAME.example", bucket: b,
        access_key_id: {env: A}, secret_access_key: {env: B}}"""
_AT_A_PROVIDER = """\
api: hps/v1
name: recipe
targets:
TARGET
data: {size: 4GiB}
matrix: {chunk_size: [CHUNK]}
steps: [upload]
"""


@dataclass(frozen=True, slots=True)
class _Copy:
    """The package, its schemas and its tests in a folder of a test's own."""

    folder: Path

    def write(self, path: str, text: str) -> None:
        (self.folder / path).write_text(text)

    def insert(self, path: str, before: str, line: str) -> None:
        self.replace(path, before, f"{line}\n{before}")

    def replace(self, path: str, old: str, new: str, times: int = 1) -> None:
        text = (self.folder / path).read_text()
        assert text.count(old) == times, f"{path} has another form: correct this test"
        (self.folder / path).write_text(text.replace(old, new))

    def python(self, *arguments: str) -> tuple[int, str]:
        """Exit code and output of a Python that finds this copy first."""
        done = subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, "PYTHONPATH": str(self.folder)},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout

    def test(self, *paths: str, named: str) -> None:
        """Run some tests of this copy; they have to pass."""
        how = ("-p", "no:cacheprovider", "-k", named)
        code, output = self.python("-m", "pytest", *how, *paths)
        assert code == 0, output


@pytest.fixture
def copy(tmp_path: Path) -> _Copy:
    for name in ("hps", "schemas", "tests"):
        unwanted = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=unwanted)
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    return _Copy(tmp_path)


@pytest.mark.prove
def test_a_new_picture_is_in_the_list_and_on_the_page(copy: _Copy) -> None:
    gallery = "hps/report/pictures/gallery.py"
    copy.write("hps/report/pictures/bare.py", _PICTURE)
    copy.insert(gallery, "    changes,\n", "    bare,")
    copy.insert(gallery, "    heatmap.draw,\n", "    bare.draw,")

    assert copy.python("-c", _LOOK_AT_REPORTS) == (0, "bare True False\nbare False True\n")
    copy.test("tests/report/test_page.py", "tests/report/test_pictures.py", named="nothing_counts")


def test_a_new_tool_is_valid_suggested_and_planned(copy: _Copy) -> None:
    copy.write("hps/tools/mine.py", _TOOL)
    tools, facts = "hps/tools/__init__.py", "hps/catalog/tools.py"
    copy.insert(
        tools, "from hps.tools.rclone.tool import Rclone\n", "from hps.tools.mine import Mine"
    )
    copy.insert(tools, '        "s5cmd": S5cmd(),\n', '        "mine": Mine(),')
    own = "Own(chunk_size_bytes=8 * MIB, concurrency=4)"
    copy.insert(
        facts, '        "s5cmd": ToolFacts(', f'        "mine": ToolFacts(up={own}, down={own}),'
    )
    copy.write("good.yaml", _SPEC.replace("TOOL", "mine"))
    copy.write("bad.yaml", _SPEC.replace("TOOL", "min"))

    code, output = copy.python("-m", "hps", "validate", "good.yaml")
    assert (code, output) == (0, "good.yaml: ok, 1 cell, 1 operation\n")
    code, output = copy.python("-m", "hps", "validate", "bad.yaml")
    assert (code, "did you mean 'mine'" in output) == (2, True), output
    code, output = copy.python("-m", "hps", "plan", "good.yaml", "--format", "commands")
    assert (code, " mine --json " in output) == (0, True), output


def test_a_new_step_is_done_and_planned_and_the_schema_is_told(copy: _Copy) -> None:
    steps, schema = "hps/steps/__init__.py", "schemas/experiment.schema.json"
    copy.insert("hps/catalog/steps.py", '    StepKind(\n        name="upload",\n', _STEP_KIND)
    copy.write("hps/steps/count.py", _STEP)
    copy.replace(steps, "from hps.steps import ", "from hps.steps import count, ")
    copy.insert(steps, '    "upload": transfer.upload,\n', '    "count": count.perform,')
    copy.insert(steps, '    "upload": transfer.upload_call,\n', '    "count": count.call,')
    count = '    if kind == "count":\n        return _listing(knobs, rules)'
    copy.insert("hps/plan/estimate.py", '    if kind == "list":\n', count)
    copy.replace(schema, '"enum": [\n        "upload"', '"enum": [\n        "count", "upload"')
    copy.insert(schema, '    "upload_settings": {\n', _STEP_SETTINGS)
    copy.insert(schema, '          "upload": {"description"', _STEP_IN_SCHEMA)
    copy.write("new.yaml", _SPEC.replace("TOOL", "rclone").replace("[upload]", "[upload, count]"))

    code, output = copy.python("-m", "hps", "plan", "new.yaml", "--format", "commands")
    assert (code, " lsf " in output) == (0, True), output
    code, output = copy.python("-m", "hps", "run", "new.yaml", "--format", "json", "--log", "text")
    assert (code, '"step": "count"' in output) == (0, True), output
    named = "agree or a_name_alone or (says_what and steps)"
    copy.test("tests/spec/test_schema.py", "tests/spec/test_corpus.py", named=named)


@pytest.mark.parametrize("name", ["plain", "priced"])
def test_a_new_provider_is_valid_suggested_limited_and_priced(copy: _Copy, name: str) -> None:
    providers, prices = "hps/catalog/providers.py", "hps/catalog/prices.py"
    hosts, good = "tests/spec/test_providers_check.py", "tests/specs/valid/providers.yaml"
    copy.insert(providers, '        "other": ProviderFacts(\n', _ROW.replace("NAME", name))
    copy.replace("hps/model.py", '"other"', f'"{name}", "other"')
    if name == "priced":
        copy.insert(prices, '        "backblaze": Prices(\n', _PRICES)
    for file, times in (("experiment", 3), ("result", 1)):
        copy.replace(f"schemas/{file}.schema.json", '"other"', f'"{name}", "other"', times)
    copy.insert(hosts, "    (_GOOGLE, ", f'    ("https://s3.{name}.example", "{name}"),')
    target = _TARGET.replace("NAME", name)
    copy.insert(good, "  ceph: ", target)
    for chunk in ("8MiB", "16MiB"):
        spec = _AT_A_PROVIDER.replace("TARGET", target).replace("CHUNK", chunk)
        copy.write(f"{chunk}.yaml", spec)
    copy.write("bad.yaml", spec.replace(f"provider: {name}", f"provider: also-{name}"))

    code, output = copy.python("-m", "hps", "validate", "8MiB.yaml", "bad.yaml")
    assert (code, "at most 500 are allowed" in output) == (2, True), output
    assert f"did you mean '{name}'" in output
    code, output = copy.python("-m", "hps", "plan", "16MiB.yaml")
    assert (code, "\ncost " in output) == (0, name == "priced"), output
    named = (
        "agree or choices or descriptions or (says_what and provider) or has_one_above or prices"
    )
    copy.test("tests/spec", "tests/catalog/test_prices.py", named=named)


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

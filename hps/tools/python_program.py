"""Programs written in Python: where they are, and which are none to measure."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

_SHELL = re.compile(rb"#![^\n]*[/ ](?:ba|da|k|z)?sh(?: [^\n]*)?\n")


def find(name: str) -> str | None:
    """The one installed with the Python that runs this, else the one on PATH."""
    path = Path(sys.executable).with_name(name)
    return str(path) if os.access(path, os.X_OK) else shutil.which(name)


def why_no_program(program: str) -> str:
    """Why what is at this path can't be measured as a program; empty where it can."""
    if not os.access(program, os.X_OK) or Path(program).is_dir():
        return f"'{program}' is no program"
    with Path(program).open("rb") as start:
        if _SHELL.match(start.readline(200)):
            why = "is a shell script that starts another program, which would be measured too"
            return f"{program} {why}"
    return ""

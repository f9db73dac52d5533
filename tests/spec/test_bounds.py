"""Whatever a file holds, refusing it takes little time and memory.

Each case runs in a process of its own with hard limits: a second or so of CPU beside start-up, and
200 MB. Where a limit bites, the process dies and the test fails.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CPU_LIMIT_S = 10
ADDRESS_SPACE_BYTES = 600 * 10**6
RESIDENT_BYTES = 200 * 10**6
_PROGRAM = f"""
import json, resource, sys, time
resource.setrlimit(resource.RLIMIT_CPU, ({CPU_LIMIT_S}, {CPU_LIMIT_S}))
resource.setrlimit(resource.RLIMIT_AS, ({ADDRESS_SPACE_BYTES}, {ADDRESS_SPACE_BYTES}))
from hps.spec.load import load
from hps.spec.problems import SpecError, to_text
from hps.spec.source import SpecText
content = open(sys.argv[1], "rb").read()
env = {{"BIG": "x" * 100_000}}
began_s = time.process_time()
rules, text = [], ""
try:
    load(SpecText(name="a.yaml", content=content), env=env)
except SpecError as error:
    rules = [problem.rule for problem in error.problems]
    text = to_text(error.problems, with_source=True)
took_s = time.process_time() - began_s
# Not ru_maxrss: that begins with the size of the process that this one was forked from.
status = open("/proc/self/status").read()
peak_bytes = int(status.split("VmHWM:")[1].split()[0]) * 1024
print(json.dumps({{"rules": rules, "took_s": took_s, "peak_bytes": peak_bytes, "text": len(text)}}))
"""
HEAD = "api: hps/v1\nname: case\ntargets: {local: {provider: embedded}}\ndata: {size: 20MiB}\n"
STEPS = "steps: [upload]\n"
ALMOST = 1024**2 - 1000


def _bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    return "\n".join(lines)


def _deep_aliases() -> str:
    return "\n".join(["a0: &a0 x", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 200))])


def _many_cells(exclude: int) -> str:
    ranges = "concurrency: {range: {from: 1, to: 300}}\n  transfers: {range: {from: 1, to: 300}}"
    entries = "".join(f"    - {{concurrency: {n}}}\n" for n in range(1, exclude + 1))
    return f"{HEAD}{STEPS}matrix:\n  {ranges}\n" + (f"  exclude:\n{entries}" if exclude else "")


CASES = {
    "alias_bomb": (_bomb(), "too-many-nodes"),
    "deep_aliases": (_deep_aliases(), "too-deep"),
    "deep_flow": ("[" * ALMOST, "too-deep"),
    "deep_mapping": ("{a: " * (ALMOST // 4), "too-deep"),
    "deep_block": ("".join(f"{' ' * n}a:\n" for n in range(1000)), "too-deep"),
    "many_items": ("a: [" + "x," * (ALMOST // 2) + "]", "too-many-nodes"),
    "many_keys": ("".join(f"k{n}: 1\n" for n in range(80_000)), "too-many-nodes"),
    "many_unknown_keys": (
        HEAD + STEPS + "".join(f"k{n}: 1\n" for n in range(9_000)),
        "unknown-key",
    ),
    "many_wrong_values": (
        HEAD + STEPS + "matrix: {concurrency: [" + "x," * 9_990 + "]}",
        "wrong-type",
    ),
    "many_duplicates": ("a: 1\n" * 9_000, "duplicate-key"),
    "many_tag_directives": ("%TAG !a! x\n" * (ALMOST // 11) + "---\na: 1\n", "directive"),
    "many_variables": (HEAD + "description: " + "${A}" * (ALMOST // 4), "unset-variable"),
    "many_openings": (HEAD + "description: " + "${" * (ALMOST // 2), "bad-interpolation"),
    "much_filled_in": (HEAD + "description: " + "${BIG}" * 1000, "too-large"),
    "long_scalar": (HEAD + STEPS + "repetitions: " + "9" * ALMOST, "wrong-type"),
    "long_key": (HEAD + STEPS + '? "' + "concurrency" * 90_000 + '"\n: 1\n', "unknown-key"),
    "secret_words": ("token" * (ALMOST // 5), "not-a-mapping"),
    "secret_references": (
        "a: b: {" + "token: {env: A}, " * (ALMOST // 17),
        "syntax",
    ),
    "open_quote": (HEAD + 'description: "' + "x\n" * (ALMOST // 2), "syntax"),
    "many_cells": (_many_cells(0), ""),
    "many_operations": (f"{_many_cells(0)}repetitions: 3\n", "too-many-operations"),
    "many_cells_excluded": (_many_cells(300), "too-many-cells"),
    "many_values": (HEAD + STEPS + "matrix: {files: {range: {from: 1, to: 10000}}}", ""),
    "colons": ("a:" * (ALMOST // 2), "syntax"),
    "dashes": ("- " * (ALMOST // 2), "too-deep"),
    "questions": ("? " * (ALMOST // 2), "too-deep"),
    "anchors": ("a: [" + "".join(f"&a{n} x," for n in range(9_000)) + "]", "missing-key"),
    "comments": ("#\n" * (ALMOST // 2), "empty-file"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_file_is_refused_within_bounds(name: str, tmp_path: Path) -> None:
    text, rule = CASES[name]
    path = tmp_path / "a.yaml"
    path.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    outcome = json.loads(done.stdout)
    assert rule in outcome["rules"] if rule else outcome["rules"] == []
    assert outcome["peak_bytes"] < RESIDENT_BYTES
    assert outcome["text"] < 200_000

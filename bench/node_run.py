"""`hps run` in the node of an emulated link, or on this machine, as a person would run it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.link import Link
from hps.errors import EXIT_OK, EXIT_OPERATION_FAILED, HpsError
from hps.process import process
from hps.tools.rclone import command

Record = dict[str, Any]
REPOSITORY = Path(__file__).resolve().parents[1]
_SAID_LINES = 15
_SIGNALLED = 128


class RunError(HpsError):
    """`hps run` did not come to its end; the text has the end of what it said.

    The exit code is 1, or its own where a signal ended it.
    """

    def __init__(self, code: int, said: str) -> None:
        super().__init__(f"hps run ended with {code}:\n{said}")
        self.exit_code = code if code > _SIGNALLED else EXIT_OPERATION_FAILED


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """The lines of a run: the one about the run, and one for each operation."""

    run: Record
    results: tuple[Record, ...]

    def moved(self) -> list[Record]:
        """The uploads and downloads."""
        return [record for record in self.results if record["step"] in {"upload", "download"}]


def run_hps(
    link: Link | None,
    spec: Path,
    *,
    output: Path,
    env: Mapping[str, str],
    scratch: Path,
    timeout_s: float,
) -> Ran:
    """Run an experiment in the node (None: here); its results go below `output` as well.

    `scratch` is a folder for what it says. Call it in the main thread. Raises `RunError` where
    it ends in anything but 0 and 1, and `LinkError` after `timeout_s` over a link.
    """
    answer, events = scratch / "answer.jsonl", scratch / "events.jsonl"
    command = [sys.executable, "-m", "hps", "run", str(spec), "--output", str(output)]
    command += ["--format", "json", "--log", "json", "--fresh"]
    env = {"PYTHONPATH": str(REPOSITORY), **env}
    if link is None:
        code = _run_here(command, env, timeout_s, (answer, events))
    else:
        with answer.open("wb") as out, events.open("wb") as err:
            code = link.run(
                command, env=env, timeout_s=timeout_s, stdout=out.fileno(), stderr=err.fileno()
            )
    if code not in {EXIT_OK, EXIT_OPERATION_FAILED}:
        said = "\n".join(events.read_text(errors="replace").splitlines()[-_SAID_LINES:])
        raise RunError(code, said)
    run, *results = (json.loads(line) for line in answer.read_text().splitlines())
    return Ran(run=run, results=tuple(results))


def _run_here(
    command: list[str], env: Mapping[str, str], timeout_s: float, outputs: tuple[Path, Path]
) -> int:
    call = process.Command(argv=tuple(command), env={**os.environ, **env})
    out, err = outputs
    with process.Guard() as guard:
        ended = process.run(call, timeout_s=timeout_s, guard_process=guard, stdout=out, stderr=err)
    return ended.returncode


def versions() -> Mapping[str, str]:
    """What a stored measurement must have been made with to count again."""
    return {"rclone": command.read_version(command.find_binary(os.environ))}


def target_yaml(name: str, endpoint: str, ca_cert: Path | None = None) -> str:
    """A target that is served as `bench.link.s3` does, as a line of an experiment's `targets`."""
    certificate = f", ca_cert: {ca_cert}" if ca_cert else ""
    return (
        f"  {name}: {{provider: other, endpoint: '{endpoint}', bucket: '${{BUCKET}}', "
        "folder: '${FOLDER}', force_path_style: true, access_key_id: {env: CLOUDFLARE_ID}, "
        f"secret_access_key: {{env: CLOUDFLARE_KEY}}{certificate}}}"
    )

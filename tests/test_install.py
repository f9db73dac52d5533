"""The package as people install it: the schemas come along, in a wheel and in a checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.command import REPOSITORY

_TIMEOUT_S = 300
_USE = (
    "import hps.spec.schema, sys; from pathlib import Path;"
    "print(Path(hps.__file__).parent, hps.spec.schema.schema()['$id'])"
)


def _run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder)
    _run(*build, REPOSITORY, cwd=folder)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_the_schemas_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert "hps/schemas/experiment.schema.json" in names
    assert "hps/schemas/result.schema.json" in names
    assert not [name for name in names if name.startswith(("tests/", "bench/"))]


def test_an_installed_wheel_validates_an_experiment(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(place)
    env = {"PYTHONPATH": str(place)}

    used = _run(sys.executable, "-P", "-c", _USE, cwd=tmp_path, env=env).split()
    assert used[0] == str(place / "hps")
    quickstart = REPOSITORY / "experiments" / "quickstart.yaml"
    said = _run(sys.executable, "-P", "-m", "hps", "validate", quickstart, cwd=tmp_path, env=env)
    assert said == f"{quickstart}: ok, 6 cells, 44 operations\n"


def test_this_editable_install_finds_the_schemas_of_the_checkout(tmp_path: Path) -> None:
    used = _run(sys.executable, "-P", "-c", _USE, cwd=tmp_path).split()

    assert used[0] == str(REPOSITORY / "hps")
    assert not (REPOSITORY / "hps" / "schemas").exists()

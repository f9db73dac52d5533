from __future__ import annotations

from pathlib import Path

import pytest

from hps.process.cgroup import cpu_limit, memory_limit_bytes, memory_total_bytes

GIB = 1024**3


def machine(root: Path, group: str, **files: str) -> Path:
    """A root with 64 GiB of memory, this `proc/self/cgroup`, and files under `sys/fs/cgroup`."""
    texts = {
        "proc/self/cgroup": group,
        "proc/meminfo": f"MemTotal:       {64 * GIB // 1024} kB\nMemFree: 1 kB\n",
        **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
    }
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="ascii")
    return root


def test_without_a_limit_the_hosts_memory_counts(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/\n", **{"memory.max": "max\n"})
    assert memory_limit_bytes(root) is None
    assert memory_total_bytes(root) == 64 * GIB


@pytest.mark.parametrize("text", ["", "MemTotal:\n", "MemTotal: unknown kB\n", None])
def test_memory_that_cannot_be_read_is_unknown(tmp_path: Path, text: str | None) -> None:
    root = machine(tmp_path, "0::/\n", **{"memory.max": "max\n"})
    (root / "proc/meminfo").unlink()
    if text is not None:
        (root / "proc/meminfo").write_text(text)
    assert memory_total_bytes(root) is None


def test_version_2_limit_at_the_top(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/\n", **{"memory.max": f"{8 * GIB}\n"})
    assert memory_total_bytes(root) == 8 * GIB


@pytest.mark.parametrize(("own", "parent"), [("max", str(4 * GIB)), (str(4 * GIB), str(9 * GIB))])
def test_version_2_the_tightest_of_all_groups_above_wins(
    tmp_path: Path, own: str, parent: str
) -> None:
    files = {"a/memory.max": parent, "a/b/memory.max": own}
    assert memory_total_bytes(machine(tmp_path, "0::/a/b\n", **files)) == 4 * GIB


def test_version_1_with_the_groups_name_of_the_host(tmp_path: Path) -> None:
    group = "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/\n"
    files = {"memory/memory.limit_in_bytes": f"{2 * GIB}\n"}
    assert memory_total_bytes(machine(tmp_path, group, **files)) == 2 * GIB


def test_version_1_without_a_limit(tmp_path: Path) -> None:
    files = {"memory/memory.limit_in_bytes": "9223372036854771712\n"}
    root = machine(tmp_path, "4:memory:/\n", **files)
    assert memory_limit_bytes(root) is None
    assert memory_total_bytes(root) == 64 * GIB


def test_a_limit_above_the_hosts_memory_changes_nothing(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/\n", **{"memory.max": str(100 * GIB)})
    assert memory_total_bytes(root) == 64 * GIB


@pytest.mark.parametrize(
    ("group", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        (
            "3:cpu:/\n",
            {"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"},
            2.0,
        ),
        ("3:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
    ],
)
def test_cpu_limit(
    tmp_path: Path, group: str, files: dict[str, str], expected: float | None
) -> None:
    assert cpu_limit(machine(tmp_path, group, **files)) == expected


def test_a_machine_that_shows_nothing(tmp_path: Path) -> None:
    assert memory_total_bytes(tmp_path) is None
    assert cpu_limit(tmp_path) is None


def test_a_group_outside_of_what_is_mounted_is_not_followed(tmp_path: Path) -> None:
    root = machine(tmp_path, "0::/../../x\n", **{"memory.max": str(GIB)})
    assert memory_total_bytes(root) == GIB

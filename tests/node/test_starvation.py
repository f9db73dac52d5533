"""Whether a machine was short of processor time, by files as kernels write them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from hps.node.starvation import Counters, disturbed, read_counters

_PRESSURE = "some avg10=1.00 avg60=2.00 avg300=3.00 total={}\nfull avg10=0.00 total=0\n"
_QUIET = Counters(at_s=100.0, waited_s=5.0, throttled_s=1.0, stolen=10, ticks=20_000)


def _machine(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="ascii")
    return root


def test_counters_of_version_2(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/a/b\n",
        "proc/pressure/cpu": _PRESSURE.format(2_500_000),
        "proc/stat": "cpu  10 0 5 100 2 0 1 7 3 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n",
        "sys/fs/cgroup/a/b/cpu.stat": "usage_usec 9\nnr_throttled 2\nthrottled_usec 250000\n",
        "sys/fs/cgroup/a/cpu.stat": "usage_usec 9\nnr_throttled 4\nthrottled_usec 750000\n",
    }
    seen = read_counters(_machine(tmp_path, files))
    assert (seen.waited_s, seen.throttled_s, seen.stolen, seen.ticks) == (2.5, 0.75, 7, 125)


def test_counters_of_version_1(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "4:cpu,cpuacct:/docker/abc\n0::/\n",
        "sys/fs/cgroup/cpu/cpu.stat": "nr_periods 5\nnr_throttled 2\nthrottled_time 300000000\n",
    }
    seen = read_counters(_machine(tmp_path, files))
    assert (seen.waited_s, seen.throttled_s, seen.stolen, seen.ticks) == (None, 0.3, None, None)


@pytest.mark.parametrize("text", ["", "cpu\n", "cpu a b c d e f g h\n", "intr 1 2 3 4 5 6 7 8 9\n"])
def test_what_a_kernel_does_not_tell_is_unknown(text: str, tmp_path: Path) -> None:
    files = {"proc/stat": text, "proc/pressure/cpu": "some avg10=0.00\n"}
    seen = read_counters(_machine(tmp_path, files))
    assert (seen.waited_s, seen.throttled_s) == (None, None)
    assert disturbed(seen, replace(seen, at_s=seen.at_s + 1)) is None


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"waited_s": 7.4}, None),
        ({"waited_s": 7.6}, {"cpu_waiting_share": 0.26}),
        ({"throttled_s": 1.4}, None),
        ({"throttled_s": 1.6}, {"throttled_share": 0.06}),
        ({"stolen": 90}, None),
        ({"stolen": 130}, {"steal_share": 0.06}),
        ({"waited_s": None, "stolen": None}, None),
    ],
)
def test_the_share_of_the_time_in_between_counts(
    change: Mapping[str, float | None], found: Mapping[str, float] | None
) -> None:
    after = replace(_QUIET, at_s=110.0, ticks=22_000, **change)  # type: ignore[arg-type]
    got = disturbed(_QUIET, after)
    quiet = {"cpu_waiting_share": 0.0, "throttled_share": 0.0, "steal_share": 0.0}
    assert got == (None if found is None else quiet | dict(found))


def test_counters_that_went_back_are_no_figure() -> None:
    after = replace(_QUIET, at_s=101.0, waited_s=0.0, throttled_s=0.0, stolen=0, ticks=1)
    assert disturbed(_QUIET, after) is None

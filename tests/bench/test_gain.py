"""`bench.settings`: what is best, what it gains, and what the numbers stand for."""

from __future__ import annotations

from math import inf
from pathlib import Path
from typing import Any

import pytest

from bench import grid
from bench.settings import cases, gain, measure, picture, table
from bench.settings.cases import MIB, Setting
from tests.command import hps


def test_a_gain_is_the_mean_of_ratios_within_blocks() -> None:
    """By hand: logs of 2, 1 and 2 have the mean 0.4621 and the deviation 0.4002; t(2) is 4.303."""
    found = gain.gain([20, 30, 80], [10, 30, 40])
    assert found is not None
    assert found.ratio == pytest.approx(2 ** (2 / 3))
    assert found.low == pytest.approx(0.5873, rel=1e-3)
    assert found.high == pytest.approx(4.290, rel=1e-3)


def test_blocks_that_failed_are_left_out() -> None:
    found = gain.gain([20, None, 40], [10, 10, 20])
    assert found == gain.Gain(ratio=2.0, low=2.0, high=2.0, blocks=2)
    assert gain.gain([None], [10]) is None
    alone = gain.gain([20], [10])
    assert alone is not None
    assert (alone.low, alone.high) == (0, inf)
    assert alone.text() == "2.00"


def test_the_best_has_the_highest_geometric_mean_and_never_failed() -> None:
    assert gain.best({"a": [10, 10], "b": [1, 90], "c": [99, None]}) == "a"
    assert gain.best({"a": [None]}) is None
    assert gain.best({}) is None


def test_luck_is_not_taken_for_gain() -> None:
    """Settings that are all the same but for chance: the best by hindsight seems to gain."""
    lucky = {f"{n}": [10.0 + 5 * (n == block) for block in range(4)] for n in range(4)}
    found = gain.gain_of_best(lucky, [10.0] * 4)
    assert found is not None
    assert found.ratio == pytest.approx(1.0)


def test_a_real_gain_is_found() -> None:
    found = gain.gain_of_best({"a": [10, 11, 12], "b": [30, 33, 36]}, [10, 11, 12])
    assert found is not None
    assert found.ratio == pytest.approx(3.0)
    assert found.blocks == 3


def _transfer(block: int, way: str, setting: Setting | None, mbps: float | None) -> dict[str, Any]:
    streams = (
        setting.streams if setting else cases.PUBLISHED_STREAMS["up" if way == "up" else "down"]
    )
    fields = ("chunk_bytes", "streams", "http2")
    return {
        "block": block,
        "way": way,
        "setting": None if setting is None else {name: getattr(setting, name) for name in fields},
        "mbps": mbps,
        "why": "" if mbps else "exit 1",
        "streams": streams,
        "chunk_bytes": 10 * MIB,
        "connections": 1 if setting and setting.http2 else streams,
        "retries": 0,
        "idle_cores": 0.75,
    }


def _measured(*, http2: bool = False, failed: bool = False) -> dict[str, Any]:
    """Declared: twice the published upload, four times the published download."""
    ten = Setting(chunk_bytes=10 * MIB, streams=10)
    one = Setting(chunk_bytes=10 * MIB, streams=1)
    folded = Setting(chunk_bytes=10 * MIB, streams=10, http2=True)
    settings = (ten, one, folded) if http2 else (ten, one)
    case = cases.Case(link=grid.make(80, (130, 240), 0.0), size_bytes=100 * MIB, settings=settings)
    rates = {None: (50.0, 50.0), ten: (100.0, 200.0), one: (20.0, 50.0), folded: (25.0, 40.0)}
    transfers = [
        _transfer(block, way, setting, None if failed and setting is ten else rates[setting][place])
        for block in range(3)
        for setting in (None, *settings)
        for place, way in enumerate(("up", "down"))
    ]
    return {
        "name": case.name,
        "declared": {"chunk_bytes": 10 * MIB, "streams": 10, "http2": False},
        "kernel_drops": 0,
        "mean_late_s": 0.0001,
        "transfers": transfers,
        "case": case.key(3, 0),
    }


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_says_what_ran_and_what_it_gains() -> None:
    _, _, up, down, *_ = table.text([_measured()]).splitlines()
    assert _cells(up)[1:] == [
        "up", "100", "4 x 10 MiB", "50.0 (50.0 to 50.0)",
        "10 x 10 MiB", "100.0 (100.0 to 100.0)", "2.00 (2.00 to 2.00)",
        "10 x 10 MiB", "100.0 (100.0 to 100.0)", "2.00 (2.00 to 2.00)", "0.75",
    ]  # fmt: skip
    assert _cells(down)[3] == "1 x 10 MiB"
    assert _cells(down)[-2] == "4.00 (4.00 to 4.00)"
    assert table.failures([_measured()]) == []


def test_http2_is_shown_beside_http1() -> None:
    text = table.text([_measured(http2=True)])
    assert "10 on 1 connection" not in text
    rows = [_cells(line) for line in text.splitlines() if "| 10 x 10 MiB | 100.0" in line]
    assert rows[-1][2:] == [
        "10 x 10 MiB", "100.0 (100.0 to 100.0)", "10", "25.0 (25.0 to 25.0)", "1",
        "4.00 (4.00 to 4.00)",
    ]  # fmt: skip


def test_a_setting_that_failed_is_told_and_is_not_the_best() -> None:
    measured = _measured(failed=True)
    assert len(table.failures([measured])) == 6
    _, _, up, *_ = table.text([measured]).splitlines()
    assert _cells(up)[5:8] == ["nothing", "", ""]
    assert _cells(up)[8] == "1 x 10 MiB"


def test_every_case_is_a_good_experiment_with_chunks_for_all_its_streams(tmp_path: Path) -> None:
    env = dict.fromkeys(["BUCKET", "FOLDER", "CLOUDFLARE_ID", "CLOUDFLARE_KEY"], "hps")
    chosen = [*cases.short(), *cases.chosen(), *cases.whole_grid()]
    paths = [tmp_path / f"{number}.yaml" for number in range(len(chosen))]
    for path, case in zip(paths, chosen, strict=True):
        endpoint = f"http{'s' if case.tls else ''}://198.18.0.1:9000"
        outside = measure.Outside(env={"CLOUDFLARE_ENDPOINT_URL": endpoint}, ca_cert=None)
        path.write_text(measure.spec_text(case, outside, 1))
        assert case.declared in case.settings
        assert all(one.streams * one.chunk_bytes <= case.size_bytes for one in case.settings)
    ran = hps("validate", *paths, env=env)
    assert ran.code == 0, ran.out[-1000:] + ran.err
    names = [case.machine_id for case in cases.whole_grid()]
    assert len(set(names)) == len(names)


def test_the_picture_has_a_line_for_each_round_trip(tmp_path: Path) -> None:
    svg, png = picture.draw([_measured()], tmp_path)
    drawn = svg.read_text()
    assert all(text in drawn for text in ("80 ms", "Upload", "Download", "Chunks in flight"))
    assert png.read_bytes().startswith(b"\x89PNG")


def test_no_picture_is_drawn_without_a_link_for_it(tmp_path: Path) -> None:
    measured = _measured()
    measured["case"] = {**measured["case"], "tls": True}
    assert picture.draw([measured], tmp_path) == []

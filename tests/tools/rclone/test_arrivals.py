"""What has arrived, by rclone's log as it grows: with the lines of a real one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hps.tools import TOOLS
from hps.tools.arrivals import Arrival, Arrivals
from tests.builders import make_running
from tests.servers.rclone_client import remote_environment, run_rclone
from tests.servers.s3_server import S3Server

_MIB = 1024**2
_FLAGS = ["--use-json-log", "-vv", "--multi-thread-cutoff=0", "--multi-thread-chunk-size=1M"]


def test_a_log_that_does_not_exist_yet_tells_nothing(tmp_path: Path) -> None:
    assert list(_follow(tmp_path).new()) == []


def test_a_line_counts_once_and_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "log"
    line = (
        b'{"msg":"multi-thread copy: chunk 2/3 (10-20) size 10 finished","object":"a.bin"}\n'
        b'{"msg":"multi-thread copy: chunk 3/3 (20-25) size 5 starting","object":"a.bin"}\n'
    )
    path.write_bytes(b"no JSON, though finished\n" + line[:30])
    follower = _follow(tmp_path)
    assert list(follower.new()) == []

    with path.open("ab") as stream:
        stream.write(line[30:])
    assert list(follower.new()) == [Arrival(name="a.bin", start=10, stop=20)]
    assert list(follower.new()) == []


def test_the_lines_of_rclone_cover_each_file(s3_server: S3Server, tmp_path: Path) -> None:
    env = remote_environment(s3_server)
    folder = f"T:{s3_server.bucket}/arrivals"
    source = tmp_path / "up"
    run_rclone(["test", "makefile", "5632Ki", str(source / "a.bin"), str(source / "b" / "c.bin")])
    run_rclone(["copy", str(source), folder], env=env)

    several = run_rclone(["copy", folder, str(tmp_path / "1"), *_FLAGS], env=env).stderr
    whole = ["--multi-thread-streams=1", *_FLAGS]
    single = run_rclone(["copyto", f"{folder}/a.bin", str(tmp_path / "2" / "x"), *whole], env=env)

    ranges = {(start, min(start + _MIB, 5632 * 1024)) for start in range(0, 5632 * 1024, _MIB)}
    arrivals = _arrivals(tmp_path, several)
    for name in ("a.bin", "b/c.bin"):
        mine = [arrival for arrival in arrivals if arrival.name == name]
        assert {(one.start, one.stop) for one in mine[:-1]} == ranges
        assert mine[-1] == Arrival(name=name)
    assert _arrivals(tmp_path, single.stderr) == [Arrival(name="a.bin")]
    assert _arrivals(tmp_path, single.stderr, "3/a.bin") == [Arrival(name="3/a.bin")]


def test_a_file_is_found_under_its_partial_name_and_then_under_its_own(tmp_path: Path) -> None:
    (tmp_path / "0.bin.1a2b3c4d.partial").touch()
    (tmp_path / "10.bin.1a2b3c4d.partial").touch()
    places = [path.name for path in _follow(tmp_path).places(tmp_path / "0.bin")]
    assert places == ["0.bin.1a2b3c4d.partial", "0.bin"]


def test_a_file_that_comes_as_one_get_grows() -> None:
    running = make_running(Path("down"), name="0.bin", streams=1)
    assert TOOLS["rclone"].arrivals(running).grows
    assert not TOOLS["rclone"].arrivals(replace(running, streams=2)).grows


def _follow(folder: Path, name: str | None = None) -> Arrivals:
    return TOOLS["rclone"].arrivals(make_running(folder, name=name))


def _arrivals(folder: Path, text: str, name: str | None = None) -> list[Arrival]:
    (folder / "log").write_text(text)
    return list(_follow(folder, name).new())

"""A fleet from its start to its end on a simulated SaladCloud: nothing is left, whatever comes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hps.cli import fleet_end
from hps.cli.main import cli
from hps.fleet.salad import SaladCloud
from hps.source import read
from tests.command import REPOSITORY, Ran, hps
from tests.servers.rclone_client import REMOTE, remote_environment, run_rclone
from tests.servers.s3_server import S3Server
from tests.servers.salad import SaladSimulation, SimulatedInstance, simulated_salad, wait_until

_SPEC = """\
api: hps/v1
name: {name}
targets:
  s3: {{provider: other, endpoint: "${{AWS_ENDPOINT_URL}}", bucket: "${{BUCKET}}", folder: up,
       region: us-east-1, force_path_style: true,
       access_key_id: {{env: AWS_ACCESS_KEY_ID}},
       secret_access_key: {{env: AWS_SECRET_ACCESS_KEY}}}}
data: {{size: 1MiB}}
matrix: {{concurrency: [1, 2]}}
fleet: {{nodes: 2}}
steps: [upload, delete]
"""
_BOUND = ("--max-hours", "2")
_QUICKLY = ("--poll", "1s", "--drain", "0s")


class _Fleet:
    """An experiment of one test alone, with the commands about its fleet."""

    def __init__(self, folder: Path, server: S3Server, salad: SaladSimulation) -> None:
        self.folder, self.server, self.salad = folder, server, salad
        self.name = f"up-{folder.name}".lower()
        self.file = folder / "first.yaml"
        self.file.write_text(_SPEC.format(name=self.name))
        self.env = {
            **salad.env(HPS_FLEET="october"),
            "AWS_ENDPOINT_URL": server.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": server.access_key_id,
            "AWS_SECRET_ACCESS_KEY": server.secret_access_key,
            "BUCKET": server.bucket,
            "FOLDER": self.name,
        }

    def words(self, command: str, *options: str) -> list[str]:
        image = ("--image", "example.com/hps:1") if command == "up" else ()
        return [
            *("fleet", command, str(self.file), "--engine", "saladcloud", *image, *options),
        ]

    def run(self, command: str, *options: str, **env: str) -> Ran:
        ran = hps(*self.words(command, *options), env={**self.env, **env}, timeout_s=120)
        assert self.server.secret_access_key not in ran.out + ran.err
        assert self.salad.key not in ran.out + ran.err
        return ran

    def begin(self, command: str, *options: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "hps", *self.words(command, *options)],
            env={**os.environ, **self.env},
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def variables(self) -> dict[str, str]:
        """Those of the nodes, as SaladCloud has them."""
        (group,) = self.salad.groups.values()
        return group.variables

    def has_measured(self, *machines: str) -> None:
        """Store what nodes do that have measured all cells."""
        local = self.folder / "word.json"
        local.write_text("{}\n")
        place = f"{REMOTE}:{self.server.bucket}/up/results/{self.name}/.fleet/october"
        for machine in machines:
            for word in ("all", "done"):
                run_rclone(
                    ["copyto", str(local), f"{place}/{machine}/{word}"],
                    env=remote_environment(self.server),
                )

    def has_running(self, *ages_s: float) -> None:
        """Let SaladCloud have machines that have run so long."""
        (group,) = self.salad.groups.values()
        for number, age_s in enumerate(ages_s):
            since = datetime.now(UTC) - timedelta(seconds=age_s)
            one = SimulatedInstance(
                machine_id=str(uuid.UUID(int=number)), state="running", since=since
            )
            group.instances.append(one)


@pytest.fixture
def salad() -> Iterator[SaladSimulation]:
    with simulated_salad() as simulation:
        yield simulation
        assert simulation.wrong == []


@pytest.fixture
def own(tmp_path: Path, s3_server: S3Server, salad: SaladSimulation) -> _Fleet:
    return _Fleet(tmp_path, s3_server, salad)


def test_a_fleet_is_started_stopped_and_taken_down_and_nothing_is_left(own: _Fleet) -> None:
    up = own.run("up", *_BOUND, "--max-cost", "20", "--gpu-class", "RTX 4090 (24 GB)")
    assert up.code == 0, up.err
    assert "at most     $0." in up.err
    for command in ("status", "wait", "stop", "down"):
        assert f"HPS_FLEET=october hps fleet {command} {own.file}" in up.out
    assert own.variables["HPS_FLEET"] == "october"
    until = datetime.fromisoformat(own.variables["HPS_FLEET_UNTIL"])
    assert 7000 < (until - datetime.now(UTC)).total_seconds() <= 7200
    # A node reads what this machine has stored, by the variables that it was given.
    stored = read(own.variables["EXPERIMENT"], own.variables)
    assert stored.content == own.file.read_bytes()

    again = own.run("up", *_BOUND, "--gpu-class", "RTX 4090 (24 GB)", "--format", "json")
    assert again.code == 0, again.err
    assert json.loads(again.out)["names"] == list(own.salad.groups)
    assert own.salad.requests("POST", "/containers") == 1

    own.has_running(60.0, 30.0)
    stop = own.run("stop")
    assert stop.code == 0, stop.err
    assert "0 nodes at work end after their operation" in stop.out
    assert "2 running; 2 of them billed" in stop.out
    node = hps("run", own.file, env={**own.env, **own.variables}, timeout_s=120)
    assert (node.code, "it was ended by hps fleet stop" in node.err) == (0, True)

    down = own.run("down")
    assert (down.code, down.out) == (0, "nothing of it is there\n")
    assert own.salad.groups == {}
    assert own.run("down").code == 0
    late = own.run("up", *_BOUND)
    assert (late.code, "is over" in late.err) == (2, True)
    assert own.salad.groups == {}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_interrupts_a_start_pays_for_nothing(own: _Fleet, number: signal.Signals) -> None:
    arrived = threading.Event()

    def notice(method: str, path: str) -> None:
        if (method, path.endswith("/containers")) == ("POST", True):
            arrived.set()

    own.salad.before = notice
    # It is created, and the answer never comes.
    own.salad.fail("POST", "/containers$", "lost")
    started = own.begin("up", *_BOUND)
    try:
        assert arrived.wait(60)
        wait_until(lambda: own.salad.groups)
        started.send_signal(number)
        _, err = started.communicate(timeout=60)
    finally:
        started.kill()
    assert started.returncode == 128 + number, err
    assert own.salad.groups == {}
    assert "Traceback" not in err


def test_a_start_that_fails_leaves_nothing(own: _Fleet) -> None:
    own.salad.quota = 2
    ran = own.run("up", *_BOUND)
    assert (ran.code, "quota" in ran.err) == (2, True)
    assert own.salad.groups == {}


@pytest.mark.parametrize(
    ("options", "env", "words"),
    [
        ((), {}, "nothing would end machines that cost money"),
        (("--max-cost", "0.0001"), {}, "too little for 3 machines"),
        (_BOUND, {"SALAD_API_KEY": ""}, "SALAD_API_KEY is not set"),
        (_BOUND, {"AWS_REGION": ""}, "can't read"),
        (("--max-hours", "2", "--nodes", "3"), {}, "once 2 have measured"),
        (("--experiment", "x.yaml", *_BOUND), {}, "AWS_ENDPOINT_URL"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_started(
    own: _Fleet, options: tuple[str, ...], env: dict[str, str], words: str
) -> None:
    ran = own.run("up", *options, **env)
    assert ran.code == 2, ran.err
    assert words in ran.err
    assert own.salad.requests("POST", "/containers") == 0


def test_targets_are_tried_before_anything_is_started(own: _Fleet) -> None:
    ran = own.run("up", *_BOUND, AWS_SECRET_ACCESS_KEY="planted/wrong+planted/wrong")
    assert ran.code == 2, ran.err
    assert "failed" in ran.err
    assert "planted/wrong" not in ran.out + ran.err
    assert own.salad.requests("POST", "/containers") == 0


def test_what_cannot_be_taken_away_is_an_error(
    own: _Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert own.run("up", *_BOUND).code == 0
    own.has_running(60.0)
    own.salad.fail("DELETE", f"/containers/hps-{own.name}-october$", "403", times=99)
    # Nobody waits a minute until it is gone.
    impatient = replace(SaladCloud.open(own.env), gone_s=0.0)
    monkeypatch.setattr(fleet_end, "open_engine", lambda *_: impatient)
    words = own.words("down", "--format", "json")
    ran = CliRunner().invoke(cli, words, env=own.env)
    assert ran.exit_code == 1, ran.output
    assert json.loads(ran.stdout)["billed"] == 1
    assert "NOT deleted" in ran.stderr


# --- wait ----------------------------------------------------------------------------------------


def _waited(own: _Fleet, *options: str) -> tuple[int, Any, str]:
    ran = own.run("wait", *_QUICKLY, "--format", "json", *options)
    return ran.code, json.loads(ran.out) if ran.out else {}, ran.err


def test_enough_machines_end_the_waiting_and_the_fleet(own: _Fleet) -> None:
    assert own.run("up", *_BOUND).code == 0
    own.has_measured("a", "b")
    code, found, err = _waited(own)
    assert (code, found["rule"], found["left"]["names"]) == (0, "enough", []), err
    assert "2/2 done" in err
    assert own.salad.groups == {}


def test_money_ends_it_and_is_a_gate_that_failed(own: _Fleet) -> None:
    assert own.run("up", *_BOUND, "--gpu-class", "RTX 4090 (24 GB)").code == 0
    own.has_running(3600.0, 3600.0)
    bounds = ("--max-cost", "0.3", "--gpu-class", "RTX 4090 (24 GB)")
    code, found, err = _waited(own, *bounds)
    assert (code, found["rule"]) == (4, "money"), err
    assert found["spent_usd"] == pytest.approx(0.32, rel=0.05)
    assert own.salad.groups == {}


def test_nothing_new_is_no_data_and_who_waits_again_sees_that_it_is_over(own: _Fleet) -> None:
    assert own.run("up", *_BOUND).code == 0
    code, found, _ = _waited(own, "--quiet", "300ms", "--keep")
    assert (code, found["rule"]) == (5, "quiet")
    assert len(own.salad.groups) == 1
    code, again, _ = _waited(own)
    assert (code, again["rule"]) == (4, "ended")
    assert found["why"] in again["why"]
    assert own.salad.groups == {}


def test_nothing_there_is_no_data(own: _Fleet) -> None:
    code, found, _ = _waited(own)
    assert (code, found["rule"]) == (5, "gone")


def test_who_gives_up_waiting_leaves_the_fleet_as_it_is(own: _Fleet) -> None:
    assert own.run("up", *_BOUND).code == 0
    code, found, _ = _waited(own, "--timeout", "300ms")
    assert (code, found["rule"]) == (7, None)
    waiting = own.begin("wait", "--poll", "60s")
    try:
        assert waiting.stderr is not None
        assert "0/2 done" in waiting.stderr.readline()
        waiting.send_signal(signal.SIGINT)
        out, _ = waiting.communicate(timeout=60)
    finally:
        waiting.kill()
    assert (waiting.returncode, "the fleet goes on" in out) == (130, True)
    assert len(own.salad.groups) == 1
    assert hps("fleet", "status", own.file, env=own.env).code == 0


def test_a_network_that_is_away_for_a_look_is_waited_for(own: _Fleet) -> None:
    assert own.run("up", *_BOUND).code == 0
    waiting = own.begin("wait", *_QUICKLY)
    try:
        assert waiting.stderr is not None
        waiting.stderr.readline()
        own.salad.fail("GET", "/containers$", "403", times=3)
        own.has_measured("a", "b")
        out, err = waiting.communicate(timeout=60)
    finally:
        waiting.kill()
    assert waiting.returncode == 0, out + err
    assert err.count("looking again") == 3


def test_an_engine_that_is_away_for_long_is_given_up(own: _Fleet) -> None:
    assert own.run("up", *_BOUND).code == 0
    waiting = own.begin("wait", *_QUICKLY)
    try:
        assert waiting.stderr is not None
        waiting.stderr.readline()
        own.salad.fail("GET", "/containers$", "403", times=99)
        _, err = waiting.communicate(timeout=60)
    finally:
        waiting.kill()
    assert (waiting.returncode, "403" in err) == (1, True)
    assert len(own.salad.groups) == 1


def test_the_engines_own_log_is_printed(own: _Fleet) -> None:
    assert own.run("up", *_BOUND).code == 0
    own.has_running(60.0)
    (group,) = own.salad.groups.values()
    for event in ("Instance Allocated", "Instance Started"):
        group.log(event, group.instances[0])
    ran = own.run("logs", "--lines", "1")
    assert (ran.code, len(ran.out.splitlines())) == (0, 1)
    assert str(uuid.UUID(int=0)) in ran.out

"""A whole fleet on a simulated SaladCloud: its instances are real runs against a real S3 server."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest

from hps.fleet.engine import FleetRequest
from hps.fleet.salad import SaladCloud
from hps.spec.load import load
from hps.spec.source import read_file
from tests.command import hps, keys_of, targets_yaml
from tests.fleet.salad.conftest import fleet_request
from tests.servers.s3_server import S3Server
from tests.servers.salad import SaladSimulation, wait_until
from tests.servers.salad_nodes import SaladNodes, running_nodes

_WANTED, _ASKED = 9, 12
_KILLS = 5
_WORK_S = 1.5  # so that machines vanish at each stage of a run
_PATIENCE_S = 240.0
_SPEC = """\
api: hps/v1
name: {name}
{targets}
matrix: {{size: [1MiB, 2MiB, 3MiB, 4MiB]}}
repetitions: 3
fleet: {{nodes: {wanted}, per_node: {{cells: 2}}, until: 1h}}
steps: [upload, download, delete]
"""


class _Site:
    """An experiment of this test alone, and what a person does with it."""

    def __init__(self, folder: Path, server: S3Server) -> None:
        self.folder, self.server = folder, server
        self.name = f"salad-{folder.name}"[:60].rstrip("-_.").lower()
        self.spec = folder / "fleet.yaml"
        targets = targets_yaml(server.endpoint, server)
        self.spec.write_text(_SPEC.format(name=self.name, targets=targets, wanted=_WANTED))
        self.env = {**keys_of(server), "HPS_FLEET": "october"}

    def request(self) -> FleetRequest:
        spec = load(read_file(str(self.spec)), env={})
        experiment = str(self.spec)
        return fleet_request(spec=spec, nodes=_WANTED, experiment=experiment)

    def status(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.answer("fleet", "status", self.spec)
        return found

    def answer(self, *arguments: str | Path) -> Any:
        ran = hps(*arguments, "--format", "json", env=self.env)
        assert ran.code == 0, ran.err
        return json.loads(ran.out)


def _switch_off(nodes: SaladNodes, cloud: SaladCloud, name: str) -> tuple[int, int]:
    """Let machines vanish while they run, each second one for good.

    Returns how many did, and the most instances that cost money at once.
    """
    random, gone, most_billed = Random(3), 0, 0
    for number in range(_KILLS):
        wait_until(lambda: nodes.running or not _is_at_work(nodes), _PATIENCE_S)
        time.sleep(_WORK_S)
        found = cloud.find(name)
        assert found is not None
        most_billed = max(most_billed, found.billed)
        with nodes.simulation.lock:
            running = nodes.running
            if running:
                nodes.vanish(random.choice(running), comes_back=number % 2 == 0)
                gone += 1
    return gone, most_billed


def _is_at_work(nodes: SaladNodes) -> bool:
    return any(group.instances for group in nodes.simulation.groups.values())


@pytest.mark.prove
def test_a_fleet_is_started_watched_and_taken_away(
    salad: SaladSimulation, moto_server: S3Server, tmp_path: Path
) -> None:
    site = _Site(tmp_path, moto_server)
    cloud, request = SaladCloud.open(salad.env()), site.request()
    assert request.asked == _ASKED
    salad.fail("POST", "/containers$", "lost")
    # No machine runs yet: waiting for the answer takes as long as all of them on a quick machine.
    started = cloud.start(request, site.env, lambda _: None)
    assert started.names == (request.name,)
    with running_nodes(salad, tmp_path / "nodes") as nodes:
        gone, most_billed = _switch_off(nodes, cloud, request.name)
        assert (gone, 1 <= most_billed <= _ASKED) == (_KILLS, True)
        middle = site.status()
        assert (middle["fleet"], middle["wanted"]) == ("october", _WANTED)
        assert sum(middle["states"].values()) >= 1
        wait_until(lambda: not _is_at_work(nodes), _PATIENCE_S)
        assert {code for _, code in nodes.ended} == {0}, nodes.logs()
        _check_results(site)
        found = cloud.find(request.name)
        assert found is not None
        assert (found.billed, found.state) == (0, "succeeded")
        assert cloud.logs(request.name, 5)[-1].endswith("Instance exited with 0")
        assert cloud.remove(request.name, lambda _: None) is None
    assert (salad.groups, nodes.running) == ({}, [])
    _check_no_secrets(site, salad, tmp_path / "nodes")


def _check_results(site: _Site) -> None:
    """Enough machines have measured, and what they have is to be had."""
    status = site.status()
    assert status["states"]["done"] >= _WANTED
    assert min(status["covered"]) >= 2
    cache = site.folder / "cache"
    assert site.answer("results", "pull", site.spec, "--cache", cache)["new"] >= _WANTED
    compared = site.answer("compare", site.name, "--input", cache, "--by", "size")
    assert compared


def _check_no_secrets(site: _Site, salad: SaladSimulation, disk: Path) -> None:
    """Neither key is on a disk of a node, nor SaladCloud's."""
    files = [path for path in disk.rglob("*") if path.is_file()]
    assert len(files) > _WANTED
    content = "\n".join(path.read_text(errors="replace") for path in files)
    for value in (site.server.secret_access_key, site.server.access_key_id, salad.key):
        assert value not in content

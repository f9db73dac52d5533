"""`hps fleet plan`: without any key, in 80 columns, and with the exact body that would be sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from hps.cli.main import cli
from hps.errors import HpsError
from tests.command import hps
from tests.servers.salad import SaladSimulation, simulated_salad

_SPEC = """\
api: hps/v1
name: first
targets:
  r2: {provider: cloudflare, endpoint: "${CLOUDFLARE_ENDPOINT_URL}", bucket: b,
       access_key_id: {env: CLOUDFLARE_ID}, secret_access_key: {env: CLOUDFLARE_KEY}}
node: {min_upload: 20Mbps, min_download: 50Mbps}
data: {size: 100MiB}
matrix: {concurrency: [1, 4, 8, 16]}
fleet: {nodes: 80, per_node: {cells: 2}}
steps: [upload, download, verify, delete]
"""
_ENV = {
    "CLOUDFLARE_ENDPOINT_URL": "https://0123456789abcdef.r2.cloudflarestorage.com",
    "HPS_FLEET": "october",
}
_KEYS = {"CLOUDFLARE_ID": "AKIAPLANTEDPLANTED", "CLOUDFLARE_KEY": "planted/planted+planted/planted"}


class _Plan:
    """Calls of the command in this process."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "first.yaml"
        self.file.write_text(_SPEC)

    def answer(
        self, *options: str, engine: str = "saladcloud", env: dict[str, str] | None = None
    ) -> str:
        words = ["fleet", "plan", str(self.file), "--engine", engine, "--image", "hps:1", *options]
        found = CliRunner().invoke(cli, words, env={**_ENV, **(env or {})}, catch_exceptions=True)
        if isinstance(found.exception, HpsError):
            raise found.exception
        assert found.exit_code == 0, found.output
        assert not [value for value in _KEYS.values() if value in found.output]
        return found.stdout

    def data(self, *options: str, env: dict[str, str] | None = None) -> Any:
        return json.loads(self.answer(*options, "--format", "json", env=env))


@pytest.fixture
def planned(tmp_path: Path) -> _Plan:
    return _Plan(tmp_path)


@pytest.fixture
def salad() -> Iterator[SaladSimulation]:
    with simulated_salad() as simulation:
        yield simulation
        assert simulation.wrong == []


@pytest.mark.parametrize("engine", ["saladcloud", "kubernetes", "skypilot", "docker"])
def test_without_any_key_all_is_said_that_can_be_known(planned: _Plan, engine: str) -> None:
    text = planned.answer(engine=engine)
    assert all(len(line) <= 80 for line in text.splitlines()), text
    words = " ".join(text.split())
    for known in ("100 machines are asked for", "2 of 4 a node", "R2's list prices of 2026"):
        assert known in words
    assert "at most unknown: no prices of machines are known" in words
    assert ("8 m 0 s" in words) is (engine == "saladcloud")
    assert ("SALAD_API_KEY is not set" in words) is (engine == "saladcloud")


def test_the_published_figures_have_their_source(planned: _Plan) -> None:
    data = planned.data()
    assert data["arrivals"]["source"] == "SaladCloud's own test of 100 replicas over a week"
    assert data["times"]["half_nodes_s"] == 480
    assert (data["likely_usd"], data["most_usd"]) == (None, None)


def test_with_a_key_prices_are_asked_for(planned: _Plan, salad: SaladSimulation) -> None:
    options = ("--gpu-class", "rtx 4090 (24 gb)", "--gpu-class", "RTX 3060 (12 GB)")
    data = planned.data(*options, "--max-hours", "2", env=salad.env())
    assert [offer["usd_per_hour"] for offer in data["offers"]] == [0.16, 0.03]
    assert [offer["available"] for offer in data["offers"]] == [7, 7]
    assert data["ends_in_s"] == pytest.approx(7200)
    assert data["most_usd"] == pytest.approx(100 * 0.16 * (7200 + data["longest_s"]) / 3600)
    assert data["likely_usd"]["least"] == pytest.approx(data["times"]["billed_s"] / 3600 * 0.03)
    assert not [asked for asked in salad.asked if asked[1].endswith("/containers")]


def test_money_becomes_an_end(planned: _Plan, salad: SaladSimulation) -> None:
    options = ("--gpu-class", "RTX 4090 (24 GB)", "--max-cost", "20", "--max-hours", "20")
    data = planned.data(*options, env=salad.env())
    assert data["most_usd"] == pytest.approx(20)
    assert data["ends_in_s"] == pytest.approx(20 / 16 * 3600 - data["longest_s"], abs=1)


def test_the_body_is_what_would_be_sent(planned: _Plan) -> None:
    options = ("--gpu-class", "RTX 4090 (24 GB)", "--countries", "us,de", "--max-hours", "2")
    env = {**_KEYS, "SALAD_ORGANIZATION": "acme-corp"}
    first, _, rest = planned.answer(*options, "--format", "body", env=env).partition("\n")
    assert first.endswith("/organizations/acme-corp/projects/[project]/containers")
    body = json.loads(rest)
    assert (body["replicas"], body["country_codes"]) == (100, ["us", "de"])
    assert body["container"]["resources"]["gpu_classes"] == ["[RTX 4090 (24 GB)]"]
    variables = body["container"]["environment_variables"]
    assert variables["EXPERIMENT"] == "r2:.fleet/october/experiment.yaml"
    assert variables["CLOUDFLARE_KEY"] == "[CLOUDFLARE_KEY]"
    until = datetime.fromisoformat(variables["HPS_FLEET_UNTIL"])
    assert 7100 < (until - datetime.now(UTC)).total_seconds() <= 7200


def test_the_body_of_kubernetes_is_the_manifest(planned: _Plan) -> None:
    text = planned.answer("--format", "body", engine="kubernetes")
    files, job = yaml.safe_load_all(text)
    assert files["data"]["experiment.yaml"] == _SPEC
    assert job["spec"]["completions"] == 100


def test_a_file_that_nodes_cannot_read_is_a_remark_and_no_body(planned: _Plan) -> None:
    words = " ".join(planned.answer("--max-hours", "2").split())
    assert "nodes of SaladCloud can't read" in words
    with pytest.raises(HpsError, match="can't read") as found:
        planned.answer("--max-hours", "2", "--format", "body")
    assert "--experiment" in found.value.hint
    body = planned.answer("--max-hours", "2", "--experiment", "x.yaml", "--format", "body")
    assert '"EXPERIMENT": "x.yaml"' in body


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (("fleet: {nodes: 80, per_node: {cells: 2}}\n", ""), (), "has no fleet"),
        (("nodes: 80, ", ""), (), "--nodes is missing"),
        (("", ""), ("--nodes", "81"), "the nodes end once 80 have measured"),
        (("", ""), ("--max-cost", "5"), "no prices of machines"),
        (("", ""), ("--env", "CLOUDFLARE_KEY"), "a secret of the experiment"),
    ],
)
def test_what_makes_no_sense_is_refused(
    planned: _Plan, change: tuple[str, str], options: tuple[str, ...], words: str
) -> None:
    planned.file.write_text(_SPEC.replace(*change))
    with pytest.raises(HpsError, match=words) as found:
        planned.answer(*options)
    assert found.value.exit_code == 2


def test_results_that_stay_on_each_node_are_refused(planned: _Plan) -> None:
    planned.file.write_text(
        "api: hps/v1\nname: first\ntargets: {here: {provider: embedded}}\n"
        "data: {size: 1MiB}\nfleet: {nodes: 8}\nsteps: [upload, delete]\n"
    )
    with pytest.raises(HpsError, match="keeps its results on each node"):
        planned.answer()


_PLAN = ("plan", "--image", "i", "--engine")


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        ((*_PLAN, "saladcloud", "--max-hours", "nan"), "--max-hours"),
        (("up", "--engine", "saladcloud", "--image", "i", "--max-cost", "nan"), "--max-cost"),
        (("wait", "--max-hours", "nan"), "--max-hours"),
        (("wait", "--poll", "0s"), "--poll"),
        (("wait", "--max-rejected", "150%"), "--max-rejected"),
        (("status", "--watch", "--every", "999ms"), "--every"),
        ((*_PLAN, "saladcloud", "--countries", "us,xx"), "'xx' is the code of no country"),
        ((*_PLAN, "saladcloud", "--cpus", "100"), "no node 100 vCPU"),
        ((*_PLAN, "saladcloud", "--priority", "urgent"), "'urgent' is no priority"),
        ((*_PLAN, "docker", "--gpu-class", "RTX"), "--gpu-class says nothing to docker"),
        ((*_PLAN, "kubernetes", "--project", "x"), "--project says nothing to kubernetes"),
        ((*_PLAN, "saladcloud", "--queue", "x"), "--queue says nothing to saladcloud"),
        ((*_PLAN, "saladcloud", "--upload", "0Mbps"), "--upload"),
        (("down", "--engine", "saladcloud"), "SALAD_ORGANIZATION, SALAD_PROJECT, SALAD_API_KEY"),
    ],
)
def test_what_would_count_for_nothing_is_refused(
    planned: _Plan, words: tuple[str, ...], flag: str
) -> None:
    command, *options = words
    ran = hps("fleet", command, planned.file, *options, env={**_ENV, **_KEYS})
    assert (ran.code, ran.out) == (2, "")
    assert flag in ran.err
    assert "Traceback" not in ran.err

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from hps.model import Unknown, unknown
from hps.node.facts import TcpFacts, collect, country_of, cpu_model, read_tcp, readings_of

SECRET = "planted-secret-value"


def test_facts_of_this_machine_are_json(tmp_path: Path) -> None:
    env = {
        "SALAD_MACHINE_ID": "m-1",
        "SALAD_INSTANCE_ID": "i-1",
        "SALAD_CONTAINER_GROUP_NAME": "g",
        "HPS_COUNTRY": "de",
        "CLOUDFLARE_KEY": SECRET,
    }
    facts = collect(env, tmp_path, "1.75.2", measure_disk=False, look_for_gpu=False)
    stored = json.loads(json.dumps(asdict(facts)))
    assert SECRET not in json.dumps(stored)
    assert (stored["machine_id"], stored["instance_id"]) == ("m-1", "i-1")
    assert (stored["container_group_name"], stored["container_group_id"]) == ("g", None)
    assert (stored["country"], stored["rclone_version"]) == ("DE", "1.75.2")
    assert stored["python_version"] == ".".join(map(str, sys.version_info[:3]))
    assert stored["kernel"] == os.uname().release
    assert stored["scratch_free_bytes"] > 0
    assert stored["memory_bytes"] > 0
    assert stored["cpu_count"] >= 1
    assert stored["gpu"]["reason"] == "not looked for"
    assert stored["disk"]["write_mb_per_s"] == asdict(unknown("not measured"))
    assert stored["missing"] == {}


def test_disk_and_gpu_are_looked_at_where_asked_for(tmp_path: Path) -> None:
    facts = collect({}, tmp_path, None, measure_disk=True, look_for_gpu=True)
    assert isinstance(facts.disk.write_mb_per_s.value, float)
    # Either GPUs were found, or the facts say why there are none.
    assert facts.gpu.gpus or facts.gpu.reason


def test_what_is_missing_has_a_reason(tmp_path: Path) -> None:
    facts = collect({}, tmp_path / "gone", None, measure_disk=True, look_for_gpu=False)
    assert facts.country is None
    assert facts.missing["country"] == "HPS_COUNTRY is not set"
    assert "No such file" in facts.missing["scratch_free_bytes"]
    readings = readings_of(facts)
    assert readings.country.reason == "HPS_COUNTRY is not set"
    assert "No such file" in readings.disk_bytes.reason
    assert readings.gpu_memory_bytes.reason == "not looked for"
    assert readings.upload_mbps.reason == "not measured"


def test_readings_of_what_is_known(tmp_path: Path) -> None:
    facts = collect({"HPS_COUNTRY": "US"}, tmp_path, None, measure_disk=False, look_for_gpu=False)
    readings = readings_of(facts)
    assert readings.country.value == "US"
    assert readings.disk_bytes.value == facts.scratch_free_bytes


@pytest.mark.parametrize("text", ["Germany", "D1", "1", "d-e"])
def test_a_country_is_two_letters(text: str) -> None:
    assert isinstance(country_of({"HPS_COUNTRY": text}), Unknown)


def test_cpu_model(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    text = "processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\n\nprocessor\t: 1\n"
    (tmp_path / "proc/cpuinfo").write_text(text, encoding="ascii")
    assert cpu_model(tmp_path) == "Some CPU @ 3 GHz"
    assert cpu_model(tmp_path / "missing") is None


def test_tcp_settings(tmp_path: Path) -> None:
    folder = tmp_path / "proc/sys/net/ipv4"
    folder.mkdir(parents=True)
    (folder / "tcp_congestion_control").write_text("bbr\n", encoding="ascii")
    (folder / "tcp_rmem").write_text("4096\t131072\t6291456\n", encoding="ascii")
    assert read_tcp(tmp_path) == TcpFacts(
        congestion_control="bbr",
        receive_buffer_bytes=(4096, 131072, 6291456),
        send_buffer_bytes=None,
    )

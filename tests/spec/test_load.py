"""What a good experiment becomes."""

from __future__ import annotations

import hashlib

from hps.model import (
    Axis,
    Data,
    NodeRules,
    Order,
    ProbeSettings,
    ResultsPlace,
    SecretRef,
    Step,
    Target,
)
from hps.spec.load import load
from hps.spec.secret_values import secret_env_names
from hps.spec.source import SpecText
from tests.spec.corpus import FOLDER, read_case

MIB = 1024**2
GIB = 1024**3
MINIMAL = b"""api: hps/v1
name: case
targets: {local: {provider: embedded}}
data: {size: 20MiB}
steps: [upload]
"""


def test_defaults() -> None:
    spec = load(SpecText(name="a.yaml", content=MINIMAL), env={})
    assert spec.targets == {"local": Target(name="local", provider="embedded")}
    assert spec.data == Data(size_bytes=20 * MIB)
    assert spec.matrix.axes == ()
    assert spec.steps == (Step(kind="upload"),)
    assert spec.results == ResultsPlace(target="local", folder="results")
    assert (spec.node, spec.order) == (NodeRules(), Order())
    assert (spec.repetitions, spec.warmup, spec.timeout_s) == (1, 0, None)


def test_the_text_is_kept_as_written_with_its_digest() -> None:
    content = MINIMAL.replace(b"name: case", b"name: ${NAME:-case}")
    spec = load(SpecText(name="a.yaml", content=content), env={"OTHER": "x"})
    assert (spec.text, spec.source) == (content.decode(), "a.yaml")
    assert spec.sha256 == hashlib.sha256(content).hexdigest()
    assert load(SpecText(name="a.yaml", content=content), env={"NAME": "x"}).text == spec.text


def test_every_key_arrives() -> None:
    case = read_case(FOLDER / "valid" / "everything.yaml")
    spec = case.load()
    assert spec.description == "Every key of the format,\nonce.\n"
    assert spec.targets["r2"] == Target(
        name="r2",
        provider="cloudflare",
        bucket="transcripts",
        folder="a/b",
        endpoint="https://account.r2.cloudflarestorage.com",
        region="auto",
        access_key_id=SecretRef(env="CLOUDFLARE_ID"),
        secret_access_key=SecretRef(env="CLOUDFLARE_KEY"),
        session_token=SecretRef(env="CLOUDFLARE_TOKEN"),
        force_path_style=True,
        ca_cert="/etc/ssl/private-ca.pem",
    )
    assert spec.data == Data(size_bytes=200 * MIB, files=2, content="zeros", layout="nested")
    assert (spec.repetitions, spec.warmup, spec.timeout_s) == (3, 1, 600.0)
    assert spec.order == Order(kind="shuffled", seed=42)
    assert spec.results == ResultsPlace(target="keep", folder="results/all")


def test_every_key_of_a_node_arrives() -> None:
    node = read_case(FOLDER / "valid" / "everything.yaml").load().node
    assert node == NodeRules(
        min_upload_mbps=20.0,
        min_download_mbps=8.388608,
        max_rtt_s=0.3,
        min_gpu_memory_bytes=16 * GIB,
        min_disk_bytes=20_000_000_000,
        countries=("US", "DE", "CA"),
        on_reject="reallocate",
        on_unknown="accept",
        on_complete="reallocate",
        probe=ProbeSettings(
            method="speedtest",
            target="keep",
            duration_s=2.5,
            connections=4,
            rtt_hosts=("example.org", "example.com:443", "[2001:db8::1]:443"),
        ),
    )


def test_a_rate_of_0_asks_for_nothing() -> None:
    content = MINIMAL + b"node:\n  min_upload: 0Mbps\n  min_download: ${DLSPEED}Mbps\n"
    node = load(SpecText(name="a.yaml", content=content), env={"DLSPEED": "0"}).node
    assert (node.min_upload_mbps, node.min_download_mbps) == (None, None)


def test_every_axis_arrives() -> None:
    matrix = read_case(FOLDER / "valid" / "everything.yaml").load().matrix
    assert matrix.axes == (
        Axis(knobs=("target",), rows=(("r2",),)),
        Axis(knobs=("tool",), rows=(("rclone",),)),
        Axis(knobs=("chunk_size",), rows=tuple((n * MIB,) for n in (5, 10, 20, 40, 80))),
        Axis(knobs=("concurrency", "transfers"), rows=((1, 16), (4, 4))),
        Axis(knobs=("http2",), rows=((False,), (True,))),
    )
    assert matrix.exclude == ({"chunk_size": 80 * MIB, "http2": True},)
    added = {"chunk_size": 64 * MIB, "concurrency": 16, "checksum": False, "target": "r2"}
    assert matrix.include == (added,)


def test_every_setting_of_a_step_arrives_in_base_units() -> None:
    steps = read_case(FOLDER / "valid" / "everything.yaml").load().steps
    settings = {step.kind: dict(step.settings) for step in steps}
    assert settings["download"] == {
        "chunk_size_bytes": MIB,
        "concurrency": 2,
        "transfers": 3,
        "http2": True,
        "checksum": False,
        "timeout_s": 300.0,
    }
    assert settings["pause"] == {"duration_s": 1.5}
    assert settings["load"] == {"method": "mmap", "chunk_size_bytes": 65536, "timeout_s": 30.0}
    assert settings["verify"] == {"timeout_s": 3600.0}
    assert settings["list"] == {}


def test_ranges() -> None:
    axes = read_case(FOLDER / "valid" / "ranges.yaml").load().matrix.axes
    assert [[row[0] for row in axis.rows] for axis in axes] == [
        [5 * MIB, 10 * MIB, 15 * MIB, 20 * MIB],
        [1, 2, 4, 8, 16],
        [1, 2, 3],
    ]


def test_what_yaml_1_1_reads_alike_or_as_no_text_is_taken() -> None:
    spec = read_case(FOLDER / "valid" / "yaml_1_2.yaml").load()
    assert (spec.repetitions, spec.warmup, spec.order.seed) == (10, 7, 1)
    assert spec.description == "yes"
    assert spec.node.countries == ("NO",)


def test_a_size_axis_gives_the_size() -> None:
    spec = read_case(FOLDER / "valid" / "size_axis.yaml").load()
    assert spec.data.size_bytes == 10 * MIB


def test_an_alias_stands_for_what_it_names() -> None:
    steps = read_case(FOLDER / "valid" / "anchors.yaml").load().steps
    assert steps[0].settings == steps[1].settings == {"chunk_size_bytes": 8 * MIB, "concurrency": 2}


def test_the_names_of_secrets() -> None:
    spec = read_case(FOLDER / "valid" / "everything.yaml").load()
    assert secret_env_names(spec) == ("CLOUDFLARE_ID", "CLOUDFLARE_KEY", "CLOUDFLARE_TOKEN")

"""What engines are given to start the nodes of a fleet: whole, readable, and without keys."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command import Ran, hps
from tests.servers.web import Page, serve_web

_SPEC = """\
api: hps/v1
name: first_one
targets:
  r2: {provider: cloudflare, endpoint: "${CLOUDFLARE_ENDPOINT_URL}", bucket: b,
       access_key_id: {env: CLOUDFLARE_ID}, secret_access_key: {env: CLOUDFLARE_KEY}}
data: {size: 100MiB}
matrix: {concurrency: [1, 4, 16]}
fleet: {nodes: 20, per_node: {cells: 2}, until: 4h}
steps: [upload, download, verify, delete]
"""
_ENV = {
    "CLOUDFLARE_ENDPOINT_URL": "https://0123456789abcdef.r2.cloudflarestorage.com",
    "CLOUDFLARE_ID": "AKIAPLANTEDPLANTED",
    "CLOUDFLARE_KEY": "planted/planted+planted/planted",
    "HPS_FLEET": "october",
}


# Keys without a value are taken from who launches it, as with `--secret`.
_READ_TASK = """
import json, sys, sky
task = sky.Task.from_yaml(sys.argv[1])
keys = [one.name for one in task._managed_secret_refs]
print(json.dumps([task.name, task.envs, task.file_mounts, keys]))
"""


def _manifest(folder: Path, engine: str, *options: str, text: str = _SPEC) -> Ran:
    file = folder / "first.yaml"
    file.write_text(text)
    ran = hps(
        *("fleet", "manifest", file, "--engine", engine, "--image", "example.com/hps:1"),
        *("--env", "CLOUDFLARE_ENDPOINT_URL", *options),
        env=_ENV,
    )
    for name in ("CLOUDFLARE_ID", "CLOUDFLARE_KEY"):
        assert _ENV[name] not in ran.out + ran.err
    return ran


def _of_kubernetes(ran: Ran) -> tuple[Any, Any]:
    assert ran.code == 0, ran.err
    files, job = yaml.safe_load_all(ran.out)
    return files, job


def test_a_job_ends_once_enough_nodes_have_measured(tmp_path: Path) -> None:
    files, job = _of_kubernetes(_manifest(tmp_path, "kubernetes", "--gpus", "1", "--queue", "gpus"))
    assert files["data"]["experiment.yaml"] == _SPEC
    spec = job["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 25, 25)
    assert spec["successPolicy"] == {"rules": [{"succeededCount": 20}]}
    assert spec["activeDeadlineSeconds"] == 4 * 3600
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
    rules = {rule["action"]: rule for rule in spec["podFailurePolicy"]["rules"]}
    assert rules["FailJob"]["onExitCodes"]["values"] == [2, 70]
    assert rules["FailIndex"]["onExitCodes"]["values"] == [3]
    assert rules["Ignore"]["onPodConditions"][0]["status"] == "True"


def test_a_pod_has_few_rights_and_its_keys_from_a_secret(tmp_path: Path) -> None:
    files, job = _of_kubernetes(_manifest(tmp_path, "kubernetes", "--gpus", "1"))
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    env = {one["name"]: one.get("value") for one in container["env"]}
    assert env["HPS_FLEET"] == "october"
    assert env["CLOUDFLARE_ENDPOINT_URL"] == _ENV["CLOUDFLARE_ENDPOINT_URL"]
    assert container["env"][0]["valueFrom"]["fieldRef"]["fieldPath"] == "spec.nodeName"
    assert container["envFrom"] == [{"secretRef": {"name": "hps-keys"}}]
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 1}
    assert container["resources"]["requests"]["memory"] == "4096Mi"
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["restartPolicy"] == "Never"
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert env["EXPERIMENT"] == f"{mounted['experiment']}/{next(iter(files['data']))}"
    assert env["TMPDIR"] == mounted["work"]
    assert env["HPS_FLEET_AGAIN"] == "reject"
    apart = pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert apart[0]["labelSelector"]["matchLabels"] == job["spec"]["template"]["metadata"]["labels"]
    name = job["metadata"]["name"]
    assert name == "hps-first-one-october" == pod["volumes"][0]["configMap"]["name"]


def test_a_task_names_its_secrets(tmp_path: Path) -> None:
    ran = _manifest(tmp_path, "skypilot", "--nodes", "4")
    task = yaml.safe_load(ran.out)
    assert "sky jobs launch --num-jobs 5 --secret CLOUDFLARE_ID --secret CLOUDFLARE_KEY" in ran.out
    assert task["secrets"] == {"CLOUDFLARE_ID": None, "CLOUDFLARE_KEY": None}
    assert task["file_mounts"] == {task["envs"]["EXPERIMENT"]: str(tmp_path / "first.yaml")}


def test_skypilot_itself_reads_a_task(tmp_path: Path) -> None:
    """Where HPS_SKY_PYTHON names a Python that has it: it is of 520 MB, and asks no cloud here."""
    python = os.environ.get("HPS_SKY_PYTHON")
    if python is None:
        pytest.skip("HPS_SKY_PYTHON names no Python that has skypilot")
    for options in ((), ("--gpus", "2"), ("--env", "ODD=ä: {}\n- 'x' # 0o17")):
        file = tmp_path / "task.yaml"
        file.write_text(_manifest(tmp_path, "skypilot", *options).out)
        done = subprocess.run(
            [python, "-c", _READ_TASK, str(file)],
            env={**os.environ, "SKYPILOT_DISABLE_USAGE_COLLECTION": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        task, read = yaml.safe_load(file.read_text()), json.loads(done.stdout.splitlines()[-1])
        assert read == [task["name"], task["envs"], task["file_mounts"], list(task["secrets"])]


def test_a_service_takes_its_keys_from_the_shell(tmp_path: Path) -> None:
    ran = _manifest(tmp_path, "docker")
    service = yaml.safe_load(ran.out)["services"]["hps"]
    names = {entry.partition("=")[0] for entry in service["environment"]}
    assert {"SALAD_MACHINE_ID", "EXPERIMENT", "HPS_FLEET"} < names
    assert {"CLOUDFLARE_ID", "CLOUDFLARE_KEY"} < set(service["environment"])
    (volume,) = service["volumes"]
    assert volume.startswith(("/", "./"))


@pytest.mark.parametrize("engine", ["kubernetes", "skypilot", "docker"])
def test_the_end_by_the_clock_is_told_to_the_nodes(tmp_path: Path, engine: str) -> None:
    file = tmp_path / "first.yaml"
    file.write_text(_SPEC)
    until = {"HPS_FLEET_UNTIL": "2096-12-01T19:00:00+01:00"}
    ran = hps(
        *("fleet", "manifest", file, "--engine", engine, "--image", "i"), env={**_ENV, **until}
    )
    assert ran.out.count("2096-12-01T18:00:00Z") == 1


@pytest.mark.parametrize("engine", ["skypilot", "docker"])
def test_an_address_is_no_file_to_be_mounted(tmp_path: Path, engine: str) -> None:
    text = _SPEC.replace("${CLOUDFLARE_ENDPOINT_URL}", "http://127.0.0.1:9")
    pages = {"/first.yaml": text, "/first.yaml?sig=0123456789abcdef": text}
    with serve_web(
        tmp_path, lambda asked: Page(body=pages[asked.target].encode()), tls=False
    ) as web:
        address = f"{web.endpoint}/first.yaml"
        options = ("--engine", engine, "--image", "example.com/hps:1")
        ran = hps("fleet", "manifest", address, *options, env=_ENV)
        signed = hps("fleet", "manifest", f"{address}?sig=0123456789abcdef", *options, env=_ENV)
    assert ran.code == 0, ran.err
    assert f"EXPERIMENT{'=' if engine == 'docker' else ': '}{address}\n" in ran.out
    assert "./http" not in ran.out
    assert (signed.code, signed.out) == (2, "")
    assert "0123456789abcdef" not in signed.err


@pytest.mark.parametrize(
    ("options", "text", "words"),
    [
        (("--env", "CLOUDFLARE_KEY"), _SPEC, "--env: CLOUDFLARE_KEY is a secret"),
        (("--env", "NOWHERE_SET"), _SPEC, "--env: NOWHERE_SET is not set here"),
        ((), _SPEC.replace("nodes: 20, ", ""), "--nodes is missing"),
        (("--env", "SALAD_MACHINE_ID=a"), _SPEC, "SALAD_MACHINE_ID would be the same on each"),
        (("--env", "a b=c"), _SPEC, "'a b' is no name of a variable"),
        (("--env", "=c"), _SPEC, "'' is no name of a variable"),
        (("--queue", "+1"), _SPEC, "--queue: '+1' is no name in Kubernetes"),
        (("--secret", "Keys"), _SPEC, "--secret: 'Keys' is no name in Kubernetes"),
        (("--image", ""), _SPEC, "--image: '' is no image"),
        (("--nodes", "80001"), _SPEC, "100,002 nodes are too many for a Job"),
        ((), _SPEC + "# x\n" * 65_000, "longer than the 256 KiB"),
        ((), "api: hps/v1\nname: a\ntargets: {l: {provider: embedded}}\ndata: {size: 1MiB}\n"
             "matrix: {concurrency: [1]}\nfleet: {nodes: 2}\nsteps: [upload]\n", "on each node"),
    ],
)  # fmt: skip
def test_what_can_not_be_started_is_refused(
    tmp_path: Path, options: tuple[str, ...], text: str, words: str
) -> None:
    ran = _manifest(tmp_path, "kubernetes", *options, text=text)
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err


def test_a_name_that_looks_like_a_number_stays_a_text(tmp_path: Path) -> None:
    """To YAML 1.2, which Kubernetes reads, `12e3` is a number."""
    file = tmp_path / "first.yaml"
    file.write_text(_SPEC)
    for engine in ("kubernetes", "skypilot"):
        ran = hps(
            *("fleet", "manifest", str(file), "--engine", engine, "--image", "i"),
            env={**_ENV, "HPS_FLEET": "12e3"},
        )
        assert '"12e3"' in ran.out
        assert ": 12e3\n" not in ran.out
    ran = _manifest(
        tmp_path, "kubernetes", "--secret", "0o17", "--queue", "1e1", "--env", "A=1_000"
    )
    assert [ran.out.count(f'"{text}"') for text in ("0o17", "1e1", "1_000")] == [1, 1, 1]


def test_a_name_is_one_of_kubernetes(tmp_path: Path) -> None:
    text = _SPEC.replace("first_one", "a." + "long_name-" * 6 + "x")
    _, job = _of_kubernetes(_manifest(tmp_path, "kubernetes", text=text))
    name = job["metadata"]["name"]
    assert len(name) <= 50
    assert name == name.strip("-").lower()
    assert set(json.dumps(name)) <= set('"abcdefghijklmnopqrstuvwxyz0123456789-')

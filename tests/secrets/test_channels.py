"""Everything fails in turn, and the secrets are in no place that anybody could read."""

from __future__ import annotations

import shlex
import shutil
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.command import keys_of
from tests.conftest import ProxyFor
from tests.secrets.echo import Echo, serve_echo
from tests.secrets.planted import Planted, plant
from tests.secrets.watched import Seen, watch
from tests.servers.faults import Rule, Stall
from tests.servers.rclone_client import remote_environment, run_rclone
from tests.servers.rclone_s3 import find_rclone
from tests.servers.s3_server import S3Server

_SPEC = """\
api: hps/v1
name: secrets
targets:
  s3:
    provider: other
    endpoint: {endpoint}
    bucket: bucket
    force_path_style: true
    access_key_id: {{env: PLANTED_ID}}
    secret_access_key: {{env: PLANTED_WORD}}
    session_token: {{env: PLANTED_TICKET}}
  store:
    provider: other
    endpoint: {store}
    bucket: {bucket}
    folder: {folder}
    force_path_style: true
    access_key_id: {{env: TEST_KEY_ID}}
    secret_access_key: {{env: TEST_SECRET}}
results: {{target: store}}
data: {{size: 100KiB}}
{more}steps: [{{upload: {{timeout: {timeout}}}}}, download, verify, delete]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One test's secrets, its server, and its folder on both sides."""

    planted: Planted
    server: S3Server
    folder: Path
    echo: Echo

    @property
    def env(self) -> dict[str, str]:
        """All the variables; what is on this machine is reached without the proxy."""
        return {**self.planted.env, **keys_of(self.server), "NO_PROXY": "127.0.0.1"}

    def spec(self, endpoint: str, *, timeout: str = "60s", more: str = "", store: str = "") -> Path:
        """An experiment whose data goes to `endpoint`."""
        path = self.folder / "s.yaml"
        filled = _SPEC.format(
            endpoint=endpoint,
            store=store or self.server.endpoint,
            bucket=self.server.bucket,
            folder=self.folder.name,
            timeout=timeout,
            more=more,
        )
        path.write_text(filled)
        return path

    def run(
        self, spec: Path, *, env: Mapping[str, str] | None = None, raw_logs: bool = True
    ) -> Seen:
        """`hps run`; and what is in the bucket afterwards."""
        # Without the check, so that every channel of a run is tried.
        arguments = ("run", spec, "--no-check", "--output", self.folder / "out")
        seen = watch(
            *arguments, env={**self.env, **(env or {})}, folder=self.folder, raw_logs=raw_logs
        )
        for name, text in self._stored().items():
            seen.add(f"bucket {name}", text)
        self.check(seen)
        return seen

    def check(self, seen: Seen) -> None:
        """No secret is anywhere, and temporary folders are closed to others."""
        wrong = {
            place: found
            for place, text in seen.places.items()
            if (found := self.planted.found_in(text))
        }
        assert wrong == {}
        server_secret = self.server.secret_access_key
        assert not [place for place, text in seen.places.items() if server_secret in text]
        assert seen.open_folders == set()
        assert list((self.folder / "tmp").iterdir()) == []

    def _stored(self) -> dict[str, str]:
        copied = self.folder / "bucket"
        place = f"T:{self.server.bucket}/{self.folder.name}"
        run_rclone(["copy", place, str(copied)], env=remote_environment(self.server), check=False)
        files = [path for path in copied.rglob("*") if path.is_file()]
        texts = {path.name: path.read_text() for path in files if path.suffix != ".bin"}
        shutil.rmtree(copied, ignore_errors=True)
        return texts


@pytest.fixture
def stage(s3_server: S3Server, tmp_path: Path) -> Iterator[Stage]:
    """With a server that says everything it hears, and the secrets in every spelling."""
    planted = plant()
    with serve_echo(planted) as echo:
        yield Stage(planted=planted, server=s3_server, folder=tmp_path, echo=echo)


def _journal(seen: Seen) -> str:
    (text,) = [
        text for place, text in seen.places.items() if place.endswith(".jsonl") and "file" in place
    ]
    return text


@pytest.mark.prove
def test_a_server_that_repeats_what_it_hears(stage: Stage) -> None:
    seen = stage.run(stage.spec(stage.echo.endpoint), raw_logs=False)
    assert seen.code == 1
    assert "[PLANTED_ID]" in _journal(seen), "it was said, and taken away"
    assert any(place.startswith("bucket") and place.endswith(".csv") for place in seen.places)
    # What was stored is compared and reported by people with other keys, or none.
    for command in (("compare",), ("report", "--output", stage.folder / "report.html")):
        told = watch(*command, stage.folder / "out", env={}, folder=stage.folder)
        stage.check(told)


@pytest.mark.prove
def test_nobody_listens(stage: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    seen = stage.run(stage.spec(f"http://127.0.0.1:{port}", store=f"http://127.0.0.1:{port}"))
    assert seen.code == 6


def test_no_tls_where_it_is_expected(stage: Stage) -> None:
    assert stage.run(stage.spec(stage.echo.endpoint.replace("http:", "https:"))).code == 1


def test_no_answer_in_time(stage: Stage, proxy_for: ProxyFor) -> None:
    stalls = Rule(match=lambda head: True, action=Stall(seconds=20))
    proxy = proxy_for(stage.server, rules=(stalls,))
    seen = stage.run(stage.spec(proxy.endpoint, timeout="2s"))
    assert seen.code == 1
    assert '"status":"timeout"' in _journal(seen)


def test_a_tool_that_dies_with_all_it_knows_on_its_lips(stage: Stage) -> None:
    wrapper = stage.folder / "rclone"
    real = shlex.quote(find_rclone())
    wrapper.write_text(
        f'#!/bin/sh\ncase "$1" in copyto) env >&2; echo "panic: $*" >&2; kill -SEGV $$;; '
        f'*) exec {real} "$@";; esac\n'
    )
    wrapper.chmod(0o755)
    seen = stage.run(
        stage.spec(stage.echo.endpoint), env={"HPS_RCLONE": str(wrapper)}, raw_logs=False
    )
    assert seen.code == 1


_BUG = """\
import os, sys, threading
if "hps" in sys.orig_argv:
    import hps.run.execute

    class Held:
        def __del__(self):
            raise ValueError(os.environ["PLANTED_TICKET"])

    def crash(identity, operation, measurement):
        local = os.environ["PLANTED_WORD"]
        thread = threading.Thread(target=fail, args=(local,), name=local)
        thread.start()
        thread.join()
        Held()
        raise RuntimeError(local, os.environ["SOME_API_TOKEN"], {"key": os.environ["PLANTED_ID"]})

    def fail(local):
        raise KeyError(local)

    hps.run.execute.result_record = crash
"""


def test_a_bug_in_the_middle_of_a_run(stage: Stage) -> None:
    (stage.folder / "bug").mkdir()
    (stage.folder / "bug" / "sitecustomize.py").write_text(_BUG)
    seen = stage.run(
        stage.spec(stage.echo.endpoint),
        env={"PYTHONPATH": str(stage.folder / "bug")},
        raw_logs=False,
    )
    assert seen.code == 70
    told = seen.places["file stderr"]
    assert told.count("this is a bug of hps") == 3
    assert "KeyError: '[PLANTED_WORD]'" in told
    assert "ValueError: [PLANTED_TICKET]" in told
    assert "[SOME_API_TOKEN]" in told


_BUG_OF_A_COMMAND = """\
import os, sys
if "hps" in sys.orig_argv:
    import {module}

    def crash(*_, **__):
        raise RuntimeError(os.environ["PLANTED_WORD"])

    {module}.{function} = crash
"""


@pytest.mark.parametrize(
    ("command", "module", "function"),
    [
        (("clean",), "hps.clean.cleaning", "experiment_folder"),
        (("results", "pull", "--from"), "hps.results.pull", "pull"),
    ],
)
def test_a_bug_in_a_command(
    command: tuple[str, ...], module: str, function: str, stage: Stage
) -> None:
    (stage.folder / "bug").mkdir()
    bug = _BUG_OF_A_COMMAND.format(module=module, function=function)
    (stage.folder / "bug" / "sitecustomize.py").write_text(bug)
    env = {**stage.env, "PYTHONPATH": str(stage.folder / "bug")}
    seen = watch(*command, stage.spec(stage.echo.endpoint), env=env, folder=stage.folder)
    assert seen.code == 70
    stage.check(seen)
    assert "RuntimeError: [PLANTED_WORD]" in seen.places["file stderr"]


def test_a_platform_that_fails(stage: Stage) -> None:
    env = dict.fromkeys(("SALAD_MACHINE_ID", "SALAD_CONTAINER_GROUP_ID"), "../../x")
    seen = stage.run(
        stage.spec(stage.echo.endpoint),
        env={**env, "HPS_METADATA_URL": stage.echo.endpoint},
        raw_logs=False,
    )
    assert seen.code == 1
    assert "/v1/deletion-cost" in stage.echo.asked
    assert "deletion_cost_not_set" in seen.places["file stderr"]
    assert [path.name for path in (stage.folder / "out" / "secrets").iterdir()] == ["_.._x"]


@pytest.mark.prove
def test_a_proxy_with_a_password(stage: Stage) -> None:
    proxy = stage.planted.env["HTTP_PROXY"]
    spec = stage.spec("http://s3.example.invalid", timeout="5s")
    for value in (proxy, f"{proxy}:not a port"):
        assert stage.run(spec, env={"HTTP_PROXY": value}).code == 1


@pytest.mark.parametrize("command", ["run", "plan", "validate", "node"])
def test_an_experiment_that_cannot_be_read_from_its_bucket(stage: Stage, command: str) -> None:
    env = {
        **stage.env,
        "CLOUDFLARE_ENDPOINT_URL": stage.echo.endpoint,
        "CLOUDFLARE_ID": stage.planted.values[0],
        "CLOUDFLARE_KEY": stage.planted.values[1],
    }
    seen = watch(
        *(command, "r2:some/experiment.yaml"), env=env, folder=stage.folder, raw_logs=False
    )
    stage.check(seen)
    assert seen.code == 2


@pytest.mark.parametrize(
    "address",
    ["git+https://user:{}@127.0.0.1:9/r.git#a.yaml", "https:/user:{}@h/a.yaml", "user:{}@h/a.yaml"],
)
def test_a_token_in_an_address(stage: Stage, address: str) -> None:
    env = {"EXPERIMENT": address.format("hunter2-hunter2")}
    for command in ("run", "validate"):
        seen = watch(command, env=env, folder=stage.folder)
        assert seen.code == 2
        texts = {place: text for place, text in seen.places.items() if place != "command lines"}
        assert not [place for place, text in texts.items() if "hunter2" in text]


def test_what_a_plan_and_a_node_say(stage: Stage) -> None:
    spec = stage.spec(stage.echo.endpoint)
    for command in (("plan", spec, "--format", "commands"), ("node", spec), ("plan", spec)):
        seen = watch(*command, env=stage.env, folder=stage.folder, raw_logs=False)
        stage.check(seen)
        assert seen.code == 0

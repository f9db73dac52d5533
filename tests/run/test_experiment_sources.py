"""An experiment from wherever it is kept; and what is stored where there is none."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from tests.command import REPOSITORY, Ran, Record, hps
from tests.servers.git_https import commit, make_repository, serve_repositories
from tests.servers.rclone_client import remote_environment, run_rclone
from tests.servers.s3_server import S3Server
from tests.servers.web import Asked, Page, WebServer, serve_web

_SPEC = """\
api: hps/v1
name: from-afar
description: ${HPS_VAR_TEXT:-nothing}
targets: {local: {provider: embedded}}
data: {size: 1MiB}
steps: [upload, delete]
"""
_FORBIDDEN = _SPEC.replace("HPS_VAR_TEXT", "MY_PRIVATE_TEXT")
_HTML = b"<!DOCTYPE html>\n<html><body>name: x</body></html>"
_PAGES = {
    "/good.yaml?token=hunter2": Page(body=_SPEC.encode()),
    "/moved.yaml": Page(status=302, headers={"Location": "/good.yaml?token=hunter2"}),
    "/forbidden.yaml": Page(body=_FORBIDDEN.encode()),
    "/page": Page(body=_HTML, headers={"Content-Type": "text/html"}),
    "/large.yaml": Page(body=b"#" * (1024**2 + 1)),
    "/binary": Page(body=bytes(range(256))),
    "/empty": Page(),
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    with serve_web(tmp_path_factory.mktemp("web"), _page) as server:
        yield server


def _page(asked: Asked) -> Page:
    return _PAGES.get(asked.target, Page(status=404))


@pytest.fixture
def r2(s3_server: S3Server) -> dict[str, str]:
    """The variables of `r2:`, with a folder that no other test uses."""
    return {
        "CLOUDFLARE_ENDPOINT_URL": s3_server.endpoint,
        "CLOUDFLARE_ID": s3_server.access_key_id,
        "CLOUDFLARE_KEY": s3_server.secret_access_key,
        "BUCKET": s3_server.bucket,
        "FOLDER": f"from-{secrets.token_hex(4)}",
        "SALAD_MACHINE_ID": "machine-1",
    }


def _run(address: str | None, folder: Path, env: dict[str, str]) -> Ran:
    named = {} if address is None else {"EXPERIMENT": address}
    return hps("run", "--output", folder / "out", "--format", "json", env={**env, **named})


def _trust(server: WebServer) -> dict[str, str]:
    return {"SSL_CERT_FILE": str(server.ca_cert)}


def _in_bucket(server: S3Server, env: dict[str, str], folder: Path) -> dict[str, str]:
    """The files below FOLDER, by their paths."""
    copied = folder / "copied"
    place = f"T:{server.bucket}/{env['FOLDER']}"
    run_rclone(["copy", place, str(copied)], env=remote_environment(server), check=False)
    files = (path for path in copied.rglob("*") if path.is_file())
    return {str(path.relative_to(copied)): path.read_text() for path in files}


@pytest.mark.parametrize("path", ["/good.yaml?token=hunter2", "/moved.yaml"])
def test_over_https(pages: WebServer, tmp_path: Path, path: str) -> None:
    ran = _run(f"{pages.endpoint}{path}", tmp_path, _trust(pages))
    assert ran.code == 0, ran.err
    run = ran.records()[0]
    assert run["spec_source"] == f"{pages.endpoint}{path.partition('?')[0]}"
    assert run["spec"] == _SPEC
    assert "hunter2" not in ran.out + ran.err


def test_from_git_with_the_commit_in_the_record(tmp_path: Path) -> None:
    root = tmp_path / "repositories"
    repository = make_repository(root / "r")
    first = commit(repository, {"experiments/a.yaml": _SPEC.encode()})
    commit(repository, {"experiments/a.yaml": b"name: later\n"})
    with serve_repositories(root, tmp_path) as server:
        base = f"git+{server.endpoint}/r"
        ran = _run(f"{base}@{first}#experiments/a.yaml", tmp_path, _trust(server))
        late = hps("validate", f"{base}@main#experiments/a.yaml", env=_trust(server))
    assert ran.code == 0, ran.err
    assert ran.records()[0]["spec_source"] == f"{base}@{first}#experiments/a.yaml"
    assert late.code == 2
    assert "the file lacks 'api'" in late.out


def test_a_branch_of_a_local_repository_is_recorded_as_its_commit(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "r")
    last = commit(repository, {"a.yaml": _FORBIDDEN.encode()})
    ran = _run(f"git+file://{repository}@main#a.yaml", tmp_path, {"MY_PRIVATE_TEXT": "mine"})
    assert ran.code == 0, ran.err  # it is as trusted as a path of this machine
    assert ran.records()[0]["spec_source"] == f"git+file://{repository}@{last}#a.yaml"


def test_from_the_bucket(s3_server: S3Server, r2: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(_SPEC)
    place = f"T:{s3_server.bucket}/{r2['FOLDER']}/experiments/a.yaml"
    run_rclone(["copyto", str(path), place], env=remote_environment(s3_server))
    ran = _run("r2:experiments/a.yaml", tmp_path, {**r2, "HPS_VAR_TEXT": "told"})
    assert ran.code == 0, ran.err
    assert ran.records()[0]["spec_source"] == "r2:experiments/a.yaml"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/nowhere.yaml", "404 Not Found"),
        ("/page", "is a web page, not an experiment"),
        ("/large.yaml", "is larger than 1 MiB"),
        ("/binary", "is not UTF-8"),
        ("/empty", "the file is empty"),
        ("/forbidden.yaml", "[variable-not-allowed]"),
    ],
)
def test_what_is_no_experiment(pages: WebServer, tmp_path: Path, path: str, said: str) -> None:
    env = {**_trust(pages), "MY_PRIVATE_TEXT": "hunter2"}
    ran = _run(f"{pages.endpoint}{path}", tmp_path, env)
    assert ran.code == 2
    assert said in ran.err
    assert f"{pages.endpoint}{path}" in ran.err
    assert "Traceback" not in ran.err
    assert "hunter2" not in ran.err
    assert not ran.out
    assert not (tmp_path / "out").exists()


def test_a_password_in_an_address_is_refused_and_not_shown(
    s3_server: S3Server, r2: dict[str, str], tmp_path: Path
) -> None:
    ran = _run("https://user:hunter2@example.org/a.yaml", tmp_path, r2)
    assert ran.code == 2
    assert "holds a user name or password" in ran.err
    files = _in_bucket(s3_server, r2, tmp_path)
    assert len(files) == 1
    assert "hunter2" not in ran.err + "".join(files.values())


def _record_of(ran: Ran, server: S3Server, env: dict[str, str], folder: Path) -> Record:
    """The one record in the bucket, by its schema."""
    assert ran.code == 2, ran.err
    ((path, text),) = _in_bucket(server, env, folder).items()
    record: Record = json.loads(text)
    assert path == f"results/failed/machine-1/{record['run_id']}.jsonl"
    assert f"stored as r2:{server.bucket}/{env['FOLDER']}/{path}" in ran.err
    whole = json.loads((REPOSITORY / "schemas/result.schema.json").read_text())
    assert [error.message for error in Draft202012Validator(whole).iter_errors(record)] == []
    return record


def test_a_missing_experiment_is_stored_in_the_bucket(
    s3_server: S3Server, r2: dict[str, str], tmp_path: Path
) -> None:
    ran = _run("experiments/nowhere.yaml", tmp_path, r2)
    record = _record_of(ran, s3_server, r2, tmp_path)
    assert record["kind"] == "run"
    assert record["status"] == "failed"
    assert record["experiment"] == "unknown"
    assert record["source"] == "experiments/nowhere.yaml"
    assert "there is no file experiments/nowhere.yaml" in record["reason"]
    assert (record["reason_code"], record["reason_owner"]) == ("", "")
    assert record["node"]["machine_id"] == "machine-1"


def test_an_experiment_that_is_wrong_is_stored_by_its_name_and_without_its_text(
    s3_server: S3Server, r2: dict[str, str], tmp_path: Path
) -> None:
    spec = tmp_path / "a.yaml"
    target = "{provider: other, secret_access_key: hunter2}"
    spec.write_text(_SPEC.replace("{provider: embedded}", target))
    record = _record_of(_run(str(spec), tmp_path, r2), s3_server, r2, tmp_path)
    assert record["experiment"] == "from-afar"
    assert "[secret-literal]" in record["reason"]
    assert (record["reason_code"], record["reason_owner"]) == ("bad_experiment", "experiment")
    assert "hunter2" not in json.dumps(record)


def test_a_container_that_was_started_with_an_empty_one_is_stored_too(
    s3_server: S3Server, r2: dict[str, str], tmp_path: Path
) -> None:
    record = _record_of(_run("", tmp_path, r2), s3_server, r2, tmp_path)
    assert "no experiment: neither FILE nor EXPERIMENT is given" in record["reason"]


@pytest.mark.parametrize("named", [{}, {"EXPERIMENT": "experiments/quickstart.yaml"}])
def test_a_mistake_in_a_file_that_was_named_here_is_stored_nowhere(
    s3_server: S3Server, r2: dict[str, str], tmp_path: Path, named: dict[str, str]
) -> None:
    typo = tmp_path / "typo.yaml"
    typo.write_text(_SPEC.replace("steps", "stepps"))
    ran = hps("run", typo, env={**r2, **named})
    assert ran.code == 2
    assert "stepps" in ran.err
    assert "this failure is" not in ran.err
    assert _in_bucket(s3_server, r2, tmp_path) == {}


def test_where_nothing_was_named_nothing_is_stored(
    s3_server: S3Server, r2: dict[str, str], tmp_path: Path
) -> None:
    ran = _run(None, tmp_path, r2)
    assert ran.code == 2
    assert "neither FILE nor EXPERIMENT is given" in ran.err
    assert _in_bucket(s3_server, r2, tmp_path) == {}


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_only_a_run_stores_it(
    s3_server: S3Server, r2: dict[str, str], tmp_path: Path, command: str
) -> None:
    assert hps(command, "experiments/nowhere.yaml", env=r2).code == 2
    assert _in_bucket(s3_server, r2, tmp_path) == {}


def test_a_record_that_cannot_be_stored_is_said_and_changes_nothing(
    r2: dict[str, str], tmp_path: Path
) -> None:
    wrong = f"wrong{secrets.token_hex(16)}"
    ran = _run("experiments/nowhere.yaml", tmp_path, {**r2, "CLOUDFLARE_KEY": wrong})
    assert ran.code == 2
    assert "there is no file experiments/nowhere.yaml" in ran.err
    (line,) = (line for line in ran.err.splitlines() if "this failure is not stored" in line)
    assert line.count("403") == 1
    assert "RequestID" not in line
    assert "ERROR" not in line
    assert wrong not in ran.err

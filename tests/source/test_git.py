"""One file of a real repository: branches, tags and commits, over https and from this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hps.errors import HpsError
from hps.source import git as source_git
from hps.source.address import GitAddress, parse
from hps.spec.source import MAX_BYTES
from tests.servers.git_https import commit, git, make_repository, serve_repositories
from tests.servers.web import Page, serve_web


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository of two commits; `base` is its address, without revision and file."""

    folder: Path
    first: str
    second: str
    base: str


def _make(folder: Path) -> tuple[str, str]:
    make_repository(folder)
    first = commit(folder, {"d/a.yaml": b"first: \xff\r\n", "other.txt": b"other"})
    git(folder, "tag", "v1")
    (folder / "link.yaml").symlink_to("d/a.yaml")
    second = commit(folder, {"d/a.yaml": b"second", ":(glob)[a] b.yaml": b"odd name"})
    git(folder, "tag", "--annotate", "--message=two", "v2")
    git(folder, "branch", "team/x")
    return first, second


@pytest.fixture(scope="module", params=["file", "https"])
def repository(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Repository]:
    root = tmp_path_factory.mktemp("repositories")
    first, second = _make(root / "r.git")
    if request.param == "file":
        base = f"git+file://{root}/r.git"
        yield Repository(folder=root / "r.git", first=first, second=second, base=base)
        return
    with serve_repositories(root, root) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(server.ca_cert))
        base = f"git+{server.endpoint}/r.git"
        yield Repository(folder=root / "r.git", first=first, second=second, base=base)


def _address(repository: Repository, rest: str) -> GitAddress:
    address = parse(f"{repository.base}{rest}")
    assert isinstance(address, GitAddress)
    return address


def _failure(address: GitAddress, timeout_s: float = 60) -> HpsError:
    with pytest.raises(HpsError) as caught:
        source_git.fetch(address, timeout_s=timeout_s)
    assert caught.value.hint
    return caught.value


def test_a_tag_and_its_bytes(repository: Repository) -> None:
    fetched = source_git.fetch(_address(repository, "@v1#d/a.yaml"))
    assert fetched == (repository.first, b"first: \xff\r\n")


@pytest.mark.parametrize("rev", ["", "@main", "@team/x", "@v2", "@refs/heads/main"])
def test_what_names_the_second_commit(repository: Repository, rev: str) -> None:
    fetched = source_git.fetch(_address(repository, f"{rev}#d/a.yaml"))
    assert fetched == (repository.second, b"second")


def test_a_commit_that_no_branch_ends_at(repository: Repository) -> None:
    address = _address(repository, f"@{repository.first}#d/a.yaml")
    assert source_git.fetch(address)[0] == repository.first


def test_a_path_is_no_pattern(repository: Repository) -> None:
    assert source_git.fetch(_address(repository, "@main#:(glob)[a]%20b.yaml"))[1] == b"odd name"
    assert "no such file" in _failure(_address(repository, "@main#d/*")).message


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("@nowhere#d/a.yaml", "there is no such revision"),
        ("@0123456789abcdef0123456789abcdef01234567#a", "there is no such revision"),
        ("@main#d/b.yaml", "there is no such file"),
        ("@main#d", "is a folder or a link"),
        ("@main#link.yaml", "is a folder or a link"),
    ],
)
def test_what_is_not_there(repository: Repository, rest: str, said: str) -> None:
    assert said in _failure(_address(repository, rest)).message


def test_a_repository_that_is_not_there(repository: Repository) -> None:
    address = parse(f"{repository.base}x@main#d/a.yaml")
    assert isinstance(address, GitAddress)
    assert "cannot be fetched: " in _failure(address).message


def test_no_more_than_a_mebibyte_and_a_byte_is_read(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "r")
    commit(folder, {"a.yaml": b"x" * (MAX_BYTES + 100_000)})
    address = parse(f"git+file://{folder}#a.yaml")
    assert isinstance(address, GitAddress)
    assert len(source_git.fetch(address)[1]) == MAX_BYTES + 1


def test_settings_of_the_user_are_not_read(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = 'insteadOf = "https://"\n\tinsteadOf = "file:///"\n'
    (tmp_path / ".gitconfig").write_text(f'[url "file:///nowhere/"]\n\t{elsewhere}')
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "protocol.allow")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "never")
    assert source_git.fetch(_address(repository, "@v1#d/a.yaml"))[0] == repository.first


def test_passwords_of_the_user_are_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private = Page(status=401, headers={"WWW-Authenticate": 'Basic realm="private"'})
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login user password hunter2\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    with serve_web(tmp_path, lambda _: private) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.ca_cert))
        address = parse(f"git+{server.endpoint}/r@main#a.yaml")
        assert isinstance(address, GitAddress)
        error = _failure(address)
        assert server.asked
        assert all("Authorization" not in asked.headers for asked in server.asked)
    assert error.hint.startswith("it is private or missing")


def test_nothing_is_left_behind(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    source_git.fetch(_address(repository, "@v1#d/a.yaml"))
    _failure(_address(repository, "@nowhere#d/a.yaml"))
    assert list(tmp_path.iterdir()) == []


def test_no_git(repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    error = _failure(_address(repository, "@v1#d/a.yaml"))
    assert error.message == "there is no git on this machine"


def test_a_git_that_hangs(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = tmp_path / "git"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    error = _failure(_address(repository, "@v1#d/a.yaml"), timeout_s=0.3)
    assert "took longer than 0.3 s" in error.message

"""Addresses of experiments: each kind is recognised, and a refused one is not shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from hps.errors import HpsError
from hps.source.address import BucketAddress, FilePath, GitAddress, WebAddress, parse, shown

_COMMIT = "0123456789abcdef0123456789abcdef01234567"


def _git(repository: str, rev: str, path: str) -> GitAddress:
    return GitAddress(repository=repository, rev=rev, quoted_path=path)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("a.yaml", FilePath(path="a.yaml")),
        ("", FilePath(path="")),
        ("./r2:a.yaml", FilePath(path="./r2:a.yaml")),
        ("a/b:c.yaml", FilePath(path="a/b:c.yaml")),
        ("https://h.org/p@1/a.yaml?t=1", WebAddress(url="https://h.org/p@1/a.yaml?t=1")),
        ("http://127.0.0.2:80/a", WebAddress(url="http://127.0.0.2:80/a")),
        ("http://localhost/a", WebAddress(url="http://localhost/a")),
        ("http://[::1]:8/a", WebAddress(url="http://[::1]:8/a")),
        ("git+https://h.org/r.git@v1#d/a.yaml", _git("https://h.org/r.git", "v1", "d/a.yaml")),
        ("git+https://h.org/r#a.yaml", _git("https://h.org/r", "HEAD", "a.yaml")),
        ("git+https://h.org/r@f/x-1+y#a", _git("https://h.org/r", "f/x-1+y", "a")),
        (f"git+file:///r@{_COMMIT}#a%20b", _git("file:///r", _COMMIT, "a%20b")),
        ("r2:d/a.yaml", BucketAddress(target="r2", path="d/a.yaml")),
        ("s3:a b.yaml", BucketAddress(target="s3", path="a b.yaml")),
    ],
)
def test_each_kind(text: str, address: object) -> None:
    assert parse(text) == address


def test_a_quoted_path_is_unquoted_for_git_and_kept_for_the_record() -> None:
    address = parse("git+file:///r@main#a%20b.yaml")
    assert isinstance(address, GitAddress)
    assert address.path == "a b.yaml"
    assert address.pinned(_COMMIT) == f"git+file:///r@{_COMMIT}#a%20b.yaml"


def test_a_file_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("r2:a.yaml", "C:a.yaml"):
        Path(name).write_text("x")
        assert parse(name) == FilePath(path=name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http://example.org/a", "http, which anybody on the way can change"),
        ("https:///a", "names no host"),
        ("https://h:port/a", "cannot be read"),
        ("https://[h/a", "cannot be read"),
        ("https://h/a b", "characters that no address has"),
        ("https://h/\N{LATIN SMALL LETTER E WITH ACUTE}", "characters that no address has"),
        ("https://h/a\n", "characters that no address has"),
        ("ftp://h/a", "addresses of 'ftp' are not read"),
        ("s3://bucket/a", "addresses of 's3' are not read"),
        ("file:///a", "addresses of 'file' are not read"),
        ("git+ssh://h/r@v#a", "addresses of 'git+ssh' are not read"),
        ("git+ext::sh -c touch", "addresses of 'git+ext' are not read"),
        ("git+http://127.0.0.1/r@v#a", "addresses of 'git+http' are not read"),
        ("git+https:///r@v#a", "names no repository"),
        ("git+https://h@v#a", "user name or password"),
        ("git+file://h/r@v#a", "names no repository"),
        ("git+https://h/r?x=1@v#a", "has a '?'"),
        ("git+https://h/r@v", "names no file"),
        ("git+https://h/r@v#", "names no file"),
        ("git+https://h/r@#a", "'' is not a revision"),
        ("git+https://h/r@--upload-pack=x#a", "is not a revision"),
        ("git+https://h/r@a..b#a", "is not a revision"),
        ("git+https://h/r@a:b#a", "is not a revision"),
        ("git+https://h/r@+a#a", "is not a revision"),
        ("git+https://h/r@a^b#a", "is not a revision"),
        ("git+https://h/r@v#-a", "is not a path to a file"),
        ("git+https://h/r@v#../a", "is not a path to a file"),
        ("git+https://h/r@v#a/%2e%2e/b", "is not a path to a file"),
        ("git+https://h/r@v#/a", "is not a path to a file"),
        ("git+https://h/r@v#a%00", "is not a path to a file"),
        ("r2:", "names no file"),
        ("r2:/a", "is not a path to a file"),
        ("r2:a/../b", "is not a path to a file"),
        ("r2:a/", "is not a path to a file"),
        ("nowhere:a.yaml", "there is no file 'nowhere:a.yaml', and no target 'nowhere'"),
        ("C:\\a.yaml", "and no target 'C'"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    with pytest.raises(HpsError) as caught:
        parse(text)
    assert said in caught.value.message
    assert caught.value.hint


def test_an_unknown_target_is_answered_with_the_known_ones() -> None:
    with pytest.raises(HpsError, match="no target") as caught:
        parse("nowhere:a.yaml")
    assert "known targets are r2:, s3:" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "https://user:hunter2@h.org/a",
        "https://hunter2@h.org/a",
        "https://user:hunter2/x@h.org/a",
        "http://user:hunter2@127.0.0.1/a",
        "git+https://user:hunter2@h.org/r@v#a",
        "git+https://hunter2@h.org/r@v#a",
        "ftp://user:hunter2@h.org/a",
        "https://h.org/a?X-Amz-Signature=hunter2",
        "https://h.org/a#hunter2",
    ],
)
def test_credentials_are_never_shown(text: str) -> None:
    assert "hunter2" not in shown(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://user:hunter2@h.org/a",
        "https://user:hunter2/x@h.org/a",
        "git+https://hunter2@h.org/r@v#a",
        "ftp://user:hunter2@h.org/a",
    ],
)
def test_the_error_does_not_show_them_either(text: str) -> None:
    with pytest.raises(HpsError) as caught:
        parse(text)
    assert "hunter2" not in f"{caught.value.message} {caught.value.hint}"

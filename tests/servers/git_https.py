"""A git repository, and an https server that serves it by git's own `http-backend`."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from pathlib import Path

import pytest

from tests.servers.web import Asked, Page, WebServer, serve_web

_ENV = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    **{
        f"GIT_{who}_{what}": "a@example.org"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    },
}


def git(folder: Path, *arguments: str) -> str:
    """Run git in `folder` and return what it prints. Skips the test where there is no git."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=_ENV, check=True, capture_output=True, timeout=60
    )
    return done.stdout.decode().strip()


def make_repository(folder: Path) -> Path:
    """An empty repository whose branch is `main`, and that may be fetched from in part."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "config", "uploadpack.allowFilter", "true")
    return folder


def commit(repository: Path, files: dict[str, bytes]) -> str:
    """Write files, commit them, and return the commit's whole id."""
    for name, content in files.items():
        path = repository / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message=a change")
    return git(repository, "rev-parse", "HEAD")


@contextmanager
def serve_repositories(root: Path, folder: Path) -> Iterator[WebServer]:
    """Serve every repository under `root` over https; `folder` takes the certificate."""
    with serve_web(folder, _backend(root)) as server:
        yield server


def _backend(root: Path) -> Callable[[Asked], Page]:
    def answer(asked: Asked) -> Page:
        path, _, query = asked.target.partition("?")
        done = subprocess.run(
            ["git", "http-backend"],
            env={
                **_ENV,
                "GIT_PROJECT_ROOT": str(root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": asked.method,
                "CONTENT_TYPE": asked.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(asked.body)),
                "HTTP_CONTENT_ENCODING": asked.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": asked.headers.get("Git-Protocol", ""),
                "REMOTE_ADDR": "127.0.0.1",
            },
            input=asked.body,
            capture_output=True,
            timeout=60,
            check=False,
        )
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        headers = dict(BytesParser().parsebytes(head).items())
        status = int(headers.pop("Status", "200").split()[0])
        return Page(status=status, headers=headers, body=body)

    return answer

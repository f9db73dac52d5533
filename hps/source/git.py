"""One file at one revision of a repository, by the `git` program.

Only that revision is fetched, without its history, and without other files where the server can
leave them out. No configuration of the machine or its user is read, no credentials are sent, no
hooks run, and nothing is checked out.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

from hps.errors import HpsError, printable
from hps.process.process import Command
from hps.process.temporary import SHOWN_CHARACTERS, Output, Workplace, open_workplace
from hps.source.address import GitAddress
from hps.spec.source import MAX_BYTES
from hps.tools.invocation import INHERITED

TIMEOUT_S = 60.0
_REGULAR_FILES = {"100644", "100755"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Repository:
    """A new repository, into which the revision of `address` is fetched."""

    address: GitAddress
    place: Workplace
    binary: str

    def run(self, *arguments: str) -> Output:
        folder = f"--git-dir={self.place.folder / 'repository'}"
        command = Command(
            argv=(self.binary, folder, *arguments),
            env=_environment(self.address, str(self.place.folder)),
        )
        return self.place.run(command, most_bytes=MAX_BYTES + 1)

    def ask(self, *arguments: str) -> bytes:
        """The standard output of a command that has to succeed. Raises `HpsError` otherwise."""
        output = self.run(*arguments)
        if output.code != 0:
            raise _failed(self.address, output)
        return output.out


def fetch(address: GitAddress, *, timeout_s: float = TIMEOUT_S) -> tuple[str, bytes]:
    """The whole id of the commit, and the file's bytes, at most 1 MiB and one. Raises `HpsError`.

    Proxies and `SSL_CERT_FILE` in this process' environment are followed.
    """
    binary = shutil.which("git")
    if binary is None:
        hint = "install git, or give the https:// address of the file"
        raise HpsError("there is no git on this machine", hint)
    with open_workplace(f"fetching {address.name}", timeout_s=timeout_s) as place:
        repository = _Repository(address=address, place=place, binary=binary)
        commit = _fetch_commit(repository)
        return commit, _read_file(repository, commit)


def _fetch_commit(repository: _Repository) -> str:
    address = repository.address
    repository.ask("init", "--quiet", "--bare", "--template=")
    repository.ask("remote", "add", "--", "origin", address.repository)
    options = ("--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules")
    output = repository.run("fetch", *options, "--filter=blob:none", "--", "origin", address.rev)
    if output.code != 0:
        raise _failed(address, output)
    resolved = repository.ask("rev-parse", "--verify", "--end-of-options", "FETCH_HEAD^{commit}")
    return resolved.decode("ascii").strip()


def _read_file(repository: _Repository, commit: str) -> bytes:
    address = repository.address
    entry = repository.ask("ls-tree", "-z", "--full-tree", commit, "--", address.path)
    if not entry:
        hint = "check the path after '#': it starts at the top of the repository"
        raise HpsError(f"{address.pinned(commit)}: there is no such file", hint)
    mode, _, blob = entry.split(b"\t", maxsplit=1)[0].decode("ascii").split(" ")
    if mode not in _REGULAR_FILES:
        hint = "name the experiment file itself"
        raise HpsError(f"{address.pinned(commit)} is a folder or a link", hint)
    return repository.ask("cat-file", "blob", blob)


def _environment(address: GitAddress, home: str) -> Mapping[str, str]:
    env = {name: os.environ[name] for name in INHERITED if name in os.environ}
    if "SSL_CERT_FILE" in env:
        env["GIT_SSL_CAINFO"] = env["SSL_CERT_FILE"]  # git does not look at the other by itself
    return env | {
        "HOME": home,  # no .netrc, no .gitconfig
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_LITERAL_PATHSPECS": "1",
        # Every other way to reach a repository is off, also for redirects: ext:: runs commands.
        "GIT_ALLOW_PROTOCOL": "file" if address.is_local else "https",
    }


def _failed(address: GitAddress, output: Output) -> HpsError:
    if "find remote ref" in output.err or "not our ref" in output.err:
        hint = "expected a branch, a tag or a whole commit id after '@'"
        return HpsError(f"{address.name}: there is no such revision", hint)
    hint = "check the address; is the repository public, and reachable from here?"
    if "terminal prompts disabled" in output.err:
        hint = "it is private or missing: put the file in the bucket (r2:…, s3:…) or into the image"
    first = next((line for line in output.err.splitlines() if "fatal: " in line), output.last_line)
    why = printable(first.partition("fatal: ")[2] or first, SHOWN_CHARACTERS)
    return HpsError(f"{address.name} cannot be fetched: {why}", hint)

"""The text that names an experiment -> a path or an address, checked. No network.

The `name` of each is what may be printed and stored: it holds no password, signature or token.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit

from hps.errors import HpsError
from hps.spec.problems import quoted
from hps.targets.well_known import KNOWN

KINDS = (
    "a path, https://host/file.yaml, git+https://host/repository.git@rev#file.yaml, "
    + " or ".join(f"{name}:file.yaml" for name in KNOWN)
)
_SCHEME = re.compile(r"(git\+[A-Za-z]*|[A-Za-z][A-Za-z0-9+.-]*(?=://)):?(?://)?")
# `user:password@` at the beginning, or after a slash.
_LOGIN = re.compile(r"(?:^|/)[^/\s:@]*:[^/\s@]+@")
_TARGET = re.compile(r"([A-Za-z][A-Za-z0-9_-]*):")
_PRINTABLE = re.compile(r"[!-~]+")
# Without the characters of refspecs and ranges, and with none first that begins an option.
_REV = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/+-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePath:
    """A file of this machine."""

    path: str

    @property
    def name(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class WebAddress:
    """An https address, or one of http on loopback. Its query may hold a signature or a token."""

    url: str

    @property
    def name(self) -> str:
        return urlsplit(self.url)._replace(query="", fragment="").geturl()


@dataclass(frozen=True, slots=True, kw_only=True)
class GitAddress:
    """A file at a revision of a repository. `quoted_path` has escapes such as `%20`."""

    repository: str
    rev: str
    quoted_path: str

    @property
    def name(self) -> str:
        return self.pinned(self.rev)

    @property
    def path(self) -> str:
        return unquote(self.quoted_path)

    @property
    def is_local(self) -> bool:
        return self.repository.startswith("file:")

    def pinned(self, commit: str) -> str:
        """The address of the same file at that commit."""
        return f"git+{self.repository}@{commit}#{self.quoted_path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketAddress:
    """A file in the bucket of a well-known target, below its folder."""

    target: str
    path: str

    @property
    def name(self) -> str:
        return f"{self.target}:{self.path}"


Address: TypeAlias = FilePath | WebAddress | GitAddress | BucketAddress


def parse(text: str) -> Address:
    """The address that `text` is; a path where there is a file of that name.

    Raises `HpsError`, which quotes nothing that could be a password.
    """
    scheme = _SCHEME.match(text)
    target = _TARGET.match(text)
    if _is_there(text) or (scheme is None and target is None and not _LOGIN.search(text)):
        return FilePath(path=text)
    if scheme is None and _LOGIN.search(text):
        hint = f"expected {KINDS}; no user name or password belongs in it"
        raise HpsError("this looks like an address with a password, and is none", hint)
    if scheme is not None:
        return _of_scheme(scheme[1].lower(), text)
    return _in_bucket(*text.split(":", maxsplit=1))


def shown(text: str) -> str:
    """`text` as it may be printed and stored; only the scheme of an address that is refused."""
    try:
        return parse(text).name
    except HpsError:
        scheme = _SCHEME.match(text)
        if scheme is not None:
            return f"{scheme[0]}…"
        return "…" if _LOGIN.search(text) else text


def _is_there(path: str) -> bool:
    try:
        return os.path.lexists(path)
    except ValueError:
        return False  # a NUL, or bytes that are no text


def is_loopback(host: str) -> bool:
    """True for `localhost`, 127.0.0.0/8 and ::1."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def web_address(url: str) -> WebAddress:
    """A web address. Raises `HpsError` where it has no host, holds a password, or is plain http."""
    parts = _split(url)
    if not parts.hostname:
        raise HpsError("the address names no host", f"expected {KINDS}")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise HpsError("the address is http, which anybody on the way can change", "use https://")
    return WebAddress(url=url)


def _of_scheme(scheme: str, text: str) -> Address:
    if scheme in {"http", "https"}:
        return web_address(text)
    if scheme in {"git+https", "git+file"}:
        return _in_repository(_split(text[len("git+") :]))
    raise HpsError(f"addresses of {quoted(scheme)} are not read", f"expected {KINDS}")


def _split(url: str) -> SplitResult:
    """The parts of an address without odd characters, user name and password."""
    if not _PRINTABLE.fullmatch(url):
        hint = "write other characters, and blanks, as %20 and the like"
        raise HpsError("the address has characters that no address has", hint)
    try:
        parts = urlsplit(url)
        refused = "@" in parts.netloc or (parts.port or 0) < 0
    except ValueError:
        hint = f"expected {KINDS}; a user name or password does not belong in it"
        raise HpsError("the address cannot be read", hint) from None
    if refused:
        hint = "leave it out: addresses are stored with results; private files belong in a bucket"
        raise HpsError("the address holds a user name or password", hint)
    return parts


def _in_repository(parts: SplitResult) -> GitAddress:
    path, at, rev = parts.path.rpartition("@")
    if bool(parts.netloc) == (parts.scheme == "file") or not (path or rev).startswith("/"):
        hint = "expected git+https://host/repository.git, or git+file:///folder/repository"
        raise HpsError("the address names no repository", hint)
    if parts.query:
        raise HpsError("the address of a repository has a '?'", "leave the query out")
    repository = f"{parts.scheme}://{parts.netloc}{path if at else rev}"
    found = GitAddress(repository=repository, rev=rev if at else "HEAD", quoted_path=parts.fragment)
    if not _REV.fullmatch(found.rev) or ".." in found.rev:
        hint = "expected a branch, a tag or a whole commit id after '@'"
        raise HpsError(f"{quoted(found.rev)} is not a revision", hint)
    _check_path(found.path, "after '#'")
    return found


def _in_bucket(target: str, path: str) -> BucketAddress:
    if target not in KNOWN:
        known = ", ".join(f"{name}:" for name in KNOWN)
        what = f"there is no file {quoted(f'{target}:{path}')}, and no target {quoted(target)}"
        raise HpsError(what, f"known targets are {known}; expected {KINDS}")
    _check_path(path, f"after '{target}:'")
    return BucketAddress(target=target, path=path)


def _check_path(path: str, where: str) -> None:
    parts = path.split("/")
    odd = not path.isprintable() or path.startswith("-")
    if odd or any(part in {"", ".", ".."} for part in parts):
        hint = f"expected a path {where} such as experiments/sweep.yaml, without '..' or '//'"
        what = f"{quoted(path)} is not a path to a file" if path else "the address names no file"
        raise HpsError(what, hint)

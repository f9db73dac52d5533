"""What can go wrong, whose fault each is, and what to do: failures as values that programs test.

A failure's text is for people, and nothing may be decided by its words: programs ask for `code`
and `owner`. Only what belongs to a node, or to the way from it to a target, may be held against
the node; a mistake in the file, the account, its keys or its rights is the same everywhere.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from hps.catalog import s3_errors

Owner = Literal["experiment", "node", "target", "tool", "hps"]
OWNERS: tuple[Owner, ...] = ("experiment", "node", "target", "tool", "hps")


@dataclass(frozen=True, slots=True)
class FailureKind:
    """Of a failure: who it belongs to, and what to do where its text does not say more."""

    owner: Owner
    hint: str = ""


# Every code there is. `reason_code` of a stored line is one of these.
KINDS: Mapping[str, FailureKind] = {
    # The file, the account, its keys and rights: the same on every node.
    "bad_credentials": FailureKind("experiment", "check the access key's id and its secret"),
    "expired_credentials": FailureKind("experiment", "get new keys, or a new session token"),
    "no_permission": FailureKind("experiment", "give the key this right on the bucket"),
    "no_such_bucket": FailureKind("experiment", "make the bucket, or correct its name"),
    "wrong_region": FailureKind("experiment", "correct the region of the target"),
    "bad_endpoint": FailureKind("experiment", "correct the endpoint of the target"),
    "bad_certificate": FailureKind(
        "experiment", "name its authority in `ca_cert` of the target, or correct the endpoint"
    ),
    "bad_proxy": FailureKind("experiment", "see to HTTP_PROXY and HTTPS_PROXY in the environment"),
    "bad_request": FailureKind(
        "experiment", "the server takes no such request: look at the target"
    ),
    "account_closed": FailureKind("experiment", "see to the account at the provider"),
    "quota": FailureKind("experiment", "make room in the account, or raise its quota"),
    "not_implemented": FailureKind(
        "experiment", "this server can't do what the experiment asks for"
    ),
    "bad_experiment": FailureKind("experiment"),
    # This machine.
    "clock_skew": FailureKind("node", "set this machine's clock"),
    "disk_full": FailureKind("node", "make room, or name another folder in TMPDIR"),
    "disk_error": FailureKind("node", "look at the disk that holds this path"),
    "out_of_memory": FailureKind("node", "less in flight, or a larger limit"),
    "no_device": FailureKind("node"),
    "tool_stopped": FailureKind("node", "who stops, freezes or debugs programs here?"),
    # The server, or the way to it.
    "throttled": FailureKind("target", "the server asks for fewer requests"),
    "server_error": FailureKind("target"),
    "refused": FailureKind("target"),
    "unreachable": FailureKind("target"),
    "name_unknown": FailureKind("target"),
    "tls": FailureKind("target"),
    "timeout": FailureKind("target"),
    "connection_lost": FailureKind("target"),
    "bad_answer": FailureKind("target", "is it an S3 server that answers there?"),
    "truncated": FailureKind("target"),
    "corrupted": FailureKind("target"),
    "not_found": FailureKind("target"),
    # The program that moves the bytes.
    "tool_crashed": FailureKind("tool"),
    "tool_failed": FailureKind("tool"),
    "tool_missing": FailureKind("tool"),
    "not_as_declared": FailureKind("tool"),
    # This program.
    "stopped": FailureKind("hps"),
    "late": FailureKind("hps", "was this machine or its container asleep, frozen or moved?"),
    "bug": FailureKind("hps"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why something was not done. `call` is the call of the S3 API that was refused, if any."""

    code: str
    owner: Owner
    text: str
    hint: str = ""
    call: str = ""

    @property
    def right(self) -> str:
        """The right that is missing, `s3:PutObject`; empty where that is not what is wrong."""
        return s3_errors.right(self.call) if self.code == "no_permission" else ""

    @property
    def reason(self) -> str:
        """For people: the text, and the hint where there is one."""
        return f"{self.text} ({self.hint})" if self.hint else self.text

    @property
    def is_of_the_experiment(self) -> bool:
        """True where another node would fail in the same way."""
        return self.owner == "experiment"

    @property
    def may_reject(self) -> bool:
        """True where another node may do better."""
        return self.owner in {"node", "target"}

    def told(self, text: str) -> Failure:
        """The same failure in other words."""
        return replace(self, text=text)


def failure(code: str, text: str, *, hint: str | None = None, call: str = "") -> Failure:
    """A failure of a kind; without a `hint` it has that of its kind. Raises `KeyError`."""
    kind = KINDS[code]
    return Failure(
        code=code,
        owner=kind.owner,
        text=text,
        hint=kind.hint if hint is None else hint,
        call=call,
    )


_FULL = {errno.ENOSPC, errno.EDQUOT}
# What any look at a file may come to, wherever that is: no program can be meant to expect it.
OF_A_DISK = frozenset({*_FULL, errno.EIO, errno.EROFS, errno.ESTALE})


def of_system(error: OSError, place: Path | str) -> Failure:
    """What the system refused, on the path that it names, else at `place`: the machine's fault."""
    code = "disk_full" if error.errno in _FULL else "disk_error"
    code = "out_of_memory" if error.errno == errno.ENOMEM else code
    text = f"{error.strerror or error}: {error.filename or place}"
    return failure(code, text, hint="")

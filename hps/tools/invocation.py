"""One call of a tool: what to start, with which environment, and how it is shown to people.

Settings reach a tool by its arguments and by environment variables. What a tool takes from a file
alone is written to one of this call's own. Secrets reach it by the environment alone.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import hps
from hps.errors import HpsError
from hps.model import SecretRef
from hps.process import process
from hps.spec import odd_values

# What a child inherits: enough to find programs, certificates and a proxy, and nothing that
# could change what a tool does (RCLONE_*, AWS_*) or that it has no business knowing.
INHERITED = (
    "PATH",
    "HOME",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)
# By the last one the guard recognizes children that were not yet registered with it.
_FIXED = {"TZ": "UTC", "LC_ALL": "C", "HPS_CHILD": "1"}
_THIS_MACHINE = "localhost,127.0.0.1,::1"
_OWN_PLACE = str(Path(hps.__file__).parents[1])
# Whole words for paths in a printed command that the reader's own shell fills in.
_OWN_NAME = re.compile(r"\$(?:RUN_ID|WORK)\b")
_FOREIGN_DOLLAR = re.compile(r"\$(?!(?:RUN_ID|WORK)\b)")
_SHELL_SAFE = re.compile(r"[A-Za-z0-9_@%+=:,./$*-]+", re.ASCII)  # between double quotes


def flag(name: str, value: int | None) -> tuple[str, ...]:
    """`--name=value`; nothing where a tool is not told."""
    return () if value is None else (f"--{name}={value}",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a child process needs in its environment to reach a target.

    `env` is free of secrets; `secret_env` names where they are. `target` is for messages. `before`
    has the text that stands before a secret, by the variable that holds both: an address, as a
    rule, so that a secret that begins with a question mark lacks it then.
    """

    target: str = ""
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    secret_env: Mapping[str, SecretRef] = field(default_factory=lambda: MappingProxyType({}))
    before: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    ca_cert: str | None = None

    def environment(self, secrets: Mapping[str, str]) -> dict[str, str]:
        """The whole environment of the child; `secrets` maps the names that specs use to values.

        Raises `HpsError` for a variable that is unset or odd, and for a `ca_cert` that is no file
        of certificates.
        """
        env = bare_environment() | dict(self.env)
        self._check_ca_cert()
        for name, reference in self.secret_env.items():
            value = self._secret(reference, secrets)
            before = self.before.get(name)
            env[name] = value if before is None else before + value.removeprefix("?")
        return env

    def shown(self) -> dict[str, str]:
        """Its variables as a POSIX shell assigns them, with secrets as `"$NAME"`."""
        assigned = {name: shlex.quote(value) for name, value in self.env.items()}
        for name, reference in self.secret_env.items():
            before = self.before.get(name)
            assigned[name] = (
                f'"${reference.env}"'
                if before is None
                else f'{shlex.quote(before)}"${{{reference.env}#\\?}}"'
            )
        return assigned

    def _secret(self, reference: SecretRef, secrets: Mapping[str, str]) -> str:
        value = secrets.get(reference.env)
        if not value:
            needs = f"target '{self.target}' needs it"
            raise HpsError(
                f"the environment variable {reference.env} is not set: {needs}",
                f"export {reference.env}=…, or pass -e {reference.env} to the container",
            )
        needed_by = f"target '{self.target}'"
        return odd_values.checked(reference.env, value, is_key=True, needed_by=needed_by)

    def _check_ca_cert(self) -> None:
        if not self.ca_cert:
            return
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=self.ca_cert)
        except OSError as error:  # an `SSLError` is one
            isnt = "holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
            raise HpsError(
                f"target '{self.target}': its ca_cert {self.ca_cert}: {isnt}",
                "name a file of certificates as text (PEM), by a path that this machine has",
            ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """One call of a tool; `tool` is its name.

    With a `module`, the program is a Python that runs this module, found where `hps` itself is.
    `files` has what the program reads from files, without secrets: the text of each by the variable
    that names its path, which is the file's name, too.
    `folders` has the variables that name empty folders, for what the program writes there.
    """

    tool: str
    args: tuple[str, ...]
    access: Access = field(default_factory=Access)
    module: str = ""
    files: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    folders: tuple[str, ...] = ()

    def write_files(self, folder: Path) -> None:
        """Write its files, for this user alone; those of an earlier call are replaced."""
        for name, text in self.files.items():
            path = folder / name
            path.unlink(missing_ok=True)
            with open(path, "x", opener=_private) as stream:
                stream.write(text)
        for name in self.folders:
            shutil.rmtree(folder / name, ignore_errors=True)
            (folder / name).mkdir(mode=0o700)

    def command(
        self, program: str, secrets: Mapping[str, str], folder: Path | None = None
    ) -> process.Command:
        """What to start; its files are in `folder`. Raises `HpsError` as `Access.environment`."""
        env = self.access.environment(secrets)
        paths = (*self.files, *self.folders)
        if paths and folder is None:
            raise ValueError(f"{self.tool} needs {', '.join(paths)}: where?")
        env |= {name: f"{folder}/{name}" for name in paths}
        if not self.module:
            return process.Command(argv=(program, *self.args), env=env)
        # -P: nothing is imported from the folder that it happens to run in.
        argv = (program, "-P", "-m", self.module, *self.args)
        return process.Command(argv=argv, env=env | {"PYTHONPATH": _OWN_PLACE})

    def shown(self, folder: str = "$WORK") -> str:
        """One line for a POSIX shell, with secrets as `"$NAME"`; its files are made in `folder`."""
        assigned = self.access.shown()
        paths = (*self.files, *self.folders)
        assigned |= {name: _quoted(f"{folder}/{name}") for name in paths}
        assignments = [f"{name}={value}" for name, value in assigned.items()]
        program = f"python -m {self.module}" if self.module else self.tool
        call = " ".join([*assignments, program, *(_quoted(argument) for argument in self.args)])
        made = (
            f"printf '%s\\n' {' '.join(map(shlex.quote, text.splitlines()))} >{assigned[name]}"
            for name, text in self.files.items()
        )
        kept = (f"mkdir -p {assigned[name]}" for name in self.folders)
        return " && ".join([*made, *kept, call])


def bare_environment() -> dict[str, str]:
    """What every child has: `INHERITED`, and what makes its output the same everywhere."""
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return inherited | _not_proxied(inherited) | _FIXED


def _not_proxied(env: Mapping[str, str]) -> dict[str, str]:
    """What is on this machine is reached without a proxy: by Go of itself, by Python if told so."""
    if not any(name.lower() in {"http_proxy", "https_proxy"} for name in env):
        return {}
    given = env.get("NO_PROXY") or env.get("no_proxy", "")
    both = given if given.strip() == "*" else ",".join(filter(None, (given, _THIS_MACHINE)))
    return {"NO_PROXY": both, "no_proxy": both}


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _quoted(argument: str) -> str:
    """Only the names that a printed command itself sets are left to the shell."""
    if _OWN_NAME.search(argument) and _SHELL_SAFE.fullmatch(argument):
        return '"' + _FOREIGN_DOLLAR.sub(r"\\$", argument) + '"'
    return shlex.quote(argument)


def ask(program: str, argument: str, *, timeout_s: float = 20.0) -> str:
    """A program's answer to one argument, `--version` as a rule.

    Empty where it fails, gives none in time, or one without end: then it is another program.
    """
    command = process.Command(argv=(program, argument), env=bare_environment())
    try:
        code, answer = process.capture(command, timeout_s=timeout_s)
    except HpsError:
        return ""
    return answer if code == 0 else ""

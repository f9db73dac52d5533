"""What an experiment has around it: the tool, the secrets, the scratch folder, embedded servers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hps.errors import HpsError
from hps.model import Spec, Target
from hps.node.facts import machine_id
from hps.process import process, temporary
from hps.redaction import Scrubber
from hps.spec import odd_values
from hps.targets import bucket, embedded
from hps.targets.bucket import Link
from hps.tools import TOOLS
from hps.tools.base import Installed, Missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What was found and started before the first operation.

    `installed` has each tool that the experiment names. `binary` and `version` are those of the
    bucket's client.
    """

    binary: str
    version: str
    installed: Mapping[str, Installed | Missing]
    secrets: Mapping[str, str] = field(repr=False)
    guard: process.Guard
    scratch: Path
    targets: Mapping[str, Target]
    scrubber: Scrubber = field(repr=False)

    def link(self, name: str, key: str, stop: process.Stop) -> Link:
        """The way to a folder in the target of this name."""
        return Link(
            target=self.targets[name],
            key=key,
            binary=self.binary,
            secrets=self.secrets,
            guard=self.guard,
            scratch=self.scratch,
            stop=stop,
        )


@contextlib.contextmanager
def opened(spec: Spec, env: Mapping[str, str]) -> Iterator[Tools]:
    """The surroundings of an experiment for the length of a `with` block. Raises `HpsError`."""
    client = bucket.find_client(env)
    binary = client.program
    keys = embedded.new_keys()
    with contextlib.ExitStack() as stack:
        guard = stack.enter_context(process.Guard())
        scratch = stack.enter_context(_scratch(guard))
        targets = {
            name: stack.enter_context(_started(target, scratch, binary, keys, guard))
            for name, target in spec.targets.items()
        }
        secrets = _secrets(targets, env, keys)
        tools = Tools(
            binary=binary,
            version=client.version,
            installed=_installed(spec, env, client),
            secrets=secrets,
            guard=guard,
            scratch=scratch,
            targets=targets,
            scrubber=scrubber_of(spec, secrets, env),
        )
        yield tools


def _installed(
    spec: Spec, env: Mapping[str, str], client: Installed
) -> dict[str, Installed | Missing]:
    """Each tool that some cell may name, and always the client."""
    axes = spec.matrix.axes
    rows = [dict(zip(axis.knobs, row, strict=True)) for axis in axes for row in axis.rows]
    named = {row["tool"] for row in (*rows, *spec.matrix.include) if "tool" in row}
    found = {str(name): TOOLS[str(name)].find(env) for name in named}
    return {**found, bucket.CLIENT: client}


def scrubber_of(spec: Spec, secrets: Mapping[str, str], env: Mapping[str, str]) -> Scrubber:
    """What keeps secrets out of what a run writes, and leaves that by which it is found."""
    identities = {spec.name, machine_id(env)}
    for target in spec.targets.values():
        identities |= {target.name, target.bucket, target.folder, target.region or ""}
    return Scrubber(secrets, public=spec.text, identities=identities)


@contextlib.contextmanager
def _scratch(guard: process.Guard) -> Iterator[Path]:
    with temporary.folder() as folder:
        guard.send("remove", str(folder))
        yield folder


@contextlib.contextmanager
def _started(
    target: Target, scratch: Path, binary: str, keys: dict[str, str], guard: process.Guard
) -> Iterator[Target]:
    if target.provider != "embedded":
        yield target
        return
    folder = scratch / "served" / target.name
    with embedded.serve(target, folder, binary, keys, guard) as served:
        yield served


def _secrets(
    targets: Mapping[str, Target], env: Mapping[str, str], keys: Mapping[str, str]
) -> dict[str, str]:
    """Every secret that the targets name. Raises `HpsError` naming one that is unset, or odd."""
    known = {**env, **keys}
    names = {reference.env for target in targets.values() for reference in target.secrets}
    missing = sorted(name for name in names if not known.get(name))
    if missing:
        raise HpsError(
            f"not set in the environment: {', '.join(missing)}",
            f"export {missing[0]}=…, or pass -e {missing[0]} to the container",
        )
    return {name: odd_values.checked(name, known[name], is_key=True) for name in sorted(names)}

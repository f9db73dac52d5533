"""The example experiments under tests/specs, each with what its header comments ask for.

`# env: NAME=value` sets a variable, `# set: key=value` is an override, and
`# machine: memory=4GiB disk=10GiB` checks against such a machine. In a message that is expected,
`<providers>`, `<steps>` and the other keys of `_LISTS` stand for all of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hps.catalog.providers import PROVIDERS
from hps.catalog.steps import STEP_KINDS
from hps.catalog.tools import TOOL_FACTS
from hps.model import Spec
from hps.spec.checks import Machine
from hps.spec.load import load
from hps.spec.source import SpecText
from hps.spec.wording import expected_choice
from hps.units import parse_size_bytes

FOLDER = Path(__file__).resolve().parent.parent / "specs"
# A list that only grows with the catalogue would have to be mended in many messages.
_LISTS: Mapping[str, list[str]] = {
    "providers": list(PROVIDERS),
    "steps": list(STEP_KINDS),
    "steps with chunks": [k.name for k in STEP_KINDS.values() if "chunk_size" in k.settings],
    "tools": list(TOOL_FACTS),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One example experiment."""

    path: Path
    env: dict[str, str]
    overrides: tuple[str, ...]
    machine: Machine | None

    @property
    def source(self) -> SpecText:
        """The file, called by its base name."""
        return SpecText(name=self.path.name, content=self.path.read_bytes())

    @property
    def expected(self) -> str:
        """The messages that a bad example has to get."""
        text = self.path.with_suffix(".expected").read_text(encoding="utf-8")
        for name, choices in _LISTS.items():
            text = text.replace(f"expected one of <{name}>", expected_choice(choices))
        return text

    def load(self) -> Spec:
        """What the file declares."""
        return load(self.source, env=self.env, overrides=self.overrides, machine=self.machine)


def cases(folder: str) -> list[Case]:
    """Every example in `valid` or `invalid`."""
    return [read_case(path) for path in sorted((FOLDER / folder).glob("*.yaml"))]


def read_case(path: Path) -> Case:
    """One example, with its header comments understood."""
    head = path.read_bytes().decode("utf-8", "replace").splitlines()
    machines = [_machine(text) for text in _headers(head, "machine")]
    return Case(
        path=path,
        env=dict(_pair(text) for text in _headers(head, "env")),
        overrides=tuple(_headers(head, "set")),
        machine=machines[0] if machines else None,
    )


def _headers(lines: list[str], key: str) -> list[str]:
    start = f"# {key}: "
    return [line.removeprefix(start) for line in lines if line.startswith(start)]


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def _machine(text: str) -> Machine:
    parts = dict(_pair(part) for part in text.split())
    return Machine(
        memory_bytes=parse_size_bytes(parts["memory"]),
        disk_free_bytes=parse_size_bytes(parts["disk"]),
    )

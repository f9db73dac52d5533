"""What mutations begin with: every example experiment, and every input that was once a find."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from tests.spec.corpus import cases

_HERE = Path(__file__).resolve().parent
FOUND = _HERE / "found"
_EXPERIMENTS = _HERE.parent.parent / "experiments"
# A variable of each kind that experiments may meet; in a real environment all values are texts.
ENV = {
    "CLOUDFLARE_ENDPOINT_URL": "https://account.r2.cloudflarestorage.com",
    "BUCKET": "b",
    "SIZE": "20",
    "EMPTY": "",
    "HPS_VAR_TEXT": "fine",
    "HPS_VAR_BYTES": "\udcff\udcfe",
    "HPS_VAR_ESCAPE": "\x1b[31m",
    "HPS_VAR_LONG": "x" * 100_000,
    "HPS_VAR_YAML": "[1, 2]: {a: !!python/object:os.system x}",
    "MY_KEY": "a-secret-that-is-never-shown",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One experiment as it reaches `hps`."""

    content: bytes
    overrides: tuple[str, ...] = ()
    trusted: bool = True
    has_machine: bool = False

    def as_json(self) -> str:
        """The input as text, for a file of `found`."""
        whole = asdict(self) | {"content": self.content.decode("latin-1")}
        return json.dumps(whole, indent=1, ensure_ascii=True) + "\n"


def from_json(text: str) -> Input:
    """The reverse of `Input.as_json`."""
    told = json.loads(text)
    return Input(
        content=told["content"].encode("latin-1"),
        overrides=tuple(told["overrides"]),
        trusted=told["trusted"],
        has_machine=told["has_machine"],
    )


@cache
def seeds() -> tuple[Input, ...]:
    """Every seed, in an order that is always the same."""
    examples = [*cases("valid"), *cases("invalid")]
    known = [Input(content=one.path.read_bytes(), overrides=one.overrides) for one in examples]
    known += [Input(content=path.read_bytes()) for path in sorted(_EXPERIMENTS.glob("*.yaml"))]
    # Some of the examples are as large as a file may be, and would only be slow.
    return tuple(one for one in (*known, *found()) if len(one.content) < 20_000)


def found() -> tuple[Input, ...]:
    """Every input that once was a find."""
    return tuple(from_json(path.read_text()) for path in sorted(FOUND.glob("*.json")))


def variants(one: Input) -> tuple[Input, ...]:
    """The same from a network, and for a machine that is small."""
    return (one, replace(one, trusted=False), replace(one, has_machine=True))

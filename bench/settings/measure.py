"""One case in random blocks: in each, every setting once, the published commands among them."""

from __future__ import annotations

import contextlib
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench import quiet
from bench.link import Link
from bench.link.s3 import serve_s3
from bench.node_run import Record, run_hps, target_yaml
from bench.settings import published, tls
from bench.settings.cases import Case
from hps.process import process

EXPERIMENT = "settings"
# The same on every link: what a fleet's results have in common is the target.
PORT = 9000
_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
_SLOWER = 8.0
_BASE_TIMEOUT_S = 120.0
_TEMPLATE = """\
api: hps/v1
name: {name}
description: Which chunk size and concurrency move a file fastest over an emulated link?
targets:
{target}
  kept: {{provider: embedded}}
results: {{target: kept}}
node: {{max_rtt: 60s, on_reject: continue, on_unknown: accept, probe: {{target: s3}}}}
data: {{size: {size_bytes}B}}
matrix:
  cell:
    zip:
      chunk_size: [{chunk_sizes}]
      concurrency: [{concurrencies}]
      http2: [{http2}]
order: {{kind: random_blocks, seed: {seed}}}
timeout: {timeout_s:.0f}s
steps: [upload, download, delete]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """A server as the node sees it."""

    env: Mapping[str, str]
    ca_cert: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bench:
    """A case whose link is up and whose server runs; the journals of `hps` go below `output`."""

    case: Case
    bare: published.Published
    outside: Outside
    output: Path

    def blocks(
        self, count: int, seed: int, tries: int, tell: Callable[[str], None]
    ) -> list[dict[str, Any]]:
        """Every transfer of so many blocks, judged by what the machine had to spare."""
        name, transfers = self.case.name, list[dict[str, Any]]()
        with quiet.watching(self.bare.link.counters) as watch:
            for block in range(count):
                tell(f"{name}: block {block + 1} of {count}")
                transfers += quiet.undisturbed(
                    partial(self._block, block, f"{seed}-{block}"),
                    watch,
                    partial(tell, f"{name}: the machine was busy in block {block + 1}"),
                    tries=tries,
                )
        return transfers

    def _block(self, block: int, seed: str, attempt: int) -> list[dict[str, Any]]:
        """The sweep in an order of its own, the published commands before or after it by chance."""
        chance = random.Random(f"{seed}-{attempt}")
        before, order_seed = chance.random() < 0.5, chance.randrange(2**31)
        parts: list[Callable[[], list[dict[str, Any]]]]
        parts = [self.bare.run, partial(self._sweep, order_seed)]
        done = [one for part in parts[:: 1 if before else -1] for one in part()]
        return [{"block": block, **one} for one in done]

    def _sweep(self, seed: int) -> list[dict[str, Any]]:
        case, scratch = self.case, self.bare.scratch
        spec = scratch / "settings.yaml"
        spec.write_text(spec_text(case, self.outside, seed), encoding="utf-8")
        ran = run_hps(
            self.bare.link,
            spec,
            output=self.output,
            env={**self.outside.env, "TMPDIR": str(scratch), "SALAD_MACHINE_ID": case.machine_id},
            scratch=scratch,
            timeout_s=_timeout_s(case),
        )
        return [_transfer(record) for record in ran.moved()]


def measure(
    case: Case,
    *,
    blocks: int,
    seed: int,
    output: Path,
    tell: Callable[[str], None],
    tries: int = quiet.TRIES,
) -> dict[str, Any]:
    """Run a case; returns plain data, with one entry in `transfers` for each.

    The journals of `hps` go below `output`. Raises `HpsError` where it can't be run.
    """
    shutil.rmtree(output / EXPERIMENT / case.machine_id, ignore_errors=True)
    with _bench(case, output) as bench:
        transfers = bench.blocks(blocks, seed, tries, tell)
        counters = bench.bare.link.counters()
    ways = (counters.up, counters.down)
    return {
        "name": case.name,
        "machine_id": case.machine_id,
        "declared": asdict(case.declared),
        "kernel_drops": sum(way.kernel_drops for way in ways),
        "mean_late_s": max(way.mean_late_s for way in ways),
        "transfers": transfers,
    }


@contextlib.contextmanager
def _bench(case: Case, output: Path) -> Iterator[_Bench]:
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hps-settings-")))
        guard = stack.enter_context(process.Guard())
        link = stack.enter_context(Link(case.link))
        outside = stack.enter_context(_outside(case, link, scratch))
        bare = published.make(
            link,
            outside.env,
            ca_cert=outside.ca_cert,
            size_bytes=case.size_bytes,
            scratch=scratch,
            guard=guard,
            timeout_s=_timeout_s(case),
        )
        yield _Bench(case=case, bare=bare, outside=outside, output=output)


def tell(text: str) -> None:
    """For the person who waits."""
    print(text, file=sys.stderr, flush=True)


def spec_text(case: Case, outside: Outside, seed: int) -> str:
    """The experiment of one block."""
    return _TEMPLATE.format(
        name=EXPERIMENT,
        target=target_yaml("s3", outside.env["CLOUDFLARE_ENDPOINT_URL"], outside.ca_cert),
        size_bytes=case.size_bytes,
        chunk_sizes=", ".join(f"{one.chunk_bytes}B" for one in case.settings),
        concurrencies=", ".join(f"{one.streams}" for one in case.settings),
        http2=", ".join(str(one.http2).lower() for one in case.settings),
        seed=seed,
        timeout_s=_timeout_s(case),
    )


def _timeout_s(case: Case) -> float:
    return _BASE_TIMEOUT_S + _SLOWER * case.block_s()


def _transfer(record: Record) -> dict[str, Any]:
    """A result line in the words of `bench.settings.published`."""
    requested, observed = record["requested"], record["observed"]
    return {
        "way": "up" if record["step"] == "upload" else "down",
        "setting": {
            "chunk_bytes": requested["chunk_size_bytes"],
            "streams": requested["concurrency"],
            "http2": requested["http2"],
        },
        "mbps": record["throughput_mbps"],
        "started_at": record["started_at"],
        "duration_s": record["duration_s"],
        "why": "" if record["status"] == "ok" else f"{record['status']}: {record['reason']}",
        "streams": observed["peak_in_flight"],
        "chunk_bytes": observed["chunk_size_bytes"],
        "connections": observed["connections"],
        "retries": record["retries"],
    }


@contextlib.contextmanager
def _outside(case: Case, link: Link, scratch: Path) -> Iterator[Outside]:
    with contextlib.ExitStack() as stack:
        with _only_port(link):
            env = stack.enter_context(serve_s3(link))
        if not case.tls:
            yield Outside(env=env, ca_cert=None)
            return
        upstream = env["CLOUDFLARE_ENDPOINT_URL"]
        endpoint, ca_cert = stack.enter_context(tls.front(link, upstream, scratch / "tls"))
        yield Outside(env={**env, "CLOUDFLARE_ENDPOINT_URL": endpoint}, ca_cert=ca_cert)


@contextlib.contextmanager
def _only_port(link: Link) -> Iterator[None]:
    """A server that takes any free port outside gets `PORT` within this block."""
    with link.outside():
        before = _PORTS.read_text(encoding="ascii")
        _PORTS.write_text(f"{PORT} {PORT}", encoding="ascii")
    try:
        yield
    finally:
        with link.outside():
            _PORTS.write_text(before, encoding="ascii")

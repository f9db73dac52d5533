"""One case in random blocks: in each, every setting once, the published commands among them."""

from __future__ import annotations

import contextlib
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bench import quiet
from bench.link import Link
from bench.link.s3 import serve_s3
from bench.node_run import Record, run_hps, target_yaml
from bench.settings import published, tls
from bench.settings.cases import Case
from hps import process

EXPERIMENT = "settings"
# The same on every link: what a fleet's results have in common is the target.
PORT = 9000
_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
_SLOWER = 8.0
# Of a block in which the machine was busy.
_TRIES = 3
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


def measure(
    case: Case, *, blocks: int, seed: int, output: Path, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Run a case; returns plain data, with one entry in `transfers` for each.

    The journals of `hps` go below `output`. Raises `HpsError` where it can't be run.
    """
    shutil.rmtree(output / EXPERIMENT / case.machine_id, ignore_errors=True)
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
            timeout_s=_BASE_TIMEOUT_S + _SLOWER * case.block_s(),
        )
        watch = stack.enter_context(quiet.watching())
        transfers: list[dict[str, Any]] = []
        for block in range(blocks):
            tell(f"{case.name}: block {block + 1} of {blocks}")
            for attempt in range(_TRIES):
                order = f"{seed}-{block}-{attempt}"
                done = list(_block(case, block, order, bare, outside, output))
                watch.look()
                judged = [judge(one, watch) for one in done]
                if not any(one["void"] for one in judged):
                    break
                tell(f"{case.name}: the machine was busy; block {block + 1} is void")
            transfers += judged
        counters = link.counters()
    ways = (counters.up, counters.down)
    return {
        "name": case.name,
        "machine_id": case.machine_id,
        "declared": asdict(case.declared),
        "kernel_drops": sum(way.kernel_drops for way in ways),
        "mean_late_s": max(way.mean_late_s for way in ways),
        "transfers": transfers,
    }


def judge(transfer: dict[str, Any], watch: quiet.Watch) -> dict[str, Any]:
    """The transfer with what the machine had to spare; `why` says where that was too little."""
    start_s = datetime.fromisoformat(transfer["started_at"]).timestamp()
    spare = watch.spare(start_s, start_s + transfer["duration_s"])
    void = spare.why_void
    why = transfer["why"] or void
    mbps = None if void else transfer["mbps"]
    return {**transfer, "mbps": mbps, "why": why, "void": bool(void), **asdict(spare)}


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
        timeout_s=_BASE_TIMEOUT_S + _SLOWER * case.block_s(),
    )


def _block(
    case: Case,
    block: int,
    seed: str,
    bare: published.Published,
    outside: Outside,
    output: Path,
) -> Iterator[dict[str, Any]]:
    """The sweep in an order of its own, the published commands before or after it by chance."""
    chance = random.Random(seed)
    before, order_seed = chance.random() < 0.5, chance.randrange(2**31)
    spec = bare.scratch / "settings.yaml"
    spec.write_text(spec_text(case, outside, order_seed), encoding="utf-8")
    if before:
        yield from ({"block": block, **done} for done in bare.run(block))
    ran = run_hps(
        bare.link,
        spec,
        output=output,
        env={**outside.env, "TMPDIR": str(bare.scratch), "SALAD_MACHINE_ID": case.machine_id},
        scratch=bare.scratch,
        timeout_s=_BASE_TIMEOUT_S + _SLOWER * case.block_s(),
    )
    yield from ({"block": block, **_transfer(record)} for record in ran.moved())
    if not before:
        yield from ({"block": block, **done} for done in bare.run(block))


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

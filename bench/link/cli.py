"""The command: a program run over an emulated link, or the link checked.

    python -m bench.link --rtt 80ms --up 130Mbps --down 240Mbps [--loss 0.1%] -- COMMAND…
    python -m bench.link --rtt 80ms --up 130Mbps --down 240Mbps --check

Counters go to standard error, at the end. Exit codes: the command's own; 1 a check that failed, or
a link that broke; 2 bad settings; 77 where no link can be made here.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from bench.link.check import check
from bench.link.link import Link
from bench.link.s3 import serve_s3
from bench.link.settings import LinkSettings
from bench.link.tcp import described
from hps.errors import EXIT_INTERRUPTED, EXIT_OPERATION_FAILED, HpsError, UnitError
from hps.units import parse_rate_mbps, parse_size_bytes, parse_time_s

_PERCENT = re.compile(r"(\d{1,2}(?:\.\d{1,6})?)\s*%", re.ASCII)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, and return the exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _quit)
    try:
        options, command = _options(list(sys.argv[1:] if arguments is None else arguments))
        settings = _settings(options)
        return _check(settings) if options.check else _run(settings, options, command)
    except HpsError as error:
        print(f"{error.message}\n  {error.hint}" if error.hint else error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _options(arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options, and the command behind `--`."""
    split = arguments.index("--") if "--" in arguments else len(arguments)
    parser = _parser()
    options, command = parser.parse_args(arguments[:split]), arguments[split + 1 :]
    if options.check and (command or options.s3 or options.counters):
        parser.error("--check runs no command: leave out --s3, --counters and what follows --")
    if not options.check and not command:
        parser.error("nothing to run: write -- COMMAND at the end, or --check")
    return options, command


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.link", usage="%(prog)s [options] -- COMMAND…",
        description=(__doc__ or "").splitlines()[0],
    )  # fmt: skip
    add = parser.add_argument
    add("--rtt", required=True, help="round trip without queueing: 80ms")
    add("--up", required=True, help="rate away from the node, of whole IP packets: 130Mbps")
    add("--down", required=True, help="rate towards the node: 240Mbps")
    add("--loss", default="0%", help="share lost at random each way: 0.1%% (default: none)")
    add("--seed", type=int, default=0, help="which packets are lost (default: 0)")
    add(
        "--queue", help="50ms, or 256KiB (default: one bandwidth-delay product, 10 packets or more)"
    )
    add("--cc", help="congestion control on both sides: cubic, bbr, … (default: this machine's)")
    add("--receive-buffer", help="the most a socket's may grow to: 16MiB (default: this machine's)")
    add("--send-buffer", help="the same for sending")
    add("--mtu", type=int, default=1500, help="largest packet in bytes (default: 1500)")
    add("--s3", action="store_true", help="an S3 server on the outside, named in CLOUDFLARE_…")
    add("--counters", type=Path, metavar="FILE", help="write settings and counters as JSON")
    add("--check", action="store_true", help="compare the link with its settings")
    return parser


def _settings(options: argparse.Namespace) -> LinkSettings:
    queue_s, queue_bytes = _queue(options.queue)
    return LinkSettings(
        rtt_s=parse_time_s(options.rtt),
        up_mbps=parse_rate_mbps(options.up),
        down_mbps=parse_rate_mbps(options.down),
        loss=_loss(options.loss),
        seed=options.seed,
        queue_s=queue_s,
        queue_bytes=queue_bytes,
        congestion_control=options.cc,
        receive_buffer_bytes=_size(options.receive_buffer),
        send_buffer_bytes=_size(options.send_buffer),
        mtu_bytes=options.mtu,
    )


def _loss(text: str) -> float:
    match = _PERCENT.fullmatch(text.strip())
    if match is None:
        raise HpsError(f"'{text[:40]}' is not a share of packets", "a number and a percent sign")
    return float(match[1]) / 100


def _queue(text: str | None) -> tuple[float | None, int | None]:
    if text is None:
        return None, None
    try:
        return parse_time_s(text), None
    except UnitError:
        return None, parse_size_bytes(text)


def _size(text: str | None) -> int | None:
    return None if text is None else parse_size_bytes(text)


def _check(settings: LinkSettings) -> int:
    report = check(settings)
    print(f"{described(report.settings, report.tcp)}\n\n{report.text()}")
    return 0 if report.good else EXIT_OPERATION_FAILED


def _run(settings: LinkSettings, options: argparse.Namespace, command: list[str]) -> int:
    _check_writable(options.counters)
    with ExitStack() as stack:
        link = stack.enter_context(Link(settings))
        env = stack.enter_context(serve_s3(link)) if options.s3 else {}
        link.reset()
        code = link.run(command, env=env)
        _tell(link, options.counters, code)
    return code


def _tell(link: Link, place: Path | None, code: int) -> None:
    counters = link.settle()
    sys.stdout.flush()
    print(f"\n{described(link.settings, link.tcp)}\n\n{counters.text()}", file=sys.stderr)
    if place is not None:
        record = {
            "settings": asdict(link.settings),
            "tcp": asdict(link.tcp),
            "counters": asdict(counters),
            "exit_code": code,
        }
        place.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _check_writable(place: Path | None) -> None:
    if place is not None and not place.parent.is_dir():
        raise HpsError(f"{place.parent} is no folder", "name a file in one that is there")


def _quit(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)

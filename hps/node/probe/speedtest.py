"""The probe by speedtest, for comparison with published numbers; it needs an extra."""

from __future__ import annotations

import importlib.util
import json
import sys

from hps.model import known
from hps.node.bandwidth import STOPPED, Rate, Rates, no_rates
from hps.process import process
from hps.targets.bucket import Link
from hps.tools.invocation import bare_environment

_TIMEOUT_S = 90.0
_REASON_LENGTH = 400


def measure(link: Link) -> Rates:
    """The rates to a public server near by, by the speedtest-cli package."""
    if importlib.util.find_spec("speedtest") is None:
        return no_rates("speedtest-cli is not installed: pip install 'hps[speedtest]'")
    argv = (sys.executable, "-P", "-m", "speedtest", "--json", "--secure", "--timeout=10")
    out, log = link.scratch / "speedtest.out", link.log("speedtest")
    ended = process.run(
        process.Command(argv=argv, env=bare_environment()),
        timeout_s=_TIMEOUT_S,
        guard_process=link.guard,
        stdout=out,
        stderr=log,
        stop=link.stop,
    )
    if ended.ended != "exit" or ended.returncode != 0:
        lines = log.read_text(errors="replace").strip().splitlines()
        why = lines[-1][:_REASON_LENGTH] if lines else f"code {ended.returncode}"
        return no_rates(STOPPED if ended.ended == "stopped" else f"speedtest: {ended.ended}, {why}")
    return parse(out.read_text(errors="replace"))


def parse(text: str) -> Rates:
    """The answer of `speedtest-cli --json`, which has bits a second."""
    try:
        answer = json.loads(text)
        upload, download = float(answer["upload"]), float(answer["download"])
    except (ValueError, KeyError, TypeError):
        return no_rates("speedtest gave no answer that can be read")
    if upload <= 0 or download <= 0:
        return no_rates("speedtest moved nothing")
    return Rates(upload=Rate(mbps=known(upload / 1e6)), download=Rate(mbps=known(download / 1e6)))

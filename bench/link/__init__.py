"""An emulated network link on one machine: real kernel TCP, known delay, rate and loss.

    node's namespace            forwarder process             outer namespace
    TUN 198.18.0.2  ---- up: loss, queue, rate, rtt/2 ---->  TUN 198.18.0.1
                    <--- down: the same, of its own --------

`Link(LinkSettings(rtt_s=0.08, up_mbps=130, down_mbps=240))` is a context manager; `python -m
bench.link` is the command. Needs root and `/dev/net/tun`.
"""

from bench.link.counters import Counters, DirectionCounters
from bench.link.errors import EXIT_NO_LINK, LinkError, NoLinkError
from bench.link.link import Link
from bench.link.settings import LinkSettings

__all__ = [
    "EXIT_NO_LINK",
    "Counters",
    "DirectionCounters",
    "Link",
    "LinkError",
    "LinkSettings",
    "NoLinkError",
]

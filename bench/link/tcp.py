"""TCP's settings inside a namespace: which it has, and those of a link."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.link.errors import NoLinkError
from bench.link.namespace import Namespace
from bench.link.settings import WAYS, LinkSettings
from hps.errors import HpsError
from hps.units import format_rate, format_size_rounded, format_time

_IPV4 = Path("/proc/sys/net/ipv4")
_IPV6 = Path("/proc/sys/net/ipv6/conf")
_AVAILABLE = _IPV4 / "tcp_available_congestion_control"
_ALLOWED = _IPV4 / "tcp_allowed_congestion_control"


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpSettings:
    """What TCP does on both sides of a link; the buffers are the most that each may grow to."""

    congestion_control: str
    receive_buffer_bytes: int
    send_buffer_bytes: int


def apply(namespace: Namespace, settings: LinkSettings) -> None:
    """Set what the link says; no IPv6, whose own packets would be counted with the rest.

    Raises `HpsError` for a congestion control that this kernel has not, `NoLinkError` where
    nothing may be set.
    """
    try:
        with _allowed(settings.congestion_control), namespace.entered():
            for part in ("all", "default"):
                with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
                    _write(_IPV6 / part / "disable_ipv6", "1")
            _set_most(_IPV4 / "tcp_rmem", settings.receive_buffer_bytes)
            _set_most(_IPV4 / "tcp_wmem", settings.send_buffer_bytes)
            if settings.congestion_control is not None:
                _write(_IPV4 / "tcp_congestion_control", settings.congestion_control)
    except OSError as error:
        raise NoLinkError(
            f"the kernel's settings under /proc/sys/net can't be changed: {error.strerror}",
            "run as root, in a container with --privileged",
        ) from error


def read(namespace: Namespace) -> TcpSettings:
    """What holds now."""
    with namespace.entered():
        return TcpSettings(
            congestion_control=_read(_IPV4 / "tcp_congestion_control"),
            receive_buffer_bytes=int(_read(_IPV4 / "tcp_rmem").split()[2]),
            send_buffer_bytes=int(_read(_IPV4 / "tcp_wmem").split()[2]),
        )


def loss_based() -> str:
    """A congestion control of this kernel that sends until packets are dropped."""
    return "cubic" if "cubic" in _read(_AVAILABLE).split() else "reno"


def described(settings: LinkSettings, tcp: TcpSettings) -> str:
    """A link and its TCP in two lines."""
    ways = "; ".join(
        f"{way} {format_rate(settings.mbps(way))}, queue {format_time(settings.queue_of_s(way))}"
        for way in WAYS
    )
    return (
        f"link: rtt {format_time(settings.rtt_s)}; {ways}; loss {100 * settings.loss:g} % "
        f"(seed {settings.seed})\n"
        f"TCP on both sides: {tcp.congestion_control}, buffers up to "
        f"{format_size_rounded(tcp.receive_buffer_bytes)} to receive, "
        f"{format_size_rounded(tcp.send_buffer_bytes)} to send"
    )


def _set_most(path: Path, most_bytes: int | None) -> None:
    """The third of three; the other two, least and default, must not be larger."""
    if most_bytes is not None:
        least, default, _ = map(int, _read(path).split())
        _write(path, f"{min(least, most_bytes)} {min(default, most_bytes)} {most_bytes}")


@contextlib.contextmanager
def _allowed(name: str | None) -> Iterator[None]:
    """Let a namespace choose this congestion control for the length of a `with` block.

    The kernel keeps one list for the whole machine of what others than the host's own namespace
    may choose; afterwards it is as it was. Raises `HpsError` where the kernel has no such one.
    """
    if name is None:
        yield
        return
    available = _read(_AVAILABLE)
    if name not in available.split():
        raise HpsError(
            f"this kernel has no congestion control '{name[:40]}'",
            f"it has {available}; modprobe tcp_NAME may add one",
        )
    with _ALLOWED.open("r+", encoding="ascii") as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)  # another link may be starting now
        before = _read(_ALLOWED)
        if name in before.split():
            yield
            return
        _write(_ALLOWED, f"{before} {name}")
        try:
            yield
        finally:
            _write(_ALLOWED, before)


def _read(path: Path) -> str:
    return path.read_text(encoding="ascii").strip()


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="ascii")

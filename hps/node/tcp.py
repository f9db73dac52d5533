"""How the kernel's TCP is set: congestion control and buffer limits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpFacts:
    """None where it cannot be read. Buffers are (smallest, default, largest) in bytes."""

    congestion_control: str | None
    receive_buffer_bytes: tuple[int, int, int] | None
    send_buffer_bytes: tuple[int, int, int] | None


def read_tcp(root: Path = Path("/")) -> TcpFacts:
    """Read `proc/sys/net/ipv4` under `root`. Never raises."""
    folder = root / "proc/sys/net/ipv4"
    return TcpFacts(
        congestion_control=_read(folder / "tcp_congestion_control"),
        receive_buffer_bytes=_three(_read(folder / "tcp_rmem")),
        send_buffer_bytes=_three(_read(folder / "tcp_wmem")),
    )


def _three(text: str | None) -> tuple[int, int, int] | None:
    numbers = [int(word) for word in (text or "").split() if word.isdecimal()]
    return (numbers[0], numbers[1], numbers[2]) if len(numbers) == 3 else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip() or None
    except OSError:
        return None

"""What a link's settings may be, and the queue that follows from them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.link import LinkSettings
from hps.errors import HpsError

GOOD = LinkSettings(rtt_s=0.08, up_mbps=130, down_mbps=240)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rtt_s": -0.001},
        {"rtt_s": 61.0},
        {"up_mbps": 0},
        {"down_mbps": float("nan")},
        {"loss": 1.0},
        {"loss": -0.1},
        {"mtu_bytes": 500},
        {"mtu_bytes": 65_536},
        {"queue_s": 0.05, "queue_bytes": 50_000},
        {"queue_bytes": 1499},
        {"queue_s": 0.0},
        {"receive_buffer_bytes": 100},
        {"send_buffer_bytes": 2**31},
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(HpsError, match="makes no sense"):
        replace(GOOD, **wrong)


def test_a_queue_is_a_bandwidth_delay_product_unless_it_is_said() -> None:
    assert (GOOD.queue_of_s("up"), GOOD.queue_of_s("down")) == (0.08, 0.08)
    assert replace(GOOD, queue_s=0.05).queue_of_s("up") == 0.05
    sized = replace(GOOD, queue_bytes=130_000)
    assert sized.queue_of_s("up") == pytest.approx(0.008)
    assert sized.queue_of_s("down") == pytest.approx(130_000 * 8 / 240e6)


def test_a_queue_has_room_for_ten_packets_at_least() -> None:
    short = replace(GOOD, rtt_s=0.001, up_mbps=10)
    assert short.queue_of_s("up") == pytest.approx(0.012)

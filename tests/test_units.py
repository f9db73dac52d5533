"""Sizes, rates and times: reading, writing, and the messages for wrong ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hps.errors import UnitError
from hps.units import (
    format_rate,
    format_size,
    format_size_rounded,
    format_time,
    parse_rate_mbps,
    parse_size_bytes,
    parse_time_s,
)

SIZES = {
    "B": 1,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}


@given(st.integers(min_value=0, max_value=10**18 - 1))
def test_a_size_survives_being_written_and_read(size_bytes: int) -> None:
    assert parse_size_bytes(format_size(size_bytes)) == size_bytes


@given(st.integers(min_value=0, max_value=10**15), st.sampled_from(sorted(SIZES)))
def test_a_size_is_its_number_times_its_unit(number: int, unit: str) -> None:
    assert parse_size_bytes(f"{number}{unit}") == number * SIZES[unit]
    assert parse_size_bytes(f" {number} {unit} ") == number * SIZES[unit]


@given(st.integers(min_value=1, max_value=10**15), st.sampled_from(sorted(SIZES)))
def test_no_exact_text_has_a_smaller_number(number: int, unit: str) -> None:
    text = format_size(number * SIZES[unit])
    assert int(text.rstrip("BiKMGTk")) <= number


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0B"),
        (7, "7B"),
        (1000, "1kB"),
        (1024, "1KiB"),
        (10485760, "10MiB"),
        (1536, "1536B"),
        (10**10, "10GB"),
        (1024000, "1000KiB"),
    ],
)
def test_sizes_as_cells_have_them(size_bytes: int, text: str) -> None:
    assert format_size(size_bytes) == text


@pytest.mark.parametrize(
    ("text", "size_bytes"), [("1.5MiB", 1572864), ("0.5KiB", 512), ("2.000001 MB", 2000001)]
)
def test_a_fraction_is_a_size_where_it_is_whole_bytes(text: str, size_bytes: int) -> None:
    assert parse_size_bytes(text) == size_bytes


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("10", "'10' has no unit", "write 10MiB (10,485,760 bytes) or 10MB (10,000,000 bytes)"),
        ("10M", "'10M' has no unit", "write 10MiB (10,485,760 bytes) or 10MB (10,000,000 bytes)"),
        ("2k", "'2k' has no unit", "write 2KiB (2,048 bytes) or 2kB (2,000 bytes)"),
        ("3G", "'3G' has no unit", "write 3GiB (3,221,225,472 bytes) or 3GB (3,000,000,000 bytes)"),
        (
            "5mib",
            "'5mib' has an unknown unit of size, 'mib'",
            "did you mean MiB? KiB, MiB, GiB, TiB, or kB, MB, GB, TB",
        ),
        (
            "5KB",
            "'5KB' has an unknown unit of size, 'KB'",
            "did you mean kB? KiB, MiB, GiB, TiB, or kB, MB, GB, TB",
        ),
        (
            "5 bananas",
            "'5 bananas' has an unknown unit of size, 'bananas'",
            "KiB, MiB, GiB, TiB, or kB, MB, GB, TB",
        ),
        ("0.3B", "'0.3B' is not a whole number of bytes", "round it"),
        (
            "ten MiB",
            "'ten MiB' is not a size",
            "a number and a unit: KiB, MiB, GiB, TiB, or kB, MB, GB, TB",
        ),
        (
            "-1MiB",
            "'-1MiB' is not a size",
            "a number and a unit: KiB, MiB, GiB, TiB, or kB, MB, GB, TB",
        ),
        (
            "x" * 50,
            f"'{'x' * 37}…' is not a size",
            "a number and a unit: KiB, MiB, GiB, TiB, or kB, MB, GB, TB",
        ),
    ],
)
def test_a_wrong_size_is_explained(text: str, message: str, hint: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse_size_bytes(text)
    assert (caught.value.message, caught.value.hint) == (message, hint)


@pytest.mark.parametrize(
    ("text", "mbps"),
    [("20Mbps", 20.0), ("1Gbps", 1000.0), ("500 kbps", 0.5), ("1MiB/s", 8.388608), ("1MB/s", 8.0)],
)
def test_rates(text: str, mbps: float) -> None:
    assert parse_rate_mbps(text) == mbps


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "20",
            "'20' has no unit",
            "write 20Mbps (megabits a second) or 20MiB/s (mebibytes a second)",
        ),
        (
            "20mbps",
            "'20mbps' has an unknown unit of rate, 'mbps'",
            "did you mean Mbps or MB/s? kbps, Mbps, Gbps (bits a second), or MiB/s",
        ),
        (
            "fast",
            "'fast' is not a rate",
            "a number and a unit: kbps, Mbps, Gbps (bits a second), or MiB/s",
        ),
    ],
)
def test_a_wrong_rate_is_explained(text: str, message: str, hint: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse_rate_mbps(text)
    assert (caught.value.message, caught.value.hint) == (message, hint)


@pytest.mark.parametrize(
    ("text", "seconds"), [("300ms", 0.3), ("5s", 5.0), ("1.5m", 90.0), ("2h", 7200.0)]
)
def test_times(text: str, seconds: float) -> None:
    assert parse_time_s(text) == seconds


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("30", "write 30s (seconds) or 30ms (milliseconds)"),
        ("30S", "did you mean s? ms, s, m or h"),
        ("1m30s", "a number and a unit: ms, s, m or h"),
    ],
)
def test_a_wrong_time_is_explained(text: str, hint: str) -> None:
    with pytest.raises(UnitError) as caught:
        parse_time_s(text)
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (format_size_rounded(2621440000), "2.441 GiB"),
        (format_size_rounded(10485760), "10 MiB"),
        (format_size_rounded(12), "12 B"),
        (format_rate(238.7123), "239 Mbps"),
        (format_rate(2387.1), "2.39 Gbps"),
        (format_time(0.0123), "12.3 ms"),
        (format_time(59.94), "59.9 s"),
        (format_time(59.96), "1 m 0 s"),
        (format_time(75), "1 m 15 s"),
        (format_time(7500), "2 h 5 m"),
    ],
)
def test_texts_for_people(written: str, text: str) -> None:
    assert written == text

"""A number without its unit: what the hint offers is taken in its place."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from hps.errors import UnitError
from hps.spec.load import load
from hps.spec.problems import Problem, SpecError
from hps.spec.source import SpecText
from hps.units import parse_rate_mbps, parse_size_bytes, parse_time_s

_TOP = "api: hps/v1\nname: case\ntargets: {local: {provider: embedded}}\n"
_STEPS = "steps: [upload, download, verify, delete]\n"
_DATA = "data: {size: 200MiB}\n"
_RANGE = "matrix: {{chunk_size: {{range: {{from: 5MiB, {}}}}}}}\n"
_OFFER = re.compile(r"(?:write|or) (\S+)(?= \(| or |;|$)")

_SIZES = {
    "size": _TOP + _STEPS + "data: {size: @}\n",
    "size axis": _TOP + _STEPS + "data: {files: 1}\nmatrix: {size: [@]}\n",
    "min_disk": _TOP + _STEPS + _DATA + "node: {min_disk: @}\n",
    "min_gpu_memory": _TOP + _STEPS + _DATA + "node: {min_gpu_memory: @}\n",
    "chunk_size": _TOP + _STEPS + _DATA + "matrix: {chunk_size: [@]}\n",
    "one chunk_size": _TOP + _STEPS + _DATA + "matrix: {chunk_size: @}\n",
    "zip": _TOP + _STEPS + _DATA + "matrix: {pair: {zip: {chunk_size: [@], concurrency: [1]}}}\n",
    "include": _TOP + _STEPS + _DATA + "matrix: {include: [{chunk_size: @}]}\n",
    "upload": _TOP + _DATA + "steps: [upload: {chunk_size: @}]\n",
    "download": _TOP + _DATA + "steps: [upload, download: {chunk_size: @}]\n",
    "to": _TOP + _STEPS + _DATA + _RANGE.format("to: @, step: 5GiB"),
    "step": _TOP + _STEPS + _DATA + _RANGE.format("to: 5GiB, step: @"),
}  # fmt: skip
_NUMBERS = (
    "1 4 10 0.5 0.3 200 1024 8192 16384 65536 5242880 6000000 10000000 10485760 104857600 "
    "1073741824 999999999999 0x500000 1e6 10M 6M 3k 2G '10' 5242880.5"
)
_RATES = _TOP + _STEPS + _DATA + "node: {min_upload: @}\n"
_TIMES = {
    "timeout": _TOP + _STEPS + _DATA + "timeout: @\n",
    "max_rtt": _TOP + _STEPS + _DATA + "node: {max_rtt: @}\n",
    "pause": _TOP + _DATA + "steps: [upload, pause: {duration: @}]\n",
    "of a step": _TOP + _DATA + "steps: [upload: {timeout: @}]\n",
}
# What is wrong then is another thing: a range of one, too many parts, the cell that
# there is without it.
_OTHER = {"bad-range", "too-many-parts", "duplicate-cell"}


def _problems(text: str) -> tuple[Problem, ...]:
    try:
        load(SpecText(name="a.yaml", content=text.encode()), env={})
    except SpecError as error:
        return error.problems
    return ()


def _offers(spec: str, number: str) -> list[str]:
    (problem,) = _problems(spec.replace("@", number))
    assert problem.rule in {"bad-size", "bad-rate", "bad-time"}
    offers = _OFFER.findall(problem.hint)
    assert offers, problem.hint
    return offers


def _check(spec: str, number: str) -> None:
    for offer in _offers(spec, number):
        left = {problem.rule for problem in _problems(spec.replace("@", offer))}
        assert left <= _OTHER, (offer, left)


@pytest.mark.parametrize("place", _SIZES)
def test_an_offered_size_is_taken(place: str) -> None:
    for number in _NUMBERS.split():
        _check(_SIZES[place], number)


def test_an_offered_rate_is_taken() -> None:
    for number in [
        "0",
        "20",
        "0.5",
        "1000",
        "99999",
        "100000",
        "20000000",
        "20000001",
        "10000000000",
    ]:
        _check(_RATES, number)


@pytest.mark.parametrize("place", _TIMES)
def test_an_offered_time_is_taken(place: str) -> None:
    for number in ["1", "60", "300", "0.3", "3600", "60000", "500000", "9999999"]:
        _check(_TIMES[place], number)


@pytest.mark.parametrize(
    ("place", "number", "offers"),
    [
        ("chunk_size", "5242880", ["5MiB", "5242880B"]),
        ("upload", "5242880", ["5MiB", "5242880B"]),
        ("size", "5242880", ["5MiB", "5242880B"]),
        ("size", "200", ["200MiB", "200MB"]),
        ("size", "1500000", ["1500kB", "1500000B"]),
        ("chunk_size", "10", ["10MiB"]),
        ("chunk_size", "8192", ["8192KiB"]),
        ("chunk_size", "4", ["5MiB"]),
        ("download", "4", ["4MiB", "4MB"]),
        ("step", "1", ["1MiB"]),
        ("to", "83886080", ["80MiB", "83886080B"]),
        ("min_disk", "20", ["20GiB", "20GB"]),
        ("min_gpu_memory", "24576", ["24576MiB", "24576MB"]),
        ("min_disk", "21474836480", ["20GiB", "21474836480B"]),
    ],
)
def test_what_a_size_was_probably_meant_as(place: str, number: str, offers: list[str]) -> None:
    assert _offers(_SIZES[place], number) == offers


@pytest.mark.parametrize(
    ("spec", "number", "offers"),
    [
        (_RATES, "20", ["20Mbps", "20MiB/s"]),
        (_RATES, "20000000", ["20Mbps", "20000000kbps"]),
        (_TIMES["max_rtt"], "300", ["300ms", "300s"]),
        (_TIMES["timeout"], "60", ["60s", "60m"]),
        (_TIMES["timeout"], "60000", ["60000ms", "60000s"]),
    ],
)
def test_what_another_number_was_probably_meant_as(
    spec: str, number: str, offers: list[str]
) -> None:
    assert _offers(spec, number) == offers


@pytest.mark.parametrize("spec", [_SIZES["size"], _SIZES["chunk_size"], _TIMES["timeout"]])
def test_nothing_gets_no_unit(spec: str) -> None:
    (problem,) = _problems(spec.replace("@", "0"))
    assert "write" not in problem.hint
    assert problem.hint.startswith("expected ")


def test_a_large_number_of_a_variable_gets_the_unit_of_a_byte() -> None:
    spec = f"{_TOP}{_STEPS}{_DATA}matrix:\n  chunk_size:\n    - ${{CHUNK:-5242880}}\n"
    (problem,) = _problems(spec)
    assert problem.hint == "write ${CHUNK:-5242880}B"


@pytest.mark.parametrize(
    ("override", "offers"),
    [("data.size=200", ["200MiB", "200MB"]), ("matrix.chunk_size=[5242880]", ["5MiB", "5242880B"])],
)
def test_an_override_is_told_the_same(override: str, offers: list[str]) -> None:
    text = _TOP + _STEPS + _DATA
    with pytest.raises(SpecError) as caught:
        load(SpecText(name="a.yaml", content=text.encode()), env={}, overrides=[override])
    (problem,) = caught.value.problems
    assert _OFFER.findall(problem.hint) == offers


@pytest.mark.parametrize(
    ("line", "offer"),
    [
        ("data: 200\n", "data: {size: 200MiB}"),
        ("data: {size: 20MiB}\ntimeout: 1s\nmatrix: {chunk_size: {from: 5, to: 10, scale: log2}}\n",
         "chunk_size: {range: {from: 5MiB, to: 10MiB, scale: log2}}"),
    ],
)  # fmt: skip
def test_what_a_mapping_is_offered_as_has_units(line: str, offer: str) -> None:
    (problem,) = _problems(_TOP + _STEPS + line)
    assert problem.hint == f"write {offer}"


@pytest.mark.parametrize(
    ("parse", "numbers"),
    [
        (parse_size_bytes, ("5242880", "0.3", "10M")),
        (parse_rate_mbps, ("20", "20000000")),
        (parse_time_s, ("60",)),
    ],
)
def test_a_command_line_offers_what_it_takes(
    parse: Callable[[str], float], numbers: tuple[str, ...]
) -> None:
    for number in numbers:
        with pytest.raises(UnitError) as caught:
            parse(number)
        offers = _OFFER.findall(caught.value.hint)
        assert offers
        assert all(parse(offer) > 0 for offer in offers)

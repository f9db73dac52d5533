"""What nodes are given: variables, names of secrets, an experiment that they can read, an end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hps.errors import HpsError
from hps.fleet import launch
from hps.fleet.engine import FleetRequest, Offer
from hps.fleet.launch import (
    EndBounds,
    ExperimentPlace,
    check_as_node,
    find_end,
    find_place,
    publish,
    read_variables,
)
from hps.model import Fleet, Spec
from hps.source import read
from hps.spec.load import load
from hps.spec.source import SpecText
from tests.builders import make_spec
from tests.servers.s3_server import S3Server

_NOW = datetime(2026, 11, 30, 8, tzinfo=UTC)
_TEXT = b"""\
api: hps/v1
name: first
targets:
  r2: {provider: cloudflare, endpoint: "${CLOUDFLARE_ENDPOINT_URL}", bucket: "${BUCKET:-b}",
       access_key_id: {env: CLOUDFLARE_ID}, secret_access_key: {env: CLOUDFLARE_KEY}}
data: {size: "${HOW_LARGE:-1}MiB"}
steps: [upload, delete]
"""
_R2 = {
    "CLOUDFLARE_ENDPOINT_URL": "https://0123456789abcdef.r2.cloudflarestorage.com",
    "CLOUDFLARE_ID": "AKIAPLANTED",
    "CLOUDFLARE_KEY": "planted/planted",
    "BUCKET": "mine",
}
_NAMING = _TEXT.replace(b"CLOUDFLARE_KEY", b"NAMED")
_HERE = SpecText(name="first.yaml", content=_TEXT)


# --- variables -----------------------------------------------------------------------------------


def test_variables_are_values_and_those_called_like_secrets_are_names() -> None:
    env = {"REGION": "auto", "HF_TOKEN": "planted"}
    given = read_variables(["REGION", "SIZE=200", "HF_TOKEN"], env, make_spec())
    assert (given.values, given.keys) == ({"REGION": "auto", "SIZE": "200"}, ("HF_TOKEN",))
    assert given.of_node(env) == {"REGION": "auto", "SIZE": "200", "HF_TOKEN": "planted"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("MY_KEY=planted", "called like a secret"),
        ("NAMED", "a secret of the experiment"),
        ("NAMED=planted", "a secret of the experiment"),
        ("ABSENT", "not set here"),
    ],
)
def test_what_is_no_variable_is_refused_without_its_value(text: str, words: str) -> None:
    with pytest.raises(HpsError) as found:
        read_variables([text], {"NAMED": "planted"}, _loaded(SpecText(name="x", content=_NAMING)))
    assert words in found.value.message
    assert "planted" not in found.value.message + found.value.hint


# --- where the experiment is ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "experiment"),
    [
        ("https://host/first.yaml", "https://host/first.yaml"),
        ("git+https://host/r.git@main#first.yaml", "git+https://host/r.git@0a1b#first.yaml"),
        ("r2:deep/first.yaml", "r2:deep/first.yaml"),
    ],
)
def test_an_address_is_passed_on_that_of_a_repository_with_its_commit(
    file: str, experiment: str
) -> None:
    source = SpecText(name=file.replace("@main", "@0a1b"), content=_TEXT, trusted=False)
    place = find_place(file, source, "october", _R2, "")
    assert (place.experiment, place.store) == (experiment, False)
    keys = ("CLOUDFLARE_ID", "CLOUDFLARE_KEY") if file.startswith("r2:") else ()
    assert place.given.keys == keys


@pytest.mark.parametrize(
    "file",
    [
        *("first.yaml", "-", "https://host/first.yaml?signature=planted"),
        *("http://127.0.0.1:8000/first.yaml", "git+file:///repository@main#first.yaml"),
    ],
)
def test_what_nodes_cannot_read_or_engines_may_not_see_is_stored(file: str) -> None:
    place = find_place(file, _HERE, "october", _R2, "")
    assert place.experiment == "r2:.fleet/october/experiment.yaml"
    assert place.store
    assert place.given.keys == ("CLOUDFLARE_ID", "CLOUDFLARE_KEY")
    assert place.given.values == {name: _R2[name] for name in ("CLOUDFLARE_ENDPOINT_URL", "BUCKET")}


def test_without_a_place_to_store_it_all_ways_are_named() -> None:
    with pytest.raises(HpsError) as found:
        find_place("first.yaml", _HERE, "october", {}, "")
    assert found.value.exit_code == 2
    for way in ("https://", "CLOUDFLARE_ENDPOINT_URL", "--experiment"):
        assert way in found.value.hint
    in_image = find_place("first.yaml", _HERE, "october", {}, "experiments/first.yaml")
    assert in_image == ExperimentPlace(experiment="experiments/first.yaml", is_file=True)


def _s3(server: S3Server) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": server.endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": server.access_key_id,
        "AWS_SECRET_ACCESS_KEY": server.secret_access_key,
        "BUCKET": server.bucket,
        "FOLDER": "launch",
    }


def test_what_is_stored_is_read_as_nodes_read_it(s3_server: S3Server, tmp_path: Path) -> None:
    env, source = _s3(s3_server), SpecText(name="-", content=_TEXT + b"# \xc3\xa9\r\n")
    place = find_place("-", source, f"f-{tmp_path.name}", env, "")
    publish(place, source, env)
    found = read(place.experiment, place.given.of_node(env))
    assert found.content == source.content
    assert not found.trusted


def test_what_somebody_else_stores_there_meanwhile_is_noticed(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env, other = _s3(s3_server), SpecText(name="-", content=_TEXT + b"# another\n")
    place = find_place("-", _HERE, f"f-{tmp_path.name}", env, "")

    def read_late(text: str, env: Mapping[str, str]) -> SpecText:
        monkeypatch.setattr(launch, "read", read)
        publish(place, other, env)
        return read(text, env)

    monkeypatch.setattr(launch, "read", read_late)
    with pytest.raises(HpsError, match="is not what was stored there"):
        publish(place, _HERE, env)


def test_what_cannot_be_stored_is_no_place(s3_server: S3Server) -> None:
    env = {**_s3(s3_server), "AWS_SECRET_ACCESS_KEY": "planted-planted"}
    place = find_place("-", _HERE, "october", env, "")
    with pytest.raises(HpsError, match="can't be stored") as found:
        publish(place, _HERE, env)
    assert "planted-planted" not in found.value.message + found.value.hint


# --- as a node reads it --------------------------------------------------------------------------


def _loaded(source: SpecText, **env: str) -> Spec:
    return load(source, env={**_R2, **env})


def test_a_node_that_reads_the_same_is_well() -> None:
    check_as_node(_loaded(_HERE), _HERE, _R2)


def test_a_variable_that_a_node_lacks_is_named() -> None:
    without = {name: value for name, value in _R2.items() if name != "CLOUDFLARE_ENDPOINT_URL"}
    with pytest.raises(HpsError, match="CLOUDFLARE_ENDPOINT_URL") as found:
        check_as_node(_loaded(_HERE), _HERE, without)
    assert "--env" in found.value.hint


def test_a_default_in_place_of_what_is_set_here_is_another_experiment() -> None:
    with pytest.raises(HpsError, match="other values") as found:
        check_as_node(_loaded(_HERE, HOW_LARGE="9"), _HERE, _R2)
    assert "--env HOW_LARGE" in found.value.hint
    check_as_node(_loaded(_HERE, HOW_LARGE="9"), _HERE, {**_R2, "HOW_LARGE": "9"})


def test_what_came_over_a_network_may_not_use_every_variable() -> None:
    stored = replace(_HERE, trusted=False)
    with pytest.raises(HpsError, match="HOW_LARGE"):
        check_as_node(_loaded(_HERE, HOW_LARGE="9"), stored, {**_R2, "HOW_LARGE": "9"})


# --- its end -------------------------------------------------------------------------------------

_OFFERS = tuple(
    Offer(name=name, usd_per_hour=price, source="a list")
    for name, price in (("a", 0.1), ("b", 0.3))
)


def _request(until_s: float | None = None) -> FleetRequest:
    spec = make_spec(fleet=Fleet(nodes=80, until_s=until_s), timeout_s=600.0)
    return FleetRequest(spec=spec, fleet="october", file="x", image="i", nodes=80)


def _end(
    bounds: EndBounds, until_s: float | None = None, env: dict[str, str] | None = None
) -> timedelta | None:
    end = find_end(bounds, _request(until_s), _OFFERS, env or {}, _NOW)
    return None if end is None else end - _NOW


def test_the_earliest_bound_is_the_end() -> None:
    hour = timedelta(hours=1)
    assert _end(EndBounds()) is None
    # The nodes count `until` from the first of them on.
    assert _end(EndBounds(), until_s=7200.0) is None
    assert _end(EndBounds(hours=3.0)) == 3 * hour
    assert _end(EndBounds(hours=3.0), until_s=7200.0) == 2 * hour
    assert _end(EndBounds(hours=3.0), env={"HPS_FLEET_UNTIL": "2026-11-30T09:00:00Z"}) == hour
    # 100 machines at $0.3 an hour, of which each may be in an operation of 10 minutes.
    assert _end(EndBounds(usd=65.0)) == 2 * hour
    assert _end(EndBounds(usd=65.0, hours=1.0)) == hour
    assert _end(EndBounds(usd=1e12)) == timedelta(days=366)


def test_too_little_money_and_money_without_a_price_are_refused() -> None:
    with pytest.raises(HpsError, match="too little for 100 machines"):
        _end(EndBounds(usd=5.0))
    with pytest.raises(HpsError, match="no prices") as found:
        find_end(EndBounds(usd=5.0), _request(), (), {}, _NOW)
    assert "--max-hours" in found.value.hint


def test_an_end_that_is_over_is_refused() -> None:
    with pytest.raises(HpsError, match="HPS_FLEET_UNTIL is over"):
        _end(EndBounds(hours=1.0), env={"HPS_FLEET_UNTIL": "2026-11-30T07:59:59Z"})

"""`hps results compact`: Parquet beside the results that any engine reads, and never less of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.conftest import ProxyFor
from tests.results.conftest import Bucket
from tests.results.fleet import CELLS, write_fleet
from tests.results.tabled import ask, lines, one, write

_PER_RUN = 2 * 3 * len(CELLS)
_DAYS = (datetime(2026, 1, 5, 22, 59, tzinfo=UTC), datetime(2026, 1, 6, 9, tzinfo=UTC))


def _compact(bucket: Bucket, *arguments: str | Path, **settings: Any) -> dict[str, Any]:
    ran = bucket.hps("compact", "--to", "s3", "--format", "json", *arguments, **settings)
    assert ran.code == 0, ran.err
    return dict(json.loads(ran.out))


def _compacted(bucket: Bucket, folder: Path) -> Path:
    """What is compact in the bucket, as any engine would find it."""
    for name, content in bucket.files("results/compact").items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def test_any_engine_reads_it(bucket: Bucket) -> None:
    made = bucket.work / "made"
    for number, began in enumerate(_DAYS):
        write_fleet(made, nodes=3, experiment="one", started_at=began, seed=number)
    write_fleet(made, nodes=2, experiment="two")
    told = _compact(bucket, "--input", made)
    assert told == {"files": 6, "sent": 6, "runs": 8, "results": 8 * _PER_RUN, "left_out": 0}
    assert set(bucket.files("results/compact")) == {
        f"{table}/experiment={experiment}/day={day}/{table}.parquet"
        for table in ("runs", "results")
        for experiment, day in (
            ("one", "2026-01-05"),
            ("one", "2026-01-06"),
            ("two", "2026-01-05"),
        )
    }
    folder = _compacted(bucket, bucket.work / "compacted")
    with duckdb.connect() as plain:
        rows = plain.execute(
            "SELECT experiment, count(*), count(DISTINCT run_id), sum(throughput_mbps),"
            " typeof(any_value(cell)), typeof(any_value(started_at))"
            f" FROM read_parquet('{folder}/results/**/*.parquet', hive_partitioning=true)"
            " GROUP BY experiment ORDER BY experiment"
        ).fetchall()
    sums = dict(
        ask("SELECT experiment, sum(throughput_mbps) FROM results GROUP BY experiment", made)
    )
    assert [row[:3] for row in rows] == [("one", 6 * _PER_RUN, 6), ("two", 2 * _PER_RUN, 2)]
    assert [row[3] for row in rows] == pytest.approx([sums["one"], sums["two"]])
    assert {row[4:] for row in rows} == {("VARCHAR", "TIMESTAMP")}


def test_we_read_it_too(bucket: Bucket) -> None:
    made = bucket.work / "made"
    write_fleet(made, nodes=3)
    query = "SELECT * EXCLUDE file FROM {} ORDER BY ALL"
    _compact(bucket, "--input", made)
    ran = bucket.hps("pull", "--from", "s3", "--format", "json")
    assert json.loads(ran.out)["new"] == 2
    for table in ("runs", "results"):
        here = ask(query.format(table), bucket.work / "hps-cache")
        assert here == ask(query.format(table), made)


def test_again_sends_nothing(bucket: Bucket, proxy_for: ProxyFor) -> None:
    made = bucket.work / "made"
    write_fleet(made, nodes=40, repetitions=10)
    before = _compact(bucket, "--input", made)
    stored = bucket.files()
    proxy = proxy_for(bucket.server)
    again = _compact(bucket, "--input", made, endpoint=proxy.endpoint)
    assert again == before | {"sent": 0}
    assert {request.method for request in proxy.requests()} == {"GET", "HEAD"}
    assert bucket.files() == stored


def test_what_only_the_bucket_has_is_kept(bucket: Bucket) -> None:
    first, second, third = write_fleet(bucket.work / "all", nodes=3)
    whole = lines(third)
    part = bucket.work / "part"
    for path in (first, second):
        write(part / path.name, *lines(path))
    write(part / third.name, *whole[:5])
    _compact(bucket, "--input", part)
    newer = write(bucket.work / "newer" / "x.jsonl", *whole)
    told = _compact(bucket, "--input", newer)
    assert told["runs"] == 3
    assert told["results"] == 3 * _PER_RUN
    older = write(bucket.work / "older" / "x.jsonl", *whole[:3])
    told = _compact(bucket, "--input", older)
    assert (told["results"], told["sent"]) == (3 * _PER_RUN, 0)


def test_no_other_file_is_touched(bucket: Bucket) -> None:
    stored = bucket.work / "stored"
    write_fleet(stored, nodes=2)
    write(stored / "fleet" / "notes.txt", b"mine")
    write(stored / "compact" / "readme.md", b"mine")
    bucket.put(stored)
    before = bucket.files()
    bucket.hps("pull", "--from", "s3")
    _compact(bucket)
    after = bucket.files()
    assert before.items() <= after.items()
    assert len(after) == len(before) + 2


def test_a_foreign_file_in_its_place_is_not_replaced(bucket: Bucket) -> None:
    made, stored = bucket.work / "made", bucket.work / "stored"
    write_fleet(made, nodes=1)
    place = "compact/runs/experiment=fleet/day=2026-01-05/runs.parquet"
    write(stored / place, b"not parquet")
    bucket.put(stored)
    ran = bucket.hps("compact", "--to", "s3", "--input", made)
    assert ran.code == 1
    assert f"results/{place} is none of the files that belong there" in ran.err
    assert bucket.files() == {place: b"not parquet"}


def test_names_that_no_folder_can_have_are_left_out(bucket: Bucket) -> None:
    made = bucket.work / "made"
    good, odd, undated = write_fleet(made, nodes=3)
    write(odd, *({**record, "experiment": "../../x"} for record in lines(odd)))
    write(undated, *({**record, "run_id": "mine"} for record in lines(undated)))
    told = _compact(bucket, "--input", made)
    assert (told["runs"], told["results"], told["left_out"]) == (1, _PER_RUN, 2)
    assert all("experiment=fleet/" in name for name in bucket.files())
    assert good.is_file()


@pytest.mark.parametrize(
    ("settings", "code", "said"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "hunter2hunter2"}, 1, "cannot be read"),
        ({"BUCKET": "no-such-bucket"}, 6, "cannot be written to"),
        ({"AWS_REGION": ""}, 2, "AWS_REGION"),
    ],
)
def test_what_is_wrong_is_said(
    bucket: Bucket, settings: dict[str, str], code: int, said: str
) -> None:
    write_fleet(bucket.work / "made", nodes=1)
    ran = bucket.hps("compact", "--to", "s3", "--input", "made", env=settings)
    assert ran.code == code, ran.err
    assert said in ran.err
    assert "hunter2" not in ran.err
    ran = bucket.hps("compact", "--to", "s3", "--input", "made", "another")
    assert (ran.code, "of an experiment 'another'" in ran.err) == (2, True)
    assert one("SELECT count(*) FROM runs", bucket.work / "made") == 1

"""Good experiments make plans that hold together; a mistake is shown where it is."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from hps.model import Plan, Spec
from hps.plan.cells import canonical
from hps.plan.estimate import estimate
from hps.plan.expand import expand
from hps.spec.load import load
from hps.spec.problems import Problem, SpecError
from hps.spec.source import SpecText
from hps.spec.sweep import MAX_OPERATIONS
from hps.units import parse_size_bytes
from tests.fuzz.strategies import Experiment, nearly_valid, odd, valid

_MOST_PARTS = 10_000
_SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _load(text: str) -> Spec:
    return load(SpecText(name="a.yaml", content=text.encode()), env={})


@_SETTINGS
@given(valid())
def test_a_good_experiment_makes_a_plan_that_holds_together(made: Experiment) -> None:
    spec = _load(made.text)
    plan = expand(spec)
    steps = len(spec.steps)
    assert len(plan.cells) == made.cells
    assert len(plan.operations) == (made.cells * steps - len(plan.merged)) * made.trials
    assert 0 < len(plan.operations) <= MAX_OPERATIONS
    assert expand(_load(made.text)) == plan
    _check_operations(plan)
    _check_cells(plan, made)
    taken = estimate(plan, upload_mbps=100, download_mbps=100)
    assert taken.operations == len(plan.operations)
    assert taken.duration_s is not None
    assert taken.duration_s > 0


def _check_operations(plan: Plan) -> None:
    done: set[str] = set()
    for operation in plan.operations:
        assert operation.operation_id not in done, "ids are unique"
        assert set(operation.depends_on) <= done, "what a step needs comes before it"
        done.add(operation.operation_id)
        assert operation.timeout_s is not None
        assert operation.timeout_s > 0


def _check_cells(plan: Plan, made: Experiment) -> None:
    matrix = made.tree.get("matrix", {})
    for cell in plan.cells:
        for knob, value in cell.axes.items():
            assert value in [_canonical(knob, one) for one in matrix[knob]]
        knobs = cell.knobs
        assert knobs.size_bytes <= (knobs.chunk_size_bytes or knobs.size_bytes) * _MOST_PARTS
        assert 1 <= (knobs.concurrency or 1) <= 1024
        assert 1 <= (knobs.transfers or 1) <= 1024


def _canonical(knob: str, written: object) -> object:
    size = knob in {"size", "chunk_size"}
    return canonical(knob, parse_size_bytes(str(written))) if size else written


def _check_places(problems: tuple[Problem, ...], text: str) -> None:
    assert problems
    lines = text.split("\n")
    for problem in problems:
        assert problem.message
        assert problem.rule
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1
        assert problem.end_column > problem.column


@_SETTINGS
@given(nearly_valid())
def test_a_mistake_is_shown_where_it_is(text: str) -> None:
    try:
        _load(text)
    except SpecError as error:
        _check_places(error.problems, text)
    else:
        raise AssertionError("it was taken for good")


@_SETTINGS
@given(odd())
def test_an_odd_value_is_good_or_shown(text: str) -> None:
    try:
        expand(_load(text))
    except SpecError as error:
        _check_places(error.problems, text)

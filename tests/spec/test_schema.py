"""The published schema: sound, complete, and in step with the dataclasses it describes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import jsonschema
import pytest
import yaml

from hps import model
from hps.catalog.providers import PROVIDERS
from hps.catalog.steps import STEP_KINDS
from hps.gpu.loading import DEFAULT_CHUNK_BYTES
from hps.model import KNOBS, Knobs
from hps.spec.schema import filled_in_schema, schema
from hps.units import parse_size_bytes
from tests.spec.corpus import FOLDER, Case, cases

SCHEMAS = sorted((Path(__file__).resolve().parents[2] / "schemas").glob("*.schema.json"))

# A key of the file whose field has another name: the field says its unit.
RENAMED = {
    "size": "size_bytes",
    "chunk_size": "chunk_size_bytes",
    "min_upload": "min_upload_mbps",
    "min_download": "min_download_mbps",
    "max_rtt": "max_rtt_s",
    "min_gpu_memory": "min_gpu_memory_bytes",
    "min_disk": "min_disk_bytes",
    "seconds": "duration_s",
    "timeout": "timeout_s",
}
# Each mapping of the file, the dataclass it becomes, and the fields that come from elsewhere.
PAIRS: list[tuple[str, type[Any], set[str]]] = [
    ("", model.Spec, {"source", "text", "sha256", "overrides"}),
    ("target", model.Target, {"name"}),
    ("node", model.NodeRules, set()),
    ("probe", model.ProbeSettings, set()),
    ("data", model.Data, set()),
    ("secret", model.SecretRef, set()),
    ("order", model.Order, set()),
    ("results", model.ResultsPlace, set()),
    ("values", model.Knobs, set()),
]


def _mapping(name: str) -> dict[str, Any]:
    whole = schema()
    if not name:
        return whole
    found: dict[str, Any] = whole["$defs"].get(name) or whole["properties"][name]
    return found


def _resolved(rules: dict[str, Any]) -> dict[str, Any]:
    """A property's rules, with what its `$ref` says and without the room for `${…}`."""
    definitions = schema()["$defs"]
    if "$ref" in rules:
        rules = definitions[rules["$ref"].rsplit("/", 1)[-1]] | rules
    choices = [one for one in rules.get("anyOf", []) if "$ref" not in one]
    return rules | choices[0] if choices else rules


def _properties(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every property that the schema declares, with a path to tell it by."""
    if isinstance(node, list):
        for item in node:
            yield from _properties(item, path)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "properties":
                for name, rules in value.items():
                    yield f"{path}/{name}", rules
            if key not in {"if", "examples", "default"}:
                yield from _properties(value, f"{path}/{key}")


def _objects(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, list):
        for item in node:
            yield from _objects(item, path)
    elif isinstance(node, dict):
        if node.get("type") == "object" and "if" not in path.split("/"):
            yield path, node
        for key, value in node.items():
            yield from _objects(value, f"{path}/{key}")


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.stem)
def test_each_schema_is_one(path: Path) -> None:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(document)


def test_the_filled_in_schema_is_one_without_references() -> None:
    jsonschema.Draft202012Validator.check_schema(filled_in_schema())
    assert "$ref" not in repr(filled_in_schema())


def test_every_key_is_described() -> None:
    without = [path for path, rules in _properties(schema()) if not rules.get("description")]
    assert without == []


def test_no_mapping_takes_keys_that_nobody_declared() -> None:
    loose = {
        path: node.get("additionalProperties", True)
        for path, node in _objects(schema())
        if node.get("additionalProperties") is not False
    }
    # Names of targets and of zips are free; what stands under them is not.
    assert sorted(rules["$ref"] for rules in loose.values()) == [
        "#/$defs/target",
        "#/$defs/zip_axis",
    ]


@pytest.mark.parametrize(("name", "kind", "elsewhere"), PAIRS, ids=[pair[0] for pair in PAIRS])
def test_keys_are_fields(name: str, kind: type[Any], elsewhere: set[str]) -> None:
    keys = {RENAMED.get(key, key) for key in _mapping(name)["properties"]}
    assert keys == {field.name for field in dataclasses.fields(kind)} - elsewhere


@pytest.mark.parametrize(("name", "kind", "elsewhere"), PAIRS, ids=[pair[0] for pair in PAIRS])
def test_choices_are_literals(name: str, kind: type[Any], elsewhere: set[str]) -> None:
    hints = get_type_hints(kind)
    for key, rules in _mapping(name)["properties"].items():
        hint = hints[RENAMED.get(key, key)]
        choices = _resolved(rules).get("enum")
        literal = get_args(hint) if get_origin(hint) is Literal else None
        if key not in {"tool", "api"}:
            assert (tuple(choices) if choices else None) == literal, key


@pytest.mark.parametrize(("name", "kind", "elsewhere"), PAIRS, ids=[pair[0] for pair in PAIRS])
def test_defaults_agree(name: str, kind: type[Any], elsewhere: set[str]) -> None:
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for key, rules in _mapping(name)["properties"].items():
        field = fields[RENAMED.get(key, key)]
        told = rules.get("default", _resolved(rules).get("default"))
        if told is not None and field.default is not dataclasses.MISSING:
            assert field.default == (tuple(told) if isinstance(told, list) else told), key
        elif told is None and name != "values":
            # What has a default in the code and none in the schema is explained in words there.
            assert field.default in {None, dataclasses.MISSING}, key


def test_the_knobs_agree() -> None:
    assert set(_mapping("matrix")["properties"]) == {*KNOBS, "exclude", "include"}
    assert tuple(_mapping("values")["properties"]) == KNOBS
    zipped = _mapping("zip_axis")["properties"]["zip"]["properties"]
    assert tuple(zipped) == KNOBS


def test_the_settings_of_steps_agree() -> None:
    defaults = {field.name: field.default for field in dataclasses.fields(Knobs)}
    named = _mapping("step")["then"]["properties"]
    assert tuple(named) == tuple(STEP_KINDS)
    for kind in STEP_KINDS.values():
        settings = _mapping(f"{kind.name}_settings")["properties"]
        assert tuple(settings) == kind.settings
        assert named[kind.name]["description"] == kind.summary
        for key, rules in settings.items():
            if key in {"concurrency", "transfers", "http2", "checksum"}:
                assert rules["default"] == defaults[key]
            elif key == "chunk_size" and "default" in rules:
                own = {"load": DEFAULT_CHUNK_BYTES}
                expected = own.get(kind.name, defaults["chunk_size_bytes"])
                assert parse_size_bytes(rules["default"]) == expected


def test_a_name_alone_is_a_step_unless_it_needs_settings() -> None:
    needing = {
        k.name for k in STEP_KINDS.values() if _mapping(f"{k.name}_settings").get("required")
    }
    assert set(_mapping("step_kind")["enum"]) == set(STEP_KINDS) - needing


def test_the_providers_agree() -> None:
    properties = _mapping("target")["properties"]
    assert _resolved(properties["provider"])["enum"] == list(PROVIDERS)
    for name, facts in PROVIDERS.items():
        lacking = {
            error.message.split("'")[1]
            for error in jsonschema.Draft202012Validator(
                schema()["$defs"]["target"] | {"$defs": schema()["$defs"]}
            ).iter_errors({"provider": name})
        }
        assert ("endpoint" in lacking) == (facts.endpoint == "required")
        assert ("bucket" in lacking) == (name != "embedded")
    result = json.loads((SCHEMAS[0].parent / "result.schema.json").read_text())
    assert result["$defs"]["target"]["properties"]["provider"]["enum"] == list(PROVIDERS)


def test_descriptions_name_the_providers_that_they_are_about() -> None:
    properties, facts = _mapping("target")["properties"], PROVIDERS.items()
    with_address = [name for name, known in facts if known.address]
    assert f"{_listed(with_address)} have one of" in properties["endpoint"]["description"]
    by_host = [name for name, known in facts if known.path_style == "never"]
    assert f"With {_listed(by_host)} it" in properties["force_path_style"]["description"]


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


# PyYAML, which stands for the editor here, reads numbers by YAML 1.1.
AS_EDITED = [case for case in cases("valid") if case.path.stem != "yaml_1_2"]


@pytest.mark.parametrize("case", AS_EDITED, ids=lambda case: case.path.stem)
def test_an_editor_accepts_the_good_examples(case: Case) -> None:
    document = yaml.safe_load(case.path.read_text(encoding="utf-8-sig"))
    assert list(jsonschema.Draft202012Validator(schema()).iter_errors(document)) == []


@pytest.mark.parametrize(
    "name", ["bad_names", "steps_unknown", "axis_values", "embedded_with_keys"]
)
def test_an_editor_refuses_bad_examples(name: str) -> None:
    document = yaml.safe_load((FOLDER / "invalid" / f"{name}.yaml").read_text(encoding="utf-8"))
    assert list(jsonschema.Draft202012Validator(schema()).iter_errors(document)) != []

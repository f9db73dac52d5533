"""SaladCloud's own OpenAPI document of its API, as a judge of requests and answers.

The environment's `HPS_SALAD_OPENAPI` may name it, or it lies beside this repository. Without it
nothing is judged, and what says so is `WHY_NOT`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

_ROOT = Path(__file__).resolve().parents[2]
_BESIDE = _ROOT.parent / "shared" / "salad" / "salad-cloud.yaml"
# Read at once: while tests run, the environment holds no settings of the machine.
PUBLISHED = Path(os.environ.get("HPS_SALAD_OPENAPI") or _BESIDE)
WHY_NOT = "SaladCloud's OpenAPI document is not at hand (HPS_SALAD_OPENAPI names it)"
# Where the document allows any field, and a misspelt one would be ignored in silence.
_CLOSED = ("ContainerGroupPrototype", "CreateContainer", "CreateContainerResourceRequirements")
Document = dict[str, Any]


@cache
def published() -> Document | None:
    """The document, with all types of requests closed; None where it is not at hand."""
    if not PUBLISHED.is_file():
        return None
    document: Document = yaml.load(PUBLISHED.read_text(encoding="utf-8"), Loader=_Loader)
    schemas = document["components"]["schemas"]
    for name in _CLOSED:
        schemas[name]["additionalProperties"] = False
    return document


def wrong_request(method: str, path: str, body: bytes) -> str:
    """How a request breaks the document; empty where it doesn't, or there is no document."""
    document = published()
    if document is None:
        return ""
    found = _operation(document, method, path)
    if found is None:
        return f"{method} {path} is no operation"
    described, wrong = found
    if wrong:
        return wrong
    takes = _resolved(document, described.get("requestBody", {})).get("content", {})
    if not takes:
        return f"{method} {path} has a body" if body else ""
    return _wrong_body(document, takes["application/json"]["schema"], body)


def wrong_answer(method: str, path: str, status: int, body: bytes) -> str:
    """How an answer breaks the document; empty where it doesn't, or there is no document."""
    document = published()
    found = None if document is None else _operation(document, method, path)
    if document is None or found is None:
        return ""
    answers = found[0]["responses"]
    if str(status) not in answers and status < 400:
        return f"{method} {path} never answers {status}"
    content = _resolved(document, answers.get(str(status), answers["default"])).get("content")
    if not content:
        return "a body where there is none" if body else ""
    return _wrong_body(document, content["application/json"]["schema"], body)


def _operation(document: Document, method: str, path: str) -> tuple[Document, str] | None:
    """What the document says of a request, and which part of its path is wrong."""
    for template, item in document["paths"].items():
        names = re.findall(r"{(\w+)}", template)
        found = re.fullmatch(re.sub(r"{\w+}", "([^/]+)", template), path)
        if found and method.lower() in item:
            described = item[method.lower()]
            declared = {
                parameter["name"]: parameter["schema"]
                for parameter in _parameters(document, item, described)
            }
            values = zip(names, found.groups(), strict=True)
            wrong = (f"{name}: {_wrong(document, declared[name], text)}" for name, text in values)
            return described, next((text for text in wrong if not text.endswith(": ")), "")
    return None


def _parameters(document: Document, item: Document, described: Document) -> Iterator[Document]:
    for parameter in (*item.get("parameters", ()), *described.get("parameters", ())):
        yield _resolved(document, parameter)


def _wrong_body(document: Document, schema: Document, body: bytes) -> str:
    try:
        return _wrong(document, schema, json.loads(body))
    except ValueError:
        return "not JSON"


def _wrong(document: Document, schema: Document, value: object) -> str:
    whole = {**schema, "components": document["components"]}
    validator = Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)
    errors = sorted(validator.iter_errors(value), key=lambda error: error.json_path)
    return "; ".join(f"{error.json_path}: {error.message}" for error in errors)


def _resolved(document: Document, part: Mapping[str, Any]) -> Document:
    """What a part refers to, within the document."""
    found: Any = part
    while "$ref" in found:
        place = found["$ref"].removeprefix("#/").split("/")
        found = document
        for name in place:
            found = found[name]
    return dict(found)


class _Loader(yaml.SafeLoader):
    """YAML 1.2 of the document: Norway's code is a text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:bool"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("true|false"), ["t", "f"])

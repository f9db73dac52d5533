"""SaladCloud's metadata service, version 0.9.0-alpha.3: what of its OpenAPI document is used here.

The published document may be given by the environment's `HPS_IMDS_OPENAPI`, or lie beside this
repository; the tests then hold against both.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

_ROOT = Path(__file__).resolve().parents[2]
_BESIDE = _ROOT.parent / "shared" / "salad" / "salad-cloud-imds.yaml"
# Read at once: while tests run, the environment holds no settings of the machine.
_PUBLISHED = Path(os.environ.get("HPS_IMDS_OPENAPI") or _BESIDE)

Document = dict[str, Any]


def published() -> Document | None:
    """The document as SaladCloud publishes it; None where it is not at hand."""
    if not _PUBLISHED.is_file():
        return None
    document: Document = yaml.safe_load(_PUBLISHED.read_text(encoding="utf-8"))
    return document


def excerpt() -> Document:
    """The operations that the client uses, with everything that they refer to."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "SaladCloud IMDS", "version": "0.9.0-alpha.3"},
        "servers": [{"url": "http://169.254.169.254"}],
        "paths": {
            "/v1/status": {"get": _operation(_content("Status"))},
            "/v1/reallocate": {"post": _operation(None, "ReallocatePrototype")},
            "/v1/deletion-cost": {
                "get": _operation(_content("DeletionCost")),
                "put": _operation(None, "DeletionCost"),
            },
        },
        "components": {"schemas": _schemas()},
    }


def _operation(success: Document | None, takes: str | None = None) -> Document:
    good = {"204": {"description": "No Content"}} if success is None else {"200": success}
    problem = _content("SaladCloudImdsError", "application/problem+json")
    codes = ("403", "404", "default") if takes is None else ("400", "403", "404", "default")
    header = {"type": "string", "const": "true"}
    operation: Document = {
        "parameters": [{"name": "Metadata", "in": "header", "required": True, "schema": header}],
        "responses": good | dict.fromkeys(codes, problem),
    }
    body = None if takes is None else {"required": True, "content": _content(takes)["content"]}
    return operation if body is None else operation | {"requestBody": body}


def _content(schema: str, media_type: str = "application/json") -> Document:
    reference = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
    return {"description": schema, "content": {media_type: reference}}


def _schemas() -> Document:
    int32 = {"type": "integer", "format": "int32", "minimum": -(2**31), "maximum": 2**31 - 1}
    reason = {"type": "string", "minLength": 1, "maxLength": 1000}
    return {
        "Status": _object({"ready": {"type": "boolean"}, "started": {"type": "boolean"}}),
        "DeletionCost": _object({"deletion_cost": int32}),
        "ReallocatePrototype": _object({"reason": reason}),
        "SaladCloudImdsError": {
            "type": "object",
            "properties": {
                "code": {"type": "string", "minLength": 1, "maxLength": 100},
                "detail": {"type": "string", "minLength": 1, "maxLength": 10_000},
                "status": {"type": "integer", "minimum": 100, "maximum": 599},
                "title": {"type": "string", "minLength": 1, "maxLength": 10_000},
            },
        },
    }


def _object(properties: Document) -> Document:
    return {"type": "object", "properties": properties, "required": list(properties)}

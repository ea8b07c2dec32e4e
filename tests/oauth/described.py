"""The OpenAPI document as schemathesis reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import schemathesis
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.oauth.openapi import document

FILE = Path(document.__file__).parent.with_suffix(".json")
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def read() -> Any:
    return json.loads(FILE.read_text())


def operations() -> dict[str, Any]:
    """By method and path: `POST /token`."""
    schema: Any = schemathesis.openapi.from_path(str(FILE))
    return {operation.label: operation for operation in (one.ok() for one in schema.get_all_operations())}


def named(path: str, method: str) -> frozenset[str]:
    """The parameters of an operation and the members of its body, by name."""
    operation = read()["paths"][path][method.lower()]
    bodies = operation.get("requestBody", {}).get("content", {}).values()
    members = [name for body in bodies for name in body["schema"]["properties"]]
    return frozenset([*members, *(one["name"] for one in operation.get("parameters", []))])

"""Between the nouns of app/oauth/models.py and their rows: fields are columns, collections are JSON."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

from app.oauth.models import AuthorizationRequest, Client, Code, Grant, RefreshToken

Noun = AuthorizationRequest | Client | Code | Grant | RefreshToken


def row_of(noun: Noun) -> dict[str, Any]:
    return {field.name: _column(getattr(noun, field.name)) for field in fields(noun)}


def client_of(row: Any) -> Client:
    values = dict(row._mapping)
    for name in ("auth_methods", "grant_types", "scopes"):
        values[name] = frozenset(json.loads(values[name]))
    values["redirect_uris"] = tuple(json.loads(values["redirect_uris"]))
    values["jwks"] = json.loads(values["jwks"]) if values["jwks"] else None
    return Client(**values)


def request_of(row: Any) -> AuthorizationRequest:
    values = dict(row._mapping)
    values["scopes"] = tuple(json.loads(values["scopes"]))
    values["redirect_given"] = bool(values["redirect_given"])
    return AuthorizationRequest(**values)


def grant_of(row: Any) -> Grant:
    values = dict(row._mapping)
    for name in ("scopes", "groups"):
        values[name] = frozenset(json.loads(values[name]))
    return Grant(**values)


def code_of(row: Any) -> Code:
    values = dict(row._mapping)
    values["redirect_given"] = bool(values["redirect_given"])
    return Code(**values)


def refresh_of(row: Any) -> RefreshToken:
    return RefreshToken(**row._mapping)


def _column(value: Any) -> Any:
    if isinstance(value, frozenset):
        return json.dumps(sorted(value))
    if isinstance(value, bool):
        return int(value)
    return value if value is None or isinstance(value, str | int | float) else json.dumps(value)

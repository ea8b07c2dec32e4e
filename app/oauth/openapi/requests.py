"""What may be sent to the authorization server, as JSON Schema: for its OpenAPI document.

These say what is meant. The endpoints read what really comes, and what they do not know they ignore.
"""

from __future__ import annotations

from typing import Any, get_args

from app.oauth import metadata, pkce, redirects
from app.oauth.client_auth import ASSERTION_TYPE
from app.oauth.models import AuthMethod
from app.oauth.registration import DEFAULT_GRANTS, NAME_MAX, URI_MAX

Object = dict[str, Any]

ISSUER = "https://brain.example.com"  # stands for BASE_URL

TEXT: Object = {"type": "string"}
OPAQUE: Object = {"type": "string", "pattern": "^[A-Za-z0-9._~-]+$"}
SCOPE: Object = {
    "type": "string",
    "description": "Separated by spaces (RFC 6749 §3.3); what is not known is dropped.",
    "examples": ["mcp:tools:read", "mcp:tools:write offline_access"],
}
RESOURCE: Object = {
    "type": "string",
    "description": "`BASE_URL/mcp`, where it is named at all (RFC 8707 §2)",
    "examples": [f"{ISSUER}/mcp"],
}
# RFC 6749 §2.3.1, RFC 7521 §4.2. One way at a time; with HTTP Basic none of these.
CLIENT: Object = {
    "client_id": TEXT,
    "client_secret": OPAQUE,
    "client_assertion": {"type": "string", "description": "A JWT (RFC 7523 §3)"},
    "client_assertion_type": {"const": ASSERTION_TYPE},
}
TOKEN: Object = {
    "type": "object",
    "required": ["grant_type"],
    "properties": {
        "grant_type": {"enum": list(metadata.GRANT_TYPES)},
        "code": OPAQUE,
        "code_verifier": {"type": "string", "pattern": f"^{pkce.VERIFIER}$"},
        "redirect_uri": TEXT,
        "refresh_token": OPAQUE,
        "scope": SCOPE,
        "resource": RESOURCE,
        **CLIENT,
    },
}
REVOKE: Object = {
    "type": "object",
    "required": ["token"],
    "properties": {"token": TEXT, "token_type_hint": TEXT, **CLIENT},
}
INTROSPECT = REVOKE
CONSENT: Object = {
    "type": "object",
    "required": ["request", "decision"],
    "properties": {
        "request": OPAQUE,
        "decision": {"enum": ["allow", "deny"]},
        "scope": {
            "type": "array",
            "items": TEXT,
            "description": "Once for each line that is ticked; none is a refusal.",
        },
    },
}
_ADDRESS: Object = {"type": ["string", "null"], "format": "uri", "maxLength": URI_MAX}
METADATA: Object = {
    "type": "object",
    "description": "RFC 7591 §2; unknown members are ignored.",
    "required": ["redirect_uris"],
    "properties": {
        "redirect_uris": {
            "type": "array",
            "minItems": 1,
            "maxItems": redirects.MAX_NUMBER,
            "items": {"type": "string", "examples": ["https://client.example/callback"]},
        },
        "token_endpoint_auth_method": {"enum": [*get_args(AuthMethod), None]},
        "grant_types": {
            "type": ["array", "null"],
            "items": {"type": "string", "examples": list(DEFAULT_GRANTS)},
        },
        "response_types": {"type": ["array", "null"], "items": {"type": "string", "examples": ["code"]}},
        "client_name": {"type": ["string", "null"], "description": f"The first {NAME_MAX} characters count."},
        "client_uri": _ADDRESS,
        "logo_uri": _ADDRESS,
        "tos_uri": _ADDRESS,
        "policy_uri": _ADDRESS,
        "jwks_uri": _ADDRESS,
        "jwks": {
            "type": ["object", "null"],
            "description": "RFC 7517 §5, public keys alone; not together with `jwks_uri`",
            "required": ["keys"],
            "properties": {"keys": {"type": "array", "minItems": 1, "items": {"type": "object"}}},
        },
        "scope": SCOPE,
    },
}


def in_query(name: str, schema: Object, *, required: bool = False) -> Object:
    return {"in": "query", "name": name, "required": required, "schema": schema}


AUTHORIZE: list[Object] = [
    in_query(
        "client_id", {**TEXT, "description": "Registered, or the address of its document"}, required=True
    ),
    in_query("response_type", {"const": "code"}, required=True),
    in_query("code_challenge", {"type": "string", "pattern": f"^{pkce.CHALLENGE}$"}, required=True),
    in_query("code_challenge_method", {"const": pkce.METHOD}, required=True),
    in_query("redirect_uri", {**TEXT, "description": "May be left out where the client has only one."}),
    in_query("scope", SCOPE),
    in_query("state", TEXT),
    in_query("resource", RESOURCE),
    in_query("response_mode", {"const": "query"}),
    in_query(
        "prompt", {**TEXT, "description": "OpenID Connect Core §3.1.2.1", "examples": ["none", "consent"]}
    ),
]
BROWSER: Object = {
    "in": "cookie",
    "name": "__Host-brain-browser",
    "description": "Set with the first consent page; `brain-browser` where `BASE_URL` is plain http.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{22,128}$"},
}
# RFC 9700 §4.7. Old browsers send neither.
OWN_PAGE: list[Object] = [
    {"in": "header", "name": "Origin", "schema": {"const": ISSUER}, "description": "That of `BASE_URL`"},
    {"in": "header", "name": "Sec-Fetch-Site", "schema": {"enum": ["same-origin", "none"]}},
]

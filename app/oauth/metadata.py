"""What clients discover: the authorization server (RFC 8414) and the resource it guards (RFC 9728).

Plain dicts: the issuer is one string, byte for byte the same wherever it stands, without a slash at its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.oauth.client_auth import ALGORITHMS
from app.oauth.resource import resource_of

SECONDS = 300  # how long a document may be kept
GRANT_TYPES = ("authorization_code", "refresh_token", "client_credentials")
RESOURCE_PATH = "/.well-known/oauth-protected-resource"
SERVER_PATH = "/.well-known/oauth-authorization-server"
OPENID_PATH = "/.well-known/openid-configuration"


def authorization_server(issuer: str, scopes: Sequence[str], *, documents: bool) -> dict[str, Any]:
    """RFC 8414 §2. `documents`: metadata documents are accepted as client ids."""
    confidential = ["client_secret_post", "client_secret_basic", "private_key_jwt"]
    return {
        "issuer": issuer,
        "authorization_endpoint": issuer + "/authorize",
        "token_endpoint": issuer + "/token",
        "registration_endpoint": issuer + "/register",
        "revocation_endpoint": issuer + "/revoke",
        "introspection_endpoint": issuer + "/introspect",
        "jwks_uri": issuer + "/jwks",
        "scopes_supported": [*scopes, "offline_access"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": list(GRANT_TYPES),
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none", *confidential],
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "revocation_endpoint_auth_methods_supported": ["none", *confidential],
        "revocation_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "introspection_endpoint_auth_methods_supported": confidential,
        "introspection_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        # RFC 9207 §3
        "authorization_response_iss_parameter_supported": True,
        "client_id_metadata_document_supported": documents,
        "protected_resources": [resource_of(issuer)],  # RFC 9728 §4
    }


def openid_configuration(issuer: str, scopes: Sequence[str], *, documents: bool) -> dict[str, Any]:
    """The same for clients that look here; strict ones miss these two members. ID tokens are never made."""
    return {
        **authorization_server(issuer, scopes, documents=documents),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }


def protected_resource(issuer: str, scopes: Sequence[str]) -> dict[str, Any]:
    """RFC 9728 §2. `scopes`: what a client needs for a start."""
    return {
        "resource": resource_of(issuer),
        "authorization_servers": [issuer],
        "scopes_supported": list(scopes),
        "bearer_methods_supported": ["header"],
        "resource_name": "Brain",
        "resource_documentation": issuer + "/",
    }

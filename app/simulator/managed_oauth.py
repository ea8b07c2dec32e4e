"""The documents that Managed OAuth puts in front of an origin, shadowing the origin's own."""

from __future__ import annotations

from typing import Any

RESOURCE = ("/.well-known/oauth-protected-resource", "/.well-known/cloudflare-access-protected-resource")
AUTHORIZATION_SERVER = "/.well-known/oauth-authorization-server"
ENDPOINTS = "/cdn-cgi/access/oauth"


def metadata(path: str, resource: str, issuer: str) -> dict[str, Any] | None:
    """The document at `path`, or None where the origin is asked."""
    for prefix in RESOURCE:
        if path == prefix or path.startswith(f"{prefix}/"):
            return {"resource": resource + path.removeprefix(prefix), "authorization_servers": [issuer]}
    return authorization_server(issuer) if path == AUTHORIZATION_SERVER else None


def authorization_server(issuer: str) -> dict[str, Any]:
    endpoints = f"{issuer}{ENDPOINTS}"
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{endpoints}/authorization",
        "token_endpoint": f"{endpoints}/token",
        "registration_endpoint": f"{endpoints}/registration",
        "revocation_endpoint": f"{endpoints}/revoke",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
    }

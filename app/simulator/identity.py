"""What get-identity says about a person. Unlike the token, it holds all groups."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from app.simulator.team import Person, Team

DEMO_ADDRESS = "203.0.113.7"  # RFC 5737: an address for examples


def identity(team: Team, person: Person, claims: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": person.subject,
        "name": person.name,
        "email": person.email,
        "groups": [{"id": group, "name": group, "email": ""} for group in person.groups],
        "idp": {"id": str(uuid.uuid5(uuid.NAMESPACE_DNS, team.domain)), "type": "onetimepin"},
        "geo": {"country": team.country},
        "user_uuid": claims.get("sub", ""),
        "account_id": uuid.uuid5(uuid.NAMESPACE_URL, team.issuer).hex,
        "iat": claims.get("iat"),
        "ip": DEMO_ADDRESS,
        "auth_status": "NONE",
        "common_name": "",
        "service_token_id": "",
        "service_token_status": False,
        "is_warp": False,
        "is_gateway": False,
        "gateway_account_id": "",
        "device_id": "",
        "version": 2,
        "devicePosture": {},
        "device_sessions": {},
        "mtls_auth": {
            "cert_issuer_dn": "",
            "cert_issuer_ski": "",
            "cert_presented": False,
            "cert_serial": "",
            "auth_status": "",
        },
        "amr": ["pwd"],
        "oidc_fields": {},
        "saml_attributes": {},
    }

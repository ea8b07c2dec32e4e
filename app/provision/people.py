"""Whom Access lets in, from the rules of policy.toml: one reusable Access policy for each rule.

Access decides who reaches the server at all; what they may do there is decided in the server, by the same
rules. So an Access policy may be wider than its rule, and is never narrower.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import inf
from typing import Any

from app.policy.rules import Rule
from app.provision.found import Found, Wire
from app.provision.marks import marked
from app.tunnel.config import Topology

SESSION = "24h"
MOST_NAMED = 1000  # e-mails in a rule (Cloudflare One "Account limits")
CLIENT_ID_END = ".access"  # how a client id of Access ends; others are clients of the inner OAuth server
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """`fields` are the API's. `of`: the rule of policy.toml that it comes from."""

    name: str
    fields: Mapping[str, Any]
    of: str


def access_policies(
    rules: Iterable[Rule], found: Found, topology: Topology
) -> tuple[tuple[AccessPolicy, ...], tuple[str, ...]]:
    """The policies, and what cannot be said to Access, a sentence each."""
    policies: list[AccessPolicy] = []
    notes: list[str] = []
    for rule in rules:
        people = _people(rule, found, notes)
        if len(people) > MOST_NAMED:
            notes.append(
                f"Rule {rule.name} names {len(people)} people, and Access takes {MOST_NAMED} in a policy: "
                "the rest stays out. Name their domain or a group."
            )
        if people:
            name = marked(rule.name, found.hostname)
            policies.append(AccessPolicy(name, _fields("allow", people[:MOST_NAMED]), rule.name))
        services = _services(rule, found, topology, notes)
        if services:
            name = marked(rule.name, found.hostname, service=True)
            # Allow would send a service token to the login page (Cloudflare One "Service tokens").
            policies.append(AccessPolicy(name, _fields("non_identity", services), rule.name))
    return tuple(policies), tuple(notes)


def open_to_everyone(hostname: str) -> AccessPolicy:
    """For paths that programs reach with a token of the inner OAuth server."""
    name = marked("Open for programs", hostname)
    return AccessPolicy(name, _fields("bypass", [{"everyone": {}}]), "")


def service_token(id: str, found: Found) -> Wire | None:
    """The one of this client id, ours or not."""
    return next((token for token in found.all("service-token") if token["client_id"] == id), None)


def is_let_in_as(group: str, found: Found) -> bool:
    """Whether Access can be told of the group: nobody comes in by another."""
    return bool(_group(group, found))


def stays_out(id: str, found: Found, topology: Topology, now: float) -> str:
    """Why what a rule names as a service token cannot come in, or an empty text."""
    of_access = id.endswith(CLIENT_ID_END)
    if topology == "oauth":
        return "Access is not asked on the way to /mcp in topology oauth" if of_access else ""
    if not of_access:
        return "a client of the inner OAuth server, which is off"
    token = service_token(id, found)
    if token is None:
        return "Cloudflare has none of this client id"
    return "it has ended" if seconds_left(token, now) <= 0 else ""


def seconds_left(token: Wire, now: float) -> float:
    """Of a service token; 0 or less: it has ended."""
    end = token.get("expires_at")
    return datetime.fromisoformat(str(end)).timestamp() - now if end else inf


def _fields(decision: str, include: list[Wire]) -> Mapping[str, Any]:
    return {
        "decision": decision,
        "include": include,
        "exclude": [],
        "require": [],
        "session_duration": SESSION,
    }


def _people(rule: Rule, found: Found, notes: list[str]) -> list[Wire]:
    include: list[Wire] = [{"email": {"email": email}} for email in sorted(rule.emails)]
    include += [{"email_domain": {"domain": domain}} for domain in sorted(rule.domains)]
    for group in sorted(rule.groups):
        selectors = _group(group, found)
        include += selectors
        if not selectors:
            notes.append(
                f"Rule {rule.name}: no Access group is called {group!r}, and no identity provider takes it "
                "as it is. Create it: Cloudflare One → Access controls → Policies → Rule groups."
            )
    if rule.any_person:
        include.append({"everyone": {}})
        if any(provider.get("type") == "onetimepin" for provider in found.identity_providers):
            notes.append(
                f"Rule {rule.name} lets in any person, and One-time PIN is a login method: "
                "that is everybody who has an e-mail address."
            )
    return include


def _group(name: str, found: Found) -> list[Wire]:
    """An Access group of that name, else the group as each identity provider would be asked for it."""
    for group in found.groups:
        if group.get("name") == name:
            return [{"group": {"id": group["id"]}}]
    asked = [_group_of(name, provider) for provider in found.identity_providers]
    return [selector for selector in asked if selector]


def _group_of(name: str, provider: Wire) -> Wire | None:
    by = {"identity_provider_id": provider.get("id")}
    match provider.get("type"):
        case "okta":
            return {"okta": {"name": name, **by}}
        case "oidc":
            return {"oidc": {"claim_name": "groups", "claim_value": name, **by}}
        case "saml":
            return {"saml": {"attribute_name": "groups", "attribute_value": name, **by}}
        case "google-apps" if "@" in name:
            return {"gsuite": {"email": name, **by}}
        case "azureAD" if _UUID.fullmatch(name):
            return {"azureAD": {"id": name, **by}}
        case "github" if name.count("/") == 1:
            organization, team = name.split("/")
            return {"github-organization": {"name": organization, "team": team, **by}}
    return None


def _services(rule: Rule, found: Found, topology: Topology, notes: list[str]) -> list[Wire]:
    ids = sorted(id for id in rule.service_tokens if id.endswith(CLIENT_ID_END))
    if ids and topology == "oauth":
        notes.append(
            f"Rule {rule.name} names service tokens of Access, which is not asked on the way to /mcp in "
            "topology oauth. Use `brain oauth add` for machines there."
        )
        return []
    known = {id: token for id in ids if (token := service_token(id, found))}
    for id in ids:
        if id not in known:
            notes.append(
                f"Rule {rule.name}: this account has no service token {id}, or the API token may not see "
                "it. Correct the policy, or create one: brain tunnel service-token create NAME."
            )
    return [{"service_token": {"token_id": token["id"]}} for token in known.values()]

"""Who an Access policy is about: the rules of Cloudflare's API, asked of one visitor.

Evaluation order (Access, "Policies"): Bypass and Service Auth first, then Block and Allow from top to
bottom, the first that fits.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Rule = Mapping[str, Any]
"""`{"email": {"email": …}}` and the like; under `group` stand the group's own lists, not its id."""

Decision = Literal["allow", "deny", "non_identity", "bypass"]


@dataclass(frozen=True)
class Policy:
    decision: Decision
    include: tuple[Rule, ...] = ()
    exclude: tuple[Rule, ...] = ()
    require: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class Visitor:
    """A person (`email`), a service token (its id), or anyone at all."""

    email: str = ""
    groups: tuple[str, ...] = ()
    service_token: str = ""
    address: str = "127.0.0.1"


ANYONE = Visitor()


def policy(decision: Decision, lists: Mapping[str, Any]) -> Policy:
    """A policy of three lists as the API has them."""
    include, exclude, require = (tuple(lists.get(name) or ()) for name in ("include", "exclude", "require"))
    return Policy(decision, include, exclude, require)


def opens(policies: Sequence[Policy], visitor: Visitor) -> bool:
    """Whether Access asks nobody here."""
    return any(policy.decision == "bypass" and fits(policy, visitor) for policy in policies)


def admits(policies: Sequence[Policy], visitor: Visitor) -> bool:
    """Whether this visitor may in. A service token passes Service Auth alone, a person Allow alone."""
    if visitor.service_token:
        return any(policy.decision == "non_identity" and fits(policy, visitor) for policy in policies)
    for policy in policies:
        if policy.decision in ("allow", "deny") and fits(policy, visitor):
            return policy.decision == "allow"
    return False


def fits(policy: Policy, visitor: Visitor) -> bool:
    return (
        any(_matches(rule, visitor) for rule in policy.include)
        and not any(_matches(rule, visitor) for rule in policy.exclude)
        and all(_matches(rule, visitor) for rule in policy.require)
    )


def _matches(rule: Rule, visitor: Visitor) -> bool:
    match rule:
        case {"everyone": _}:
            return True
        case {"email": {"email": str(email)}}:
            return visitor.email.lower() == email.lower()
        case {"email_domain": {"domain": str(domain)}}:
            return visitor.email.lower().endswith(f"@{domain.lower()}")
        case {"service_token": {"token_id": str(token)}}:
            return bool(token) and visitor.service_token == token
        case {"any_valid_service_token": _}:
            return bool(visitor.service_token)
        case {"oidc": {"claim_name": "groups", "claim_value": str(group)}}:
            return group in visitor.groups
        case {"ip": {"ip": str(network)}}:
            return ipaddress.ip_address(visitor.address) in ipaddress.ip_network(network, strict=False)
        case {"group": group}:
            return fits(policy("allow", group), visitor)
        case _:
            return False  # a selector that is not simulated lets nobody in

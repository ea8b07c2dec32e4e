"""What Access makes of an account's applications: which one a URL falls to, and whom it lets in."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from app.simulator.api.account import Account
from app.simulator.api.collection import Wire

Decision = Literal["allow", "deny", "non_identity", "bypass"]


@dataclass(frozen=True)
class AccessPolicy:
    """Rules as in the API, with Access groups and service tokens resolved.

    `include` holds e-mail, domain, everyone and identity provider rules; a group's rules stand in its
    place. `client_ids` are the service tokens it names; `any_service_token` means all.
    """

    id: str
    name: str
    decision: Decision
    include: tuple[Wire, ...]
    require: tuple[Wire, ...] = ()
    exclude: tuple[Wire, ...] = ()
    client_ids: frozenset[str] = frozenset()
    any_service_token: bool = False

    def lets_in(self, email: str) -> bool:
        """Whether its rules name this person, by address alone (groups of an identity provider: no)."""
        named = any(_names(rule, email) for rule in self.include)
        required = all(_names(rule, email) for rule in self.require)
        return named and required and not any(_names(rule, email) for rule in self.exclude)

    def lets_in_service(self, client_id: str) -> bool:
        return self.any_service_token or client_id in self.client_ids


@dataclass(frozen=True)
class AccessApplication:
    """`places` are `host` or `host/path` patterns. Policies come as Access evaluates them: Bypass and
    Service Auth first, then the others, each in their order. `fields` is the application's wire form."""

    id: str
    name: str
    aud: str
    places: tuple[str, ...]
    policies: tuple[AccessPolicy, ...]
    fields: Wire = field(repr=False)

    @property
    def bypasses(self) -> bool:
        return any(policy.decision == "bypass" for policy in self.policies)

    def admits(self, email: str) -> bool:
        for policy in self.policies:
            if policy.decision in ("allow", "deny") and policy.lets_in(email):
                return policy.decision == "allow"
        return False

    def admits_service(self, client_id: str) -> bool:
        return any(
            policy.decision == "non_identity" and policy.lets_in_service(client_id)
            for policy in self.policies
        )


def applications(account: Account) -> tuple[AccessApplication, ...]:
    return tuple(_application(account, found) for found in account.applications.all())


def application_for(account: Account, hostname: str, path: str) -> AccessApplication | None:
    """The one with the most specific place; None: nothing is in front ("Application paths" in the docs)."""
    best: tuple[tuple[int, int], AccessApplication] | None = None
    for application in applications(account):
        for place in application.places:
            if covers(place, hostname, path) and (best is None or _specific(place) > best[0]):
                best = (_specific(place), application)
    return best[1] if best else None


def covers(place: str, hostname: str, path: str) -> bool:
    """`example.com` covers all paths, `example.com/x` itself and all below, `example.com/x/*` only below."""
    host, _, prefix = place.partition("/")
    if not re.fullmatch(_pattern(host, "."), hostname.lower()):
        return False
    return not prefix or bool(re.fullmatch(_pattern(f"/{prefix}", "/") + "(/.*)?", path))


def _pattern(text: str, separator: str) -> str:
    return re.escape(text.lower() if separator == "." else text).replace(r"\*", f"[^{separator}]+")


def _specific(place: str) -> tuple[int, int]:
    """An exact host before a wildcard; then the longer path."""
    host, _, path = place.partition("/")
    return (0 if "*" in host else 1, len(path.rstrip("*")) + path.count("/"))


def _application(account: Account, found: Wire) -> AccessApplication:
    places = [found["domain"], *(d["uri"] for d in found["destinations"] if d.get("type") == "public")]
    policies = [
        _policy(account, policy) for link in found["policies"] if (policy := account.policies.get(link["id"]))
    ]
    policies.sort(key=lambda policy: policy.decision not in ("bypass", "non_identity"))
    return AccessApplication(
        found["id"], found["name"], found["aud"], tuple(dict.fromkeys(places)), tuple(policies), found
    )


def _policy(account: Account, found: Wire) -> AccessPolicy:
    include = _resolved(account, found["include"])
    tokens = {token["id"]: token["client_id"] for token in account.service_tokens.all()}
    named = [rule["service_token"]["token_id"] for rule in include if "service_token" in rule]
    return AccessPolicy(
        id=found["id"],
        name=found["name"],
        decision=found["decision"],
        include=include,
        require=_resolved(account, found["require"]),
        exclude=_resolved(account, found["exclude"]),
        client_ids=frozenset(tokens[id] for id in named if id in tokens),
        any_service_token=any("any_valid_service_token" in rule for rule in include),
    )


def _resolved(account: Account, rules: list[Wire]) -> tuple[Wire, ...]:
    found: list[Wire] = []
    for rule in rules:
        group = account.groups.get(rule["group"]["id"]) if "group" in rule else None
        found += group["include"] if group else [rule]
    return tuple(found)


def _names(rule: dict[str, Any], email: str) -> bool:
    if "everyone" in rule:
        return True
    if "email" in rule:
        return bool(rule["email"]["email"].lower() == email.lower())
    return (
        "email_domain" in rule and email.lower().rpartition("@")[2] == rule["email_domain"]["domain"].lower()
    )

"""What there should be at Cloudflare for one hostname."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.policy.rules import Rule
from app.provision.applications import Application, applications
from app.provision.found import Found, Kind, target
from app.provision.marks import comment, tunnel_name
from app.provision.people import access_policies, open_to_everyone
from app.tunnel.config import Exposure, Topology, ingress

AFTER = "(known after apply)"
# What makes other clients than browsers fail at the edge: managed rules, Super Bot Fight Mode, browser
# integrity, blocked user agents. Access stays in front, and so do the account's own rules and rate limits.
_SKIPPED = {
    "phases": ["http_request_firewall_managed", "http_request_sbfm"],
    "products": ["bic", "hot", "securityLevel", "uaBlock"],
}


@dataclass(frozen=True)
class Intent:
    """`door`: the tunnel door as cloudflared reaches it. `rules`: of policy.toml. `waf`: with a rule that
    keeps bot protection from refusing the clients of MCP."""

    hostname: str
    door: str
    topology: Topology
    rules: tuple[Rule, ...]
    waf: bool = True


@dataclass(frozen=True)
class Object:
    """One thing as it should be. `fields` are the API's, but an application's `policies` are names."""

    kind: Kind
    name: str
    fields: Mapping[str, Any]
    why: str


@dataclass(frozen=True)
class Wanted:
    """`objects` in the order of their making. `notes`: what cannot be had, a sentence each.

    `auds`: the AUD tags that the server must accept, AFTER where there is none yet.
    """

    objects: tuple[Object, ...]
    notes: tuple[str, ...]
    auds: tuple[str, ...]


def wanted(intent: Intent, found: Found) -> Wanted:
    people, notes = access_policies(intent.rules, found, intent.topology)
    open_to = open_to_everyone(intent.hostname)
    policies = people if intent.topology == "access" else (*people, open_to)
    names = tuple(policy.name for policy in people)
    apps = applications(intent.hostname, intent.topology, names, open_to.name)
    auds = tuple(_aud(found, app.name) for app in apps if app.signs_in)
    objects = [
        Object("policy", policy.name, {"name": policy.name, **policy.fields}, _who(policy.of))
        for policy in policies
    ]
    objects += [
        Object(
            "application", app.name, {"name": app.name, **app.fields, "policies": app.policies}, _before(app)
        )
        for app in apps
    ]
    objects += _reachable(intent, found, auds)
    more = () if names else ("Nobody may enter from the internet: no rule of the policy names anybody.",)
    return Wanted(tuple(objects), (*notes, *more, *_certificate_note(found), *_waf_note(intent, found)), auds)


def _reachable(intent: Intent, found: Found, auds: tuple[str, ...]) -> list[Object]:
    """From the connector to the name: in this order, so that nothing answers before it is protected."""
    host, tunnel = intent.hostname, tunnel_name(intent.hostname)
    exposure = Exposure(host, intent.door, intent.topology, found.team, auds)
    existing = found.one("tunnel", tunnel)
    objects = [
        Object(
            "tunnel", tunnel, {"name": tunnel, "config_src": "cloudflare"}, "what the connector connects to"
        ),
        Object("configuration", tunnel, {"ingress": ingress(exposure)}, f"{host} to {intent.door}"),
    ]
    if intent.waf and found.may_read_waf:
        rule = {
            "description": comment(host),
            "expression": f'(http.host eq "{host}")',
            "action": "skip",
            "action_parameters": _SKIPPED,
            "logging": {"enabled": True},
            "enabled": True,
        }
        objects.append(Object("waf-rule", comment(host), rule, "bot protection refuses clients of MCP"))
    record = {
        "type": "CNAME",
        "name": host,
        "content": target(existing) if existing else AFTER,
        "proxied": True,
        "ttl": 1,
        "comment": comment(host),
    }
    return [*objects, Object("dns-record", host, record, "the name, last: now it can be reached")]


def _aud(found: Found, application: str) -> str:
    existing = found.one("application", application)
    return str(existing["aud"]) if existing else AFTER


def _who(rule: str) -> str:
    return f"whom rule {rule} names" if rule else "for paths where callers bring a token of ours"


def _before(app: Application) -> str:
    places = ", ".join(place["uri"] for place in app.fields["destinations"])
    return f"the login in front of {places}" if app.signs_in else f"open for programs: {places}"


def _certificate_note(found: Found) -> tuple[str, ...]:
    """Universal SSL covers the domain and one label before it."""
    labels = found.hostname.removesuffix(found.zone).strip(".").split(".")
    if len(labels) < 2:
        return ()
    return (
        f"Cloudflare's free certificate covers *.{found.zone}, and so not {found.hostname}. Choose a name "
        f"like {labels[0]}.{found.zone}, or order an advanced certificate: {found.zone} → SSL/TLS → Edge "
        "Certificates.",
    )


def _waf_note(intent: Intent, found: Found) -> tuple[str, ...]:
    if intent.waf and found.may_read_waf:
        return ()
    return (
        "No firewall rule keeps bot protection from refusing the clients of MCP. Give the API token "
        f"Zone → Zone WAF: Edit, or do it by hand: {found.zone} → Security → Security rules → Custom rules "
        f"→ Skip, where Hostname equals {intent.hostname}.",
    )

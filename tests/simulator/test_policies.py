"""Who fits which policy, and which application covers which URL: Cloudflare's rules as tables."""

from __future__ import annotations

import pytest

from app.simulator import Application
from app.simulator.coverage import most_specific
from app.simulator.policies import ANYONE, Policy, Visitor, admits, opens, policy

ALICE = Visitor(email="Alice@example.com", groups=("family",))
PROGRAM = Visitor(service_token="nightly-id")
EVERYONE: dict[str, object] = {"everyone": {}}


@pytest.mark.parametrize(
    ("rule", "visitor", "fits"),
    [
        (EVERYONE, ALICE, True),
        ({"email": {"email": "alice@EXAMPLE.com"}}, ALICE, True),
        ({"email": {"email": "bob@example.com"}}, ALICE, False),
        ({"email_domain": {"domain": "Example.com"}}, ALICE, True),
        ({"email_domain": {"domain": "ample.com"}}, ALICE, False),
        ({"oidc": {"claim_name": "groups", "claim_value": "family"}}, ALICE, True),
        ({"oidc": {"claim_name": "groups", "claim_value": "admins"}}, ALICE, False),
        ({"group": {"include": [EVERYONE], "exclude": [{"email": {"email": "x@y.z"}}]}}, ALICE, True),
        ({"group": {"include": [EVERYONE], "exclude": [EVERYONE]}}, ALICE, False),
        ({"ip": {"ip": "127.0.0.0/8"}}, ALICE, True),
        ({"ip": {"ip": "203.0.113.0/24"}}, ALICE, False),
        ({"geo": {"country_code": "US"}}, ALICE, False),
    ],
)
def test_a_person_fits_a_rule(rule: dict[str, object], visitor: Visitor, fits: bool) -> None:
    assert admits([Policy("allow", (rule,))], visitor) is fits


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        ({"service_token": {"token_id": "nightly-id"}}, True),
        ({"service_token": {"token_id": "other-id"}}, False),
        ({"any_valid_service_token": {}}, True),
        ({"email": {"email": "alice@example.com"}}, False),
    ],
)
def test_a_service_token_fits_a_rule_of_service_auth_alone(rule: dict[str, object], fits: bool) -> None:
    assert admits([Policy("non_identity", (rule,))], PROGRAM) is fits
    assert not admits([Policy("allow", (rule,))], PROGRAM)
    assert not admits([Policy("non_identity", (rule,))], ALICE)


def test_exclude_and_require_narrow_what_include_opens() -> None:
    lists = {"include": [EVERYONE], "require": [{"email_domain": {"domain": "example.com"}}], "exclude": None}
    assert admits([policy("allow", lists)], ALICE)
    assert not admits([policy("allow", lists | {"exclude": [{"email": {"email": ALICE.email}}]})], ALICE)
    assert not admits([policy("allow", lists)], Visitor(email="eve@contractor.example"))


def test_block_and_allow_are_read_from_the_top() -> None:
    block, allow = Policy("deny", ({"email": {"email": ALICE.email}},)), Policy("allow", (EVERYONE,))
    assert not admits([block, allow], ALICE)
    assert admits([allow, block], ALICE)
    assert not admits([], ALICE)


def test_only_bypass_opens_and_it_needs_no_identity() -> None:
    assert opens([Policy("bypass", (EVERYONE,))], ANYONE)
    assert not opens([Policy("allow", (EVERYONE,)), Policy("non_identity", (EVERYONE,))], ANYONE)
    assert not opens([Policy("bypass", ({"email": {"email": ALICE.email}},))], ANYONE)


@pytest.mark.parametrize(
    ("url", "covered_by"),
    [
        ("brain.example.com/", "brain.example.com"),
        ("BRAIN.example.com/x", "brain.example.com"),
        ("brain.example.com/mcp", "brain.example.com/mcp"),
        ("brain.example.com/mcp/", "brain.example.com/mcp"),
        ("brain.example.com/mcp/x", "brain.example.com/mcp"),
        ("brain.example.com/mcpx", "brain.example.com"),
        ("brain.example.com/.well-known/x/y", "brain.example.com/.well-known/*"),
        ("brain.example.com/.well-known", "brain.example.com"),
        ("brain.example.com/a/b/c", "brain.example.com/a/*/c"),
        ("brain.example.com/a/b/d", "brain.example.com"),
        ("other.example.com/mcp", "*.example.com"),
        ("a.b.example.com/", None),
        ("example.com/", None),
    ],
)
def test_the_most_specific_application_covers_a_url(url: str, covered_by: str | None) -> None:
    domains = [
        "*.example.com",
        "brain.example.com",
        "brain.example.com/mcp",
        "brain.example.com/.well-known/*",
        "brain.example.com/a/*/c",
    ]
    host, _, path = url.partition("/")
    found = most_specific([Application("", domains=(domain,)) for domain in domains], host, f"/{path}")
    assert (found.domains[0] if found else None) == covered_by

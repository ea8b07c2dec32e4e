"""The plan, without an account: exact texts, conflicts, and what policy.toml becomes at Access."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.policy.parse import parse
from app.provision.found import ORDER, Found, Kind
from app.provision.plan import Plan, plan, teardown
from app.provision.wanted import Intent, wanted

from .desk import DOOR, HOST, intended
from .golden_text import same_as_golden

CASES = tomllib.loads((Path(__file__).parent / "access_policies.toml").read_text())["case"]
EMPTY = Found(hostname=HOST, account_id="a", zone_id="z", zone="example.com", team="acme")
INTENTS = {
    "access": intended(),
    "oauth": intended(topology="oauth"),
    "nobody": intended("version = 1"),
    "no-waf": intended(waf=False),
}


def made(intent: Intent, found: Found = EMPTY) -> Found:
    """What there is after every step, as the API would show it."""
    for _ in range(30):
        steps = plan(intent, found).steps
        if not steps:
            return found
        found = _after(found, steps[0].kind, steps[0].name, dict(steps[0].fields))
    raise AssertionError("the plan does not come to an end")


def _after(found: Found, kind: Kind, name: str, fields: dict[str, Any]) -> Found:
    id = f"{kind}-{len(found.all(kind))}"
    value = {"id": id, "name": name, "created_at": id, **fields}
    if kind == "application":
        ids = [found.one("policy", policy) or {} for policy in fields["policies"]]
        links = [{"id": policy["id"], "precedence": number} for number, policy in enumerate(ids)]
        value |= {"aud": "0" * 63 + id[-1], "policies": links}
    if kind == "configuration":
        value = {"id": id, "name": name, "config": fields}
    return found.with_object(kind, value)


@pytest.mark.parametrize("name", INTENTS)
def test_the_text_of_a_first_plan(name: str) -> None:
    assert same_as_golden(f"plan-{name}.txt", plan(INTENTS[name], EMPTY).text())


@pytest.mark.parametrize("name", INTENTS)
def test_a_plan_comes_to_an_end_after_as_many_steps_as_it_names(name: str) -> None:
    intent = INTENTS[name]
    found = made(intent)
    assert plan(intent, found).steps == ()
    count = sum(len(found.all(kind)) for kind in ORDER)
    assert count == len(plan(intent, EMPTY).steps)


def test_the_text_of_a_change_of_topology() -> None:
    found = made(INTENTS["access"])
    assert same_as_golden("plan-access-to-oauth.txt", plan(INTENTS["oauth"], found).text())
    back = made(INTENTS["oauth"])
    assert same_as_golden("plan-oauth-to-access.txt", plan(INTENTS["access"], back).text())


def test_the_text_of_a_plan_that_cannot_be() -> None:
    found = replace(
        EMPTY,
        objects={
            "dns-record": ({"id": "r", "type": "A", "name": HOST, "content": "192.0.2.1"},),
            "application": ({"id": "x", "name": "Theirs", "domain": f"{HOST}/mcp", "destinations": []},),
            "tunnel": ({"id": "t", "name": f"brain-mcp-{HOST}", "config_src": "local"},),
        },
        may_read_waf=False,
    )
    assert same_as_golden("plan-conflicts.txt", plan(INTENTS["access"], found).text())


def test_a_host_that_is_too_long_for_access_is_said_before_anything_is_done() -> None:
    host = "a" * 40 + ".example.com"
    found = replace(EMPTY, hostname=host)
    assert plan(intended(hostname=host), found).conflicts == ()
    [conflict] = plan(intended(hostname=host, topology="oauth"), found).conflicts
    assert conflict.startswith(f"{host}/.well-known/* has 66 characters; Access takes 63.")


@pytest.mark.parametrize(
    ("place", "is_in_the_way"),
    [
        (HOST, True),
        (f"{HOST}/mcp", True),
        ("*.example.com/mcp", True),
        ("b*.example.com/mcp", True),
        ("B*N.example.com/mcp", True),
        ("brain.ex*.com/mcp", True),
        ("c*.example.com/mcp", False),
        ("b*.example.com", False),  # ours names the host, and so is more specific
        ("*.com/mcp", False),
        ("b*.brain.example.com/mcp", False),
    ],
)
def test_a_foreign_application_that_decides_before_ours_is_in_the_way(
    place: str, is_in_the_way: bool
) -> None:
    foreign = {"id": "x", "name": "Theirs", "domain": place, "destinations": []}
    found = replace(EMPTY, objects={"application": (foreign,)})
    assert bool(plan(INTENTS["access"], found).conflicts) is is_in_the_way


@pytest.mark.parametrize("name", INTENTS)
def test_teardown_is_the_plan_backwards(name: str) -> None:
    found = made(INTENTS[name])
    kinds = [step.kind for step in teardown(found)]
    assert kinds == sorted(kinds, key=ORDER.index, reverse=True)
    assert len(kinds) == len(plan(INTENTS[name], EMPTY).steps) - 1  # the configuration goes with its tunnel


def test_until_the_last_step_the_name_does_not_exist() -> None:
    for intent in INTENTS.values():
        steps = plan(intent, EMPTY).steps
        assert [step.kind for step in steps].index("dns-record") == len(steps) - 1


def test_foreign_objects_are_in_no_step() -> None:
    found = made(INTENTS["access"])
    foreign: dict[Kind, dict[str, Any]] = {
        "policy": {"id": "f", "name": "family", "decision": "allow"},
        "application": {"id": "f", "name": "Brain", "domain": "other.example.com", "destinations": []},
        "tunnel": {"id": "f", "name": "brain-mcp-other.example.com"},
        "waf-rule": {"id": "f", "description": "brain-mcp other.example.com"},
        "service-token": {"id": "f", "name": "nightly", "client_id": "f.access"},
    }
    for kind, value in foreign.items():
        found = found.with_object(kind, value)
    assert plan(INTENTS["access"], found).steps == ()
    assert "f" not in [step.id for step in teardown(found)]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_rules_of_the_policy_become_policies_of_access(case: dict[str, Any]) -> None:
    found = replace(
        EMPTY,
        hostname="h.example.com",
        groups=({"id": "g-staff", "name": "staff"},),
        identity_providers=tuple(case.get("providers", ())),
        objects={"service-token": ({"id": "t-1", "name": "ci", "client_id": "1.access"},)},
    )
    rule = f'version = 1\n[[rule]]\nname = "r"\nscopes = ["mcp:tools:read"]\n{case["rule"]}'
    rules = parse(rule.encode()).rules
    should = wanted(Intent("h.example.com", DOOR, case.get("topology", "access"), rules), found)
    policies = [object for object in should.objects if object.kind == "policy"]
    shown = [
        [one.name, one.fields["decision"], json.dumps(one.fields["include"], separators=(",", ":"))]
        for one in policies
    ]
    assert shown == case["policies"]
    parts = case.get("notes", [])
    assert len(should.notes) == len(parts), should.notes
    for note, part in zip(should.notes, parts, strict=True):
        assert part in note


def test_more_people_than_a_policy_takes_are_said() -> None:
    emails = ", ".join(f'"p{number}@example.com"' for number in range(1001))
    rule = f'version = 1\n[[rule]]\nname = "r"\nscopes = ["*"]\nemails = [{emails}]'
    should = wanted(intended(rule), EMPTY)
    [policy] = [object for object in should.objects if object.kind == "policy"]
    assert len(policy.fields["include"]) == 1000
    assert "names 1001 people" in should.notes[0]


def test_a_name_that_the_free_certificate_does_not_cover_is_said() -> None:
    host = "brain.home.example.com"
    [note] = plan(intended(hostname=host), replace(EMPTY, hostname=host)).notes
    assert "brain.example.com" in note
    assert plan(intended(hostname="example.com"), replace(EMPTY, hostname="example.com")).notes == ()


@pytest.mark.parametrize(
    ("field", "as_shown"),
    [
        ("session_duration", "24h0m0s"),
        ("allowed_idps", None),
        ("enable_binding_cookie", None),
        ("destinations", [{"uri": HOST, "type": "public", "overrides": None}]),
    ],
)
def test_what_the_api_says_in_other_words_is_no_difference(field: str, as_shown: object) -> None:
    found = made(INTENTS["access"])
    [app] = found.all("application")
    assert plan(INTENTS["access"], found.with_object("application", {**app, field: as_shown})).steps == ()


def test_a_plan_shows_what_the_interface_promises() -> None:
    shown = plan(INTENTS["access"], EMPTY).steps[0].shown()
    assert list(shown) == ["action", "kind", "name", "why"]
    assert Plan(()).text() == "Nothing to do.\n"

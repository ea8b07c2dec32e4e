"""`brain policy explain`: the decision in words, exactly as people read it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.policy.decide import Operation, decide
from app.policy.denies import denies
from app.policy.explain import as_json, explain
from app.policy.parse import parse
from app.policy.rules import NO_POLICY, principal_named
from app.principal import LAN, Principal

from .golden_text import POLICY_FILE, same_as_golden

POLICY = parse(POLICY_FILE.read_bytes())
ALICE, STRANGER = principal_named("Alice@Example.com"), principal_named("eve@elsewhere.example")
CONTRACTOR, NIGHTLY = principal_named("eve@contractor.example"), principal_named("nightly.access")
WITHIN = {"query": "x", "limit": 5, "space": "public"}
OPS = principal_named("olga@example.com", frozenset({"ops", "staff"}))
READ_TOKEN = replace(ALICE, client="some-client", token_scopes=frozenset({"mcp:tools:read"}))

SAID: dict[str, tuple[Principal, str, bool, dict[str, Any] | None]] = {
    "person-may-write": (ALICE, "create_note", False, None),
    "person-may-not-delete": (ALICE, "delete_note", False, None),
    "person-in-a-group-may-delete": (OPS, "delete_note", False, None),
    "person-with-a-token-that-only-reads": (READ_TOKEN, "create_note", False, None),
    "stranger": (STRANGER, "search", True, None),
    "stranger-whoami": (STRANGER, "whoami", True, None),
    "service": (NIGHTLY, "search", True, None),
    "service-may-not-write": (NIGHTLY, "create_note", False, None),
    "lan": (LAN, "create_note", False, None),
    "lan-may-not-delete": (LAN, "delete_note", False, None),
    "limits-told": (CONTRACTOR, "search", True, None),
    "limits-kept": (CONTRACTOR, "search", True, WITHIN),
    "limits-broken": (CONTRACTOR, "search", True, {"query": "x", "limit": 50, "space": "main"}),
}


@pytest.mark.parametrize("name", SAID)
def test_the_explanation_reads_as_it_is_kept(name: str) -> None:
    who, tool, read_only, arguments = SAID[name]
    decision = decide(POLICY, who, Operation("tool", tool, read_only, arguments))
    assert same_as_golden(f"explain-{name}.txt", explain(POLICY, who, decision))


@pytest.mark.parametrize("target", ["alice@example.com", "tool:create_note", "door:tunnel"])
def test_what_the_operator_has_shut_off_is_explained_as_that_alone(target: str) -> None:
    decision = decide(POLICY, ALICE, Operation("tool", "create_note", False), denies([target]))
    name = target.replace(":", "-").partition("@")[0]
    assert same_as_golden(f"explain-shut-off-{name}.txt", explain(POLICY, ALICE, decision))


def test_a_group_that_could_not_be_known_is_named_only_where_it_would_matter() -> None:
    unknown = decide(POLICY, ALICE, Operation("tool", "delete_note", False))
    assert "unknown whether it is in ops: that would allow it" in explain(POLICY, ALICE, unknown)
    known = replace(ALICE, groups_complete=True)
    assert "unknown" not in explain(POLICY, known, decide(POLICY, known, unknown.operation))
    other = decide(POLICY, STRANGER, Operation("tool", "create_note", False))
    assert "unknown whether" not in explain(POLICY, STRANGER, other)


def test_a_policy_without_rules_is_explained_as_such() -> None:
    text = explain(NO_POLICY, STRANGER, decide(NO_POLICY, STRANGER, Operation("tool", "search")))
    assert "(the policy has no rules)" in text
    assert "because no rule of the policy names this principal" in text


def test_for_programs_every_part_of_the_decision_is_there() -> None:
    decision = decide(POLICY, CONTRACTOR, Operation("tool", "search", True, WITHIN))
    assert as_json(CONTRACTOR, decision) == {
        "principal": "eve@contractor.example",
        "kind": "person",
        "door": "tunnel",
        "operation": "tool",
        "name": "search",
        "decision": "allow",
        "scopes_needed": ["mcp:tools:read"],
        "scopes": ["mcp:tools:read"],
        "rules": ["contractors"],
        "reasons": ["contractors: e-mail is of contractor.example"],
        "limits": ["limit must be at most 20 and space must be one of: public"],
        "spaces": "public",
    }

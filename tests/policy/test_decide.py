"""The one decision, as properties over random policies, and the classes that people rely on."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.notes.models import Spaces
from app.policy.decide import Operation, ceiling, decide, effective_scopes
from app.policy.explain import as_json, explain
from app.policy.rules import NO_POLICY, Policy, Rule, fits
from app.principal import LAN, Principal

from .strategies import operations, policies, principals, rules, scope_sets, with_token
from .text import person, policy, rule, service

many = settings(max_examples=40, deadline=None)
TOKEN_SCOPES = st.one_of(st.none(), scope_sets)


def wider(one: Spaces, other: Spaces) -> bool:
    """Whether `one` opens every space that `other` opens."""
    if one.every:
        return True
    shared = one.shared or not other.shared
    names = all(name in one.names or (one.shared and not name.startswith("~")) for name in other.names)
    return not other.every and shared and names


@many
@given(policies(), rules(99), principals, TOKEN_SCOPES, operations())
def test_adding_a_rule_never_removes_anything(
    old: Policy, added: Rule, who: Principal, token: frozenset[str] | None, operation: Operation
) -> None:
    new = Policy(old.own_scopes, old.lan, (*old.rules, added))
    who = with_token(who, token)
    before, after = decide(old, who, operation), decide(new, who, operation)
    assert before.scopes <= after.scopes
    assert after.allowed or not before.allowed
    assert set(before.rules) <= set(after.rules) or not before.allowed
    assert wider(after.spaces, before.spaces)


@many
@given(policies(), principals, scope_sets, operations())
def test_the_scopes_of_a_token_only_narrow(
    rules_: Policy, who: Principal, token: frozenset[str], operation: Operation
) -> None:
    narrowed, whole = decide(rules_, with_token(who, token), operation), decide(rules_, who, operation)
    assert narrowed.scopes <= whole.scopes == ceiling(rules_, who).scopes
    assert whole.allowed or not narrowed.allowed
    assert wider(whole.spaces, narrowed.spaces)


@many
@given(policies(), principals, scope_sets, operations())
def test_consent_helps_exactly_where_the_ceiling_allows_and_the_token_does_not(
    rules_: Policy, who: Principal, token: frozenset[str], operation: Operation
) -> None:
    narrowed = decide(rules_, with_token(who, token), operation)
    if narrowed.consent_would_help:
        assert not narrowed.allowed
        assert decide(rules_, who, Operation(operation.kind, operation.name, operation.read_only)).allowed
        assert not narrowed.scopes.intersection(narrowed.scopes_needed)


@many
@given(policies(), principals, TOKEN_SCOPES, operations())
def test_a_decision_says_why_and_explain_says_the_same(
    rules_: Policy, who: Principal, token: frozenset[str] | None, operation: Operation
) -> None:
    who = with_token(who, token)
    decision = decide(rules_, who, operation)
    assert all(decision.reasons)
    assert decision.reasons
    word = "ALLOW" if decision.allowed else "DENY"
    verdict = explain(rules_, who, decision).rpartition("\n\n")[2].splitlines()
    assert verdict[0] == f"{word}  {operation.kind} {operation.name}"
    assert [line for line in verdict if line.startswith("  because ")] == [
        f"  because {reason}" for reason in decision.reasons
    ]
    assert as_json(who, decision)["decision"] == word.lower()


@many
@given(policies(), principals, TOKEN_SCOPES, operations())
def test_what_may_be_called_with_some_arguments_is_listed(
    rules_: Policy, who: Principal, token: frozenset[str] | None, operation: Operation
) -> None:
    who = with_token(who, token)
    listed = decide(rules_, who, Operation(operation.kind, operation.name, operation.read_only))
    assert listed.allowed or not decide(rules_, who, operation).allowed


@many
@given(policies(), principals, TOKEN_SCOPES)
def test_whoami_is_open_to_everybody_who_is_known(
    rules_: Policy, who: Principal, token: frozenset[str] | None
) -> None:
    assert decide(rules_, with_token(who, token), Operation("tool", "whoami", True, {})).allowed


@given(principals, operations())
def test_without_a_policy_the_lan_may_do_everything_and_the_tunnel_nothing(
    who: Principal, operation: Operation
) -> None:
    decision = decide(NO_POLICY, who, operation)
    assert decision.allowed is (who == LAN or (operation.kind, operation.name) == ("tool", "whoami"))


def test_a_rule_counts_only_by_the_scopes_that_the_token_has_of_it() -> None:
    both = policy(
        "[scopes.a]\ntools = ['t']\n[scopes.b]\ntools = ['t']",
        rule(
            "name = 'few'\nany_person = true",
            "['a']",
            "limits = [{ tool = 't', arg = 'n', max = 5 }]\nspaces = ['x']",
        ),
        rule("name = 'all'\nany_person = true", "['b']", "spaces = ['y']"),
    )
    consented = with_token(person(), frozenset({"a"}))
    assert not decide(both, consented, Operation("tool", "t", True, {"n": 9})).allowed
    allowed = decide(both, consented, Operation("tool", "t", True, {"n": 5}))
    assert (allowed.rules, allowed.spaces.names) == (("few",), frozenset({"x"}))


def names_people(selector: str, who: Principal) -> bool:
    return bool(ceiling(policy(rule(selector)), who).matches)


@pytest.mark.parametrize(
    ("selector", "email", "matches"),
    [
        ("emails = ['Alice@Example.COM']", "alice@example.com", True),
        ("emails = ['alice@example.com']", "alice@example.com.evil.example", False),
        ("emails = ['\u212aim@example.com']", "kim@example.com", False),
        ("emails = ['kim@example.com']", "\u212aim@example.com", False),
        ("domains = ['EXAMPLE.com']", "eve@example.com", True),
        ("domains = ['example.com']", "eve@sub.example.com", False),
        ("domains = ['example.com']", "eve@evil-example.com", False),
        ("domains = ['example.com']", "eve@example.com.evil.example", False),
        ("domains = ['\u212a.example']", "eve@k.example", False),
        ("any_person = true", "eve@anywhere.example", True),
        ("groups = ['staff']", "eve@example.com", False),
    ],
)
def test_a_selector_names_whom_it_says(selector: str, email: str, matches: bool) -> None:
    assert names_people(selector, person(email)) is matches


def test_groups_compare_exactly() -> None:
    assert names_people("groups = ['Staff']", person(groups=("Staff",)))
    assert not names_people("groups = ['Staff']", person(groups=("staff",)))


def test_a_service_token_is_no_person_and_a_person_no_service_token() -> None:
    assert names_people("service_tokens = ['nightly.access']", service())
    assert not names_people("any_person = true", service())
    assert not names_people("emails = ['nightly@x.y']", service("nightly@x.y"))
    assert not names_people("service_tokens = ['eve@example.com']", person())


def test_writing_implies_reading_and_reading_not_writing() -> None:
    writer, reader = (
        policy(rule("any_person = true", f"['mcp:tools:{word}']")) for word in ("write", "read")
    )
    for rules_, writes in ((writer, True), (reader, False)):
        assert decide(rules_, person(), Operation("tool", "search", True)).allowed
        assert decide(rules_, person(), Operation("resource", "note://a")).allowed
        assert decide(rules_, person(), Operation("tool", "create_note", False)).allowed is writes


def test_everything_is_every_scope_the_own_ones_too() -> None:
    rules_ = policy("[scopes.a]\ntools = ['x*']", rule("any_person = true", "['*']"))
    assert effective_scopes(rules_, person()) == {"mcp:tools:read", "mcp:tools:write", "brain:admin", "a"}
    assert decide(rules_, person(), Operation("tool", "xyz", False)).allowed


def test_own_scopes_cover_resources_and_prompts_as_well() -> None:
    rules_ = policy(
        "[scopes.a]\nresources = ['secret://*']\nprompts = ['p']",
        rule("emails = ['eve@example.com']"),
        rule("emails = ['alice@example.com']", "['a']"),
    )
    for operation in (Operation("resource", "secret://x"), Operation("prompt", "p")):
        assert not decide(rules_, person(), operation).allowed
        assert decide(rules_, person("alice@example.com"), operation).allowed
    assert decide(rules_, person(), Operation("prompt", "pp")).allowed
    assert not decide(rules_, person("alice@example.com"), Operation("prompt", "pp")).allowed


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("delete_*", "delete_note", True),
        ("delete_*", "delete_", True),
        ("delete_*", "undelete_note", False),
        ("delete_note", "delete_notes", False),
        ("delete_note", "Delete_note", False),
        ("*", "anything", True),
        ("a?c", "abc", False),
    ],
)
def test_a_pattern_is_an_exact_name_or_ends_in_one_star(pattern: str, name: str, matches: bool) -> None:
    assert fits(pattern, name) is matches


def test_another_persons_own_space_opens_only_by_its_full_name() -> None:
    every = decide(policy(rule("any_person = true")), person(), Operation("tool", "search", True)).spaces
    assert (every.every, every.shared, every.names) == (False, True, frozenset({"~eve@example.com"}))
    named = policy(rule("any_person = true", more="spaces = ['~Bob@example.com']"))
    assert decide(named, person(), Operation("tool", "search", True)).spaces.names == {"~bob@example.com"}

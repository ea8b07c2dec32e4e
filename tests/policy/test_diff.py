"""`brain policy diff`: nobody gains or loses anything that it does not tell."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.policy.decide import decide
from app.policy.diff import diff, everybody, in_words
from app.policy.parse import parse
from app.policy.rules import NO_POLICY, Policy

from .golden_text import FOLDER, POLICY_FILE, same_as_golden
from .strategies import EMAILS, policies
from .text import policy, rule
from .tools import OPERATIONS

OLD, NEW = parse(POLICY_FILE.read_bytes()), parse((FOLDER / "policy-new.toml").read_bytes())
READ = '["mcp:tools:read"]'


def told(old: Policy, new: Policy) -> list[str]:
    return [str(change) for change in diff(old, new, OPERATIONS)]


def test_the_difference_reads_as_it_is_kept() -> None:
    assert same_as_golden("diff.txt", in_words(diff(OLD, NEW, OPERATIONS)))


def test_the_way_back_is_the_same_difference_with_the_signs_turned() -> None:
    turned = {"+": "-", "-": "+"}
    there = {(turned.get(c.sign, c.sign), c.who, c.what) for c in diff(OLD, NEW, OPERATIONS)}
    assert there == {(c.sign, c.who, c.what) for c in diff(NEW, OLD, OPERATIONS)}


def test_a_policy_does_not_differ_from_itself_written_otherwise() -> None:
    one = policy(rule('emails = ["a@x.example", "b@x.example"]', READ))
    other = policy(rule('emails = ["B@x.example"]', READ), rule('name = "r"\nemails = ["A@X.example"]', READ))
    assert in_words(diff(one, other, OPERATIONS)) == "no difference\n"


def test_a_named_person_keeps_what_the_domain_gives() -> None:
    firm = rule('name = "firm"\ndomains = ["x.example"]', READ)
    both = policy(firm, rule('emails = ["a@x.example"]', '["mcp:tools:write"]'))
    assert told(both, policy(firm)) == [
        "- a@x.example  scope mcp:tools:write",
        "- a@x.example  tool create_note  in all shared spaces, ~",
        "- a@x.example  tool delete_note  in all shared spaces, ~",
    ]


def test_the_stand_in_of_a_domain_is_nobody_who_is_named() -> None:
    old = policy(rule('emails = ["anyone@x.example"]', READ))
    new = policy(rule('domains = ["x.example"]', READ))
    assert {change.who for change in diff(old, new, OPERATIONS)} == {"any-anyone@x.example"}


def test_a_space_that_opens_for_some_tools_alone_is_told_with_them() -> None:
    own = '[lan]\nscopes = []\n[scopes.s]\ntools = ["search"]'
    old = rule('name = "r"\nany_person = true', '["mcp:tools:read", "s"]', 'spaces = ["main"]')
    more = rule('name = "more"\nany_person = true', '["s"]', 'spaces = ["public"]')
    assert told(policy(own, old), policy(own, old, more)) == ["+ any person  space public  for search"]


def test_a_limit_is_told_where_it_holds() -> None:
    """A second rule that is free in one space does not lift the limit in the other."""
    limit = 'limits = [{ tool = "search", arg = "limit", max = 5 }]'
    first = rule('name = "a"\nany_person = true', READ, f'spaces = ["main", "public"]\n{limit}')
    free = rule('name = "b"\nany_person = true', READ, 'spaces = ["public"]')
    assert told(policy(first), policy(first, free)) == [
        "~ any person  limit on search: limit must be at most 5 → none  in public"
    ]


def test_a_limit_is_told_also_where_a_rule_opens_no_space() -> None:
    """For tools that know no spaces it is all that there is."""
    limit = 'spaces = []\nlimits = [{ tool = "search", arg = "limit", max = 5 }]'
    free, limited = rule("any_person = true", READ, "spaces = []"), rule("any_person = true", READ, limit)
    assert told(policy(free), policy(limited)) == [
        "~ any person  limit on search: none → limit must be at most 5"
    ]
    second = rule('name = "b"\nany_person = true', READ, "spaces = []")
    in_main = limited.replace("[]", '["main"]', 1)
    assert told(policy(in_main), policy(in_main, second)) == [
        "~ any person  limit on search: limit must be at most 5 → none  where no space counts"
    ]


@pytest.mark.parametrize(
    ("selector", "who"),
    [
        ('emails = ["A@x.example"]', "a@x.example"),
        ('domains = ["x.example"]', "anyone@x.example"),
        ('groups = ["ops"]', "a person in group ops"),
        ('service_tokens = ["n.access"]', "n.access"),
        ("any_person = true", "any person"),
    ],
)
def test_everybody_whom_a_rule_can_name_is_told(selector: str, who: str) -> None:
    new = policy(rule(selector, READ))
    assert f"+ {who}  scope mcp:tools:read" in told(NO_POLICY, new)
    assert f"- {who}  scope mcp:tools:read" in told(new, NO_POLICY)


def test_the_lan_is_told() -> None:
    assert "- lan  tool create_note  in every space" in told(NO_POLICY, policy("[lan]", f"scopes = {READ}"))


def test_what_an_own_scope_names_is_told_though_nothing_known_has_that_name() -> None:
    own = '[scopes.s]\ntools = ["far_*"]\nresources = ["data://x"]\nprompts = ["poem"]'
    lines = told(policy(rule("any_person = true", "[]")), policy(own, rule("any_person = true", '["s"]')))
    for what in ("scope s", "tool far_*", "resource data://x", "prompt poem"):
        assert any(line.startswith(f"+ any person  {what}") for line in lines)


@settings(max_examples=100, deadline=None)
@given(policies(), policies())
def test_no_difference_means_the_same_decisions_for_everybody(old: Policy, new: Policy) -> None:
    changed = {(change.who, change.what, change.name) for change in diff(old, new, OPERATIONS)}
    for who, principal in everybody(old, new):
        for operation in OPERATIONS:
            before, after = decide(old, principal, operation), decide(new, principal, operation)
            told = (who, operation.kind, operation.name) in changed
            assert told is (before.allowed is not after.allowed)
            if who not in {name for name, _, _ in changed}:
                assert (before.limits == ()) is (after.limits == ())
                for space in ("main", "elsewhere", *(f"~{email}" for email in EMAILS)):
                    assert before.spaces.includes(space) is after.spaces.includes(space)


@settings(max_examples=30, deadline=None)
@given(policies(), st.data())
def test_a_policy_never_differs_from_itself_in_another_order(one: Policy, data: st.DataObject) -> None:
    rules = tuple(data.draw(st.permutations(one.rules)))
    other = Policy(one.own_scopes, one.lan, rules)
    assert diff(one, other, OPERATIONS) == ()

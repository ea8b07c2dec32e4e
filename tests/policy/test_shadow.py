"""`brain policy shadow`: what another policy would have done with the calls on record."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings

from app.policy.decide import decide
from app.policy.parse import parse
from app.policy.rules import Policy
from app.policy.shadow import ON_ARGUMENTS, ON_TOKEN, ON_TOOL, Replay, in_words, replay

from .golden_text import FOLDER, same_as_golden
from .strategies import operations, policies, principals
from .text import policy, rule
from .tools import TEMPLATES, TOOLS

NEW = parse((FOLDER / "policy-new.toml").read_bytes())
METHODS = {"tool": "tools/call", "resource": "resources/read", "prompt": "prompts/get"}
LIMITED = rule(
    'name = "few"\nany_person = true', more='limits = [{ tool = "search", arg = "limit", max = 5 }]'
)


def digest(arguments: Any) -> str:
    return json.dumps(arguments, sort_keys=True)


def record(name: str, was: str = "allow", **more: Any) -> dict[str, Any]:
    """As the audit log keeps it, as far as a replay looks."""
    kept = {
        "ts": "2026-03-01T10:00:00.000Z",
        "door": "tunnel",
        "principal": "bob@example.com",
        "kind": "person",
        "client": "",
        "operation": "tools/call",
        "name": name,
        "args_sha256": "not known",
        "decision": was,
        "rules": [],
        "reason": "",
    }
    return kept | more


def done(new: Policy, *records: dict[str, Any]) -> Replay:
    return replay(new, records, TOOLS, TEMPLATES, digest=digest)


def outcome(new: Policy, one: dict[str, Any]) -> str:
    """What would become of it."""
    shifts = done(new, one).shifts
    return shifts[0].would_be if shifts else one["decision"]


EVE = {"principal": "eve@contractor.example"}
LOG = [
    record("create_note"),
    record("search", args={"limit": 50}, **EVE),
    record("search", args={"limit": 5}, **EVE),
    record("search", **EVE),
    record("delete_note", "deny", principal="olga@example.com", groups=["sre"]),
    record("search", principal="nightly.access", kind="service", ts="2026-03-01T11:00:00.000Z"),
    record("create_note", ts="2026-03-02T10:00:00.000Z"),
    record("create_note", ts="2026-03-03T10:00:00.000Z"),
    record("secret://one", operation="resources/read"),
    record("delete_note", "deny", principal="lan", kind="lan", door="lan"),
    record("/mcp", "refuse", operation="door", principal="", kind=""),
    record("tools", operation="tools/list"),
]


def test_what_would_change_reads_as_it_is_kept() -> None:
    assert same_as_golden("shadow.txt", in_words(done(NEW, *LOG)))


def test_where_nothing_would_change_it_says_so() -> None:
    everything = policy(rule("any_person = true", '["*"]'))
    assert in_words(done(everything, record("search"))) == "none of 1 call would or might end otherwise\n"


def test_only_what_the_policy_decided_is_decided_again() -> None:
    assert done(NEW, *LOG).calls == len(LOG) - 2


def test_the_kill_switch_is_no_matter_of_the_policy() -> None:
    shut = record("search", "deny", reason="bob@example.com is shut off by the operator (brain deny)")
    assert done(NEW, shut) == Replay(0, ())


def test_the_same_change_is_told_once_with_its_count_and_times() -> None:
    first = next(shift for shift in done(NEW, *LOG).shifts if shift.name == "create_note")
    assert (first.count, first.first, first.last) == (
        3,
        "2026-03-01T10:00:00.000Z",
        "2026-03-03T10:00:00.000Z",
    )


@pytest.mark.parametrize(
    ("known", "would_be"),
    [
        ({"args": {"limit": 5}}, "allow"),
        ({"args": {"limit": 6}}, "deny"),
        ({"args": {"query": "x"}}, ON_ARGUMENTS),
        ({}, ON_ARGUMENTS),
        ({"args_sha256": digest({})}, "deny"),  # nothing was given: the tool's default is 10
        ({"args": {"query": "x"}, "args_sha256": digest({"query": "x"})}, "deny"),
    ],
)
def test_a_limit_is_judged_by_the_arguments_that_are_known(known: dict[str, Any], would_be: str) -> None:
    assert outcome(policy(LIMITED), record("search", **known)) == would_be


def test_a_text_that_may_have_been_cut_is_not_known() -> None:
    limit = 'limits = [{ tool = "search", arg = "query", max_length = 200 }]'
    new = policy(rule("any_person = true", more=limit))
    assert outcome(new, record("search", args={"query": "x" * 199})) == "allow"
    assert outcome(new, record("search", args={"query": "x" * 200})) == ON_ARGUMENTS


def test_one_rule_without_limits_leaves_nothing_to_depend_on() -> None:
    free = policy(LIMITED, rule('name = "free"\nemails = ["bob@example.com"]'))
    assert outcome(free, record("search")) == "allow"


def test_a_call_of_a_tool_that_is_gone_depends_on_what_it_was() -> None:
    assert outcome(policy(LIMITED), record("gone")) == ON_TOOL
    assert outcome(policy(rule("any_person = true", '["mcp:tools:write"]')), record("gone")) == "allow"
    assert outcome(policy(), record("gone")) == "deny"
    assert done(policy(rule("any_person = true", '["*"]')), record("gone", "deny")).calls == 0


@pytest.mark.parametrize(
    ("uri", "would_be"), [("note://1", "deny"), ("note://1/revisions/2", "allow"), ("data://x", "allow")]
)
def test_an_address_is_judged_by_the_template_that_answers_for_it(uri: str, would_be: str) -> None:
    new = policy('[scopes.s]\nresources = ["note://{id}"]', rule("any_person = true"))
    assert outcome(new, record(uri, operation="resources/read")) == would_be


def test_a_completion_is_judged_as_what_it_completes() -> None:
    new = policy('[scopes.s]\nresources = ["note://{id}"]\nprompts = ["poem"]', rule("any_person = true"))
    assert outcome(new, record("note://{id}", operation="completion/complete")) == "deny"
    assert outcome(new, record("poem", operation="completion/complete")) == "deny"
    assert outcome(new, record("other", operation="completion/complete")) == "allow"


def test_a_token_that_lacked_a_scope_still_lacks_it() -> None:
    lacking = record("create_note", "deny", client="c", reason="the client's token lacks mcp:tools:write")
    write = rule("any_person = true", '["*"]')
    assert outcome(policy(write), lacking) == "deny"
    own = policy('[scopes.s]\ntools = ["create_note"]', write)
    assert outcome(own, lacking) == ON_TOKEN
    assert outcome(policy(), lacking) == "deny"


@settings(max_examples=200, deadline=None)
@given(policies(), policies(), principals, operations())
def test_where_everything_is_known_it_is_the_decision_itself(
    old: Policy, new: Policy, principal: Any, operation: Any
) -> None:
    tools = [tool for tool in TOOLS if tool.name != operation.name]
    tools += [type(TOOLS[0])(operation.name, operation.read_only)]
    arguments = dict(operation.arguments or {})
    one = record(
        operation.name,
        "allow" if decide(old, principal, operation).allowed else "deny",
        operation=METHODS[operation.kind],
        principal=principal.id,
        kind=principal.kind,
        groups=sorted(principal.groups),
        args=arguments,
        args_sha256=digest(arguments),
    )
    arguments_known = type(operation)(
        operation.kind, operation.name, operation.read_only, arguments if operation.kind == "tool" else None
    )
    shifts = replay(new, [one], tools, digest=digest).shifts
    would_be = shifts[0].would_be if shifts else one["decision"]
    assert would_be == ("allow" if decide(new, principal, arguments_known).allowed else "deny")

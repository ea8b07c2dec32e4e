"""Limits on arguments: what passes, what does not, and that what cannot be judged does not."""

from __future__ import annotations

import math
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.policy.arguments import LIMIT_KINDS, Limit, LimitKind, is_under
from app.policy.calls import call_of
from app.policy.decide import Operation, decide

from .text import person, policy, rule

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)
EXAMPLES: dict[LimitKind, Any] = {
    "one_of": ("a", 5),
    "matches": "[a-z]+",
    "max": 10,
    "min": 10,
    "max_length": 3,
    "under": "/data",
}


def allows(kind: LimitKind, value: Any, given: Any) -> bool:
    return Limit("t", "arg", kind, value).allows({"arg": given})


@pytest.mark.parametrize("kind", LIMIT_KINDS)
@pytest.mark.parametrize("wrong", [None, {}, {"a": "b"}, [], [None], [[]], True, [True]])
def test_what_cannot_be_judged_does_not_pass(kind: LimitKind, wrong: Any) -> None:
    if kind == "max_length" and isinstance(wrong, list):
        return  # the length of a list can be judged
    assert not allows(kind, EXAMPLES[kind], wrong)


@pytest.mark.parametrize("kind", LIMIT_KINDS)
def test_a_missing_argument_does_not_pass(kind: LimitKind) -> None:
    assert not Limit("t", "arg", kind, EXAMPLES[kind]).allows({"other": 5})


@given(st.sampled_from(LIMIT_KINDS), JSON)
def test_no_value_breaks_a_limit(kind: LimitKind, value: Any) -> None:
    assert allows(kind, EXAMPLES[kind], value) in (True, False)


@pytest.mark.parametrize(
    ("kind", "value", "good", "bad"),
    [
        ("one_of", ("a", "b"), ["a", "b", ["a", "b"]], ["c", "A", "a ", ["a", "c"], 1]),
        ("one_of", (1, 2.5), [1, 2.5], [True, 1.0, "1", 2]),
        (
            "matches",
            "[a-z]+",
            ["abc", ["a", "b"]],
            ["abc\n", "xABCx", "", "a1", ["a", "B"], 5, "a\0", "a\ud800"],
        ),
        ("matches", "a|b", ["a", "b"], ["ab", "ac", "xb"]),
        ("max", 20, [20, -5, 19.9, 0], [21, 20.1, "5", True, math.nan, math.inf, 10**400]),
        ("min", 20, [20, 20.5, 10**400, math.inf], [19, "25", True, math.nan, -math.inf]),
        ("max_length", 3, ["", "abc", "äöü", [], [1, 2, 3]], ["abcd", [1, 2, 3, 4], 5, {"a": 1}]),
        ("under", "/data", ["/data", "/data/a", "/data//a", "/data/./a", ["/data/a", "/data/b"]], []),
    ],
)
def test_a_limit_lets_pass_what_it_says(kind: LimitKind, value: Any, good: list[Any], bad: list[Any]) -> None:
    assert [one for one in good if not allows(kind, value, one)] == []
    assert [one for one in bad if allows(kind, value, one)] == []


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/",
            "",
            ".",
            "data",
            "data/a",
            "/data-evil",
            "/data-evil/a",
            "/datas",
            "/Data/a",
            "//data/a",
            " /data/a",
        ),
        *(
            "/data/..",
            "/data/../etc/passwd",
            "/data/a/../b",
            "/data/a/..",
            "../data",
            "..",
            "/data/../data/a",
        ),
        *("/data/a\0", "/data\0/a", "\0/data", "/data\\..\\etc", "/data/a\\b", "\\data\\a", "/etc/data/a"),
        *("C:/data/a", "file:///data/a", "~/data", "/./../data/a", "/data/%2e%2e/../x"),
    ],
)
def test_no_path_outside_the_folder_passes(path: str) -> None:
    assert not is_under(path, "/data")


@pytest.mark.parametrize(
    ("path", "folder", "inside"),
    [
        ("/a", "/", True),
        ("/data/a", "/data/", True),
        ("a/b", "a", True),
        ("ab", "a", False),
        ("/a", "a", False),
    ],
)
def test_a_folder_may_be_the_root_or_relative_or_end_in_a_slash(path: str, folder: str, inside: bool) -> None:
    assert is_under(path, folder) is inside


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+", "(.*a){20}", "(x*)*y"])
def test_a_catastrophic_pattern_stays_linear(pattern: str) -> None:
    limit = Limit("t", "arg", "matches", pattern)
    text = "a" * 20_000 + "!"
    began = process_time()
    assert not limit.allows({"arg": text})
    assert process_time() - began < 0.5


def test_the_defaults_of_the_schema_are_what_the_tool_will_see() -> None:
    schema = {"properties": {"limit": {"type": "integer", "default": 50}, "query": {"type": "string"}}}
    for arguments, seen in (
        ({"query": "x"}, {"query": "x", "limit": 50}),
        ({"limit": 5}, {"limit": 5}),
        ({"limit": None}, {"limit": None}),
    ):
        assert call_of("search", True, schema, arguments).arguments == seen
    assert call_of("search", True, {}, {}).arguments == {}


def test_a_default_beyond_a_limit_is_refused_and_the_reason_says_that_it_was_left_out() -> None:
    rules_ = policy(LIMITED)
    call = call_of("search", True, SEARCH, {"query": "x"})
    assert decide(rules_, person(), call).reasons == (
        "narrow: limit must be at most 20; it was left out, and 50 is the default",
    )
    assert decide(rules_, person(), call_of("search", True, SEARCH, {"query": "x", "limit": 50})).reasons == (
        "narrow: limit must be at most 20",
    )


def test_who_asks_without_arguments_leaves_open_only_what_has_no_default() -> None:
    asked = call_of("search", True, SEARCH, None)
    assert not decide(policy(LIMITED), person(), asked).allowed
    on_query = LIMITED.replace("arg = 'limit', max = 20", "arg = 'query', max_length = 3")
    assert decide(policy(on_query), person(), asked).allowed
    assert not decide(policy(on_query), person(), call_of("search", True, SEARCH, {"query": "four"})).allowed


@pytest.mark.parametrize(
    ("space", "allowed"), [("public", True), (" public ", True), ("~", True), ("hr", False), ("~bob", False)]
)
def test_writing_into_a_space_that_no_rule_opens_is_a_denial(space: str, allowed: bool) -> None:
    rules_ = policy(
        "[[rule]]\nname = 'w'\nany_person = true\nscopes = ['mcp:tools:write']\nspaces = ['public', '~']"
    )
    decision = decide(rules_, person(), call_of("create_note", False, {}, {"space": space}))
    assert decision.allowed is allowed
    told = ("This space is not open to you. list_spaces names those that are",)
    assert allowed or decision.reasons == told
    assert decide(rules_, person(), call_of("search", True, {}, {"space": space})).allowed


SEARCH = {"properties": {"limit": {"type": "integer", "default": 50}, "query": {"type": "string"}}}
LIMITED = rule(
    "name = 'narrow'\nany_person = true", more="limits = [{ tool = 'sea*', arg = 'limit', max = 20 }]"
)
OPEN = rule("name = 'wide'\nemails = ['eve@example.com']")


def test_one_rule_without_a_limit_opens_what_another_limits() -> None:
    call = Operation("tool", "search", True, {"limit": 100})
    assert not decide(policy(LIMITED), person(), call).allowed
    opened = decide(policy(LIMITED, OPEN), person(), call)
    assert (opened.allowed, opened.rules, opened.limits) == (True, ("wide",), ())
    assert not decide(policy(LIMITED, OPEN), person("bob@example.com"), call).allowed


def test_either_of_two_limits_is_enough_and_within_one_rule_all_are() -> None:
    two = policy(
        rule("name = 'few'\nany_person = true", more="limits = [{ tool = 't', arg = 'n', max = 5 }]"),
        rule(
            "name = 'named'\nany_person = true",
            more="limits = [{ tool = 't', arg = 'q', one_of = ['x'] }, { tool = 't', arg = 'n', max = 9 }]",
        ),
    )

    def passes(**arguments: Any) -> bool:
        return decide(two, person(), Operation("tool", "t", True, arguments)).allowed

    assert passes(n=5, q="y")
    assert passes(n=9, q="x")
    assert not passes(n=9, q="y")
    assert not passes(n=10, q="x")
    told = decide(two, person(), Operation("tool", "t", True)).limits
    assert told == ("n must be at most 5", "q must be one of: x and n must be at most 9")


def test_a_limit_leaves_other_tools_alone() -> None:
    assert decide(policy(LIMITED), person(), Operation("tool", "fetch", True, {"limit": 100})).allowed


def test_a_denial_by_a_limit_says_which_rule_and_what_would_do() -> None:
    denied = decide(policy(LIMITED), person(), Operation("tool", "search", True, {"limit": 100}))
    assert denied.reasons == ("narrow: limit must be at most 20",)
    assert not denied.consent_would_help

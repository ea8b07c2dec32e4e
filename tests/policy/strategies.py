"""Random policies, principals and operations that meet each other often."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from app.policy.arguments import Limit
from app.policy.decide import Operation
from app.policy.rules import OwnScope, Policy, Rule
from app.principal import LAN, Principal

EMAILS = ("alice@example.com", "bob@example.com", "eve@evil-example.com", "kim@sub.example.com")
TOKENS = ("nightly.access", "other.access")
GROUPS = ("staff", "ops")
TOOLS = ("search", "fetch", "create_note", "delete_note", "delete_all", "whoami")
NAMES = {
    "tool": TOOLS,
    "resource": ("note://{id}", "note://a", "data://b"),
    "prompt": ("poem", "secret_poem"),
}
SCOPES = ("*", "mcp:tools:read", "mcp:tools:write", "own:a", "own:b")

some = st.sampled_from
scope_sets = st.frozensets(some(SCOPES), max_size=3)
patterns = st.lists(
    some(["delete_*", "create_note", "note://*", "data://b", "secret_*", "*", "none"]), max_size=2
)
limits = st.lists(
    st.builds(Limit, some(["*", "delete_*", "search"]), some(["n", "m"]), st.just("max"), st.integers(0, 9)),
    max_size=2,
)
principals = st.one_of(
    st.just(LAN),
    st.builds(Principal, st.just("service"), some(TOKENS), st.just("tunnel")),
    st.builds(
        lambda email, groups, whole: Principal(
            "person", email, "tunnel", email, groups=groups, groups_complete=whole
        ),
        some(EMAILS),
        st.frozensets(some(GROUPS)),
        st.booleans(),
    ),
)


@st.composite
def rules(draw: st.DrawFn, number: int = 0) -> Rule:
    return Rule(
        name=f"rule {number}",
        scopes=draw(scope_sets),
        emails=draw(st.frozensets(some(EMAILS), max_size=2)),
        domains=draw(st.frozensets(some(["example.com", "evil-example.com"]), max_size=1)),
        groups=draw(st.frozensets(some(GROUPS), max_size=1)),
        service_tokens=draw(st.frozensets(some(TOKENS), max_size=1)),
        any_person=draw(st.booleans()),
        spaces=tuple(draw(st.lists(some(["*", "~", "main", "~bob@example.com"]), max_size=2))),
        limits=tuple(draw(limits)),
    )


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    own = [
        OwnScope(name, name, *(tuple(draw(patterns)) for _ in range(3)))
        for name in ("own:a", "own:b")
        if draw(st.booleans())
    ]
    count = draw(st.integers(0, 4))
    return Policy(tuple(own), draw(scope_sets), tuple(draw(rules(number)) for number in range(count)))


@st.composite
def operations(draw: st.DrawFn) -> Operation:
    kind: Any = draw(some(sorted(NAMES)))
    arguments = draw(st.one_of(st.none(), st.dictionaries(some(["n", "m"]), st.integers(0, 9))))
    read_only = kind != "tool" or draw(st.booleans())
    return Operation(kind, draw(some(NAMES[kind])), read_only, arguments if kind == "tool" else None)


def with_token(principal: Principal, scopes: frozenset[str] | None) -> Principal:
    return replace(principal, token_scopes=scopes)

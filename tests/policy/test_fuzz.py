"""Whatever is in the file: a policy or a PolicyInvalid, soon, and in printable lines."""

from __future__ import annotations

from time import process_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.policy.parse import PolicyInvalid, parse

SECONDS = 0.1
SCALARS = [
    *("1", "-1", "1.5", "nan", "inf", "true", "2026-07-28", "07:32:00", "9999999999999999999999"),
    *("''", '"a"', '"*"', '"a\\nb"', '"\\u212A"', '"\\u0000"', "'a@b.c'", "'~'", "'('", "'..'", "'(a*)*'"),
    *("'mcp:tools:write'", "'allow'", "'x{999}'", f"'{'a' * 300}'"),
]
VALUES = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda values: f"[{', '.join(values)}]"),
        st.dictionaries(
            st.sampled_from(["tool", "arg", "max", "one_of", "matches", "under", "x", "scopes"]),
            inner,
            max_size=3,
        ).map(lambda table: "{" + ", ".join(f"{key} = {value}" for key, value in table.items()) + "}"),
    ),
    max_leaves=6,
)
FIELDS = {
    "": ["version", "scopes", "lan", "rule", "case", "rules"],
    "[lan]": ["scopes", "x"],
    "[scopes.a]": ["tools", "resources", "prompts", "description", "x"],
    "[[rule]]": [
        "name",
        "emails",
        "domains",
        "groups",
        "service_tokens",
        "any_person",
        "scopes",
        "spaces",
        "limits",
    ],
    "[[case]]": ["as", "tool", "args", "groups", "expect"],
}


@st.composite
def files(draw: st.DrawFn) -> str:
    lines = ["version = 1"] if draw(st.booleans()) else []
    for head, fields in FIELDS.items():
        for _ in range(draw(st.integers(0, 2)) if head.startswith("[[") else 1):
            chosen: dict[str, Any] = draw(st.dictionaries(st.sampled_from(fields), VALUES, max_size=5))
            lines += [head, *(f"{field} = {value}" for field, value in chosen.items())]
    return "\n".join(lines)


def judge(text: str | bytes) -> None:
    # The best of a few: a pause of the machine is not the parser's.
    assert any(seconds_to_judge(text) < SECONDS for _ in range(3))


def seconds_to_judge(text: str | bytes) -> float:
    lines: tuple[str, ...] = ("a policy",)
    began = process_time()
    try:
        parse(text)
    except PolicyInvalid as invalid:
        lines = invalid.problems
    took = process_time() - began
    assert lines
    assert all(line.isprintable() for line in lines)
    return took


@settings(max_examples=80, deadline=None)
@given(files())
def test_any_value_in_any_field_is_judged(text: str) -> None:
    judge(text)


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.text(max_size=300)))
def test_any_bytes_are_judged(content: str | bytes) -> None:
    judge(content)


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a|a)*b", "(.*)*x", "a{1000}", "(x+x+)+y", "(((a{30}){30}){30})"]
)
def test_a_hard_pattern_is_judged_soon(pattern: str) -> None:
    limit = f"{{ tool = 't', arg = 'a', matches = '{pattern}' }}"
    judge(f"version = 1\n[[rule]]\nany_person = true\nscopes = []\nlimits = [{limit}]")

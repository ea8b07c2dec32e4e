"""`brain policy test`: what a policy's writer expects, held against the decision."""

from __future__ import annotations

import pytest

from app.policy.cases import as_json, in_words, run_cases
from app.policy.parse import parse

from .golden_text import FOLDER, same_as_golden
from .text import policy, rule
from .tools import TOOLS

POLICY = parse((FOLDER / "policy-new.toml").read_bytes())


def case(more: str, expect: str = "allow") -> str:
    return f'[[case]]\nas = "eve@example.com"\n{more}\nexpect = "{expect}"\n'


def test_the_results_read_as_they_are_kept() -> None:
    told = "\n".join(map(in_words, run_cases(POLICY, TOOLS)))
    assert same_as_golden("cases.txt", told + "\n")


def test_for_programs_every_part_of_a_result_is_there() -> None:
    assert as_json(run_cases(POLICY, TOOLS)[3]) == {
        "as": "eve@contractor.example",
        "groups": [],
        "tool": "search",
        "args": {"query": "x", "limit": 50},
        "expected": "allow",
        "got": "deny",
        "reasons": ["contractors: limit must be at most 30"],
        "ok": False,
    }


@pytest.mark.parametrize(
    ("args", "holds"), [("{}", True), ("{ limit = 11 }", False), ("{ limit = 9 }", True)]
)
def test_a_case_is_a_call_that_leaves_the_rest_to_the_tools_defaults(args: str, holds: bool) -> None:
    limited = rule("any_person = true", more='limits = [{ tool = "search", arg = "limit", max = 10 }]')
    (result,) = run_cases(policy(limited, case(f'tool = "search"\nargs = {args}')), TOOLS)
    assert result.ok is holds


@pytest.mark.parametrize(("groups", "holds"), [('["ops", "x"]', True), ('["x"]', False), ("[]", False)])
def test_a_case_may_say_which_groups_the_person_is_in(groups: str, holds: bool) -> None:
    text = case(f'tool = "search"\ngroups = {groups}')
    (result,) = run_cases(policy(rule('groups = ["ops"]'), text), TOOLS)
    assert result.ok is holds


@pytest.mark.parametrize("expect", ["allow", "deny"])
def test_a_case_about_a_tool_that_is_not_there_never_holds(expect: str) -> None:
    (result,) = run_cases(policy(case('tool = "serch"', expect)), TOOLS)
    assert (result.ok, result.got) == (False, "unknown")
    assert result.reasons == ("no tool is named serch; did you mean search?",)


def test_a_policy_without_cases_has_no_results() -> None:
    assert run_cases(policy(rule("any_person = true")), TOOLS) == ()

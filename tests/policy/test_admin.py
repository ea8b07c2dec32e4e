"""`brain:admin`, the scope of the operator: built in, opens no tool, part of `*`."""

from __future__ import annotations

import pytest

from app.policy.check import Tool, check
from app.policy.decide import Operation, decide, effective_scopes
from app.principal import LAN

from .text import person, policy, problems, rule

ADMIN = "brain:admin"
DEFINED = '[scopes."brain:admin"]'
ANY = "any_person = true"


@pytest.mark.parametrize("defined", ["", DEFINED, DEFINED + '\ndescription = "Look after it"'])
def test_a_rule_may_give_it_whether_or_not_the_file_defines_it(defined: str) -> None:
    policy_ = policy(defined, rule('emails = ["eve@example.com"]', f'["{ADMIN}"]'))
    assert effective_scopes(policy_, person()) == {ADMIN}
    assert policy_.scope_names().count(ADMIN) == 1
    assert policy_.describe(ADMIN)


@pytest.mark.parametrize("read_only", [True, False])
def test_it_opens_no_tool(read_only: bool) -> None:
    policy_ = policy(rule(ANY, f'["{ADMIN}"]'))
    assert not decide(policy_, person(), Operation("tool", "search", read_only)).allowed


def test_everything_includes_it_and_writing_does_not() -> None:
    assert ADMIN in effective_scopes(policy(), LAN)
    assert ADMIN not in effective_scopes(policy(rule(ANY, '["mcp:tools:write"]')), person())


def test_other_built_in_names_stay_taken() -> None:
    assert problems('[scopes."mcp:tools:read"]\ntools = ["x"]')


@pytest.mark.parametrize("scope", [ADMIN, "*"])
def test_a_check_warns_when_everybody_becomes_an_operator(scope: str) -> None:
    found = check(policy(rule(f'name = "all"\n{ANY}', f'["{scope}"]')), [Tool("search", True)])
    assert [(one.level, one.place) for one in found] == [("warning", "rule all")]
    assert ADMIN in found[0].what


def test_a_check_says_when_nobody_is_given_a_defined_one() -> None:
    found = check(policy('[lan]\nscopes = ["mcp:tools:read"]', DEFINED), [Tool("search", True)])
    assert [one.what for one in found] == ["no rule gives it: nobody sees everybody's calls"]

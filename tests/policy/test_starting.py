"""The policy of somebody who has none yet."""

from __future__ import annotations

import pytest

from app.cli.policy_files import known_tools
from app.policy.cases import run_cases
from app.policy.check import check
from app.policy.decide import Operation, decide
from app.policy.parse import parse
from app.policy.rules import principal_named
from app.policy.starting import is_email, policy_for


def test_it_is_fine_and_its_cases_hold() -> None:
    policy, tools = parse(policy_for("Alice@Example.com")), known_tools()
    assert check(policy, tools) == ()
    assert all(result.ok for result in run_cases(policy, tools))
    assert len(policy.cases) == 2


def test_the_owner_may_do_everything_and_nobody_else_anything() -> None:
    policy = parse(policy_for("alice@example.com"))
    for tool in known_tools():
        operation = Operation("tool", tool.name, tool.read_only)
        assert decide(policy, principal_named("alice@example.com", frozenset()), operation).allowed
        others = decide(policy, principal_named("bob@example.com", frozenset()), operation)
        assert others.allowed is (tool.name == "whoami")


@pytest.mark.parametrize(
    "text",
    ["", "alice", "@example.com", "a@b", 'a"@example.com', "a b@example.com", "a@example.com\n", "*@x.de"],
)
def test_what_is_no_address_never_gets_into_a_policy(text: str) -> None:
    assert not is_email(text)
    with pytest.raises(ValueError, match="no e-mail address"):
        policy_for(text)

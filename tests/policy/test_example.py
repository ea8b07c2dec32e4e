"""The example of the documentation means, line by line, what its comments say."""

from __future__ import annotations

import pytest

from app.policy.decide import Operation, ceiling, decide
from app.policy.parse import parse
from app.policy.rules import Case
from app.principal import LAN, Principal

from .text import EXAMPLE, person

POLICY = parse(EXAMPLE)
ALICE, EVE = person("alice@example.com"), person("eve@contractor.example")


def allowed(who: Principal, tool: str, *, read_only: bool = False, **arguments: object) -> bool:
    return decide(POLICY, who, Operation("tool", tool, read_only, arguments)).allowed


def test_the_family_may_read_and_write() -> None:
    for email in ("alice@example.com", "bob@example.com"):
        assert ceiling(POLICY, person(email)).scopes == {"mcp:tools:read", "mcp:tools:write"}
        assert allowed(person(email), "create_note")


def test_an_own_scope_takes_its_tools_out_of_the_built_in_classes() -> None:
    assert not allowed(ALICE, "delete_note")
    assert not allowed(ALICE, "restore_note")
    assert allowed(LAN, "delete_note")


def test_the_description_of_an_own_scope_is_kept_for_the_consent_page() -> None:
    assert POLICY.describe("notes:delete") == "Delete and restore notes"


def test_the_family_works_in_main_and_in_the_spaces_of_its_own() -> None:
    spaces = decide(POLICY, ALICE, Operation("tool", "create_note", False, {})).spaces
    assert (spaces.every, spaces.shared, spaces.names) == (
        False,
        False,
        frozenset({"main", "~alice@example.com"}),
    )


def test_contractors_read_the_public_space_alone() -> None:
    assert allowed(EVE, "list_notes", read_only=True)
    assert not allowed(EVE, "create_note")
    spaces = decide(POLICY, EVE, Operation("tool", "list_notes", True, {})).spaces
    assert (spaces.every, spaces.shared, spaces.names) == (False, False, frozenset({"public"}))


@pytest.mark.parametrize(("limit", "passes"), [(20, True), (21, False)])
def test_contractors_search_at_most_twenty_at_a_time(limit: int, passes: bool) -> None:
    assert allowed(EVE, "search", read_only=True, query="x", limit=limit) is passes


def test_the_lan_may_do_everything() -> None:
    assert POLICY.lan == {"*"}
    assert all(allowed(LAN, tool) for tool in ("search", "create_note", "delete_note"))


def test_the_case_is_read() -> None:
    assert POLICY.cases == (Case("eve@contractor.example", "create_note", "deny"),)

"""What a scope opens, as the consent page tells it: the same that the policy decides."""

from __future__ import annotations

from app.catalogue import catalogue
from app.oauth.opened import opened
from app.oauth.views import ToolView
from app.pages.facts import ToolText
from app.policy.decide import Operation, decide
from app.policy.parse import parse
from app.principal import Principal

from .desk import POLICY


async def listed() -> list[ToolText]:
    return [ToolText(tool, f"Title of {tool.name}", "") for tool in await catalogue()]


async def test_G6_an_own_scope_opens_its_tools_and_takes_them_from_the_built_in_ones() -> None:
    policy, tools = parse(POLICY), await listed()
    assert opened(policy, "notes:delete", tools) == (
        ToolView("delete_note", "Title of delete_note"),
        ToolView("restore_note", "Title of restore_note"),
    )
    writing = {tool.name for tool in opened(policy, "mcp:tools:write", tools)}
    assert "create_note" in writing
    assert not writing & {"delete_note", "search", "whoami"}


async def test_G6_what_is_told_is_what_a_token_of_that_scope_may_call() -> None:
    policy, tools = parse(POLICY), await listed()
    for scope in ("mcp:tools:read", "notes:delete"):
        told = {tool.name for tool in opened(policy, scope, tools)}
        who = Principal(
            "person", "alice@example.com", "tunnel", "alice@example.com", token_scopes=frozenset({scope})
        )
        callable_now = {
            one.tool.name
            for one in tools
            if decide(policy, who, Operation("tool", one.tool.name, one.tool.read_only)).allowed
        }
        assert callable_now - {"whoami"} == told

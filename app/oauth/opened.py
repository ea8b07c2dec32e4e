"""Which tools a scope opens, for the page that asks whether to give it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

from app.oauth.views import ToolView
from app.policy.check import Tool
from app.policy.decide import WHOAMI, scopes_needed
from app.policy.rules import Policy


class ListedTool(Protocol):
    """A tool as the server lists it (app.pages.facts.ToolText)."""

    @property
    def tool(self) -> Tool: ...
    @property
    def title(self) -> str: ...


Listed = Callable[[], Awaitable[Sequence[ListedTool]]]


async def nothing_listed() -> tuple[ListedTool, ...]:
    return ()


def opened(policy: Policy, scope: str, tools: Iterable[ListedTool]) -> tuple[ToolView, ...]:
    """Those that need just this scope, in the server's order. What writing implies is told of reading."""
    return tuple(
        ToolView(one.tool.name, one.title or one.tool.name)
        for one in tools
        if one.tool.name != WHOAMI
        and scope
        in scopes_needed(policy, "tool", one.tool.name, one.tool.read_only, named_only=one.tool.named_only)
    )

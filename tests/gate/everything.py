"""An MCP server with a little of everything that a policy can open and close; it remembers what ran."""

from __future__ import annotations

from fastmcp import FastMCP
from mcp_types import (
    CompletionArgument,
    CompletionContext,
    PromptReference,
    ResourceTemplateReference,
    ToolAnnotations,
)

from app.mcp_server import new_server

READS = ("look", "list_things", "delete_preview")
WRITES = ("write", "delete_one", "delete_all", "admin_reset", "unmarked")
TOOLS = (*READS, *WRITES)
RESOURCES = ("data://public", "secret://one")
TEMPLATE = "item://{number}"
ITEM = "item://7"
PROMPTS = ("poem", "secret_poem")


def everything(ran: list[str] | None = None) -> tuple[FastMCP, list[str]]:
    """The server, and the names of what it ran, in order."""
    mcp, ran = new_server(), list[str]() if ran is None else ran
    for name in TOOLS:
        _add_tool(mcp, name, ran)
    for uri in RESOURCES:
        _add_resource(mcp, uri, ran)
    for name in PROMPTS:
        _add_prompt(mcp, name, ran)

    @mcp.resource(TEMPLATE)
    async def item(number: str) -> str:
        ran.append(f"item://{number}")
        return number

    return mcp, ran


def remember_completions(mcp: FastMCP, ran: list[str]) -> None:
    """A completion handler in the place of the notes' own."""

    @mcp.completion
    async def complete(
        ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        context: CompletionContext | None,
    ) -> list[str]:
        ran.append(f"complete {ref.name if isinstance(ref, PromptReference) else ref.uri}")
        return ["one", "two"]


def _add_tool(mcp: FastMCP, name: str, ran: list[str]) -> None:
    async def tool(n: int = 1, q: str = "x") -> str:
        ran.append(name)
        return f"{name} ran with {n} {q}"

    hint = None if name == "unmarked" else ToolAnnotations(read_only_hint=name in READS)
    mcp.tool(tool, name=name, description=f"Does {name}.", annotations=hint)


def _add_resource(mcp: FastMCP, uri: str, ran: list[str]) -> None:
    @mcp.resource(uri)
    async def resource() -> str:
        ran.append(uri)
        return uri


def _add_prompt(mcp: FastMCP, name: str, ran: list[str]) -> None:
    @mcp.prompt(name=name)
    async def prompt(theme: str = "sea") -> str:
        ran.append(name)
        return theme

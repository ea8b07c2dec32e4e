"""A FastMCP server with a little of everything: mounted in process, run on standard input, or over HTTP.

`python plain.py [http PORT | sse PORT]`. It records what it is told, and says it when asked.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from fastmcp import Context, FastMCP
from fastmcp.server.dependencies import get_access_token, get_http_headers
from fastmcp.tools import ToolResult
from fastmcp.utilities.types import Image
from mcp_types import (
    ElicitRequest,
    ElicitRequestFormParams,
    EmbeddedResource,
    InputRequiredResult,
    PromptReference,
    ResourceLink,
    TextContent,
    TextResourceContents,
    ToolAnnotations,
)

mcp = FastMCP("plain", version="1")
READ = ToolAnnotations(read_only_hint=True)
calls: list[str] = []


@mcp.tool(annotations=READ)
async def echo(text: str) -> str:
    """Says what it was told."""
    return text


@mcp.tool
async def write(text: str) -> dict[str, Any]:
    """Writes down."""
    calls.append(text)
    return {"written": len(calls)}


@mcp.tool
async def seen(ctx: Context) -> dict[str, Any]:
    """Everything that it can know of whoever calls, and of where it runs."""
    asked = ctx.request_context
    return {
        "headers": get_http_headers(include_all=True),
        "token": str(get_access_token()),
        "meta": str(asked.meta if asked else None),
        "environ": dict(os.environ),
        "cwd": os.getcwd(),
        "argv": sys.argv,
    }


@mcp.tool
async def slow(seconds: float, ctx: Context) -> str:
    """Takes its time, and says how far it is."""
    for step in range(4):
        await ctx.report_progress(step, 4, f"step {step}")
        await asyncio.sleep(seconds / 4)
    calls.append("slow ended")
    return "done"


@mcp.tool
async def count() -> int:
    """How many calls have left a trace."""
    return len(calls)


@mcp.tool
async def picture() -> Image:
    """A very small picture."""
    return Image(data=b"\x89PNG\r\n\x1a\n", format="png")


@mcp.tool
async def fails() -> ToolResult:
    """Says no, in its own words."""
    return ToolResult(
        content=[TextContent(type="text", text="no"), TextContent(type="text", text="never")], is_error=True
    )


@mcp.tool
async def asks(ctx: Context) -> Any:
    """Asks for a name in between, as protocol 2026-07-28 does: by its answer."""
    answers = ctx.input_responses
    if answers:
        return f"hello {getattr(answers['who'], 'content', {})['name']}, {ctx.request_state}"
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    form = ElicitRequestFormParams(message="Who are you?", requested_schema=schema)
    return InputRequiredResult(input_requests={"who": ElicitRequest(params=form)}, request_state="state 1")


@mcp.tool
async def link() -> ToolResult:
    """Leads to its resources, and elsewhere."""
    links = ("data://one", "https://example.com/page", "https://example.com/api/7")
    held = TextResourceContents(uri="data://one", text="the first", mime_type="text/plain")
    return ToolResult(
        content=[
            *(ResourceLink(type="resource_link", uri=uri, name="one") for uri in links),
            EmbeddedResource(type="resource", resource=held),
        ]
    )


@mcp.resource("data://one")
async def one() -> str:
    return "the first"


@mcp.resource("data://bytes", mime_type="application/octet-stream")
async def some_bytes() -> bytes:
    return b"\x00\x01"


@mcp.resource("item://{number}")
async def item(number: str) -> str:
    return f"item {number}"


@mcp.resource("https://example.com/api/{number}")
async def page(number: str) -> str:
    return f"page {number}"


@mcp.prompt
async def poem(theme: str) -> str:
    """Asks for a poem."""
    return f"A poem about {theme}, please."


@mcp.completion
async def complete(ref: Any, argument: Any, context: Any) -> list[str]:
    named = ref.name if isinstance(ref, PromptReference) else ref.uri
    return [f"{named} {argument.name} {argument.value}"]


if __name__ == "__main__":
    words = sys.argv[1:]
    if words:
        mcp.run(words[0], host="127.0.0.1", port=int(words[1]), show_banner=False)  # type: ignore[arg-type]
    else:
        mcp.run("stdio", show_banner=False)

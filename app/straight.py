"""Calls of upstreams' tools: through the gate, and past what FastMCP does for tools of its own.

It makes contexts, chains and models of a call; what an upstream answers is for the wire already.
"""

from __future__ import annotations

import logging
from typing import Any

import mcp_types as mt
from fastmcp.exceptions import ToolError
from fastmcp.server.telemetry import server_span
from mcp.server.context import ServerRequestContext

from app.gate import Gate
from app.upstreams.components import UpstreamTool

log = logging.getLogger("brain.upstreams")


class Straight:
    """`server`: its name, for those who trace calls."""

    def __init__(self, gate: Gate, server: str) -> None:
        self._gate, self._server = gate, server

    async def __call__(
        self, context: ServerRequestContext[Any, Any], asked: mt.CallToolRequestParams
    ) -> dict[str, Any] | None:
        """The result on the wire; None: the tool is not an upstream's."""
        tool = await self._gate.tool(asked.name)
        if not isinstance(tool, UpstreamTool):
            return None
        try:
            return await self._gate.call(
                asked.name, tool, asked.arguments or {}, lambda: self._called(tool, asked, context)
            )
        except ToolError as refused:
            content = [{"type": "text", "text": str(refused)}]
            return {"content": content, "isError": True, "resultType": "complete"}

    async def _called(
        self, tool: UpstreamTool, asked: mt.CallToolRequestParams, context: ServerRequestContext[Any, Any]
    ) -> dict[str, Any]:
        name, method = asked.name, "tools/call"
        with server_span(f"{method} {name}", method, self._server, "tool", name, tool_name=name) as span:
            span.set_attributes(tool.get_span_attributes())
            try:
                return await tool.call(asked, context)
            except ToolError:
                raise
            except Exception as problem:  # of ours: told in the words that FastMCP has for its own
                log.exception("the call of %r failed", name)
                raise ToolError(f"Error calling tool {name!r}") from problem
